//! `doctor`.
use crate::cli::{Session, parse::Parsed};
use anyhow::{Result, bail};
/// Runs `doctor`.
pub fn run(_session: &Session, _parsed: &Parsed) -> Result<u8> {
    bail!("not yet")
}
