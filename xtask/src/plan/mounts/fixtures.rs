//! Mounts and transfers for tests.

use std::path::Path;

use super::transfer::{Part, Transfer};
use super::{Direction, PlannedMount, TransferTemplate};
use crate::project::mount::{MountIdentity, Sharing};

/// Returns a mount at `/m` that is kept in `dir` and was never saved.
pub(crate) fn mount(dir: &Path) -> PlannedMount {
    PlannedMount {
        dir: dir.to_path_buf(),
        identity: MountIdentity::default(),
        sharing: Sharing::Shared,
        target: "/m".into(),
        is_shared: true,
        held: None,
        uses: Vec::new(),
    }
}

/// Returns a transfer of one mount with its files in `dir`.
pub(crate) fn transfer(dir: &Path, direction: Direction) -> Transfer {
    let template = TransferTemplate { scratch: dir.to_path_buf(), ..TransferTemplate::default() };
    template.transfer((direction, Part::Whole), &[mount(&dir.join("mount"))], &[].into(), "n", None)
}
