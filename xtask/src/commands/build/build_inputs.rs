//! The inputs of a build: everything that decides whether the next build may repeat it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::engine::facts as engine_facts;
use crate::memo::{self, Memo};
use crate::plan::bake_args::owner_sets;
use crate::plan::build::Plan;
use crate::plan::build_facts::BuildFacts;
use crate::plan::options::BuildOptions;
use crate::plan::up_to_date;
use crate::project::context::Digests;
use crate::project::input_files::InputFiles;
use crate::project::secret_source::SecretSource;
use crate::project::{Declaration, Target};
use crate::session::Session;
use crate::text::csv;

/// The inputs of a build.
pub(super) struct MadeOf {
    declaration: Declaration,
    /// The targets as BuildKit is handed them.
    targets: BTreeMap<String, Target>,
    /// Files of secrets.
    secrets: BTreeSet<PathBuf>,
    /// The digest of all the rest.
    pub(super) rest: String,
}

impl MadeOf {
    pub(super) fn new(
        session: &Session,
        facts: &BuildFacts,
        options: &BuildOptions,
        plan: &Plan,
    ) -> Result<Self> {
        let instance = engine_facts::instance(session, &facts.engine)
            .context("the engine is not known to be the same, since its socket is not here")?;
        let program = std::env::current_exe().context("failed to find this program")?;
        let mut rest = format!(
            "{instance}\n{}\n{}\n",
            memo::stamp(&program),
            up_to_date::identity(&session.host, facts, options, plan)
        );
        let targets = facts.names.iter().map(|name| (name.clone(), target(facts, options, name)));
        let targets: BTreeMap<String, Target> = targets.collect();
        let mut secrets = BTreeSet::new();
        let declared = targets.values().flat_map(|target| target.secret.iter().map(csv::line));
        for spec in declared.chain(options.secrets.iter().cloned()) {
            let source = SecretSource::parse(&spec);
            if let Some(name) = source.variable() {
                rest += &format!("{name} {}\n", session.host.var(name).is_some());
            }
            secrets.extend(source.file().map(|file| facts.declaration.dir.join(file)));
        }
        let rest = format!("{:x}", Sha256::digest(rest));
        Ok(Self { declaration: facts.declaration.clone(), targets, secrets, rest })
    }

    pub(super) fn look(&self) -> Result<InputFiles> {
        InputFiles::look(&self.declaration, &self.targets, &self.secrets)
    }
}

/// A target with what the plan adds to its declaration.
fn target(facts: &BuildFacts, options: &BuildOptions, name: &str) -> Target {
    let mut target = facts.declaration.targets[name].clone();
    for (key, value) in owner_sets(facts, options, name) {
        if let Some(context) = key.strip_prefix("contexts.") {
            target.contexts.insert(context.to_owned(), value);
        }
    }
    target
}

/// Digests of files, remembered from build to build.
pub(super) struct FileDigests {
    memo: Memo,
    pub(super) digests: Digests,
}

impl FileDigests {
    pub(super) fn new(session: &Session, facts: &BuildFacts) -> Self {
        let root = format!("{:x}", Sha256::digest(facts.declaration.dir.as_os_str().as_encoded_bytes()));
        let memo = Memo::new(&session.layout, "inputs", &root);
        Self { digests: memo.read().unwrap_or_default(), memo }
    }

    pub(super) fn digest(&mut self, files: &InputFiles) -> Result<String> {
        let digest = files.digest(&mut self.digests)?;
        if std::mem::take(&mut self.digests.is_new) {
            self.memo.write(&self.digests);
        }
        Ok(digest)
    }
}
