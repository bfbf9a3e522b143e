//! The page `docs/benchmarks.md`: a section for each engine with its newest run, which has the
//! machine and a table for each group of rows.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use super::Row;
use super::row::Allowance;
use crate::engine::facts;
use crate::session::Session;

/// The start of the page.
const HEAD: &str = "# Benchmarks

`cargo xtask bench` times rebuilds on your machine, next to other ways of the same run: a cold
build, plain buildx, or `tar | zstd`. Read the ratios, since times depend on the machine. Each
section is the output of one run, and a run replaces the section of its engine:

```sh
cargo xtask bench --page docs/benchmarks.md     # everything; takes about an hour
cargo xtask bench --engine current --page docs/benchmarks.md    # the same on a newer engine
cargo xtask bench unchanged main.go             # single cases, as a table on the terminal
cargo xtask bench mounts-500MB mounts-2GB       # saving and restoring cache mounts
cargo xtask bench edits                         # forecasts against builds
```

`with saves` includes the time to save layers and cache mounts, which comes after the image is
ready. A row is `over` if the ratio exceeds its limit. The reasons for the known ones are below the
tables.
";

/// The start of each section's title.
const SECTION: &str = "\n## Docker ";

/// The end of the page.
const TAIL: &str = "
## What the rows compare

- **cold**: the first build of the base image in the same run, without layers and with empty mounts.
- **plain bake**, **docker buildx bake**: the same build without xtask, on the same builder.
- **plain buildx**: the way of the guides. One machine exports its cache with
  `--cache-to type=local,mode=max`, another one imports that directory with `--cache-from`. No cache
  mount is in it.
- **copying through a container**: the usual way to move a cache mount in CI. A build copies the
  mount into an image, `docker create` and `docker cp` read it, and a build on the other machine
  copies it back.
- **`tar | zstd`**: packing the same files inside of a container, as the lower bound of a save.

## Known limits

- `unchanged --check` calls bake, and is slower than plain bake by cargo's own check (0.07 s), the
  question for the base image (0.03 s), and the record of the build (0.02 s). It starts buildx
  without docker, which saves 0.04 s.
- Saving a mount of which 1 % changed takes at least one call of BuildKit, about 0.3 s.
";

/// The machine and the date of a run.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Setting {
    pub(crate) date: String,
    pub(crate) system: String,
    pub(crate) processors: usize,
    pub(crate) memory_gb: u64,
    pub(crate) docker: String,
    pub(crate) buildx: String,
}

impl Setting {
    /// Reads this machine.
    pub(crate) fn read(session: &Session) -> Self {
        let unknown = || "unknown".to_owned();
        let info = facts::info(session);
        let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
        let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let kib = memory.lines().find_map(|line| line.strip_prefix("MemTotal:"));
        let kib = kib.and_then(|text| text.trim().trim_end_matches(" kB").parse::<u64>().ok());
        let buildx = info.as_ref().and_then(|info| Some(info.plugin("buildx")?.version.clone()));
        Self {
            date: session.host.now.to_string().chars().take(10).collect(),
            system: name.map_or_else(unknown, |name| name.trim_matches('"').to_owned()),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            memory_gb: kib.unwrap_or_default() * 1024 / 1_000_000_000,
            docker: info.map_or_else(unknown, |info| info.server_version),
            buildx: buildx.unwrap_or_else(unknown),
        }
    }
}

/// The groups of the page: a title, and how the names of their rows start.
const GROUPS: &[(&str, &[&str])] = &[
    ("Another machine", &["away-"]),
    ("Cache mounts", &["mounts-"]),
    ("Forecasts", &["edits", "forecast", "up-to-date"]),
    ("Size", &["20000-files", "300000-ignored", "fifty"]),
    ("Rebuilds", &[""]),
];

/// Descriptions of the cases, by the start of a row's name.
const TITLES: &[(&str, &str)] = &[
    ("away-unchanged", "nothing changed"),
    ("away-main.go", "a line of Go"),
    ("away-php", "PHP built again"),
    ("away-newer-engine", "first build on a newer engine"),
    ("unchanged", "nothing changed"),
    ("main.go", "a line of Go"),
    ("extension", "one more extension"),
    ("built-in", "tokenizer taken out of the binary"),
    ("comment", "a comment in a Dockerfile"),
    ("Caddyfile", "the Caddyfile"),
    ("page", "a page"),
    ("mounts-500MB", "500 MB:"),
    ("mounts-2GB", "2 GB:"),
    ("edits", "thirty edits:"),
    ("forecast", "random edits:"),
    ("up-to-date", "random edits, bake skipped:"),
    ("20000-files", "a context of 20000 files:"),
    ("300000-ignored", "300000 ignored files:"),
    ("fifty", "fifty images in a third of their room:"),
];

fn group_of(name: &str) -> &'static str {
    let is_in = |starts: &&[&str]| starts.iter().any(|start| name.starts_with(start));
    GROUPS.iter().find(|(_, starts)| is_in(starts)).map_or("Rebuilds", |(title, _)| title)
}

fn title_of(name: &str) -> String {
    let found = TITLES.iter().find_map(|(start, title)| Some((title, name.strip_prefix(start)?)));
    match found {
        Some((title, rest)) if rest.trim().is_empty() => title.trim_end_matches(':').to_owned(),
        Some((title, rest)) => format!("{title} {}", rest.trim()),
        None => name.to_owned(),
    }
}

fn line(row: &Row) -> String {
    let limit = match (row.limit.is_finite(), row.allowance) {
        (false, _) => "none".to_owned(),
        (true, None) => format!("{:.2}", row.limit),
        (true, Some(Allowance::Or(seconds))) => format!("{:.2}, or {seconds} s more", row.limit),
        (true, Some(Allowance::Plus(seconds))) => format!("{:.2}, and {seconds} s more", row.limit),
        (true, Some(Allowance::InAll(seconds))) => format!("{:.2}, or {seconds} s in all", row.limit),
    };
    let over = if row.within { "" } else { " (over)" };
    let saves = if row.with_save > row.seconds { row.unit.show(row.with_save) } else { String::new() };
    let cells = [
        title_of(&row.name),
        row.unit.show(row.seconds),
        saves,
        row.against.replace('|', "\\|"),
        row.unit.show(row.reference),
        format!("{:.3}", row.ratio),
        limit + over,
    ];
    format!("| {} |\n", cells.join(" | "))
}

/// The section of one run, from its title on without [`SECTION`].
fn section(setting: &Setting, rows: &[Row]) -> String {
    let Setting { date, system, processors, memory_gb, docker, buildx } = setting;
    let mut text = format!(
        "{docker}, buildx {buildx}\n\n| date | system | processors | memory |\n|---|---|---|---|\n\
         | {date} | {system} | {processors} | {memory_gb} GB |\n"
    );
    let order = ["Rebuilds", "Another machine", "Cache mounts", "Forecasts", "Size"];
    for group in order {
        let rows: Vec<&Row> = rows.iter().filter(|row| group_of(&row.name) == group).collect();
        if rows.is_empty() {
            continue;
        }
        let _ = write!(
            text,
            "\n### {group}\n\n| case | durango-builder | with saves | compared with | its figure | ratio | limit |\n\
             |---|---|---|---|---|---|---|\n"
        );
        rows.iter().for_each(|row| text.push_str(&line(row)));
    }
    text
}

/// The page with the run in the section of its engine, and all other sections of the page so far.
fn page(so_far: &str, setting: &Setting, rows: &[Row]) -> String {
    let sections = so_far.split_once(TAIL).map_or(so_far, |(sections, _)| sections).split(SECTION).skip(1);
    let title = |section: &str| section.lines().next().map(str::to_owned);
    let run = section(setting, rows);
    let others = sections.filter(|section| title(section) != title(&run)).map(str::to_owned);
    let mut all: Vec<String> = others.chain([run.clone()]).collect();
    all.sort_by_key(|section| title(section));
    all.into_iter().fold(HEAD.to_owned(), |page, section| page + SECTION + &section) + TAIL
}

/// Writes the run to a page, which may exist.
pub(crate) fn write(file: &Path, setting: &Setting, rows: &[Row]) -> Result<()> {
    let so_far = fs::read_to_string(file).unwrap_or_default();
    fs::write(file, page(&so_far, setting, rows))
        .with_context(|| format!("failed to write `{}`", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::CASES;
    use crate::bench::row::Unit;

    #[test]
    fn a_page_has_a_section_for_each_engine_with_its_newest_rows() {
        let setting = Setting {
            date: "2026-11-26".into(),
            system: "Debian GNU/Linux 13".into(),
            processors: 2,
            memory_gb: 24,
            docker: "26.1.5".into(),
            buildx: "0.13.1".into(),
        };
        let rows = [
            Row { with_save: 15.0, ..Row::ratio("main.go", "cold", 12.0, 450.0, 0.04) },
            Row::ratio("unchanged", "docker buildx bake", 0.7, 0.4, 1.3).allow(Allowance::Or(0.15)),
            Row::ratio("away-main.go", "plain buildx", 41.0, 145.0, f64::INFINITY),
            Row::ratio("mounts-500MB memory", "100 MB", 15.0, 100.0, 1.0).unit(Unit::Megabytes),
        ];
        let first = page("", &setting, &rows[..1]);
        let newer = Setting { docker: "28.5.2".into(), buildx: "0.29.1".into(), ..setting.clone() };
        let page = page(&page(&first, &newer, &rows[..1]), &setting, &rows);
        for expected in [
            "\n\n## Docker 26.1.5, buildx 0.13.1\n\n| date |",
            "| 2026-11-26 | Debian GNU/Linux 13 | 2 | 24 GB |\n",
            "### Rebuilds\n\n| case |",
            "| a line of Go | 12 s | 15 s | cold | 7 min 30 s | 0.027 | 0.04 |\n",
            "| nothing changed | 0.7 s |  | docker buildx bake | 0.4 s | 1.750 | 1.30, or 0.15 s more (over) |\n",
            "### Another machine\n\n| case |",
            "| a line of Go | 41 s |  | plain buildx | 2 min 25 s | 0.283 | none |\n",
            "| 500 MB: memory | 15.0 MB |  | 100 MB | 100.0 MB | 0.150 | 1.00 |\n",
        ] {
            assert!(page.contains(expected), "{expected}\n{page}");
        }
        assert_eq!(page.matches("## Docker 26").count(), 1, "a run replaces the one before");
        assert_eq!(page.matches("## Docker 28.5.2, buildx 0.29.1").count(), 1, "{page}");
        assert_eq!((page.matches(HEAD).count(), page.matches(TAIL).count()), (1, 1));
        assert!(!page.contains("### Forecasts"), "a group without rows has no table");
        let committed = include_str!("../../../docs/benchmarks.md");
        assert!(committed.starts_with(HEAD) && committed.ends_with(TAIL), "write it with `bench --page`");
    }

    #[test]
    fn every_case_has_a_title() {
        for case in CASES {
            assert_ne!(title_of(case.name), case.name, "add a title for `{}`", case.name);
        }
    }
}
