//! What a build is made of and what it will cost, found in a thread beside the build's own start, which waits for none of it.

mod held;
mod targets;
mod told;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use sha2::{Digest, Sha256};
use xshell::{Shell, cmd};

use crate::cache::memo::Memo;
use crate::cli::Session;
use crate::engine::{Engine, ask, usage};
use crate::layout::Layout;
use crate::plan::build::{Facts, Plan};
use crate::plan::forecast::{self, Forecast, Known};
use crate::plan::options::BuildOptions;
use crate::plan::processors::Processors;
use crate::project::context::Digests;
use crate::project::dockerfile::Dockerfile;
use crate::project::graph::{self, GraphStep, TargetFacts};
use crate::record::steps::{self, BuildSteps, StepOutcome};
use crate::report::watch::Foreseen;
pub(super) use told::Told;

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
        let question = Question {
            layout: session.layout.clone(),
            engine: facts.engine.clone(),
            dir: facts.declaration.dir.clone(),
            targets: targets::targets(facts, options),
            read: plan.targets.iter().flat_map(|target| target.read.iter().cloned()).collect(),
        };
        let told = Arc::clone(&foreseen);
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
        let targets = graph.iter().map(|step| step.target.as_str()).collect();
        let before =
            steps::newest_with(&past, &targets).and_then(|past| steps::graph(&self.layout, &past.build));
        let stored = self.read.iter().filter_map(|dir| held::stored(dir)).flatten().collect();
        let records = records.join().ok().and_then(Result::ok);
        let ids = held::ids(records.as_deref().unwrap_or_default());
        let forgets = !self.engine.capabilities().keeps_results_when_pruned;
        let forgotten = forgets.then(|| steps::forgotten(&past, &ids)).flatten();
        let holds = |step: &GraphStep, ran: Option<&StepOutcome>| {
            let is_later = |build: &str| {
                let mut later = past.iter().take_while(|past| past.build.as_str() > build);
                later.any(|past| past.has(&step.key))
            };
            forgotten.is_none_or(is_later)
                && records
                    .as_ref()
                    .is_none_or(|records| records.iter().any(|record| held::made(record, step, ran)))
        };
        let known = Known {
            graph: &graph,
            past: &past,
            before: before.as_deref(),
            stored: &stored,
            processors: Processors(self.engine.processors),
            holds: &holds,
        };
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
