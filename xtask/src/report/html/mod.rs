//! One build as an HTML page: a single file without external resources and scripts, for narrow and
//! wide screens, light and dark, usable with a keyboard and a screen reader.

mod palette;
mod parts;

use std::fmt::{self, Display};

use super::view::ReportView;
use crate::text::terminal;

/// The style sheet.
const STYLE: &str = include_str!("style.css");

pub(crate) fn page(story: &ReportView<'_>) -> String {
    let names: Vec<&str> = story.report.targets.iter().map(|target| target.name.as_str()).collect();
    let (names, headline) = (names.join(", "), story.headline());
    let title = if names.is_empty() { story.report.build.clone() } else { names };
    let parts = [
        parts::facts(story),
        parts::failure(story),
        parts::steps(story),
        parts::causes(story),
        parts::mounts(story),
        parts::warnings(story),
    ];
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{title}: {headline}</title>\n<style>\n{palette}{STYLE}</style>\n</head>\n<body>\n\
         <a class=\"skip\" href=\"#main\">Skip to the build</a>\n\
         <header>\n<h1>{title}</h1>\n<p><span class=\"badge {result}\">{mark} {result}</span> {rest}</p>\n</header>\n\
         <main id=\"main\" tabindex=\"-1\">\n{parts}</main>\n\
         <footer class=\"note\">Build {build}, by durango-builder.</footer>\n</body>\n</html>\n",
        title = Text(&title),
        headline = Text(&headline),
        palette = palette::css(),
        result = story.report.result.word(),
        mark = parts::mark(story.report.result),
        rest = Text(headline.trim_start_matches(story.report.result.word())),
        parts = parts.concat(),
        build = Text(&story.report.build),
    )
}

/// Text that is safe in an element and in an attribute: without markup and control characters.
struct Text<'a>(&'a str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in terminal::plain(self.0).chars() {
            match c {
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '&' => f.write_str("&amp;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c => write!(f, "{c}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::failure::BuildFailure;
    use crate::outcome::{BuildReport, BuildResult};
    use crate::report::fixtures::report;

    /// Returns the tags of the page in order, without attributes. A void element has no end tag.
    fn tags(page: &str) -> Vec<String> {
        let tags = page.split('<').skip(1).filter_map(|rest| rest.split(['>', ' ']).next());
        tags.filter(|tag| !["meta", "!DOCTYPE", "br", "col"].contains(tag)).map(str::to_owned).collect()
    }

    fn hostile() -> BuildReport {
        let mut report = report();
        let evil = "</style></pre><script>alert(1)</script><img src=x onerror=\"a\" '&amp;";
        report.result = BuildResult::Failed;
        report.targets[0].name = evil.into();
        report.targets[0].image = Some(evil.into());
        report.steps[1].stage = evil.into();
        report.cache.read[0] = evil.into();
        report.cache.mounts[0].id = evil.into();
        report.warnings.push(evil.into());
        if let Some(cause) = report.steps[1].cause.as_mut() {
            cause.detail = evil.into();
        }
        report.failure = Some(BuildFailure {
            step: Some(evil.into()),
            exit_code: Some(1),
            message: evil.into(),
            output: vec![evil.into()],
            advice: Some(evil.into()),
            log: evil.into(),
        });
        report
    }

    #[test]
    fn nothing_of_a_build_is_markup_and_every_element_ends() {
        for report in [report(), hostile()] {
            let page = page(&ReportView::of(&report, std::iter::empty(), None));
            assert!(
                !page.contains("<script") && !page.contains("<img") && !page.contains("onerror=\"a"),
                "{page}"
            );
            let mut open: Vec<String> = Vec::new();
            for tag in tags(&page) {
                match tag.strip_prefix('/') {
                    Some(end) => assert_eq!(open.pop().as_deref(), Some(end), "{open:?}"),
                    None => open.push(tag),
                }
            }
            assert!(open.is_empty(), "{open:?}");
        }
    }

    #[test]
    fn the_page_has_what_a_screen_reader_goes_by_and_nothing_from_outside() {
        let report = hostile();
        let page = page(&ReportView::of(&report, std::iter::empty(), None));
        for word in [
            "<html lang=\"en\">",
            "<main id=\"main\"",
            "<header>",
            "<footer",
            "scope=\"col\"",
            "scope=\"row\"",
            "<caption>",
            "aria-labelledby=",
        ] {
            assert!(page.contains(word), "{word}");
        }
        assert_eq!(page.matches("<h1>").count(), 1);
        for word in ["src=\"", "url(", "@import", "http://", "https://", "<link"] {
            assert!(!page.contains(word), "{word}");
        }
        let ids: Vec<&str> = page.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        for label in page.split("aria-labelledby=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert_eq!(ids.iter().filter(|id| **id == label).count(), 1, "{label}");
        }
    }
}
