//! Saves layers: exports them to a staging directory, checks them, and renames them into place. A
//! failure is a warning, and never ends the build.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use walkdir::WalkDir;

use super::bake::{self, Call};
use super::budget::{Budget, Need};
use super::complete::{complete_from, mark};
use super::reservation::Reservation;
use super::results;
use crate::build_id;
use crate::files;
use crate::layout::Layout;
use crate::plan::save::Save;
use crate::progress::Watcher;
use crate::progress::bake_outcome::{BakeOutcome, BakeStatus};
use crate::progress::trace::Trace;
use crate::record::log::Log;
use crate::store::entry::{self, Entry, subdirectories};
use crate::store::key::FORMAT;
use crate::store::layout_check::{self, Blob};
use crate::store::lock::Holds;

/// Keys of the steps whose results a target's layers are.
#[derive(Debug, Default)]
pub(crate) struct StepKeys {
    /// Those that BuildKit has.
    pub exact: Vec<String>,
    /// The same without the modes that a checkout has by its umask.
    pub any_mode: Vec<String>,
}

/// The layers that a save exports.
pub(crate) struct BuiltLayers<'a> {
    /// The digest of their image.
    pub digest: Option<&'a String>,
    pub steps: StepKeys,
}

/// The environment of a save.
pub(crate) struct SaveContext<'a> {
    pub layout: &'a Layout,
    pub log: &'a Log,
    pub now: Timestamp,
    pub budget: &'a Budget,
    /// The expected size in bytes.
    pub expected: u64,
}

/// A completed save.
pub(crate) struct Saved {
    pub entry: Entry,
    /// Its time in seconds.
    pub seconds: f64,
}

/// Returns whether a save is needed: not if nothing ran, and a registry served all layers or the
/// store has them.
pub(crate) fn is_needed(save: &Save, built: &BuiltLayers<'_>, anything_ran: bool) -> bool {
    anything_ran || !(save.elsewhere || save.is_held(built.digest, &built.steps.exact))
}

/// Saves the layers of one target. Records the image's digest and the keys of the steps.
pub(crate) fn run(
    context: &SaveContext<'_>,
    save: &Save,
    built: BuiltLayers<'_>,
    watcher: &mut dyn Watcher,
) -> Result<Saved> {
    let started = Instant::now();
    let SaveContext { layout, log, now, budget, expected } = *context;
    let mut reservation = reserve(budget, expected, save, watcher)?;
    let reading = Holds::of(save.read.iter().map(PathBuf::as_path));
    let mut ended = export(save, &reservation, log, watcher)?;
    if ended.status == BakeStatus::ConditionMet && !reservation.is_over() {
        // Only the reservations of others left no space for more than was expected.
        let larger = reservation.written().saturating_mul(2).min(budget.bytes() / 2);
        super::steps::remove(&save.staging)?;
        drop(reservation);
        reservation = reserve(budget, larger, save, watcher)?;
        ended = export(save, &reservation, log, watcher)?;
    }
    reservation.check(ended.status == BakeStatus::ConditionMet)?;
    if ended.status == BakeStatus::Stopped {
        bail!("a file changed while `{}` was built; the next build saves it", save.target);
    }
    if !ended.is_success() {
        bail!(
            "BuildKit failed to export it: {}",
            ended.text.last().map_or("no reason given", String::as_str)
        );
    }
    for earlier in &save.read {
        // Without those layers, the export is as BuildKit made it.
        if let Err(error) = complete_from(&save.staging, earlier) {
            log.text(&format!("failed to add the layers of `{}`: {error:#}", earlier.display()));
        }
    }
    drop(reading);
    let id = format!("{:08x}{:08x}", build_id::random(), build_id::random());
    if let Err(error) = mark(&save.staging, &id) {
        log.text(&format!("failed to mark the steps of the result: {error:#}"));
    }
    // Until here, a file system without links has got copies.
    reservation.end();
    let blobs = layout_check::shape(&save.staging)?;
    check_blobs(&save.staging, &blobs)?;
    let entry = Entry {
        format: FORMAT,
        image: save.image.clone(),
        platform: save.platform.clone(),
        key: save.key.clone(),
        digest: built.digest.cloned(),
        saved: now,
        bytes: blobs.iter().map(|blob| blob.size).sum(),
        steps: built.steps.exact,
        steps_any_mode: built.steps.any_mode,
        id,
        after: Vec::new(),
    };
    let entry = results::add(layout, &save.staging, entry)?;
    Ok(Saved { entry, seconds: started.elapsed().as_secs_f64() })
}

fn reserve<'a>(
    budget: &'a Budget,
    bytes: u64,
    save: &Save,
    watcher: &mut dyn Watcher,
) -> Result<Reservation<'a>> {
    budget.reserve(Need::Bytes(bytes, save.newest.as_slice()), &mut |line| watcher.say(line))
}

/// Makes the export, and ends it when the reservation is full.
fn export(
    save: &Save,
    reservation: &Reservation<'_>,
    log: &Log,
    watcher: &mut dyn Watcher,
) -> Result<BakeOutcome> {
    seed(save)?;
    // A RUN that starts was edited after the build: exporting it would save what nobody saw built.
    let stop = Trace::started_a_command;
    let targets = std::slice::from_ref(&save.target);
    reservation.begin(&save.staging)?;
    let is_full = || reservation.is_full();
    let call = Call { stop: &stop, end_if: Some(&is_full), ..Call::new(&save.command, targets, log) };
    bake::retry_export(&mut || bake::run(&call, watcher))
}

/// Links the blobs of other results first: BuildKit's export skips existing ones. On a file system
/// without hard links the export is only slower.
fn seed(save: &Save) -> Result<()> {
    let blobs = layout_check::blobs(&save.staging);
    files::make_dir(&blobs).with_context(|| format!("failed to create `{}`", blobs.display()))?;
    let is_result = |dir: &PathBuf| entry::place(dir).is_some();
    let results = save
        .seeds
        .iter()
        .flat_map(|dir| if is_result(dir) { vec![dir.clone()] } else { subdirectories(dir) });
    for dir in &results.collect::<Vec<_>>() {
        let sound = |blob: &Blob| layout_check::has(dir, blob).is_ok();
        for blob in layout_check::shape(dir).unwrap_or_default().into_iter().filter(sound) {
            let _ = fs::hard_link(layout_check::blobs(dir).join(&blob.digest), blobs.join(&blob.digest));
        }
    }
    Ok(())
}

/// Removes the blobs that the new result doesn't name, then checks size and digest of the new ones.
fn check_blobs(dir: &Path, blobs: &[Blob]) -> Result<()> {
    let named: std::collections::BTreeSet<&str> = blobs.iter().map(|blob| blob.digest.as_str()).collect();
    for file in WalkDir::new(layout_check::blobs(dir)).min_depth(1).into_iter().flatten() {
        if !named.contains(file.file_name().to_string_lossy().as_ref()) {
            fs::remove_file(file.path())?;
        }
    }
    for leftover in ["ingest", "index.json.lock"] {
        super::steps::remove(&dir.join(leftover))?;
    }
    files::seal(dir)?;
    // A linked one was checked when its own result was saved, and its size when it was linked.
    let is_new = |blob: &&Blob| {
        fs::metadata(layout_check::blobs(dir).join(&blob.digest)).map_or(true, |meta| meta.nlink() == 1)
    };
    for blob in blobs.iter().filter(is_new) {
        layout_check::verify(dir, blob)?;
        File::open(layout_check::blobs(dir).join(&blob.digest))?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::build::plan;
    use crate::plan::options::BuildOptions;
    use crate::plan::tests::facts;

    fn layers<'a>(digest: Option<&'a String>, steps: &[String]) -> BuiltLayers<'a> {
        BuiltLayers { digest, steps: StepKeys { exact: steps.to_vec(), any_mode: Vec::new() } }
    }

    #[test]
    fn a_digest_that_changes_by_itself_causes_no_save() {
        let mut save = plan(&facts(), &BuildOptions::default(), "id").saves.remove(0);
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        (save.held, save.held_steps, save.elsewhere) = (words("sha256:1"), vec![words("a b c")], false);
        let (same, other) = (String::from("sha256:1"), String::from("sha256:2"));
        assert!(!is_needed(&save, &layers(Some(&same), &[]), false));
        assert!(!is_needed(&save, &layers(Some(&other), &words("a c")), false), "another attestation");
        assert!(is_needed(&save, &layers(Some(&other), &words("a d")), false), "a layer that it lacks");
        assert!(is_needed(&save, &layers(Some(&other), &[]), false), "steps that nobody knows");
        assert!(is_needed(&save, &layers(Some(&same), &words("a b c")), true), "something ran");
        save.elsewhere = true;
        assert!(!is_needed(&save, &layers(None, &[]), false));
    }
}
