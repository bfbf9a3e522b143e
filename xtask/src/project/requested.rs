//! The files and targets that the user requested.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::{Declaration, Target, image_reference};
use crate::error::usage;
use crate::files;

/// Checks that the declaration's files exist, before anything else is read.
pub(crate) fn check_files(files: &[PathBuf]) -> Result<()> {
    let what = |file: &Path| if file.exists() { "is not a regular file" } else { "not found" };
    match files.iter().find(|file| !file.is_file()) {
        None => Ok(()),
        Some(file) => Err(usage(format!(
            "file `{}` {}\ncorrect --file, or leave it out to build the declaration of this workspace",
            file.display(),
            what(file)
        ))),
    }
}

/// Refuses Dockerfiles and ignore files whose reader would wait or never end.
pub(crate) fn check_inputs(declaration: &Declaration, names: &[String]) -> Result<()> {
    for target in names.iter().filter_map(|name| declaration.targets.get(name)) {
        let Some(file) = declaration.dockerfile(target) else { continue };
        let mut own = file.clone().into_os_string();
        own.push(".dockerignore");
        let context = declaration.dir.join(target.context.as_deref().unwrap_or("."));
        check_readable(&file)?;
        check_readable(Path::new(&own))?;
        check_readable(&context.join(".dockerignore"))?;
    }
    Ok(())
}

/// Refuses targets that make no image, because bake calls a method of their frontend.
pub(crate) fn check_calls(declaration: &Declaration, names: &[String]) -> Result<()> {
    for name in names {
        let method = declaration.targets.get(name).and_then(Target::method);
        if let Some(method) = method {
            return Err(usage(format!(
                "target `{name}` makes no image: it calls `{method}` of its frontend\nrun `docker buildx \
                 bake {name}` for that, and name only targets that are built"
            )));
        }
    }
    Ok(())
}

/// Refuses declared names that docker gives no image. `is_chosen` returns whether the command line
/// replaces the names of a target.
pub(crate) fn check_tags(
    declaration: &Declaration,
    names: &[String],
    is_chosen: &dyn Fn(&str) -> bool,
) -> Result<()> {
    for name in names.iter().filter(|name| !is_chosen(name)) {
        let Some(target) = declaration.targets.get(name) else { continue };
        // Only docker's own output refuses a digest, and leaves out an empty name.
        let check =
            if target.output.is_empty() { image_reference::check_tag } else { image_reference::check };
        for tag in target.tags.iter().filter(|tag| !tag.is_empty()) {
            check(tag).map_err(|fault| {
                usage(format!(
                    "target `{name}`: the image name `{tag}` {fault}\ncorrect it in `{}`",
                    super::declaration::show(&declaration.files)
                ))
            })?;
        }
    }
    Ok(())
}

/// Refuses a pipe or a device in place of a file. The error of a directory is up to its reader.
pub(super) fn check_readable(file: &Path) -> Result<()> {
    if file.is_dir() || files::check_regular(file).is_ok() {
        return Ok(());
    }
    Err(usage(format!("`{}` is not a regular file\nreplace it by one, or remove it", file.display())))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_that_only_calls_its_frontend_is_refused() {
        for (call, method) in [
            (None, None),
            (Some(""), None),
            (Some("build"), None),
            (Some("check"), Some("check")),
            (Some("outline,format=json"), Some("outline")),
            (Some("format=json,targets"), Some("targets")),
        ] {
            let target = Target { call: call.map(str::to_owned), ..Target::default() };
            let targets = [("lint".to_owned(), target)].into();
            let declaration = Declaration { targets, ..Declaration::default() };
            let error = check_calls(&declaration, &["lint".to_owned()]).err().map(|error| error.to_string());
            let expected = method.map(|method| format!("`lint` makes no image: it calls `{method}`"));
            let is_same = match (&error, &expected) {
                (Some(error), Some(expected)) => error.contains(expected),
                (error, expected) => error == expected,
            };
            assert!(is_same, "{call:?}: {error:?}");
        }
    }
}
