//! The files and targets that the user requested.

use std::path::PathBuf;

use anyhow::Result;

use super::Declaration;
use crate::error::usage;

/// Checks that the declaration's files exist, before anything else is read.
pub(crate) fn check_files(files: &[PathBuf]) -> Result<()> {
    match files.iter().find(|file| !file.is_file()) {
        None => Ok(()),
        Some(file) => Err(usage(format!(
            "file `{}` not found\ncorrect --file, or leave it out to build the declaration of this workspace",
            file.display()
        ))),
    }
}

/// Adds the targets that others use as base image. They are built too, so that their images exist
/// under their own names.
pub(crate) fn add_linked(declaration: &Declaration, names: &mut Vec<String>) {
    let mut next = 0;
    while next < names.len() {
        let target = &declaration.targets[&names[next]];
        let owners: Vec<String> = declaration.links(target).map(|(_, owner)| owner.to_owned()).collect();
        for owner in owners {
            if !names.contains(&owner) {
                names.push(owner);
            }
        }
        next += 1;
    }
}
