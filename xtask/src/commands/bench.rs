//! `bench`: rebuilds of a copy of the images beside plain buildx, as ratios of one run.

use anyhow::Result;

use crate::bench::{self, Bench};
use crate::cli::Session;
use crate::cli::parse::{Parsed, suggestion};
use crate::error::usage;
use crate::report;
use crate::stdio::{out, outln};

/// Runs `bench`.
pub fn run(session: &Session, parsed: &Parsed) -> Result<u8> {
    let known = || bench::CASES.iter().map(|case| case.name);
    if let Some(unknown) = parsed.free.iter().find(|name| !known().any(|case| case == *name)) {
        let names: Vec<&str> = known().collect();
        let near = suggestion(unknown, known());
        return Err(usage(format!("unknown case `{unknown}`{near}\nthe cases: {}", names.join(", "))));
    }
    let rows = Bench::new(session)?.run(&parsed.free)?;
    if session.globals.json {
        outln!("{}", report::json::line(&serde_json::json!({"schema": report::json::SCHEMA, "rows": rows}))?);
    } else {
        out!("{}", bench::table(&rows));
    }
    Ok(u8::from(rows.iter().any(|row| !row.within)))
}
