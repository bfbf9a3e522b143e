//! Makes random edits of a project, most of which change nothing, and checks each build that is
//! called up to date: bake is called after it, no step may run, and no image may change.

mod edit;
pub(crate) mod inputs;
mod project;

use anyhow::{Result, bail};
use serde_json::Value;

use super::cases::Case;
use super::random::Random;
use super::{Bench, ForecastOptions, Row};
use crate::process::signals;
use crate::process::stdio::errln;
use edit::edit;
use project::Project;

/// Rounds with one project.
const ROUNDS: usize = 60;
/// The maximum number of edits between two builds.
const AT_ONCE: usize = 3;

/// The results of all edits.
#[derive(Default)]
struct Totals {
    edits: usize,
    builds: usize,
    /// Builds that were called up to date, and those of them that were not.
    taken: usize,
    wrong: usize,
    /// Builds called up to date of which the builder has dropped a result since, and BuildKit makes
    /// the same images again.
    dropped: usize,
    /// Builds after edits that change nothing that anybody looks at, and those of them that asked
    /// BuildKit.
    idle: usize,
    asked: usize,
    /// Why the build before asked BuildKit.
    before: String,
}

impl Bench<'_> {
    /// Random edits until there are enough of them.
    pub(super) fn up_to_date(&self, case: &Case, options: ForecastOptions) -> Result<Vec<Row>> {
        let base = project::base_image()?;
        errln!("{}: {} edits, seed {}", case.name, options.edits, options.seed);
        let mut totals = Totals::default();
        let mut random = Random::new(options.seed);
        while totals.edits < options.edits {
            let mut project = Project::new(&base)?;
            let first = project.build(&[])?;
            if first["result"] != "built" {
                bail!("the project of the benchmark does not build: {first}");
            }
            for _ in 0..ROUNDS {
                if totals.edits < options.edits {
                    totals.round(&mut project, &mut random)?;
                }
            }
            errln!("  {}", totals.line());
        }
        Ok(totals.rows(case))
    }
}

impl Totals {
    /// Makes edits, builds, and asks BuildKit where the build did not.
    fn round(&mut self, project: &mut Project, random: &mut Random) -> Result<()> {
        signals::check()?;
        let (mut what, mut is_idle) = (Vec::new(), true);
        for _ in 0..=random.below(AT_ONCE) {
            let edit = edit(project, random)?;
            is_idle &= edit.is_idle;
            what.push(edit.what);
        }
        self.edits += what.len();
        self.builds += 1;
        let build = project.build(&[])?;
        if build["result"] == "failed" {
            bail!("a build failed after {what:?}: {}", build["failure"]);
        }
        let is_taken = build["bake_called"] == false;
        let before = std::mem::replace(&mut self.before, format!("{} {}", build["asked"], build["warnings"]));
        self.idle += usize::from(is_idle);
        if is_idle && !is_taken {
            self.asked += 1;
            errln!("  after {what:?}: {} {}", build["asked"], before);
        }
        if is_taken {
            self.taken += 1;
            let images = project.images()?;
            let checked = project.build(&["--check"])?;
            let now = project.images()?;
            let is_dropped = is_dropped(&checked);
            self.dropped += usize::from(is_dropped);
            let differs = differs(&build, &checked, is_dropped);
            let differs = differs.or_else(|| {
                (now != images && !is_dropped).then(|| format!("images were {images:?}, and are {now:?}"))
            });
            if let Some(why) = differs {
                self.wrong += 1;
                errln!("wrong: after {what:?} {why}\n{checked}");
            }
        }
        Ok(())
    }

    fn line(&self) -> String {
        format!(
            "{} edits, {} builds: {} called up to date, {} of them wrongly, {} dropped by the builder; {} of {} \
             idle ones asked BuildKit",
            self.edits, self.builds, self.taken, self.wrong, self.dropped, self.asked, self.idle
        )
    }

    fn rows(&self, case: &Case) -> Vec<Row> {
        let row = |name: &str, against: &str, part: usize, whole: usize, limit: f64| {
            Row::share(&format!("{}: {name}", case.name), against, (part, whole), limit)
        };
        vec![
            row("wrong", "builds called up to date", self.wrong, self.taken, case.limit),
            row("called up to date", "builds", self.taken, self.builds, 1.0),
            row("idle, but asked", "builds after idle edits", self.asked, self.idle, 0.05),
        ]
    }
}

/// In what BuildKit differs from a build that it was not asked about.
fn differs(build: &Value, checked: &Value, is_dropped: bool) -> Option<String> {
    if checked["bake_called"] != true || checked["result"] != "cached" && !is_dropped {
        return Some(format!("BuildKit's result is {}", checked["result"]));
    }
    let (ours, theirs) = (&build["targets"], &checked["targets"]);
    (ours != theirs && !is_dropped).then(|| format!("the images were said to be {ours}, and are {theirs}"))
}

/// Returns whether steps ran for no other reason than that the builder has dropped their results.
fn is_dropped(checked: &Value) -> bool {
    let kinds = checked["steps"].as_array().into_iter().flatten().map(|step| step["cause"]["kind"].as_str());
    let kinds: Vec<&str> = kinds.flatten().collect();
    kinds.contains(&"dropped") && kinds.iter().all(|kind| ["dropped", "parent"].contains(kind))
}
