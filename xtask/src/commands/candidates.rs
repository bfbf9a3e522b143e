//! The values that shells complete: what the declaration, the store and the records have. Questions
//! to the engine are left out or short.

use std::collections::BTreeSet;
use std::time::Duration;

use xshell::cmd;

use super::{cache, report};
use crate::args::Parsed;
use crate::bench;
use crate::engine::builders;
use crate::engine::legs::Leg;
use crate::plan::options::BuildOptions;
use crate::process::query::query;
use crate::project::declaration_query::{self, DeclarationQuery};
use crate::project::secrets;
use crate::project::{Declaration, Target};
use crate::record::read::{self, Past, RecordState};
use crate::session::{COLOR_MODES, PROGRESS_MODES, Session};
use crate::setup::completions::Shell;
use crate::smoke::{self, checks};
use crate::store::mount;
use crate::text;

/// How many builds are offered, the newest first.
const MOST_BUILDS: usize = 50;
/// The engine lists its images in milliseconds, or is too busy for a shell that waits.
const ENGINE_LIMIT: Duration = Duration::from_millis(700);

/// The kinds of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Builders,
    Builds,
    Caches,
    Cases,
    Checks,
    ColorModes,
    Faults,
    Images,
    Legs,
    Mounts,
    Platforms,
    ProgressModes,
    ReportFormats,
    Rights,
    Shells,
    Stages,
    StoreKinds,
    Targets,
}

/// A value with a short description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) word: String,
    pub(crate) about: String,
}

impl Candidate {
    pub(crate) fn new(word: impl Into<String>, about: impl Into<String>) -> Self {
        Self { word: word.into(), about: about.into() }
    }
}

/// Returns the values of a kind. `parsed` has the options that stand before. A value that cannot be
/// found is left out: a shell shows no errors.
pub(crate) fn of(session: &Session, parsed: &Parsed, kind: Kind) -> Vec<Candidate> {
    match kind {
        Kind::Builders => builder_names(session),
        Kind::Builds => builds(&read::all(&session.layout)),
        Kind::Caches => vec![
            Candidate::new("registry=", "a cache in a registry: registry=REF[,ro]"),
            Candidate::new("none", "ignore the store"),
        ],
        Kind::Cases => words(bench::CASES.iter().map(|case| case.name)),
        Kind::Checks => words(checks::all().iter().map(|check| &*check.name)),
        Kind::ColorModes => words(COLOR_MODES),
        Kind::Faults => words(bench::chaos::names()),
        Kind::Images => images(session, parsed),
        Kind::Legs => words(Leg::ALL.map(Leg::name)),
        Kind::Mounts => mounts(session),
        Kind::Platforms => words(["linux/amd64", "linux/arm64"]),
        Kind::ProgressModes => words(PROGRESS_MODES.iter().map(|(word, _)| *word)),
        Kind::ReportFormats => words(report::formats()),
        Kind::Rights => words(["fs.read=", "fs.write=", "fs=", "network.host", "security.insecure", "ssh"]),
        Kind::Shells => words(Shell::COMPLETED.map(Shell::name)),
        Kind::Stages => stages(&read::all(&session.layout)),
        Kind::StoreKinds => words(cache::tidy::kind_names()),
        Kind::Targets => targets(session, parsed),
    }
}

fn words<S: Into<String>>(words: impl IntoIterator<Item = S>) -> Vec<Candidate> {
    words.into_iter().map(|word| Candidate::new(word, "")).collect()
}

fn builder_names(session: &Session) -> Vec<Candidate> {
    let kept = std::fs::read_dir(builders::instances(&session.host)).into_iter().flatten().flatten();
    let kept: BTreeSet<String> = kept.filter_map(|file| file.file_name().into_string().ok()).collect();
    words(kept.into_iter().chain(["default".to_owned()]))
}

fn builds(past: &[Past]) -> Vec<Candidate> {
    let about = |build: &Past| match &build.state {
        RecordState::Ended(report) => {
            let targets: Vec<&str> = report.targets.iter().map(|target| target.name.as_str()).collect();
            let (result, seconds) = (report.result.word(), text::seconds(report.seconds));
            format!("{result} in {seconds}: {}", targets.join(" "))
        }
        RecordState::Running => "running".to_owned(),
        RecordState::Unreadable(_) => "its record cannot be read".to_owned(),
    };
    let newest = past.iter().rev().take(MOST_BUILDS);
    let ids = newest.map(|build| Candidate::new(build.id.as_str(), about(build)));
    let words = [Candidate::new("latest", "the last build"), Candidate::new("previous", "the one before")];
    if past.is_empty() { Vec::new() } else { words.into_iter().chain(ids).collect() }
}

/// The stages of the builds so far: those of the newest build first.
fn stages(past: &[Past]) -> Vec<Candidate> {
    let mut seen = BTreeSet::new();
    let reports = past.iter().rev().filter_map(Past::report);
    let steps = reports.flat_map(|report| &report.steps);
    let stages = steps.filter(|step| !step.stage.is_empty() && seen.insert(&step.stage));
    stages.map(|step| Candidate::new(step.stage.as_str(), format!("a stage of {}", step.target))).collect()
}

fn mounts(session: &Session) -> Vec<Candidate> {
    let (saved, _) = mount::all(&session.layout);
    let of_mount = |saved: mount::SavedMount| {
        let entry = saved.entry;
        (entry.identity.id.clone(), format!("{} on {}", text::size::show(entry.bytes), entry.target))
    };
    let saved: std::collections::BTreeMap<String, String> = saved.into_iter().map(of_mount).collect();
    let general = [("all", "every cache mount"), ("none", "no cache mount")];
    let general = general.into_iter().map(|(word, about)| Candidate::new(word, about));
    general.chain(saved.into_iter().map(|(id, about)| Candidate::new(id, about))).collect()
}

fn declared(session: &Session, parsed: &Parsed) -> Option<Declaration> {
    let options = BuildOptions::new(session, &parsed.only("--file"), Vec::new()).ok()?;
    let env = secrets::read(&session.host).paths();
    let query =
        DeclarationQuery { files: &options.files, requested: &[], sets: &[], env: &env, remember: true };
    declaration_query::read(session, &query).ok()
}

fn targets(session: &Session, parsed: &Parsed) -> Vec<Candidate> {
    let Some(declaration) = declared(session, parsed) else { return Vec::new() };
    let groups = declaration.groups.iter().filter(|(name, _)| !declaration.targets.contains_key(*name));
    let groups = groups.map(|(name, members)| Candidate::new(name.as_str(), members.join(" ")));
    let tag = |target: &Target| target.tags.first().cloned().unwrap_or_default();
    let targets = declaration.targets.iter().map(|(name, target)| Candidate::new(name.as_str(), tag(target)));
    targets.chain(groups).collect()
}

/// The images that were built here, those that are declared, and those of the engine.
fn images(session: &Session, parsed: &Parsed) -> Vec<Candidate> {
    let past = read::all(&session.layout);
    let reports = past.iter().rev().filter_map(Past::report);
    let built = reports.flat_map(|report| &report.targets).filter_map(|target| target.image.clone());
    let declaration = declared(session, parsed).unwrap_or_default();
    let declared = declaration.targets.into_values().flat_map(|target| target.tags);
    let held = engine_images(session);
    let all = built.chain([smoke::DEFAULT_IMAGE.to_owned()]).chain(declared).chain(held);
    let mut seen = BTreeSet::new();
    words(all.filter(|image| seen.insert(image.clone())))
}

fn engine_images(session: &Session) -> Vec<String> {
    let sh = &session.sh;
    let list = cmd!(sh, "docker image ls --format '{{.Repository}}:{{.Tag}}'");
    let answer = query(list, ENGINE_LIMIT).ok().filter(|answer| answer.success);
    let answer = answer.map(|answer| answer.stdout).unwrap_or_default();
    answer.lines().filter(|image| !image.contains("<none>")).map(str::to_owned).collect()
}
