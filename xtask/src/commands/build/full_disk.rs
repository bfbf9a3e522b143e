//! A failed build whose engine has a full disk, or has ended. The engine may drop the connection
//! without a word of it.

use std::path::PathBuf;

use crate::engine::facts;
use crate::files;
use crate::outcome::failure::BuildFailure;
use crate::session::Session;

/// With fewer free bytes, an engine cannot keep a layer.
const FULL: u64 = 16 << 20;

/// Names the full disk, or the end of the engine, as the cause of a failure without another known
/// one.
pub(super) fn name(session: &Session, failure: &mut BuildFailure) {
    let is_own = session.host.var("DOCKER_HOST").is_none_or(|host| host.starts_with("unix://"));
    if !is_own || failure.has_cause() {
        return;
    }
    let Some(info) = facts::info(session) else { return };
    if !info.is_up() {
        failure.set_engine_down();
        return;
    }
    let root = PathBuf::from(info.docker_root_dir);
    if !root.is_dir() {
        return;
    }
    if let Some(free) = files::free(&root).filter(|free| *free < FULL) {
        failure.set_full_disk(&root, free);
    }
}
