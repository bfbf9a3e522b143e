//! The environment of transfers of cache mounts: to the builder, and to registries.

use std::collections::BTreeMap;

use crate::exec::budget::Budget;
use crate::exec::mounts::TransferContext;
use crate::exec::registry::Transport;
use crate::plan::build::Plan;
use crate::record::log::Log;
use crate::session::Session;

/// Returns the environment for transfers of cache mounts.
pub(super) fn for_builder<'a>(
    session: &'a Session,
    plan: &'a Plan,
    log: &'a Log,
    budget: &'a Budget,
) -> TransferContext<'a> {
    TransferContext { layout: &session.layout, log, now: session.host.now, platform: &plan.platform, budget }
}

/// Returns the environment for pushes and pulls of mounts.
pub(super) fn for_registries<'a>(
    session: &'a Session,
    plan: &'a Plan,
    (log, budget): (&'a Log, &'a Budget),
    env: &'a BTreeMap<String, String>,
) -> Transport<'a> {
    let timeout = crate::engine::registry::timeout(session);
    Transport {
        layout: &session.layout,
        builder: &plan.builder,
        scratch: &plan.scratch,
        timeout,
        log,
        budget,
        env,
    }
}
