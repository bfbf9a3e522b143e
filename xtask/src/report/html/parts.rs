//! The sections of the page, each empty without content.

use std::fmt::Write;

use super::Text;
use crate::outcome::BuildResult;
use crate::report::detail::place;
use crate::report::format::{Part, parts};
use crate::report::timeline::TimelineRow;
use crate::report::view::{ReportView, instruction};
use crate::text::seconds;

/// Returns a sign next to the color.
pub(super) fn mark(result: BuildResult) -> &'static str {
    match result {
        BuildResult::Built | BuildResult::Cached => "✓",
        BuildResult::Failed | BuildResult::Interrupted => "✗",
    }
}

/// Returns a section with its heading.
fn section(id: &str, heading: &str, content: &str) -> String {
    if content.is_empty() {
        return String::new();
    }
    format!("<section aria-labelledby=\"{id}\">\n<h2 id=\"{id}\">{heading}</h2>\n{content}</section>\n")
}

pub(super) fn facts(story: &ReportView<'_>) -> String {
    let mut list = String::new();
    for (name, value) in story.facts() {
        let is_code = ["image", "cache read", "layers saved", "pushed"].contains(&name);
        let value = Text(&value);
        let value = if name == "times" {
            format!(
                "<span class=\"spark\" role=\"img\" aria-label=\"{}\">{value}</span>",
                Text(&story.against.spoken())
            )
        } else if is_code {
            format!("<code>{value}</code>")
        } else {
            value.to_string()
        };
        let _ = writeln!(list, "<dt>{name}</dt><dd>{value}</dd>");
    }
    let list = if list.is_empty() { list } else { format!("<dl>\n{list}</dl>\n") };
    section("facts", "The build", &list)
}

pub(super) fn failure(story: &ReportView<'_>) -> String {
    let Some(failure) = &story.report.failure else { return String::new() };
    let lines: Vec<String> = failure.to_string().lines().map(|line| Text(line).to_string()).collect();
    let text = format!(
        "<pre tabindex=\"0\" aria-label=\"What failed, with the end of its output\">{}</pre>\n",
        lines.join("\n")
    );
    section("failure", "What failed", &text)
}

pub(super) fn steps(story: &ReportView<'_>) -> String {
    let timeline = &story.timeline;
    if timeline.rows.is_empty() {
        return String::new();
    }
    let span = timeline
        .span
        .map_or(String::new(), |span| format!(" A bar shows a step's time between 0 and {}.", seconds(span)));
    let critical = if timeline.critical.is_empty() {
        ""
    } else {
        " Steps on the critical path are marked, and their bars are striped: these steps determine the \
         build's time."
    };
    let mut table = format!(
        "<table>\n<caption>By stage, in the order of time.{span}{critical}</caption>\n<thead><tr><th \
         scope=\"col\" class=\"step\">Step</th><th scope=\"col\" class=\"num\">Start</th><th \
         scope=\"col\" class=\"num\">Time</th><th scope=\"col\" class=\"num \
         wide\">Usual</th></tr></thead>\n"
    );
    for (stage, rows) in &timeline.stages {
        let _ = writeln!(
            table,
            "<tbody>\n<tr class=\"stage\"><th scope=\"rowgroup\" colspan=\"4\">{}</th></tr>",
            Text(stage)
        );
        rows.iter().for_each(|index| table.push_str(&step(story, &timeline.rows[*index])));
        table.push_str("</tbody>\n");
    }
    section("steps", "Steps", &(table + "</table>\n"))
}

fn step(story: &ReportView<'_>, row: &TimelineRow<'_>) -> String {
    let mut tags = String::new();
    if row.is_critical {
        tags.push_str(" <span class=\"tag critical\">critical path</span>");
    }
    match story.outcome(row) {
        "ran" => {}
        outcome => tags.push_str(&format!(" <span class=\"tag {outcome}-tag\">{outcome}</span>")),
    }
    let class = if row.is_critical { " class=\"critical\"" } else { "" };
    let (began, took) = match row.step.cached {
        true => (None, None),
        false => (row.step.started, Some(row.step.seconds)),
    };
    let usual = story.against.usual(row.step).filter(|_| !row.step.cached);
    let [began, took, usual] = [began, took, usual].map(|time| time.map_or("–".to_owned(), seconds));
    format!(
        "<tr{class}><th scope=\"row\" class=\"step\"><code>{}</code>{tags}{}</th>\
         <td class=\"num\">{began}</td><td class=\"num\">{took}</td><td class=\"num wide\">{usual}</td></tr>\n",
        Text(&instruction(row)),
        bar(story, row)
    )
}

/// Returns the bar on the time line. The numbers next to it have the same values.
fn bar(story: &ReportView<'_>, row: &TimelineRow<'_>) -> String {
    let Some((from, to)) = story.timeline.span.and_then(|span| place(row, span)) else {
        return String::new();
    };
    let (left, width) = (from * 100.0, ((to - from) * 100.0).max(0.3));
    format!(
        "<div class=\"track\" aria-hidden=\"true\"><div class=\"bar\" style=\"margin-left:{:.2}%;width:{width:.2}%\"></div></div>",
        left.min(99.5)
    )
}

pub(super) fn causes(story: &ReportView<'_>) -> String {
    let mut text = String::new();
    for why in story.causes() {
        let _ = writeln!(text, "<h3><code>{}</code></h3>\n<p>{}</p>", Text(&why.step), rich(&why.cause));
        if !why.follow.is_empty() {
            let items: String =
                why.follow.iter().map(|step| format!("<li><code>{}</code></li>\n", Text(step))).collect();
            let _ = writeln!(text, "<p class=\"quiet\">and as a result</p>\n<ul>\n{items}</ul>");
        }
    }
    section("causes", "Why steps ran", &text)
}

/// Returns words, with text between backticks as code.
fn rich(text: &str) -> String {
    let part = |part: Part<'_>| match part {
        Part::Words(words) => Text(words).to_string(),
        Part::Code(code) => format!("<code>{}</code>", Text(code)),
    };
    parts(text).into_iter().map(part).collect()
}

pub(super) fn mounts(story: &ReportView<'_>) -> String {
    let mut rows = String::new();
    for mount in story.mounts() {
        let _ = writeln!(
            rows,
            "<tr><th scope=\"row\" class=\"step\">{}<br><code class=\"quiet\">{}</code></th><td class=\"num\">{}</td>\
             <td class=\"num\">{}</td><td class=\"moved\">{}</td></tr>",
            Text(&mount.id),
            Text(&mount.target),
            Text(&mount.size),
            Text(if mount.growth.is_empty() { "–" } else { &mount.growth }),
            Text(&mount.moved)
        );
    }
    if rows.is_empty() {
        return rows;
    }
    let table = format!(
        "<table>\n<caption>Cache mounts that were restored before this build or saved after \
         it.</caption>\n<thead><tr><th scope=\"col\" class=\"step\">Mount</th><th scope=\"col\" \
         class=\"num\">Size</th><th scope=\"col\" class=\"num\">Growth</th><th scope=\"col\" \
         class=\"moved\">Transfer</th></tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n"
    );
    section("mounts", "Cache mounts", &table)
}

pub(super) fn warnings(story: &ReportView<'_>) -> String {
    let item = |warning: &String| format!("<li>{}</li>\n", rich(&warning.replace('\n', " ")));
    let items: String = story.report.warnings.iter().map(item).collect();
    let list = if items.is_empty() { items } else { format!("<ul>\n{items}</ul>\n") };
    section("warnings", "Warnings", &list)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixtures::report;

    #[test]
    fn a_step_says_in_words_what_its_colour_says() {
        let report = report();
        let story = ReportView::of(&report, std::iter::empty(), None);
        let rows = steps(&story);
        assert_eq!(rows.matches(">critical path<").count(), 4);
        assert_eq!(rows.matches(">cached<").count(), 1);
        assert!(rows.contains("margin-left:0.68%;width:87.82%"), "{rows}");
    }
}
