//! The digest of everything that decides what a stage of a target builds, other than what its steps
//! download.

use std::collections::BTreeMap;
use std::slice;

use sha2::{Digest, Sha256};

use super::images::ImagesQuery;
use super::targets;
use crate::memo::Memo;
use crate::plan::build_facts::BuildFacts;
use crate::plan::options::BuildOptions;
use crate::project::context::Digests;
use crate::project::graph::{self, RemoteFacts};
use crate::project::run_settings::HOSTS;
use crate::session::Session;

/// Returns the digest of a stage. One build argument does not count. Returns `None` if an input is
/// unknown in advance.
pub(in crate::commands::build) fn stage_key(
    session: &Session,
    facts: &BuildFacts,
    options: &BuildOptions,
    name: &str,
    (stage, argument): (&str, &str),
) -> Option<String> {
    let mut target = targets::target(facts, options, None, name)?;
    target.inputs.stage = Some(stage.to_owned());
    target.inputs.args.insert(argument.to_owned(), String::new());
    // Another address for the name of a server is in no key.
    if target.run.contains_key(HOSTS) {
        return None;
    }
    let is_asked = facts.engine.capabilities().sees_local_images;
    let asked = is_asked.then(|| ImagesQuery::start(slice::from_ref(&target), facts.in_engine.clone()));
    let images = asked.map(ImagesQuery::answer).unwrap_or_default();
    let mut targets = [target];
    graph::inherit(&mut targets, &images);
    let root = format!("{:x}", Sha256::digest(facts.declaration.dir.to_string_lossy().as_bytes()));
    let mut digests: Digests = Memo::new(&session.layout, "files", &root).read().unwrap_or_default();
    let remote = RemoteFacts { images: &images, versions: &BTreeMap::new() };
    let steps = graph::graph(&targets, remote, &mut digests);
    if steps.is_empty() || steps.iter().any(|step| step.is_open || step.is_forced) {
        return None;
    }
    let keys: String = steps.iter().map(|step| format!("{}\n", step.key)).collect();
    Some(format!("{:x}", Sha256::digest(keys)))
}
