//! The engine of a leg next to the machine's own, for the tests and the benchmark.

use anyhow::Result;

use super::machine::{CONTAINERD_STORE, SecondDaemon};
use crate::base_image::{self, BaseImage};
use crate::defaults;
use crate::engine::facts;
use crate::engine::legs::{self, Leg};
use crate::engine::problem::Problem;
use crate::exec::steps;
use crate::session::Session;

/// Starts the engine of a leg, and gives it the base image that the machine's engine has. Fetches
/// the leg's programs if they are missing or if `again` is set.
pub(crate) fn start(session: &Session, leg: Leg, again: bool) -> Result<SecondDaemon> {
    let (programs, steps) = legs::prepare(session, leg, again)?;
    steps::run(&steps, session.globals.verbose)?;
    let engine = facts::read(session).map_err(Problem::into_error)?;
    let daemon = SecondDaemon::start_as(CONTAINERD_STORE, Some(&programs))?;
    match base_image::state(session, &engine, defaults::PINNED)? {
        BaseImage::Registry => {}
        BaseImage::Missing => {
            steps::run(&base_image::steps(session, &engine, defaults::TAG)?, session.globals.verbose)?;
            daemon.receive(defaults::TAG)?;
        }
        found => daemon.receive(found.reference(defaults::PINNED))?,
    }
    Ok(daemon)
}
