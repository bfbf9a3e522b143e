//! `explain [BUILD]`: why each step of a build ran.

use anyhow::Result;

use crate::cli::Session;
use crate::cli::parse::Parsed;
use crate::error::usage;
use crate::explain::build::explain as explain_build;
use crate::record::steps::{self, BuildSteps};
use crate::report;

/// `explain [BUILD] [--against BUILD]`: the last build against the one before it of the same targets.
pub fn explain(session: &Session, parsed: &Parsed) -> Result<u8> {
    let all = steps::all(&session.layout);
    let build = match parsed.free.first() {
        Some(word) => find(&all, word)?,
        None => all.first().ok_or_else(|| {
            usage("no build is recorded here yet\nbuild something first: `cargo xtask base-build`")
        })?,
    };
    let graph = steps::graph(&session.layout, &build.build)
        .ok_or_else(|| usage(format!("of build `{}` is not recorded what it was made of", build.build)))?;
    let earlier: Vec<BuildSteps> = all
        .iter()
        .filter(|past| past.build < build.build && past.builder == build.builder)
        .cloned()
        .collect();
    let against = match parsed.one("--against")? {
        Some(word) => Some(find(&all, &word)?),
        None => earlier.iter().find(|past| build.targets.iter().all(|target| past.targets.contains(target))),
    };
    let against =
        against.and_then(|past| Some((past.build.clone(), steps::graph(&session.layout, &past.build)?)));
    let explained = explain_build(
        &graph,
        build,
        &earlier,
        against.as_ref().map(|(id, graph)| (id.as_str(), graph.as_slice())),
    );
    if session.globals.json {
        println!("{}", report::json::line(&explained)?);
    } else {
        print!("{}", report::explain::text(&explained));
    }
    Ok(0)
}

fn find<'a>(all: &'a [BuildSteps], word: &str) -> Result<&'a BuildSteps> {
    all.iter()
        .find(|past| past.build.starts_with(word))
        .ok_or_else(|| usage(format!("no build `{word}` is recorded here")))
}
