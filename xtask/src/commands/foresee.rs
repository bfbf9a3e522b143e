//! What a build is made of and what it will cost, found in a thread beside the build's own start, which waits for none of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use sha2::{Digest, Sha256};
use xshell::{Shell, cmd};

use crate::cache::entry::Entry;
use crate::cache::memo::Memo;
use crate::cli::Session;
use crate::engine::{Engine, ask, usage};
use crate::exec::trace::Trace;
use crate::explain::Compared;
use crate::layout::Layout;
use crate::plan::build::{Facts, Plan};
use crate::plan::forecast::{self, Forecast, Known};
use crate::plan::options::BuildOptions;
use crate::plan::{call, fresh};
use crate::project::context::Digests;
use crate::project::dockerfile::{Dockerfile, mounts};
use crate::project::graph::{self, GraphStep, Place, TargetFacts};
use crate::project::inputs;
use crate::record::Record;
use crate::record::steps::{self, BuildSteps, StepOutcome};
use crate::report::watch::Foreseen;
use crate::report::{BuildReport, BuildResult};

/// What is asked in the thread, all its own.
struct Question {
    layout: Layout,
    engine: Engine,
    dir: PathBuf,
    targets: Vec<TargetFacts>,
    read: Vec<PathBuf>,
}

/// What was found.
pub(super) struct Found {
    /// The graph of the build.
    pub graph: Vec<GraphStep>,
    /// Dockerfiles by target.
    pub files: BTreeMap<String, Dockerfile>,
    /// Builds before, newest first.
    pub past: Vec<BuildSteps>,
    /// The graph of the newest of them with these targets.
    pub before: Option<Vec<GraphStep>>,
    /// Records of steps' results that the builder held.
    records: Vec<String>,
    /// What is foreseen.
    pub forecast: Forecast,
}

/// A forecast that is being made.
pub(super) struct Foresight {
    /// Set as soon as it is there.
    pub foreseen: Foreseen,
    thread: JoinHandle<Found>,
}

impl Foresight {
    /// Begins.
    pub(super) fn begin(session: &Session, facts: &Facts, options: &BuildOptions, plan: &Plan) -> Self {
        let foreseen = Foreseen::default();
        let (question, told) = (question(session, facts, options, plan), Arc::clone(&foreseen));
        let thread = std::thread::spawn(move || {
            let found = question.answer();
            let _ = told.set(found.forecast.clone());
            found
        });
        Self { foreseen, thread }
    }

    /// Waits for it. A forecast that failed is none; the build is not concerned.
    pub(super) fn end(self) -> Option<Found> {
        self.thread.join().ok()
    }
}

impl Found {
    /// What came of each step.
    pub(super) fn outcomes(&self, trace: &Trace) -> Vec<StepOutcome> {
        steps::outcomes(&self.graph, &self.files, trace)
    }

    /// Tells of each step that ran why.
    pub(super) fn explain(&self, done: &[StepOutcome], report: &mut BuildReport) {
        let compared = Compared { now: &self.graph, before: self.before.as_deref() };
        for step in report.steps.iter_mut().filter(|step| !step.cached) {
            let line =
                self.files.get(&step.target).and_then(|file| file.find(&step.stage, &step.instruction));
            let at = line.and_then(|one| {
                let is_it = |known: &GraphStep| {
                    (&known.target, &known.stage, known.line) == (&step.target, &step.stage, one.line)
                };
                self.graph.iter().position(is_it)
            });
            let Some(at) = at else { continue };
            let was_made = self
                .past
                .iter()
                .flat_map(|past| &past.steps)
                .any(|past| past.is_done && past.key == self.graph[at].key);
            step.cause =
                Some(compared.cause(at, &|at| done.get(at).is_some_and(|step| step.ran.is_some()), was_made));
        }
    }

    /// Keys of the steps whose results a target's layers are.
    pub(super) fn keys(&self, target: &str, done: &[StepOutcome]) -> Vec<String> {
        let mut next: Vec<usize> =
            (0..self.graph.len()).filter(|at| self.graph[*at].target == target).collect();
        let mut found = BTreeSet::new();
        while let Some(at) = next.pop() {
            if found.insert(at) {
                next.extend(self.graph[at].parents.iter().chain(&self.graph[at].draws));
            }
        }
        let is_done = |at: &usize| done.get(*at).is_some_and(|step| step.is_done);
        found.into_iter().filter(is_done).map(|at| self.graph[at].key.clone()).collect()
    }

    /// Leaves it for later builds.
    pub(super) fn record(&self, record: &Record, plan: &Plan, done: &[StepOutcome], report: &BuildReport) {
        let past = BuildSteps {
            build: plan.build.clone(),
            builder: plan.builder.clone(),
            targets: plan.targets.iter().map(|target| target.name.clone()).collect(),
            seconds: report.seconds,
            is_good: matches!(report.result, BuildResult::Built | BuildResult::Cached),
            steps: done.to_vec(),
            records: self.records.clone(),
            ..BuildSteps::default()
        };
        if let Err(error) = record.steps(&past, &self.graph) {
            eprintln!("warning: what the build was made of is not recorded: {error:#}");
        }
    }
}

fn question(session: &Session, facts: &Facts, options: &BuildOptions, plan: &Plan) -> Question {
    let fresh = fresh::plan(facts, options);
    Question {
        layout: session.layout.clone(),
        engine: facts.engine.clone(),
        dir: facts.declaration.dir.clone(),
        targets: facts.names.iter().filter_map(|name| target(facts, options, &fresh, name)).collect(),
        read: plan.targets.iter().flat_map(|target| target.read.iter().cloned()).collect(),
    }
}

/// A target as it is handed to BuildKit; nothing where its Dockerfile is elsewhere.
fn target(facts: &Facts, options: &BuildOptions, fresh: &fresh::Fresh, name: &str) -> Option<TargetFacts> {
    let mut declared = facts.declaration.targets[name].clone();
    for (key, value) in call::owner_sets(facts, options, name) {
        if let Some(arg) = key.strip_prefix("args.") {
            declared.args.insert(arg.to_owned(), Some(value));
        } else if let Some(context) = key.strip_prefix("contexts.") {
            declared.contexts.insert(context.to_owned(), value);
        }
    }
    let text = fresh
        .texts
        .get(name)
        .cloned()
        .or_else(|| Some(facts.fresh.get(name)?.source.as_ref()?.text.clone()))?;
    let platform = declared.platforms.first().unwrap_or(&facts.engine.platform).clone();
    let mut run = BTreeMap::new();
    run.extend(declared.network.clone().map(|network| ("network".to_owned(), network)));
    run.extend(declared.ulimits.as_ref().map(|limits| ("ulimits".to_owned(), limits.to_string())));
    run.extend(declared.extra_hosts.as_ref().map(|hosts| ("extra hosts".to_owned(), hosts.to_string())));
    match fresh.shm_size(name) {
        Some(bytes) => run.insert("fresh".to_owned(), bytes.to_string()),
        None => declared.shm_size.clone().and_then(|size| run.insert("shm-size".to_owned(), size)),
    };
    let main = ("", declared.context.as_deref().unwrap_or("."));
    let named = declared.contexts.iter().map(|(context, source)| (context.as_str(), source.as_str()));
    let contexts = std::iter::once(main)
        .chain(named)
        .map(|(context, source)| (context.to_ascii_lowercase(), place(facts, name, context, source)));
    Some(TargetFacts {
        name: name.to_owned(),
        file: Dockerfile::parse(text.as_bytes()),
        inputs: mounts::inputs(&declared, &platform, &facts.engine.platform),
        contexts: contexts.collect(),
        run,
    })
}

fn place(facts: &Facts, target: &str, context: &str, source: &str) -> Place {
    if let Some(owner) = source.strip_prefix("target:") {
        return Place::Target(owner.to_owned());
    }
    if let Some(layout) = source.strip_prefix("oci-layout://") {
        return Place::Elsewhere(laid_out(layout).unwrap_or_else(|| source.to_owned()));
    }
    let dir = facts.declaration.dir.join(source);
    if source.contains("://") || !dir.is_dir() {
        return Place::Elsewhere(source.to_owned());
    }
    let declared = &facts.declaration.targets[target];
    let ignore = inputs::ignore(&facts.declaration, declared, &dir, context);
    Place::Folder(dir, ignore)
}

/// The digest of an image that is laid out in `DIR:TAG`.
fn laid_out(source: &str) -> Option<String> {
    let dir = source.rsplit_once(':').map_or(source, |(dir, _)| dir);
    let index: serde_json::Value =
        serde_json::from_slice(&std::fs::read(Path::new(dir).join("index.json")).ok()?).ok()?;
    Some(format!("an image@{}", index["manifests"][0]["digest"].as_str()?))
}

impl Question {
    fn answer(self) -> Found {
        let builder = self.engine.builder.clone();
        let records = std::thread::spawn(move || usage::read(&Shell::new()?, &builder));
        let root = format!("{:x}", Sha256::digest(self.dir.to_string_lossy().as_bytes()));
        let memo = Memo::new(&self.layout, "files", &root);
        let mut digests: Digests = memo.read().unwrap_or_default();
        let graph = graph::graph(&self.targets, &self.images(), &mut digests);
        if digests.is_new {
            memo.write(&digests);
        }
        let past: Vec<BuildSteps> =
            steps::all(&self.layout).into_iter().filter(|past| past.builder == self.engine.builder).collect();
        let before = before(&self.layout, &past, &graph);
        let stored = self.read.iter().filter_map(|dir| stored(dir)).flatten().collect();
        let records = records.join().ok().and_then(Result::ok);
        let ids = ids(records.as_deref().unwrap_or_default());
        let forgets = !self.engine.capabilities().keeps_results_when_pruned;
        let forgotten = forgets.then(|| steps::forgotten(&past, &ids)).flatten();
        let holds = |step: &GraphStep, ran: Option<&StepOutcome>| {
            let is_later = |build: &str| {
                let mut later = past.iter().take_while(|past| past.build.as_str() > build);
                later.any(|past| past.steps.iter().any(|done| done.is_done && done.key == step.key))
            };
            forgotten.is_none_or(is_later)
                && records.as_ref().is_none_or(|records| records.iter().any(|record| made(record, step, ran)))
        };
        let known =
            Known { graph: &graph, past: &past, before: before.as_deref(), stored: &stored, holds: &holds };
        let files: BTreeMap<_, _> =
            self.targets.iter().map(|target| (target.name.clone(), target.file.clone())).collect();
        let forecast = forecast::forecast(&known, files.clone());
        Found { graph, files, past, before, records: ids, forecast }
    }

    /// What the images that stages stand upon are to BuildKit: their layers, and what a RUN inherits of their configuration (an image that has
    /// just another label is the same, measured). A builder that sees the daemon's images takes them from there; of others only the
    /// registry knows, and the name stands for it.
    fn images(&self) -> BTreeMap<String, String> {
        let names: Vec<String> = graph::images(&self.targets).into_iter().collect();
        if names.is_empty() || !self.engine.capabilities().sees_local_images {
            return BTreeMap::new();
        }
        let Ok(sh) = Shell::new() else { return BTreeMap::new() };
        let asked = names.clone();
        let format = "{{range .RepoTags}}{{.}} {{end}}\t{{json .RootFS.Layers}}{{json .Config.Env}}{{json .Config.User}}{{json .Config.WorkingDir}}{{json .Config.OnBuild}}";
        let Ok(answer) = ask::ask(
            cmd!(sh, "docker image inspect --format {format} {asked...}").quiet(),
            Duration::from_secs(10),
        ) else {
            return BTreeMap::new();
        };
        let mut found = BTreeMap::new();
        for line in answer.stdout.lines() {
            let (tags, made_of) = line.split_once('\t').unwrap_or_default();
            let id = format!("{:x}", Sha256::digest(made_of))[..12].to_owned();
            for name in names.iter().filter(|name| {
                tags.split(' ').any(|tag| tag == *name || tag.strip_suffix(":latest") == Some(name))
            }) {
                found.insert(name.clone(), id.clone());
            }
        }
        found
    }
}

/// Those of steps' results, short.
fn ids(records: &[usage::Record]) -> Vec<String> {
    // Of a context there is one more for a while.
    let is_result = |record: &&usage::Record| {
        record.kind == "regular" && !record.mutable && !record.description.starts_with("local source")
    };
    let results = records.iter().filter(is_result);
    let mut ids: Vec<String> = results.map(|record| record.id.chars().take(7).collect()).collect();
    ids.sort();
    ids
}

/// Whether a record of the builder is the result of a step: made by its command at the time at which it ran last. Of one that never ran
/// here nothing tells when.
fn made(record: &usage::Record, step: &GraphStep, ran: Option<&StepOutcome>) -> bool {
    const SLACK: Duration = Duration::from_secs(5);
    let squeeze = |text: &str| text.chars().filter(|c| !c.is_whitespace()).take(80).collect::<String>();
    let fits = if step.text.to_ascii_uppercase().starts_with("RUN") {
        let command = squeeze(step.parts.get("command").map_or("", String::as_str));
        let (_, made_by) = record.description.split_once(" from exec ").unwrap_or_default();
        record.kind != "exec.cachemount"
            && !made_by.is_empty()
            && (command.starts_with("<<")
                || command.starts_with('[')
                || made_by.chars().filter(|c| !c.is_whitespace()).collect::<String>().contains(&command))
    } else {
        let keyword = step.text.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
        record.description.contains(&format!("] {keyword} "))
    };
    let within = |(from, to): (jiff::Timestamp, jiff::Timestamp)| {
        record.created.is_none_or(|created| created >= from - SLACK && created <= to + SLACK)
    };
    fits && ran.and_then(|ran| ran.ran).is_none_or(within)
}

/// Keys of the steps whose layers a generation of the store has.
fn stored(dir: &Path) -> Option<BTreeSet<String>> {
    let entry: Entry = serde_json::from_slice(&std::fs::read(dir.join("entry.json")).ok()?).ok()?;
    Some(entry.steps.into_iter().collect())
}

/// The graph of the newest build that had all these targets.
fn before(layout: &Layout, past: &[BuildSteps], graph: &[GraphStep]) -> Option<Vec<GraphStep>> {
    let targets: BTreeSet<&str> = graph.iter().map(|step| step.target.as_str()).collect();
    let has_all = |past: &&BuildSteps| {
        let of: BTreeSet<&str> = past.steps.iter().map(|step| step.target.as_str()).collect();
        targets.is_subset(&of)
    };
    past.iter().filter(has_all).find_map(|past| steps::graph(layout, &past.build))
}
