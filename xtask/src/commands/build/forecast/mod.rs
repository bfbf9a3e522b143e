//! Makes the forecast of a build in a thread. The build itself doesn't wait for it.

mod cached_results;
mod images;
mod server_versions;
mod stage_key;
mod step_outcomes;
mod targets;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use xshell::Shell;

use self::images::ImagesQuery;
use super::run::Expected;
use crate::base_image::InEngine;
use crate::engine::{Driver, Engine, disk_usage};
use crate::forecast;
use crate::forecast::processors::Processors;
use crate::forecast::unnoticed;
use crate::forecast::{Forecast, ForecastInputs, PredictedState, StoredKeys};
use crate::layout::Layout;
use crate::live::SharedForecast;
use crate::memo::Memo;
use crate::plan::build::Plan;
use crate::plan::build_facts::BuildFacts;
use crate::plan::options::BuildOptions;
use crate::project::context::Digests;
use crate::project::dockerfile::Dockerfile;
use crate::project::graph::{self, GraphStep, KnownImage, RemoteFacts, TargetFacts};
use crate::project::remote::Server;
use crate::record::forgotten;
use crate::record::record_ids::RecordIds;
use crate::record::steps::{self, BuildSteps, StepOutcome};
use crate::redact::Redactor;
use crate::session::Session;
pub(super) use cached_results::stored_entry;
pub(super) use stage_key::stage_key;
pub(super) use step_outcomes::StepOutcomes;

/// A build that is expected to be all cached and ends sooner had everything. The query of the
/// builder would take just as long, and slow it down.
const SOON: Duration = Duration::from_millis(800);
/// The same for a build whose inputs are those of the last one.
const LATER: Duration = Duration::from_secs(5);

/// The input of the thread.
struct ForecastQuery {
    layout: Layout,
    engine: Engine,
    /// The images that the engine was asked for, so that it is not asked again.
    in_engine: InEngine,
    dir: PathBuf,
    targets: Vec<TargetFacts>,
    read: Vec<PathBuf>,
    /// The start time of the build.
    begun: Timestamp,
    /// Redacts the graph, which is recorded and shown.
    redactor: Redactor,
    /// A channel that closes at the end of the build; `None` without a build.
    build: Option<Receiver<()>>,
    /// When the builder is asked if all steps are expected to be cached.
    patience: Duration,
}

/// The result of the thread.
pub(super) struct ForecastResult {
    /// The builder's name in records.
    builder: String,
    /// The graph of the build.
    pub graph: Vec<GraphStep>,
    pub files: BTreeMap<String, Dockerfile>,
    /// Earlier builds, newest first.
    pub past: Vec<BuildSteps>,
    /// The graph of the latest of them with these targets.
    pub before: Option<Vec<GraphStep>>,
    /// The builder's records.
    record_ids: RecordIds,
    pub forecast: Forecast,
}

/// A forecast in progress.
pub(super) struct ForecastTask {
    /// Set as soon as the forecast is known.
    pub forecast_slot: SharedForecast,
    thread: JoinHandle<ForecastResult>,
    /// The build's end of the channel.
    build: Sender<()>,
}

impl ForecastTask {
    /// Starts the thread.
    pub(super) fn begin(
        session: &Session,
        facts: &BuildFacts,
        options: &BuildOptions,
        plan: &Plan,
        expected: Expected,
    ) -> Self {
        let forecast_slot = SharedForecast::default();
        let (build, heard) = mpsc::channel();
        let question = ForecastQuery {
            layout: session.layout.clone(),
            engine: facts.engine.clone(),
            in_engine: facts.in_engine.clone(),
            dir: facts.declaration.dir.clone(),
            targets: targets::targets(facts, options, plan),
            read: plan.targets.iter().flat_map(|target| target.read.iter().cloned()).collect(),
            begun: session.host.now,
            redactor: session.redactor.clone(),
            build: (!options.dry_run).then_some(heard),
            patience: if expected == Expected::Nothing { LATER } else { SOON },
        };
        let slot = Arc::clone(&forecast_slot);
        let thread = std::thread::spawn(move || question.answer(&slot));
        Self { forecast_slot, thread, build }
    }

    /// Waits for the result. Returns `None` if the forecast failed, which doesn't affect the build.
    pub(super) fn end(self) -> Option<ForecastResult> {
        drop(self.build);
        self.thread.join().ok()
    }
}

impl ForecastQuery {
    fn answer(mut self, slot: &SharedForecast) -> ForecastResult {
        let begun = Instant::now();
        // Without a build it slows down nothing.
        let early = self.build.is_none().then(|| {
            let builder = self.engine.builder.clone();
            std::thread::spawn(move || disk_usage::read(&Shell::new()?, &builder, disk_usage::Which::Results))
        });
        // The engine answers while the files are read.
        let is_asked = self.engine.capabilities().sees_local_images;
        let asked = is_asked.then(|| ImagesQuery::start(&self.targets, self.in_engine.clone()));
        let root = format!("{:x}", Sha256::digest(self.dir.to_string_lossy().as_bytes()));
        let memo = Memo::new(&self.layout, "files", &root);
        let mut digests: Digests = memo.read().unwrap_or_default();
        let builder = self.engine.recorded();
        let past: Vec<BuildSteps> =
            steps::all(&self.layout).into_iter().filter(|past| past.builder == builder).collect();
        let images = asked.map(ImagesQuery::answer).unwrap_or_default();
        graph::inherit(&mut self.targets, &images);
        let mut graph = self.graph(&images, &mut digests);
        graph.iter_mut().for_each(|step| step.redact(&self.redactor));
        if digests.is_new {
            memo.write(&digests);
        }
        let targets = graph.iter().map(|step| step.target.as_str()).collect();
        let before =
            steps::newest_with(&past, &targets).and_then(|past| steps::graph(&self.layout, &past.build));
        unnoticed::find(&mut graph, before.as_deref().unwrap_or_default());
        let files = self.targets.iter().map(|target| (target.name.clone(), target.file.clone())).collect();
        let mut found = ForecastResult {
            builder,
            graph,
            files,
            past,
            before,
            record_ids: RecordIds::default(),
            forecast: Forecast::default(),
        };
        let mut stored = StoredKeys::default();
        self.read.iter().for_each(|dir| cached_results::add_stored(dir, &mut stored));
        let records = match early {
            Some(thread) => thread.join().unwrap_or_else(|_| bail!("the query failed")).map(Some),
            None => {
                found.forecast = self.forecast(&found, &stored, None);
                let _ = slot.provisional.set(found.forecast.clone());
                let mut steps = found.forecast.steps.iter();
                let is_cached = steps.all(|step| step.forecast.state == PredictedState::Cached);
                self.records(if is_cached {
                    self.patience.saturating_sub(begun.elapsed())
                } else {
                    Duration::ZERO
                })
            }
        };
        let records = match records {
            Ok(None) => return found,
            // The build reports problems of the builder.
            answered => answered.ok().flatten(),
        };
        if let Some(records) = &records {
            found.record_ids = cached_results::ids(records, self.begun);
        }
        found.forecast = self.forecast(&found, &stored, records.as_deref());
        let _ = slot.confirmed.set(found.forecast.clone());
        found
    }

    /// Returns the graph, with versions from servers. A builder elsewhere may see other servers,
    /// and a container is its own `localhost`.
    fn graph(&self, images: &BTreeMap<String, KnownImage>, digests: &mut Digests) -> Vec<GraphStep> {
        let unknown = BTreeMap::new();
        let graph = graph::graph(&self.targets, RemoteFacts { images, versions: &unknown }, digests);
        if !self.engine.is_here {
            return graph;
        }
        let has_own_loopback = self.engine.driver == Driver::DockerContainer;
        let is_known = |server: &Server<'_>| !(has_own_loopback && server.is_loopback());
        let versions = server_versions::ask(&self.layout, self.begun, &self.redactor, &graph, &is_known);
        if versions.is_empty() {
            return graph;
        }
        graph::graph(&self.targets, RemoteFacts { images, versions: &versions }, digests)
    }

    /// Returns the builder's records after a delay, or `None` if the build ends first.
    fn records(&self, patience: Duration) -> Result<Option<Vec<disk_usage::Record>>> {
        let is_on = |patience: Duration| {
            self.build
                .as_ref()
                .is_none_or(|build| build.recv_timeout(patience) == Err(RecvTimeoutError::Timeout))
        };
        if !is_on(patience) {
            return Ok(None);
        }
        disk_usage::read_while(&Shell::new()?, &self.engine.builder, disk_usage::Which::Results, &|| {
            is_on(Duration::ZERO)
        })
    }

    /// Makes the forecast with these records of the builder. Without records it assumes that none
    /// was removed.
    fn forecast(
        &self,
        found: &ForecastResult,
        stored: &StoredKeys,
        records: Option<&[disk_usage::Record]>,
    ) -> Forecast {
        let forgets = self.engine.capabilities().forgets_results_after_prune;
        let forgotten = forgets.then(|| forgotten::forgotten(&found.past, &found.record_ids)).flatten();
        let on_images = graph::on_images(&found.graph);
        let holds = |step: &GraphStep, ran: Option<&StepOutcome>| {
            let forgotten = forgotten.filter(|_| on_images.contains(step.key.as_str()));
            let is_later = |build: &str| {
                let mut later = found.past.iter().take_while(|past| past.build.as_str() > build);
                later.any(|past| past.has(&step.key))
            };
            forgotten.is_none_or(is_later)
                && records.is_none_or(|records| {
                    records.iter().any(|record| cached_results::made(record, step, ran, &self.redactor))
                })
        };
        let known = ForecastInputs {
            graph: &found.graph,
            past: &found.past,
            before: found.before.as_deref(),
            stored,
            processors: Processors(self.engine.processors),
            holds: &holds,
        };
        forecast::forecast(&known, found.files.clone())
    }
}
