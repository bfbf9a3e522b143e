//! `report`: its formats on handmade records, and its page in a browser. Pictures go to
//! `target/report/`.

use std::fs;

use crate::common::browser::{Browser, Look};
use crate::common::outcome::{failed, filled, put};

#[test]
fn one_build_in_each_form() {
    let project = filled();
    let text = project.run(&["report"]);
    text.succeeds();
    for line in [
        "20261117-101500-7a: built in 96 s: 5 of 7 steps ran\n",
        "critical path",
        "2 built before",
        "why steps ran\n  php: COPY lib/common.sh lib/php.sh /builder/lib/\n      file: `lib/php.sh` changed\n",
        "      and so: static: RUN /builder/build-static.sh static\n",
        "durango-ccache",
    ] {
        let line = line.replace("2 built before", "4 built before");
        assert!(text.stdout.contains(&line), "{line}\n{}", text.all());
    }
    assert!(text.stdout.lines().all(|line| line.chars().count() < 170), "{}", text.all());
    let json: serde_json::Value =
        serde_json::from_str(&project.run(&["report", "previous", "--json"]).stdout).expect("one document");
    assert_eq!((json["schema"].as_u64(), json["build"].as_str()), (Some(1), Some("20261116-101500-6a")));
    assert_eq!(json["critical_path"]["steps"], serde_json::json!([2, 4, 5, 6]));
    let markdown = project.run(&["report", "2026111", "--format", "markdown"]);
    markdown.fails(2, &["is the prefix of 8 builds"]);
    let markdown = project.run(&["report", "20261117", "--format", "markdown"]);
    assert!(markdown.stdout.starts_with("## ✓ frankenphp-base-builder: built in 96 s"), "{}", markdown.all());
}

#[test]
fn a_file_is_written_in_the_form_of_its_name() {
    let project = filled();
    let run = project.run(&["report", "--output", "out/report.html"]);
    run.succeeds();
    assert_eq!(run.stdout, "");
    assert!(
        fs::read_to_string(project.path("out/report.html")).expect("there").starts_with("<!DOCTYPE html>")
    );
    let run = project.run(&["report", "--format", "html", "--output", "-"]);
    assert!(run.stdout.ends_with("</html>\n"), "{}", run.all());
    project.run(&["report", "--format", "pdf"]).fails(2, &["unknown format `pdf`", "markdown"]);
    project.run(&["report", "--format", "html", "--json"]).fails(2, &["two formats"]);
    project.run(&["report", "x"]).fails(2, &["build `x` not found"]);
}

/// Returns the page of the last build.
fn page(project: &crate::common::Project, name: &str) -> std::path::PathBuf {
    project.run(&["report", "--output", name]).succeeds();
    project.path(name)
}

#[test]
#[ignore = "needs a browser"]
fn the_page_fits_a_phone_and_a_wide_screen_in_the_light_and_in_the_dark() {
    let browser = Browser::find();
    let project = filled();
    let built = page(&project, "built.html");
    put(&project, "20261118-101500-8a", &failed("20261118-101500-8a").to_string());
    let failed = page(&project, "failed.html");
    for (name, file) in [("built", &built), ("failed", &failed)] {
        for (width, dark) in [(360, false), (360, true), (1280, false), (1280, true)] {
            let look = Look { width, dark };
            let seen = browser.probe(file, look);
            assert_eq!(seen["scheme"], if dark { "rgb(20, 23, 26)" } else { "rgb(255, 255, 255)" }, "{seen}");
            assert_eq!(seen["width"], width, "{seen}");
            assert!(
                seen["scroll"].as_u64() <= Some(width),
                "{name} at {width} is wider than the screen: {seen}"
            );
            assert_eq!(seen["outside"], serde_json::json!([]), "{name} at {width}: {seen}");
            assert!(
                seen["text"].as_str().is_some_and(|text| text.contains("RUN /builder/build-static.sh php"))
            );
            let both = (&seen["skip"], &seen["steps"]);
            assert_eq!(both, (&true.into(), &true.into()), "the skip link, the headings: {seen}");
            let scheme = if dark { "dark" } else { "light" };
            browser.picture(file, look, &format!("{name}-{width}-{scheme}.png"));
        }
    }
}
