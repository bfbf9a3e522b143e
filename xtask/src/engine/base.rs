//! base (placeholder until merged)
use super::Engine;
use crate::cli::Session;
use crate::plan::build::Base;
use crate::plan::options::BuildOptions;
use anyhow::Result;
/// Chooses.
pub fn choose(_session: &Session, _o: &BuildOptions, _engine: &Engine, pinned: &str) -> Result<Base> {
    Ok(Base { pinned: pinned.into(), image: "durango/debian:trixie".into(), steps: vec![], local: true })
}
