//! The format of a store: the file `VERSION`, or the format of its entries if that file is damaged.

use std::path::PathBuf;

use serde::Deserialize;

use super::contents;
use super::entry::subdirectories;
use super::key::FORMAT;
use crate::files;
use crate::layout::Layout;
use crate::text::size::show;

/// Returns the format of a store. A store without a format gets ours.
pub(crate) fn format(layout: &Layout) -> u32 {
    written(layout).unwrap_or_else(|| of_entries(layout).unwrap_or(FORMAT))
}

/// Returns the number in `VERSION`, if it can be read. After a failure of the disk the file may
/// have any content.
pub(crate) fn written(layout: &Layout) -> Option<u32> {
    files::read_text(&layout.version_file()).ok()?.trim().parse().ok()
}

/// Returns why a store is not used: a newer version wrote it.
pub(crate) fn foreign(layout: &Layout) -> Option<String> {
    let format = written(layout).filter(|format| *format > FORMAT)?;
    Some(format!(
        "the store `{}` has format {format}, and this xtask supports format {FORMAT}: it is ignored, and \
         takes {}\nuse a newer xtask, another store with --cache-dir, or free it: cargo xtask cache \
         clear all --format {format}",
        layout.store.display(),
        show(contents::measure(layout))
    ))
}

/// Returns the format of valid entries, ours if any has it.
fn of_entries(layout: &Layout) -> Option<u32> {
    let keys = subdirectories(&layout.all_layers()).into_iter().flat_map(|image| subdirectories(&image));
    let mut dirs: Vec<PathBuf> = keys.flat_map(|key| [subdirectories(&key), vec![key]].concat()).collect();
    dirs.extend(subdirectories(&layout.all_mounts()));
    let formats: Vec<u32> = dirs.iter().filter_map(|dir| of_entry(dir)).collect();
    formats.iter().find(|format| **format == FORMAT).or(formats.iter().max()).copied()
}

/// Returns the format of one entry.
pub(crate) fn of_entry(dir: &std::path::Path) -> Option<u32> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let bytes = files::read(&dir.join("entry.json")).ok()?;
    Some(serde_json::from_slice::<Format>(&bytes).ok()?.format)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_damaged_version_is_judged_by_the_entries() {
        let dir = tempfile::tempdir().expect("a directory");
        let layout = Layout::new("/", dir.path());
        let entry = |format: u32| {
            let place = layout.all_mounts().join(format!("m{format}"));
            fs::create_dir_all(&place).expect("made");
            fs::write(place.join("entry.json"), format!(r#"{{"format":{format}}}"#)).expect("written");
        };
        assert_eq!((format(&layout), foreign(&layout)), (FORMAT, None), "no store yet");
        for damaged in ["", "\0\0", "x", "-1"] {
            fs::write(layout.version_file(), damaged).expect("written");
            assert_eq!((format(&layout), foreign(&layout)), (FORMAT, None), "{damaged:?}");
        }
        entry(FORMAT - 1);
        assert_eq!(format(&layout), FORMAT - 1);
        entry(FORMAT);
        assert_eq!(format(&layout), FORMAT);
        fs::write(layout.version_file(), format!("{}\n", FORMAT + 1)).expect("written");
        let why = foreign(&layout).expect("newer");
        assert!(why.contains(&format!("cache clear all --format {}", FORMAT + 1)), "{why}");
    }
}
