//! `plan` and `--dry-run`: prints what a build would do, and does nothing.

use anyhow::Result;

use super::forecast::ForecastResult;
use crate::engine::problem::Problem;
use crate::json;
use crate::plan::build::Plan;
use crate::plan::options::BuildOptions;
use crate::process::stdio::{out, outln};
use crate::provision;
use crate::report;
use crate::session::Session;
use crate::step::Step;

/// Runs `plan` and `--dry-run`.
pub(super) fn show(
    session: &Session,
    missing: &[Step],
    plan: &Plan,
    found: Option<&ForecastResult>,
) -> Result<u8> {
    let forecast = found.map(|found| &found.forecast);
    if session.globals.json {
        let document = report::plan::Document { plan, forecast };
        outln!("{}", json::line(&session.redactor.document(&document)?)?);
    } else {
        missing.iter().for_each(|step| outln!("{}", step.to_shell()));
        out!("{}{}", forecast.map_or_else(String::new, report::forecast::text), report::plan::text(plan));
    }
    Ok(0)
}

/// Runs a dry run without an engine: prints the steps that would install it, and the known part of
/// the call.
pub(super) fn without_engine(
    session: &Session,
    options: &BuildOptions,
    problem: Problem,
    missing: Vec<Step>,
) -> Result<u8> {
    if !problem.can_provision() {
        return Err(problem.into_error());
    }
    let first = if options.provision { missing } else { provision::steps(session)? };
    if session.globals.json {
        let document = serde_json::json!({
            "schema": json::SCHEMA, "problem": problem.what(), "remedy": problem.remedy(), "provision": first,
        });
        outln!("{}", json::line(&session.redactor.document(&document)?)?);
        return Ok(0);
    }
    outln!("{}\n{}\nwith --provision, these steps run first:", problem.what(), problem.remedy());
    first.iter().for_each(|step| outln!("{}", step.to_shell()));
    outln!("then the declaration is read, and its targets are built:");
    outln!("docker buildx bake -f {} {}", options.files[0].display(), options.targets.join(" "));
    Ok(0)
}
