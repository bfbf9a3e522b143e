//! The plan of `pins --update`: first the query, then the changes from its answer. Pure.

use std::path::Path;

use anyhow::{Result, bail};
use serde::Serialize;

use super::bake_args::local_setting;
use super::mounts::plan::MountFilter;
use super::options::BuildOptions;
use crate::json::SCHEMA;
use crate::layout::Layout;
use crate::project::pins::{self, Pin, Pins};
use crate::step::Step;

/// The target whose base image, arguments and secrets the query uses.
const TARGET: &str = "frankenphp-base-builder";
/// Stages after those of the base image. The last one has the answer.
const STAGES: &str = include_str!("newest.Dockerfile");

/// The answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Newest {
    /// The newest versions by name of their pin.
    pub pins: Pins,
    /// `go.mod` and `go.sum` for them, if FrankenPHP or Caddy change.
    pub go: Option<[String; 2]>,
    /// `NAME: reason` for each pin whose newest version is unknown.
    pub unknown: Vec<String>,
}

/// The changes of an update.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Update {
    /// The version of the document.
    pub schema: u32,
    /// All pins after the update.
    pub pins: Pins,
    /// The pins that change.
    pub changes: Vec<Change>,
    /// The pins that are held.
    pub held: Vec<HeldPin>,
    /// The steps that write the files.
    pub steps: Vec<Step>,
    pub warnings: Vec<String>,
}

/// One changed pin.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub(crate) struct Change {
    pub name: String,
    /// The old version.
    pub from: String,
    /// The new version.
    pub to: String,
}

/// One pin that its file excludes from updates.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub(crate) struct HeldPin {
    pub name: String,
    pub version: String,
    pub reason: String,
}

/// Returns the pins that are held.
pub(crate) fn held(pins: &[Pin]) -> Vec<HeldPin> {
    let hold = |pin: &Pin| {
        let reason = pin.hold.clone()?;
        Some(HeldPin { name: pin.name.clone(), version: pin.value.clone(), reason })
    };
    pins.iter().filter_map(hold).collect()
}

/// Returns the build of the query: the Dockerfile of the base image with additional stages,
/// exported to a directory.
pub(crate) fn question(layout: &Layout, scratch: &Path, held: &[HeldPin], nonce: &str) -> BuildOptions {
    let names: Vec<&str> = held.iter().map(|pin| pin.name.as_str()).collect();
    let set = |field: &str, value: &str| format!("{TARGET}.{field}={value}");
    BuildOptions {
        targets: vec![TARGET.into()],
        files: vec![layout.compose()],
        sets: vec![
            set("dockerfile", &scratch.join("Dockerfile").display().to_string()),
            set("target", "newest"),
            set("args.NONCE", nonce),
            set("args.HELD", &names.join(" ")),
        ],
        outputs: vec![local_setting("dest", &scratch.join("newest"))],
        no_save: true,
        mounts: MountFilter::none(),
        ..BuildOptions::default()
    }
}

/// Returns the step that writes the query's Dockerfile.
pub(crate) fn write_question(scratch: &Path, dockerfile: &str) -> Step {
    Step::write(
        "",
        scratch.join("Dockerfile"),
        format!("{}{STAGES}", dockerfile.trim_end().to_owned() + "\n"),
    )
}

/// Returns the changes from the answer.
pub(crate) fn update(layout: &Layout, text: &str, newest: &Newest) -> Result<Update> {
    let old = pins::parse_list(text)?;
    let changes: Vec<Change> = old.iter().filter_map(|pin| change(pin, newest)).collect();
    let moved: Pins = changes.iter().map(|change| (change.name.clone(), change.to.clone())).collect();
    let new = pins::with_values(text, &moved);
    let mut steps = Vec::new();
    if new != text {
        steps.push(Step::write("writing the pins", layout.pins(), new.clone()));
    }
    let moves_go = ["FRANKENPHP_VERSION", "CADDY_VERSION"].iter().any(|name| moved.contains_key(*name));
    match &newest.go {
        Some([go_mod, go_sum]) if moves_go => {
            steps.push(Step::write("writing the Go module", layout.go_mod(), go_mod.clone()));
            steps.push(Step::write("", layout.go_mod().with_file_name("go.sum"), go_sum.clone()));
        }
        None if moves_go => bail!("failed to read the newest versions: the answer has no go.mod for them"),
        _ => {}
    }
    let warn = |unknown: &String| format!("kept, because the newest version is unknown: {unknown}");
    let warnings = newest.unknown.iter().map(warn).collect();
    Ok(Update { schema: SCHEMA, pins: pins::parse(&new)?, changes, held: held(&old), steps, warnings })
}

fn change(pin: &Pin, newest: &Newest) -> Option<Change> {
    let to = newest.pins.get(&pin.name).filter(|to| !to.is_empty() && **to != pin.value)?;
    pin.hold.is_none().then(|| Change { name: pin.name.clone(), from: pin.value.clone(), to: to.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step::Action;

    const TEXT: &str =
        "# PHP\nPHP_VERSION=8.4.1\n\n# hold: it crashes\nFRANKENPHP_VERSION=v1.12.6\nCADDY_VERSION=v2.11.4\n";

    fn layout() -> Layout {
        Layout::new("/r", "/s")
    }

    fn newest(pins: &[(&str, &str)], go: bool) -> Newest {
        let pins = pins.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let go = go.then(|| ["module".to_owned(), "sums".to_owned()]);
        Newest { pins, go, unknown: Vec::new() }
    }

    fn written(update: &Update) -> Vec<(String, String)> {
        let file = |step: &Step| match &step.action {
            Action::Write { path, content, .. } => (path.display().to_string(), content.clone()),
            other => panic!("only files are written: {other:?}"),
        };
        update.steps.iter().map(file).collect()
    }

    #[test]
    fn what_is_newer_is_written_and_a_hold_is_kept() {
        let newest = newest(&[("PHP_VERSION", "8.4.2"), ("FRANKENPHP_VERSION", "v1.12.7")], false);
        let update = update(&layout(), TEXT, &newest).expect("a plan");
        assert_eq!(written(&update), [("/r/builder/pins.env".into(), TEXT.replace("8.4.1", "8.4.2"))]);
        assert_eq!(update.changes.len(), 1);
        assert_eq!(update.held[0].reason, "it crashes");
        assert_eq!(update.pins["FRANKENPHP_VERSION"], "v1.12.6");
    }

    #[test]
    fn a_go_version_that_moves_takes_go_mod_and_go_sum_along() {
        let newer = newest(&[("CADDY_VERSION", "v2.12.0")], true);
        let files = written(&update(&layout(), TEXT, &newer).expect("a plan"));
        let paths: Vec<&str> = files.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(
            paths,
            ["/r/builder/pins.env", "/r/builder/frankenphp/go.mod", "/r/builder/frankenphp/go.sum"]
        );
        assert!(update(&layout(), TEXT, &newest(&[("CADDY_VERSION", "v2.12.0")], false)).is_err());
    }

    #[test]
    fn nothing_newer_writes_nothing() {
        let same = newest(&[("PHP_VERSION", "8.4.1"), ("CADDY_VERSION", "v2.11.4"), ("OTHER", "1")], true);
        let update = update(&layout(), TEXT, &same).expect("a plan");
        assert!(update.steps.is_empty() && update.changes.is_empty());
    }

    #[test]
    fn the_question_names_what_is_held() {
        let pins = pins::parse_list(TEXT).expect("well formed");
        let options = question(&layout(), Path::new("/s/tmp/1"), &held(&pins), "n");
        assert!(options.sets.contains(&"frankenphp-base-builder.args.HELD=FRANKENPHP_VERSION".to_owned()));
        assert!(options.no_save);
    }
}
