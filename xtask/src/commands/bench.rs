//! `bench`: rebuilds of a copy of the images beside plain buildx, as ratios of one run.

use anyhow::Result;

use crate::args::Parsed;
use crate::bench;
use crate::bench::{Bench, ForecastOptions};
use crate::error::usage;
use crate::json;
use crate::process::stdio::{out, outln};
use crate::session::Session;
use crate::text::suggestion;

/// Runs `bench`.
pub(crate) fn run(session: &Session, parsed: &Parsed) -> Result<u8> {
    let known = || bench::CASES.iter().map(|case| case.name);
    if let Some(unknown) = parsed.free.iter().find(|name| !known().any(|case| case == *name)) {
        let names: Vec<&str> = known().collect();
        let near = suggestion(unknown, known());
        return Err(usage(format!("unknown case `{unknown}`{near}\nthe cases: {}", names.join(", "))));
    }
    let number = |name: &str, otherwise: u64| match parsed.one(name)? {
        Some(text) => text.parse().map_err(|_| usage(format!("`{name} {text}` is not a number"))),
        None => Ok(otherwise),
    };
    let edits = usize::try_from(number("--edits", 200)?).unwrap_or(usize::MAX);
    let forecast = ForecastOptions { edits, seed: number("--seed", 1)? };
    let rows = Bench::new(session)?.run(&parsed.free, forecast)?;
    if session.globals.json {
        outln!("{}", json::line(&serde_json::json!({"schema": json::SCHEMA, "rows": rows}))?);
    } else {
        out!("{}", bench::table(&rows));
    }
    Ok(u8::from(rows.iter().any(|row| !row.within)))
}
