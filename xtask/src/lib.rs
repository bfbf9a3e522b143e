//! The orchestrator of durango-builder: `cargo xtask` builds FrankenPHP images, and a rebuild costs as much as the change.
//!
//! Data flows one way: options ([`args`], [`session`]) -> facts ([`project`], [`engine`], [`store`]) -> plan ([`plan`]) ->
//! steps ([`exec`]) -> outcome ([`outcome`], [`record`]) -> report ([`report`], [`live`]). A room imports only from the rooms
//! below it.

pub mod args;
pub mod base_image;
pub mod bench;
pub mod build_id;
pub mod cli;
pub mod commands;
pub mod defaults;
pub mod doctor;
pub mod engine;
pub mod error;
pub mod exec;
mod files;
pub mod forecast;
pub mod host;
pub mod json;
pub mod layout;
pub mod live;
pub mod memo;
pub mod outcome;
pub mod plan;
pub mod process;
pub mod progress;
pub mod project;
pub mod provision;
pub mod record;
pub mod redact;
pub mod report;
pub mod session;
pub mod setup;
pub mod smoke;
pub mod step;
pub mod store;
pub mod text;

use std::process::ExitCode;

use host::Host;
use process::stdio::{errln, outln};

/// Runs `cargo xtask` for this process: its arguments, its environment, its exit code.
pub fn main() -> ExitCode {
    process::signals::install();
    let host = Host::read();
    let (json, result) = cli::run(std::env::args_os().skip(1).collect(), host);
    // Whatever failed, or ended early, after the user asked to stop did so for that.
    let result = if process::signals::interrupted() { Err(error::interrupted()) } else { result };
    let code = result.unwrap_or_else(|error| {
        errln!("error: {error:#}");
        let code = error::exit_code(&error);
        // A build that failed has printed its report.
        if json && code != error::BUILD_FAILED {
            outln!("{}", json::error(&error));
        }
        code
    });
    ExitCode::from(process::stdio::exit_code(code))
}
