//! Tests a built image. It is started in each relevant way ([`stage`]), and a table of checks
//! ([`checks`]) tests it over HTTP and by its commands. Each check and the run have a timeout.
//! Containers are always removed at the end. Limits: only the engine's own platform, and no load
//! tests.

pub(crate) mod assertions;
pub(crate) mod checks;
mod command_line;
pub(crate) mod docker;
pub(crate) mod extensions;
pub(crate) mod http;
pub(crate) mod image;
mod relay;
pub(crate) mod report;
mod requests;
mod runtime;
pub(crate) mod stage;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use jiff::Timestamp;

use crate::engine::problem::Problem;
use crate::error;
use crate::process::signals;
use crate::session::Session;
use checks::{Check, Scene, Verdict};
use docker::{Container, DOCKER_TIMEOUT, Docker, PortAccess, Start};
use extensions::ExtensionFacts;
use http::Request;
use image::Image;
use report::{Outcome, ProofState, Report};
use stage::{ROOT, STAGES, Scenario};

/// The image of the declaration's target `frankenphp`.
pub(crate) const DEFAULT_IMAGE: &str = "durango/frankenphp:latest";
/// The time after which no check starts, so that a run ends within three minutes.
const TOTAL: Duration = Duration::from_secs(130);
/// The timeout for a server's first answer.
const READY: Duration = Duration::from_secs(30);

/// Returns the image that a command names, or the one of this workspace's FrankenPHP declaration.
pub(crate) fn image_of(session: &Session, named: Option<&String>, command: &str) -> Result<String> {
    match named {
        Some(image) => Ok(image.clone()),
        None if session.layout.has_images() => Ok(DEFAULT_IMAGE.to_owned()),
        None => {
            Err(error::usage(format!("`{command}` needs an image\nname one: cargo xtask {command} IMAGE")))
        }
    }
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    pub image: String,
    /// Names of checks; empty for all.
    pub only: Vec<String>,
    /// Whether the containers are kept.
    pub keep: bool,
}

impl Options {
    fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }
}

/// Tests an image. Shows every outcome as soon as it is known.
pub(crate) fn run(session: &Session, options: &Options, show: &mut dyn FnMut(&Outcome)) -> Result<Report> {
    if session.host.which("docker").is_none() {
        return Err(Problem::NoDocker.into_error());
    }
    let docker = Docker { sh: &session.sh, verbose: session.globals.verbose };
    let endpoint =
        docker.must(&["context", "inspect", "--format", "{{.Endpoints.docker.Host}}"], DOCKER_TIMEOUT)?;
    let access = PortAccess::of(&endpoint)?;
    let image = Image::read(&docker, &options.image)?;
    if !image.config.is_frankenphp() {
        return Err(error::usage(format!(
            "`{}` is not a FrankenPHP image, and `smoke` has no checks for others\n\
             name another image: cargo xtask smoke IMAGE",
            options.image
        )));
    }
    let pages = stage::write_pages()?;
    let report = Report { image: options.image.clone(), ..Report::default() };
    let started = Instant::now();
    let mut run =
        Run { docker: &docker, image: &image, access, pages: pages.path(), options, started, report, show };
    for stage in STAGES {
        run.stage(stage)?;
    }
    let mut report = run.report;
    report.seconds = started.elapsed();
    if report.passed() {
        every_name_known(options, &report)?;
    }
    Ok(report)
}

/// A name in `--only` without a check is a typo. Extensions are known once their server has
/// started.
fn every_name_known(options: &Options, report: &Report) -> Result<()> {
    let unknown = |only: &&String| !report.checks.iter().any(|outcome| outcome.name == **only);
    match options.only.iter().find(unknown) {
        Some(name) => Err(error::usage(format!(
            "unknown check `{name}`\nrun smoke without `--only` to list the checks"
        ))),
        None => Ok(()),
    }
}

/// A run in progress.
struct Run<'a> {
    docker: &'a Docker<'a>,
    image: &'a Image,
    access: PortAccess,
    pages: &'a Path,
    options: &'a Options,
    started: Instant,
    report: Report,
    show: &'a mut dyn FnMut(&Outcome),
}

impl<'a> Run<'a> {
    fn stage(&mut self, stage: Scenario) -> Result<()> {
        signals::check()?;
        let mut checks: Vec<Check> = checks::all().into_iter().filter(|check| check.stage == stage).collect();
        if !self.is_needed(stage, &checks) {
            return Ok(());
        }
        if stage == Scenario::Declared {
            return self.checks(&checks, None, &ExtensionFacts::default());
        }
        let begun = Instant::now();
        let container = self.in_time().and_then(|()| self.start(stage));
        signals::check()?;
        let answers = container.as_ref().map(|_| Verdict::Ok("started, answers".into()));
        self.record(stage.start(), begun, answers.map_err(|error| anyhow!("{error:#}")));
        let Ok(container) = container else { return self.skip(&checks, &stage.start()) };
        let mut facts = ExtensionFacts::default();
        if stage == Scenario::Web {
            facts = self.ask_extensions(&container);
            checks.extend(extensions::checks(&facts));
        }
        self.checks(&checks, Some(&container), &facts)
    }

    /// Unknown names may be extensions, which are tested on the web stage.
    fn is_needed(&self, stage: Scenario, checks: &[Check]) -> bool {
        let all = checks::all();
        let is_extension = |only: &String| !all.iter().any(|check| check.name == *only);
        checks.iter().any(|check| self.options.wants(&check.name))
            || (stage == Scenario::Web && self.options.only.iter().any(is_extension))
    }

    /// Starts a container and waits until its server answers.
    fn start(&self, stage: Scenario) -> Result<Container<'a>> {
        let pages = self.pages.to_string_lossy();
        let run = self.pages.file_name().unwrap_or_default().to_string_lossy();
        let start = Start {
            name: format!("{run}-{}", stage.name()),
            image: &self.options.image,
            args: stage.args(),
            port: stage.port(),
            pages: stage.has_pages().then_some((&*pages, ROOT)),
            keep: self.options.keep,
        };
        let container = Container::start(self.docker, self.access, &start)?;
        let begun = Instant::now();
        loop {
            let answer = http::send(&container.http, &Request::get("/hello.php"), Duration::from_secs(5));
            match answer {
                Ok(_) => return Ok(container),
                Err(_) if !container.is_running() => return Err(container.exit_reason()),
                Err(error) if begun.elapsed() > READY => {
                    return Err(error.context("the server does not answer"));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(100)),
            }
            signals::check()?;
        }
    }

    /// Reads the extensions of PHP and of the image's list. It is recorded as a check, because all
    /// other checks of extensions depend on it.
    fn ask_extensions(&mut self, container: &Container<'_>) -> ExtensionFacts {
        let (begun, time) = (Instant::now(), Timestamp::now());
        let facts = extensions::ask(container).map_err(|error| container.explain(error, time));
        let seen = facts.as_ref().map_err(|error| anyhow!("{error:#}")).and_then(assertions::extensions);
        self.record("extensions".into(), begun, seen.map(Verdict::Ok));
        facts.unwrap_or_default()
    }

    fn in_time(&self) -> Result<()> {
        ensure!(
            self.started.elapsed() < TOTAL,
            "not started: the time limit of {} s is over",
            TOTAL.as_secs()
        );
        Ok(())
    }

    fn checks(
        &mut self,
        checks: &[Check],
        container: Option<&Container<'_>>,
        facts: &ExtensionFacts,
    ) -> Result<()> {
        for check in checks.iter().filter(|check| self.options.wants(&check.name)) {
            let (begun, time) = (Instant::now(), Timestamp::now());
            let scene = Scene { name: &check.name, image: self.image, container, facts };
            let verdict = self.in_time().and_then(|()| (check.run)(&scene));
            let explain = |error| match container.filter(|container| container.is_running()) {
                Some(container) => container.explain(error, time),
                None => error,
            };
            let verdict = verdict.map_err(explain);
            // A command that Ctrl-C ended proves nothing.
            signals::check()?;
            self.record(check.name.to_string(), begun, verdict);
        }
        Ok(())
    }

    fn skip(&mut self, checks: &[Check], needs: &str) -> Result<()> {
        for check in checks.iter().filter(|check| self.options.wants(&check.name)) {
            let verdict = Ok(Verdict::Skip(format!("it needs {needs}")));
            self.record(check.name.to_string(), Instant::now(), verdict);
        }
        Ok(())
    }

    fn record(&mut self, name: String, begun: Instant, verdict: Result<Verdict>) {
        let (state, detail) = match verdict {
            Ok(Verdict::Ok(seen)) => (ProofState::Ok, seen),
            Ok(Verdict::Skip(why)) => (ProofState::Skip, why),
            Err(error) => (ProofState::Fail, format!("{error:#}")),
        };
        let outcome = Outcome { name, state, detail, seconds: begun.elapsed() };
        (self.show)(&outcome);
        self.report.checks.push(outcome);
    }
}
