//! The orchestrator of durango-builder: `cargo xtask` builds FrankenPHP images.
//!
//! Data flows one way: options ([`args`], [`session`]) -> facts ([`project`], [`engine`],
//! [`store`]) -> plan ([`plan`]) -> steps ([`exec`]) -> outcome ([`outcome`], [`record`]) -> report
//! ([`report`], [`live`]). A room imports only from the rooms below it.

mod args;
mod base_image;
mod bench;
mod build_id;
mod cli;
mod commands;
mod defaults;
mod doctor;
mod engine;
mod error;
mod exec;
mod files;
mod forecast;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod host;
mod json;
mod layout;
mod live;
mod memo;
mod outcome;
mod plan;
mod platform;
mod process;
mod progress;
mod project;
mod provision;
mod record;
mod redact;
mod report;
mod session;
mod setup;
mod smoke;
mod step;
mod store;
#[doc(hidden)]
pub mod testing;
mod text;

use std::process::ExitCode;

use host::Host;
use process::stdio::{errln, outln};

/// Runs `cargo xtask` for this process: its arguments, its environment, its exit code.
pub fn main() -> ExitCode {
    process::signals::install();
    let host = Host::read();
    let (json, result) = cli::run(std::env::args_os().skip(1).collect(), host);
    // Any failure or early end after an interrupt counts as an interrupt.
    let result = if process::signals::interrupted() { Err(error::interrupted()) } else { result };
    let code = result.unwrap_or_else(|error| {
        errln!("error: {error:#}");
        let code = error::exit_code(&error);
        // A failed build has printed its report.
        if json && code != error::BUILD_FAILED {
            outln!("{}", json::error(&error));
        }
        code
    });
    // A thread whose answer nobody needs any more may still wait for one.
    process::signals::end_children();
    ExitCode::from(process::stdio::exit_code(code))
}
