//! `base-build`, `frankenphp`, `build`, `plan`.
use crate::cli::{Session, parse::Parsed};
use anyhow::{Result, bail};
/// x
pub fn base_build(_session: &Session, _parsed: &Parsed) -> Result<u8> {
    bail!("not yet")
}
/// x
pub fn frankenphp(_session: &Session, _parsed: &Parsed) -> Result<u8> {
    bail!("not yet")
}
/// x
pub fn build(_session: &Session, _parsed: &Parsed) -> Result<u8> {
    bail!("not yet")
}
/// x
pub fn plan(_session: &Session, _parsed: &Parsed) -> Result<u8> {
    bail!("not yet")
}
