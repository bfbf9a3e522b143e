//! Entries of the store, records of builds and specifications of builders, each from JSON.

use std::fmt::Debug;
use std::path::Path;

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::bundle::inside;
use crate::layout::Layout;
use crate::outcome::BuildReport;
use crate::plan::builder::BuilderSpec;
use crate::project::graph::GraphStep;
use crate::record::forgotten::forgotten;
use crate::record::steps::{BuildSteps, StepOutcome};
use crate::record::{killed, read};
use crate::report::{self, view::ReportView};
use crate::store::entry::Entry;
use crate::store::fresh::FreshFile;
use crate::store::mount::MountEntry;
use crate::store::validate::Validate;
use crate::text::terminal;

pub(super) fn run(input: &[u8]) {
    let layout = Layout::new("/r", "/s");
    if let Some(entry) = valid::<Entry>(input) {
        inside("/s/layers", &layout.results(&entry.image, &entry.key.0));
        let _ = (entry.key.short(), entry.supersedes(&entry));
        assert!(Entry::after([&entry, &entry].into_iter()).len() <= 32);
    }
    if let Some(mount) = valid::<MountEntry>(input) {
        inside("/s/mounts", &layout.all_mounts().join(mount.identity.slug()));
        mount.blobs().for_each(|blob| inside("/s", &Path::new("/s").join(&blob.digest)));
        assert!(mount.stored_bytes() >= mount.manifest.size);
    }
    if let Some(fresh) = valid::<FreshFile>(input) {
        inside("/s/fresh", &layout.fresh(&fresh.image));
        let mut merged = fresh.clone();
        merged.merge(fresh.clone());
        let once = merged.clone();
        merged.merge(fresh);
        assert_eq!(merged, once, "what was taken in is taken in once");
    }
    if let Ok(report) = read::parse(input) {
        rendered(&report);
    }
    let text = String::from_utf8_lossy(input);
    let (steps, _) = killed::steps(&text, &["app".to_owned()]);
    assert!(steps.len() <= text.lines().count());
    let _ = serde_json::from_slice::<killed::Plan>(input);
    decoded::<Vec<GraphStep>>(input);
    if let Some(past) = decoded::<BuildSteps>(input) {
        let _ = (past.of(), past.has(""), forgotten(&[past.clone(), past.clone()], &past.record_ids));
        assert!(past.steps.iter().filter_map(StepOutcome::seconds).all(|seconds| seconds >= 0.0));
    }
    if let Some(config) = decoded::<BuilderSpec>(input).and_then(|spec| spec.config()) {
        assert!(config.lines().count() < 100, "{config}");
    }
}

/// An entry that passes the validator is read as it is written, and has no time in the future.
fn valid<T: Validate + Serialize + DeserializeOwned + PartialEq + Debug>(input: &[u8]) -> Option<T> {
    let mut entry: T = serde_json::from_slice(input).ok()?;
    if let Err(error) = entry.validate() {
        let error = error.to_string();
        assert!(!error.contains(char::is_control), "an error shows a raw text: {error:?}");
        return None;
    }
    let text = serde_json::to_vec(&entry).expect("JSON");
    assert_eq!(serde_json::from_slice::<T>(&text).expect("it was written"), entry);
    entry.clamp_times(Timestamp::UNIX_EPOCH);
    entry.validate().expect("times are not checked");
    Some(entry)
}

/// A document that is read is read again as it is written.
fn decoded<T: Serialize + DeserializeOwned>(input: &[u8]) -> Option<T> {
    let value: T = serde_json::from_slice(input).ok()?;
    let text = serde_json::to_string(&value).expect("JSON");
    let again: T = serde_json::from_str(&text).expect("it was written");
    assert_eq!(serde_json::to_string(&again).expect("JSON"), text);
    Some(value)
}

/// A record of another version or of another hand is shown without markup and control characters.
fn rendered(report: &BuildReport) {
    let view = ReportView::of(report, [report].into_iter(), None);
    let page = report::html::page(&view);
    assert!(!page.contains("<script") && !page.contains("<img"), "markup gets into the page");
    let _ = report::markdown::text(&view);
    for text in [report::detail::text(&view), report::summary::build(report)] {
        let shown = terminal::lines(&text);
        assert!(!shown.contains(|c: char| c.is_control() && c != '\n' && c != '\t'), "{shown:?}");
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let bundle: serde_json::Value = serde_json::from_slice(&super::bundle::seeds()[0]).expect("JSON");
    let parts = [&bundle["images"][0]["entry"], &bundle["mounts"][0], &bundle["fresh"][0]];
    parts.map(|part| part.to_string().into_bytes()).to_vec()
}
