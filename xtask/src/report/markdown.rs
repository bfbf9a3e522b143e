//! One build as Markdown: for the summary of a CI job, a comment, a file.

use std::fmt::Write;

use super::format::{Part, parts};
use super::timeline::TimelineRow;
use super::view::{ReportView, instruction};
use crate::outcome::BuildResult;
use crate::text::{seconds, terminal};

/// Returns the whole text.
pub(crate) fn text(story: &ReportView<'_>) -> String {
    let targets: Vec<&str> = story.report.targets.iter().map(|target| target.name.as_str()).collect();
    let mark = match story.report.result {
        BuildResult::Built | BuildResult::Cached => "✓",
        BuildResult::Failed | BuildResult::Interrupted => "✗",
    };
    let mut text =
        format!("## {mark} {}: {}\n\n| | |\n|---|---|\n", plain(&targets.join(", ")), story.headline());
    let _ = writeln!(text, "| build | {} |", boxed(&story.report.build));
    for (name, value) in story.facts() {
        let _ = writeln!(text, "| {name} | {} |", cell(name, &value));
    }
    failure(story, &mut text);
    steps(story, &mut text);
    causes(story, &mut text);
    mounts(story, &mut text);
    if !story.report.warnings.is_empty() {
        text.push_str("\n### Warnings\n\n");
        story.report.warnings.iter().for_each(|warning| text.push_str(&format!("- {}\n", rich(warning))));
    }
    text
}

/// Returns the text of a build in at most `room` bytes: whole, or its first lines and the command
/// that prints the rest. Returns `None` if there is no room for that.
pub(crate) fn within(text: String, room: usize, build: &str) -> Option<String> {
    if text.len() <= room {
        return Some(text);
    }
    let note = format!("\nThe rest does not fit. Run `cargo xtask report {}`.\n", terminal::plain(build));
    // A fence that is cut is closed. No text has a longer one than its longest run.
    let room = room.checked_sub(note.len() + longest_run(&text) + 1)?;
    let (mut kept, mut fence) = (0, None);
    for line in text.split_inclusive('\n') {
        if kept + line.len() > room {
            break;
        }
        kept += line.len();
        let ticks = longest_run(line);
        let is_fence = ticks >= 3 && line.starts_with(&"`".repeat(ticks));
        fence = match fence {
            None if is_fence && line.trim_end().ends_with("`text") => Some(ticks),
            Some(open) if is_fence && open == ticks => None,
            open => open,
        };
    }
    let close = fence.map_or(String::new(), |ticks| "`".repeat(ticks) + "\n");
    (kept > 0).then(|| format!("{}{close}{note}", &text[..kept]))
}

/// References and paths are code.
fn cell(name: &str, value: &str) -> String {
    if ["image", "cache read", "layers saved", "pushed"].contains(&name) {
        boxed(value)
    } else {
        plain(value)
    }
}

fn failure(story: &ReportView<'_>, text: &mut String) {
    let Some(failure) = &story.report.failure else { return };
    let lines = failure.to_string();
    let lines: Vec<String> = lines.lines().map(terminal::plain).collect();
    // A fence must be longer than all in the text.
    let longest = lines.iter().map(|line| longest_run(line)).max().unwrap_or(0);
    let fence = "`".repeat(3.max(longest + 1));
    let _ = write!(text, "\n### Failure\n\n{fence}text\n{}\n{fence}\n", lines.join("\n"));
}

fn steps(story: &ReportView<'_>, text: &mut String) {
    let timeline = &story.timeline;
    let ran: Vec<&TimelineRow<'_>> = timeline
        .stages
        .iter()
        .flat_map(|(_, rows)| rows.iter().map(|index| &timeline.rows[*index]))
        .filter(|row| !row.step.cached)
        .collect();
    if ran.is_empty() {
        return;
    }
    text.push_str(
        "\n### Steps that ran\n\n| stage | step | start | time | usual |\n|---|---|---:|---:|---:|\n",
    );
    for row in ran {
        let critical = if row.is_critical { " ◆" } else { "" };
        let mark = if story.is_failed(row) { format!("{critical} ✗ failed") } else { critical.to_owned() };
        let began = row.step.started.map_or(String::new(), seconds);
        let usual = story.against.usual(row.step).map_or(String::new(), seconds);
        let _ = writeln!(
            text,
            "| {}{mark} | {} | {began} | {} | {usual} |",
            plain(&row.step.stage),
            boxed(&instruction(row)),
            seconds(row.step.seconds)
        );
    }
    let cached = timeline.rows.len() - timeline.ran();
    let critical = if timeline.critical.is_empty() { "" } else { " ◆ is on the critical path." };
    let _ = writeln!(text, "\nCached steps: {cached}.{critical}");
}

fn causes(story: &ReportView<'_>, text: &mut String) {
    let causes = story.causes();
    if !causes.is_empty() {
        text.push_str("\n### Why steps ran\n\n");
    }
    for why in causes {
        let _ = writeln!(text, "- {}: {}", code(&why.step), rich(&why.cause));
        why.follow.iter().for_each(|step| text.push_str(&format!("  - and so {}\n", code(step))));
    }
}

fn mounts(story: &ReportView<'_>, text: &mut String) {
    let mounts = story.mounts();
    if !mounts.is_empty() {
        text.push_str(
            "\n### Cache mounts\n\n| mount | at | size | growth | transfer |\n|---|---|---:|---:|---|\n",
        );
    }
    for mount in mounts {
        let (id, target) = (boxed(&mount.id), boxed(&mount.target));
        let _ = writeln!(text, "| {id} | {target} | {} | {} | {} |", mount.size, mount.growth, mount.moved);
    }
}

/// Returns words, with text between backticks as code.
fn rich(text: &str) -> String {
    let part = |part: Part<'_>| match part {
        Part::Words(words) => plain(words),
        Part::Code("") => "nothing".into(),
        Part::Code(words) => code(words),
    };
    let text = text.replace('\n', " ");
    parts(&text).into_iter().map(part).collect()
}

/// Escapes words: no emphasis, link, HTML, or table cell.
fn plain(text: &str) -> String {
    let text = terminal::plain(&text.replace('\n', " "));
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' => out.extend(['\\', c]),
            // `@name` would notify a user.
            '@' => out.push_str("&#64;"),
            c => out.push(c),
        }
    }
    out
}

/// Returns a code span in a table cell, where a `|` would end it.
fn boxed(text: &str) -> String {
    code(text).replace('|', "\\|")
}

/// Returns a code span, with more backticks than the text has.
fn code(text: &str) -> String {
    let text = terminal::plain(&text.replace('\n', " "));
    if text.is_empty() {
        return text;
    }
    let ticks = "`".repeat(longest_run(&text) + 1);
    let space = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    format!("{ticks}{space}{text}{space}{ticks}")
}

/// Returns the length of the longest run of backticks.
fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::failure::BuildFailure;
    use crate::report::fixtures::report;

    #[test]
    fn hostile_words_stay_words() {
        assert_eq!(
            plain("a|b <b> *x* [y](z) `c` @me\nd"),
            "a\\|b &lt;b&gt; \\*x\\* \\[y\\](z) \\`c\\` &#64;me d"
        );
        assert_eq!(boxed("echo `a` | b"), "``echo `a` \\| b``");
        assert_eq!(code("`a`"), "`` `a` ``");
    }

    #[test]
    fn a_text_without_enough_room_is_cut_between_lines() {
        let text = "## app\n\n| a |\n\n````text\n```\nred\n````\n\nend\n";
        let cut = |room: usize| within(text.into(), room, "b");
        assert_eq!(cut(text.len()).as_deref(), Some(text));
        let note = "\nThe rest does not fit. Run `cargo xtask report b`.\n";
        for room in 0..text.len() {
            assert_eq!(cut(room), None, "{room}");
        }
        let long = text.repeat(10);
        for room in 0..long.len() {
            let Some(cut) = within(long.clone(), room, "b") else {
                assert!(room < note.len() + 20, "{room}");
                continue;
            };
            assert!(cut.len() <= room && cut.ends_with(note), "{room}: {cut}");
            let fences = cut.lines().filter(|line| line.starts_with("````")).count();
            assert!(fences % 2 == 0 && long.starts_with(cut.lines().next().expect("a line")), "{cut}");
        }
    }

    #[test]
    fn a_build_as_a_page_of_a_ci() {
        let mut report = report();
        let text = super::text(&ReportView::of(&report, std::iter::empty(), None));
        for line in [
            "## ✓ base, runtime: built in 104 s: 5 of 6 steps ran\n",
            "| image | `durango/base:latest sha256:8860b237d40c…` |",
            "| php ◆ | `` RUN /builder/build-static.sh php && echo '<script>alert(1)</script>' \"a\\|b\" `c` `` | 0.7 s | 90 s |  |",
            "\nCached steps: 1. ◆ is on the critical path.\n",
            "- `php: COPY lib/php.sh /builder/lib/`: file: `lib/php.sh` changed\n  - and so ",
            "| `durango-ccache` | `/root/.cache/ccache` | 98.0 MB |  | 12.4 MB saved |",
            "- a registry is &lt;down&gt; &amp; out\n",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        report.result = BuildResult::Failed;
        report.failure = Some(BuildFailure {
            step: Some("[php 2/2] RUN make".into()),
            exit_code: Some(2),
            message: String::new(),
            output: vec!["```".into(), "\u{1b}[31mred".into()],
            advice: None,
            log: "/l".into(),
        });
        let text = super::text(&ReportView::of(&report, std::iter::empty(), None));
        assert!(text.contains("\n````text\nthe build failed with exit code 2"), "{text}");
        assert!(text.contains("  | red\n") && text.contains("## ✗ base"), "{text}");
    }
}
