//! The declaration's own cache mounts in a builder.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::args::Parsed;
use crate::engine::disk_usage::{self, Which};
use crate::engine::facts as engine_facts;
use crate::plan::options::BuildOptions;
use crate::project::declaration_query::{self, DeclarationQuery};
use crate::project::dockerfile::mounts;
use crate::project::dockerfile::source::DockerfileSource;
use crate::project::requested::check_files;
use crate::project::secrets;
use crate::report::store::Ours;
use crate::session::Session;
use crate::step::{Command, Step};

/// The records to remove from a builder, and the others with the reasons.
#[derive(Debug, Default)]
pub(super) struct Records {
    pub(super) builder: String,
    /// The records to remove.
    pub(super) records: Vec<Ours>,
    /// The skipped ones, with the reasons.
    pub(super) notes: Vec<String>,
}

impl Records {
    /// Returns one step per record, by its id.
    pub(super) fn steps(&self) -> Vec<Step> {
        let step = |record: &Ours| {
            let filter = format!("id={}", record.id);
            let argv =
                ["docker", "buildx", "--builder", &self.builder, "prune", "--force", "--filter", &filter];
            Step::run("", Command::new(argv))
        };
        self.records.iter().map(step).collect()
    }
}

/// Returns the records of the declaration's cache mounts. Mounts without an explicit `id=` are
/// shared by all projects with the same target, so they are kept.
pub(super) fn ours(session: &Session, parsed: &Parsed) -> Result<Records> {
    let options = BuildOptions::new(session, parsed, Vec::new())?;
    check_files(&options.files)?;
    let engine = engine_facts::read(session).map_err(|problem| problem.into_error())?;
    let env = secrets::read(&session.host).paths();
    let question =
        DeclarationQuery { files: &options.files, requested: &[], sets: &[], env: &env, remember: true };
    let declaration = declaration_query::read(session, &question)?;
    let names: Vec<String> = declaration.targets.keys().cloned().collect();
    let files: BTreeMap<_, _> = declaration
        .targets
        .iter()
        .filter_map(|(name, target)| Some((name.clone(), DockerfileSource::read(&declaration, target)?.file)))
        .collect();
    let declared = mounts::of_build(&declaration, &names, &files, &engine.platform).mounts;
    let held = disk_usage::read(&session.sh, &engine.builder, Which::Mounts)?;
    let mut records = Records { builder: engine.builder, ..Records::default() };
    for mount in declared.iter().map(|used| &used.mount) {
        let id = format!("{}/{}", mount.identity.namespace, mount.identity.id);
        if mount.identity.namespace.is_empty() && mount.identity.id == mount.target.trim_end_matches('/') {
            records.notes.push(format!(
                "skipped the cache mount `{}`: it has no explicit id, so other projects may share it",
                mount.target
            ));
            continue;
        }
        for record in held.iter().filter(|record| record.mount_id() == Some(&id)) {
            if !record.reclaimable {
                records.notes.push(format!("skipped the cache mount `{id}`: it is in use"));
            } else if !records.records.iter().any(|known| known.id == record.id) {
                records.records.push(Ours { id: record.id.clone(), mount: id.clone(), bytes: record.bytes });
            }
        }
    }
    Ok(records)
}
