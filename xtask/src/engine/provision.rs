//! provision (placeholder until merged)
use crate::cli::Session;
use crate::plan::step::Step;
use anyhow::Result;
/// Steps.
pub fn steps(_session: &Session) -> Result<Vec<Step>> {
    Ok(vec![])
}
