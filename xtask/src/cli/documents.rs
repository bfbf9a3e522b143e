//! `completions`, `man` and `setup`: the commands that print or install what the table makes.

use anyhow::Result;

use super::{man, reference};
use crate::args::Parsed;
use crate::commands;
use crate::error::usage;
use crate::process::stdio::out;
use crate::session::Session;
use crate::setup::completions::{self, Shell};

/// Runs `completions`: prints the script of a shell.
pub(super) fn completions(session: &Session, parsed: &Parsed) -> Result<u8> {
    let names = Shell::COMPLETED.map(Shell::name).join(", ");
    let name = parsed.free.first().map(String::as_str).unwrap_or_default();
    let shell = Shell::parse(name)
        .ok_or_else(|| usage(format!("no completions for the shell `{name}`\nuse one of {names}")))?;
    let program = session.host.exe.as_deref();
    let program = program.ok_or_else(|| anyhow::anyhow!("failed to find the path of this program"))?;
    out!("{}", completions::script(shell, program).unwrap_or_default());
    Ok(0)
}

/// Runs `man`.
pub(super) fn man(_: &Session, parsed: &Parsed) -> Result<u8> {
    out!("{}", if parsed.flag("--markdown") { reference::page() } else { man::page() });
    Ok(0)
}

/// Runs `setup`, which installs the man page.
pub(super) fn setup(session: &Session, parsed: &Parsed) -> Result<u8> {
    commands::setup::run(session, parsed, &man::page())
}
