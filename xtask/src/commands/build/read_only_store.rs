//! A store that cannot be written, or that a newer version wrote: it is read as far as it can be, and the run's own files go to a
//! temporary folder.

use std::path::Path;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::layout::Layout;
use crate::session::Session;
use crate::store::entry;

/// What stands in for the store.
pub(in crate::commands) struct Aside {
    /// The session with its own files there.
    pub session: Session,
    /// Why, for people.
    pub reason: String,
    /// Goes with the run.
    _dir: TempDir,
}

/// What is needed where the store is not to be written; `None` where it is.
pub(in crate::commands) fn needed(session: &Session) -> Result<Option<Aside>> {
    let Some(reason) = reason(&session.layout) else { return Ok(None) };
    let dir = tempfile::Builder::new().prefix("durango-").tempdir();
    let dir = dir.context("failed to make a temporary folder in place of the store")?;
    let layout = Layout { aside: Some(dir.path().to_path_buf()), ..session.layout.clone() };
    let session = Session {
        sh: session.sh.clone(),
        host: session.host.clone(),
        layout,
        globals: session.globals.clone(),
        redactor: session.redactor.clone(),
    };
    Ok(Some(Aside { session, reason, _dir: dir }))
}

/// Why the store cannot be written.
fn reason(layout: &Layout) -> Option<String> {
    if let Some(foreign) = entry::foreign_format(layout) {
        return Some(foreign);
    }
    let rooms = [layout.builds(), layout.tmp(), layout.all_layers(), layout.all_mounts()];
    let mut rooms = rooms.iter().filter(|dir| dir.exists()).map(std::path::PathBuf::as_path);
    let refused = refusal(&layout.store).or_else(|| rooms.find_map(refusal))?;
    Some(format!(
        "the store `{}` cannot be written ({refused}): the build goes on without a record and saves nothing; \
         name another folder with --cache-dir",
        layout.store.display()
    ))
}

/// What the system says to a file in a folder, or in the nearest one above that exists.
fn refusal(dir: &Path) -> Option<String> {
    let there = dir.ancestors().find(|dir| dir.exists())?;
    if !there.is_dir() {
        return Some(format!("`{}` is no folder", there.display()));
    }
    tempfile::tempfile_in(there).err().map(|error| {
        let error = error.to_string();
        error.split(" at path ").next().unwrap_or_default().to_owned()
    })
}
