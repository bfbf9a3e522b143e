//! `explain [BUILD]`: why each step of a build ran.

use anyhow::Result;

use crate::args::Parsed;
use crate::error::usage;
use crate::forecast::explain::explain as explain_build;
use crate::json;
use crate::process::stdio::{out, outln};
use crate::record::steps::{self, BuildSteps};
use crate::record::{find, read};
use crate::report;
use crate::session::Session;

/// Runs `explain [BUILD] [--against BUILD]`, by default for the last build and the one before it of
/// the same targets.
pub(crate) fn explain(session: &Session, parsed: &Parsed) -> Result<u8> {
    let builds = read::all(&session.layout);
    let id_of = |word: &str| find::find(&builds, word).map(|build| build.id.clone()).map_err(usage);
    let id = id_of(parsed.free.first().map_or("latest", String::as_str))?;
    let all = steps::all(&session.layout);
    let lacks = || {
        usage(format!(
            "the inputs of the build `{id}` are not recorded\nit ended before its steps were known, or an \
             older version recorded it"
        ))
    };
    let build = all.iter().find(|steps| steps.build == id).ok_or_else(lacks)?;
    let graph = steps::graph(&session.layout, &id).ok_or_else(lacks)?;
    let earlier: Vec<BuildSteps> = all
        .iter()
        .filter(|past| past.build < build.build && past.builder == build.builder)
        .cloned()
        .collect();
    let targets = build.steps.iter().map(|step| step.target.as_str()).collect();
    let against = match parsed.one("--against")? {
        Some(word) => Some(id_of(&word)?),
        None => steps::newest_with(&earlier, &targets).map(|past| past.build.clone()),
    };
    let against = against.and_then(|id| Some((steps::graph(&session.layout, &id)?, id)));
    let explained = explain_build(
        &graph,
        build,
        &earlier,
        against.as_ref().map(|(graph, id)| (id.as_str(), graph.as_slice())),
    );
    if session.globals.json {
        outln!("{}", json::line(&explained)?);
    } else {
        out!("{}", report::explain::text(&explained));
    }
    Ok(0)
}
