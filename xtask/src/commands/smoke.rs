//! `smoke`: tests a built image, one line per check.

use anyhow::Result;

use crate::args::Parsed;
use crate::error::usage;
use crate::process::stdio::{errln, outln};
use crate::project::image_reference;
use crate::session::Progress;
use crate::session::Session;
use crate::smoke;
use crate::smoke::Options;
use crate::smoke::report::{Outcome, ProofState};

/// Returns the image that a command is about. A wrong name is an error before docker is asked.
pub(super) fn image_of(session: &Session, parsed: &Parsed, command: &str) -> Result<String> {
    let image = smoke::image_of(session, parsed.free.first(), command)?;
    match image_reference::check_existing(&image) {
        Ok(()) => Ok(image),
        Err(fault) => Err(usage(format!("the image name `{image}` {fault}\ncorrect it"))),
    }
}

/// Runs `smoke`. Returns 1 if a check failed.
pub(crate) fn run(session: &Session, parsed: &Parsed) -> Result<u8> {
    let options = Options {
        image: image_of(session, parsed, "smoke")?,
        only: parsed.many("--only"),
        keep: parsed.flag("--keep"),
    };
    let json = session.globals.json;
    let terminal = if json { session.host.stderr_is_terminal } else { session.host.stdout_is_terminal };
    let color = session.color(terminal);
    let quiet = session.globals.progress == Progress::Quiet;
    let say = |line: String| if json { errln!("{line}") } else { outln!("{line}") };
    let mut show = |outcome: &Outcome| {
        if !quiet || outcome.state == ProofState::Fail {
            say(outcome.line(color));
        }
    };
    let report = smoke::run(session, &options, &mut show)?;
    say(report.summary());
    if json {
        outln!("{}", report.json());
    }
    Ok(u8::from(!report.passed()))
}
