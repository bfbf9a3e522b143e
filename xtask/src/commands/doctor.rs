//! `doctor`: diagnoses this machine; with `--provision`, installs what is missing first.

use anyhow::Result;

use crate::args::Parsed;
use crate::doctor;
use crate::doctor::facts::DoctorFacts;
use crate::doctor::{CheckState, checks};
use crate::exec::provisioning;
use crate::json::SCHEMA;
use crate::process::stdio::{out, outln};
use crate::provision;
use crate::session::Session;
use crate::step::Step;

pub(crate) fn run(session: &Session, parsed: &Parsed) -> Result<u8> {
    if parsed.flag("--provision") {
        let steps = provision::steps(session)?;
        if parsed.flag("--dry-run") {
            show(session, &steps);
            return Ok(0);
        }
        provisioning::run(session, &steps)?;
    }
    let checks = checks::all(&DoctorFacts::read(session));
    if session.globals.json {
        outln!("{}", serde_json::json!({"schema": SCHEMA, "checks": checks}));
    } else {
        out!("{}", doctor::text(&checks));
    }
    Ok(u8::from(doctor::worst(&checks) == CheckState::Fail))
}

/// Prints the steps of a dry run.
fn show(session: &Session, steps: &[Step]) {
    if session.globals.json {
        outln!("{}", serde_json::json!({"schema": SCHEMA, "provision": steps}));
    } else if steps.is_empty() {
        outln!("nothing is missing");
    } else {
        steps.iter().for_each(|step| outln!("{}", step.to_shell()));
    }
}
