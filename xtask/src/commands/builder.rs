//! `builder up|status|down`: a persistent builder.

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use xshell::cmd;

use crate::args::Parsed;
use crate::engine::problem::Problem;
use crate::engine::{builders, disk_usage as records, facts as engine_facts};
use crate::error::usage;
use crate::exec::steps;
use crate::files;
use crate::json::SCHEMA;
use crate::plan::builder::{self as planning, BuilderFacts, BuilderPlace, BuilderSpec, NAME};
use crate::plan::builder_options;
use crate::process::query;
use crate::process::stdio;
use crate::process::stdio::{err, errln, out, outln};
use crate::report::builder::{BuilderReport, mounts};
use crate::session::Session;
use crate::step::Step;

/// The engine answers such queries in milliseconds.
const QUERY_TIMEOUT: Duration = Duration::from_secs(20);

/// The builder that is meant: the argument, else `--builder`, else the one that builds use, else
/// [`NAME`].
fn named(session: &Session, parsed: &Parsed) -> Result<String> {
    let name = parsed.free.first().map(String::as_str);
    let known = || engine_facts::chosen_builder(session).unwrap_or_else(|| NAME.into());
    let name = name.or(session.globals.builder.as_deref()).map_or_else(known, str::to_lowercase);
    let is_good = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    if !is_good {
        return Err(usage(format!(
            "`{name}` is not a valid builder name\nuse a letter, then letters, digits, `.`, `-` and `_`"
        )));
    }
    Ok(name)
}

/// Runs `builder up`.
pub(crate) fn up(session: &Session, parsed: &Parsed) -> Result<u8> {
    let name = &named(session, parsed)?;
    let made = made(session, name);
    let spec = builder_options::spec(session, parsed, name, made.as_ref())?;
    engine_facts::check(session).map_err(Problem::into_error)?;
    let facts = facts(session, &spec, made)?;
    let steps = planning::up(&spec, &facts, &session.layout)?;
    if parsed.flag("--dry-run") {
        return show(session, name, &steps);
    }
    if let BuilderPlace::Remote { endpoint } = &spec.place {
        builders::check_reachable(endpoint).with_context(|| {
            format!(
                "no answer from `{endpoint}`\nstart BuildKit there (`buildkitd --addr {endpoint}`), \
             or correct --endpoint"
            )
        })?;
    }
    let done = steps::run(&steps, session.globals.verbose);
    done.with_context(|| match &spec.place {
        BuilderPlace::Container { image, .. } => format!(
            "failed to start the builder `{name}` from `{image}`\nname an available BuildKit image with \
             --image; without a registry, one that is in the engine"
        ),
        BuilderPlace::Remote { endpoint } => {
            format!(
                "failed to connect the builder `{name}` to `{endpoint}`\ncheck that BuildKit accepts \
             these certificates"
            )
        }
    })?;
    done_text(session, name, &steps, "nothing to do: it is running");
    Ok(0)
}

/// Runs `builder down`.
pub(crate) fn down(session: &Session, parsed: &Parsed) -> Result<u8> {
    let name = &named(session, parsed)?;
    let purge = parsed.flag("--purge");
    engine_facts::check(session).map_err(Problem::into_error)?;
    let made = made(session, name);
    if purge && matches!(&made, Some(BuilderSpec { place: BuilderPlace::Remote { .. }, .. })) {
        return Err(usage(format!(
            "`--purge` is for builders on this machine, and other users use the cache of `{name}`\nleave \
             it out"
        )));
    }
    let spec = made.clone().unwrap_or_else(|| builder_options::default(name));
    let facts = facts(session, &spec, made)?;
    let steps = planning::down(name, &facts, &session.layout, purge)?;
    if parsed.flag("--dry-run") {
        return show(session, name, &steps);
    }
    if purge && facts.has_volume && !parsed.flag("--yes") {
        confirm(session, name, &facts)?;
    }
    steps::run(&steps, session.globals.verbose)?;
    done_text(session, name, &steps, "nothing to do: it does not exist");
    Ok(0)
}

/// Lists what a purge removes and asks for confirmation. Without a terminal that is an error.
fn confirm(session: &Session, name: &str, facts: &BuilderFacts) -> Result<()> {
    let mut report = BuilderReport::new(name, facts.instance.clone());
    fill(session, &mut report);
    errln!("this will be removed, with its volume `{}`:", planning::volume_name(name));
    err!("{}", report.text());
    if !session.host.stderr_is_terminal || !std::io::stdin().is_terminal() {
        return Err(usage(format!(
            "`builder down --purge` removes the cache of `{name}` permanently\nadd --yes"
        )));
    }
    if !stdio::confirm("remove it permanently?")? {
        bail!("nothing was removed");
    }
    Ok(())
}

/// Runs `builder status`.
pub(crate) fn status(session: &Session, parsed: &Parsed) -> Result<u8> {
    let name = &named(session, parsed)?;
    engine_facts::check(session).map_err(Problem::into_error)?;
    let mut report = BuilderReport::new(name, builders::read(session, name)?);
    report.made_by_xtask = made(session, name).is_some();
    report.chosen = engine_facts::chosen_builder(session).as_deref() == Some(name);
    fill(session, &mut report);
    if session.globals.json {
        outln!("{}", crate::json::line(&report)?);
    } else {
        out!("{}", report.text());
        report.warnings.iter().for_each(|warning| errln!("warning: {warning}"));
    }
    Ok(u8::from(!report.instance.is_some_and(|instance| instance.is_up)))
}

/// Adds the content of a running builder.
fn fill(session: &Session, report: &mut BuilderReport) {
    if !report.instance.as_ref().is_some_and(|instance| instance.is_up) {
        return;
    }
    match records::read(&session.sh, &report.name, records::Which::All) {
        Ok(records) => {
            report.bytes = Some(records.iter().map(|record| record.bytes).sum());
            report.mounts = mounts(&records);
        }
        Err(error) => report.warnings.push(format!("{error:#}")),
    }
}

fn made(session: &Session, name: &str) -> Option<BuilderSpec> {
    let text = files::read(&session.layout.builder_spec(name)).ok()?;
    serde_json::from_slice(&text).ok()
}

fn facts(session: &Session, spec: &BuilderSpec, made: Option<BuilderSpec>) -> Result<BuilderFacts> {
    let sh = &session.sh;
    let name = &spec.name;
    let config = files::read_text(&session.layout.builder_config(name)).ok();
    let has = |command| query::query(command, QUERY_TIMEOUT).map(|answer| answer.success);
    let volume = planning::volume_name(name);
    let has_image = match &spec.place {
        BuilderPlace::Container { image, .. } => {
            has(cmd!(sh, "docker image inspect --format '{{.Id}}' {image}"))?
        }
        BuilderPlace::Remote { .. } => false,
    };
    Ok(BuilderFacts {
        instance: builders::read(session, name)?,
        is_chosen: engine_facts::chosen_builder(session).as_deref() == Some(name),
        has_image,
        has_config: config.is_some() && config == spec.config(),
        has_volume: has(cmd!(sh, "docker volume inspect --format '{{.Name}}' {volume}"))?,
        made,
    })
}

fn show(session: &Session, name: &str, steps: &[Step]) -> Result<u8> {
    if session.globals.json {
        outln!("{}", serde_json::json!({"schema": SCHEMA, "builder": name, "steps": steps}));
    } else if steps.is_empty() {
        outln!("nothing to do");
    } else {
        steps.iter().for_each(|step| outln!("{}", step.to_shell()));
    }
    Ok(0)
}

fn done_text(session: &Session, name: &str, steps: &[Step], nothing: &str) {
    if session.globals.json {
        outln!("{}", serde_json::json!({"schema": SCHEMA, "builder": name, "changed": !steps.is_empty()}));
    } else if steps.is_empty() {
        outln!("{name}: {nothing}");
    } else {
        outln!("{name}: done");
    }
}
