//! `pins`: the pinned versions. With `--update` a builder looks for the newest ones, and the files
//! are rewritten.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::build::facts;
use super::build::run::{self, Expected};
use crate::args::Parsed;
use crate::build_id;
use crate::build_id::random;
use crate::engine::facts as engine_facts;
use crate::error;
use crate::error::usage;
use crate::exec::steps;
use crate::json;
use crate::live::SharedForecast;
use crate::outcome::failure::BuildFailure;
use crate::plan::build::{self as planning, Plan};
use crate::plan::pins::{self as planned, HeldPin, Newest, Update};
use crate::process::signals;
use crate::process::stdio::{errln, out, outln};
use crate::project::pins::{self, Pin, Pins};
use crate::record::log::Log;
use crate::report;
use crate::session::Session;

pub(crate) fn run(session: &Session, parsed: &Parsed) -> Result<u8> {
    if parsed.flag("--update") {
        session.layout.require_images()?;
    }
    let list = if session.layout.has_images() { pins::list(&session.layout.pins())? } else { Vec::new() };
    if parsed.flag("--update") {
        return update(session, &list, parsed.flag("--dry-run"));
    }
    if parsed.flag("--dry-run") {
        return Err(usage(
            "`--dry-run` is for `pins --update`\n`cargo xtask pins` alone only shows the pins",
        ));
    }
    if session.globals.json {
        let pins: Pins = list.iter().map(|pin| (pin.name.clone(), pin.value.clone())).collect();
        let document =
            serde_json::json!({"schema": json::SCHEMA, "pins": pins, "held": planned::held(&list)});
        outln!("{}", json::line(&document)?);
    } else if list.is_empty() {
        errln!("nothing is pinned: there is no `{}`", session.layout.pins().display());
    } else {
        out!("{}", report::pins::list(&list));
    }
    Ok(0)
}

fn update(session: &Session, list: &[Pin], dry_run: bool) -> Result<u8> {
    let newest = ask(session, &planned::held(list))?;
    let path = session.layout.pins();
    let text = fs::read_to_string(&path).with_context(|| format!("failed to read `{}`", path.display()))?;
    let update: Update = planned::update(&session.layout, &text, &newest)?;
    if !dry_run {
        steps::run(&update.steps, session.globals.verbose)?;
    }
    if session.globals.json {
        outln!("{}", json::line(&update)?);
    } else {
        update.warnings.iter().for_each(|warning| errln!("warning: {warning}"));
        out!("{}", report::pins::update(&update, dry_run));
    }
    Ok(0)
}

/// Asks a builder. This changes nothing on the host, so a dry run asks, too.
fn ask(session: &Session, held: &[HeldPin]) -> Result<Newest> {
    let engine = engine_facts::read(session).map_err(|problem| problem.into_error())?;
    let id = build_id::new_id(session.host.now, random());
    let scratch = session.layout.tmp().join(&id);
    let options = planned::question(&session.layout, &scratch, held, &id);
    let facts = facts::facts(session, &options, engine, &id)?;
    let mut plan = planning::plan(&facts, &options, &id);
    let dockerfile = session.layout.compose().with_file_name("base-build.Dockerfile");
    let text = fs::read_to_string(&dockerfile)
        .with_context(|| format!("failed to read `{}`", dockerfile.display()))?;
    plan.prepare.push(planned::write_question(&scratch, &text));
    let answer = build(session, &plan).and_then(|()| read(&scratch.join("newest")));
    steps::clean(&plan.cleanup);
    answer
}

fn build(session: &Session, plan: &Plan) -> Result<()> {
    let log = Log::new(session.layout.tmp().join("pins.log"), session.redactor.clone());
    steps::remove(log.path())?;
    let ended = run::bake(session, plan, &log, &SharedForecast::default(), Expected::Unknown)?.ended;
    signals::check()?;
    if !ended.is_success() {
        let failure = BuildFailure::new(&ended.trace, &ended.text, log.path());
        return Err(error::build_failed(failure.to_string()));
    }
    Ok(())
}

/// Reads the results of the query: Debian's versions, those of Go's proxy, and a changed go.mod
/// with go.sum.
fn read(dir: &Path) -> Result<Newest> {
    let file = |name: &str| {
        fs::read_to_string(dir.join(name)).with_context(|| format!("failed to read the answer's `{name}`"))
    };
    let mut pins = pins::parse(&file("debian.env")?)?;
    pins.extend(pins::parse(&file("go.env")?)?);
    let has = |name: &str| dir.join(name).is_file();
    let go = if has("go.mod") { Some([file("go.mod")?, file("go.sum")?]) } else { None };
    let unknown = if has("unknown") { file("unknown")? } else { String::new() };
    Ok(Newest { pins, go, unknown: unknown.lines().map(str::to_owned).collect() })
}
