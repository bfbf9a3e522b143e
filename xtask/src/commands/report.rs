//! `report [BUILD]`: one build as text, JSON, Markdown or an HTML page, and the summary of a CI job
//! after each build.

use std::fs::Metadata;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use anyhow::{Result, bail};

use crate::args::Parsed;
use crate::build_id::begun;
use crate::error::usage;
use crate::exec::steps;
use crate::files;
use crate::json;
use crate::outcome::BuildReport;
use crate::process::stdio::{errln, out};
use crate::record::find::find;
use crate::record::read::{self, Past, RecordState};
use crate::report::view::ReportView;
use crate::report::{detail, html, markdown};
use crate::session::Session;
use crate::step::{Action, Step};

/// The format of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Text,
    Json,
    Markdown,
    Html,
}

/// Each format with its name and its file extensions.
const FORMATS: &[(&str, &[&str], Format)] = &[
    ("text", &["txt"], Format::Text),
    ("json", &["json"], Format::Json),
    ("markdown", &["md"], Format::Markdown),
    ("html", &["html", "htm"], Format::Html),
];

/// The words of `--format`.
pub(super) fn formats() -> impl Iterator<Item = &'static str> {
    FORMATS.iter().map(|(word, ..)| *word)
}

pub(crate) fn run(session: &Session, parsed: &Parsed) -> Result<u8> {
    let output = parsed.one("--output")?.filter(|file| file != "-");
    let output = output.map(|file| session.host.absolute(&file));
    output.as_deref().map_or(Ok(()), check_output)?;
    let format = format(parsed.one("--format")?.as_deref(), session.globals.json, output.as_deref())?;
    let builds = read::all(&session.layout);
    let word = parsed.free.first().map_or("latest", String::as_str);
    let build = find(&builds, word).map_err(usage)?;
    let report = outcome_of(build)?;
    let story = ReportView::of(report, builds.iter().filter_map(Past::report), build.begun);
    let text = render(&story, format)?;
    let Some(path) = output else {
        out!("{text}");
        return Ok(0);
    };
    steps::run(&[Step::write("", &path, text)], session.globals.verbose)?;
    errln!("the report of {} is in `{}`", build.id, path.display());
    Ok(0)
}

/// Refuses a file that a report would replace or wait for.
pub(super) fn check_output(path: &Path) -> Result<()> {
    let refusal = |error| usage(format!("failed to write `{}`: {error}\nname another file", path.display()));
    files::check_regular(path).map_err(refusal)
}

/// Returns the named format, else that of `--json`, else that of the file's name.
fn format(word: Option<&str>, json: bool, file: Option<&Path>) -> Result<Format> {
    let words = || formats().collect::<Vec<_>>().join(", ");
    let named = word.map(|word| {
        let found = FORMATS.iter().find(|(known, ..)| *known == word);
        found.ok_or_else(|| usage(format!("unknown format `{word}` for `--format`\nuse one of {}", words())))
    });
    let named = named.transpose()?.map(|(.., format)| *format);
    if json && named.is_some_and(|format| format != Format::Json) {
        return Err(usage("`--json` and `--format` name two formats\ngive one of them"));
    }
    let ending = || file?.extension()?.to_str();
    let by_name =
        || FORMATS.iter().find(|(_, ends, _)| ending().is_some_and(|ending| ends.contains(&ending)));
    let of_file = || by_name().map_or(Format::Text, |(.., format)| *format);
    Ok(named.unwrap_or_else(|| if json { Format::Json } else { of_file() }))
}

/// Returns the report of a build, or why there is none.
fn outcome_of(build: &Past) -> Result<&BuildReport> {
    let (id, log) = (&build.id, build.log());
    match &build.state {
        RecordState::Ended(report) => Ok(report),
        RecordState::Running => bail!("the build {id} is still running\nits log so far: {}", log.display()),
        RecordState::Unreadable(why) => {
            bail!("failed to read the outcome of the build {id}: {why}\nits log: {}", log.display())
        }
    }
}

fn render(story: &ReportView<'_>, format: Format) -> Result<String> {
    Ok(match format {
        Format::Text => detail::text(story),
        Format::Json => document(story)? + "\n",
        Format::Markdown => markdown::text(story),
        Format::Html => html::page(story),
    })
}

/// Returns the outcome as it was printed, with derived values.
fn document(story: &ReportView<'_>) -> Result<String> {
    let timeline = &story.timeline;
    let critical: Vec<usize> = timeline.critical.iter().map(|row| timeline.rows[*row].index).collect();
    let mut document = serde_json::to_value(story.report)?;
    document["began"] = serde_json::to_value(story.begun)?;
    document["critical_path"] =
        serde_json::json!({"steps": critical, "seconds": timeline.critical_seconds()});
    document["earlier"] = serde_json::json!({
        "alike": story.against.alike, "median": story.against.median,
        "previous": story.against.previous.as_ref().map(|(id, ..)| id),
    });
    json::line(&document)
}

/// The most bytes of a job's summary: GitHub shows none of a longer one.
const LONGEST_SUMMARY: u64 = 1 << 20;

/// Adds the build to the summary of the CI job, if the CI has one (GitHub).
pub(super) fn summarize(session: &Session, report: &BuildReport) {
    let Some(path) = session.host.var("GITHUB_STEP_SUMMARY") else { return };
    let builds = read::all(&session.layout);
    let story = ReportView::of(report, builds.iter().filter_map(Past::report), begun(&report.build));
    // A write to a named pipe would wait for its reader.
    let is_pipe = |meta: &Metadata| meta.file_type().is_fifo() || meta.file_type().is_socket();
    if std::fs::metadata(path).is_ok_and(|meta| is_pipe(&meta)) {
        errln!("warning: failed to write the job's summary: `{path}` is not a regular file");
        return;
    }
    let used = std::fs::metadata(path).map_or(0, |meta| meta.len());
    let room = usize::try_from(LONGEST_SUMMARY.saturating_sub(used)).unwrap_or(usize::MAX);
    let Some(content) = markdown::within(markdown::text(&story) + "\n", room, &report.build) else {
        errln!("warning: the job's summary is full; run `cargo xtask report {}`", report.build);
        return;
    };
    let action = Action::Append { path: path.into(), content };
    if let Err(error) = steps::run(&[Step { why: String::new(), action }], false) {
        errln!("warning: failed to write the job's summary: {error:#}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_named_once() {
        let table = [
            (None, false, None, Format::Text),
            (None, true, Some("a.html"), Format::Json),
            (None, false, Some("a/b.html"), Format::Html),
            (None, false, Some("a.md"), Format::Markdown),
            (None, false, Some("a"), Format::Text),
            (Some("markdown"), false, Some("a.html"), Format::Markdown),
            (Some("json"), true, None, Format::Json),
        ];
        for (word, json, file, expected) in table {
            assert_eq!(
                format(word, json, file.map(Path::new)).expect("right"),
                expected,
                "{word:?} {json} {file:?}"
            );
        }
        assert!(format(Some("html"), true, None).is_err() && format(Some("pdf"), false, None).is_err());
    }
}
