//! Decides whether a build has anything to do. If its inputs are those of the last successful build
//! of the same targets, and the engine has the images of that build, bake is not called.
//!
//! A build that BuildKit would do differently must never count as up to date. The check is
//! therefore stricter than BuildKit: whole contexts count, nothing may come from elsewhere
//! ([`lookups`]), and bake is called in case of doubt, or if a result has to be saved
//! ([`up_to_date::lacks_a_result`]). Results that the builder has dropped do not count, because the
//! images exist and have the same inputs.

use std::collections::BTreeMap;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use super::build_inputs::{FileDigests, MadeOf};
use super::forecast::StepOutcomes;
use super::run::Expected;
use crate::engine::images::ImagesQuery;
use crate::exec::bake;
use crate::outcome::{BuildReport, BuildResult};
use crate::plan::build::Plan;
use crate::plan::build_facts::BuildFacts;
use crate::plan::options::BuildOptions;
use crate::plan::up_to_date;
use crate::process::stdio::errln;
use crate::progress::lookups;
use crate::progress::trace::Trace;
use crate::project::input_files::InputFiles;
use crate::record::Record;
use crate::record::inputs::{self, BuildInputs};
use crate::session::Session;

/// The number of bytes that are read before bake is called instead: reading them takes 0.25 s.
const READ_BEFORE: u64 = 64 << 20;
/// The number of bytes that are read during a build, for the next one.
const READ_DURING: u64 = 1 << 30;

/// The build that this one may repeat. The engine lists its images while the facts are read.
pub(super) struct Candidate {
    question: String,
    before: Option<(BuildInputs, Option<ImagesQuery>)>,
}

/// The result of the check.
pub(super) enum Verdict {
    /// Nothing is to be done: the inputs and the report of the equal build.
    Repeat(BuildInputs, Box<BuildReport>),
    /// Bake is called. Meanwhile, the watch finds out whether the next build may skip it.
    Ask(Option<Watch>, Expected),
}

/// The inputs of a running build.
pub(super) struct Watch {
    question: String,
    made_of: MadeOf,
    stamp: String,
    digest: JoinHandle<Option<String>>,
}

impl Candidate {
    /// Looks for it, unless bake is called anyway. `--check` calls bake to check the images, too.
    pub(super) fn find(session: &Session, options: &BuildOptions) -> Self {
        let words = format!("{:?} {:?}", options.files, options.targets);
        let question = format!("{:x}", Sha256::digest(words));
        if options.dry_run || up_to_date::asked_for(&unchecked(options)).is_some() {
            return Self { question, before: None };
        }
        let before = inputs::newest(&session.layout, &question).and_then(|inputs| {
            let ask = || ImagesQuery::start(session, inputs.images().map(|(name, _)| name));
            let query = (!options.check).then(ask).transpose().ok()?;
            Some((inputs, query))
        });
        Self { question, before }
    }

    pub(super) fn check(
        self,
        session: &Session,
        facts: &BuildFacts,
        options: &BuildOptions,
        plan: &Plan,
    ) -> Verdict {
        // After a check, the next build may have nothing to do.
        let excluded = up_to_date::excluded(facts, &unchecked(options), plan);
        if let Some(why) = excluded.or_else(|| up_to_date::excluded_variable(&session.host)) {
            say(session, &why);
            return Verdict::Ask(None, Expected::Unknown);
        }
        let watched = MadeOf::new(session, facts, options, plan).and_then(|made_of| {
            let files = made_of.look()?;
            Ok((made_of, files))
        });
        let (made_of, files) = match watched {
            Ok(found) => found,
            Err(error) => {
                say(session, &format!("{error:#}"));
                return Verdict::Ask(None, Expected::Unknown);
            }
        };
        let mut digests = FileDigests::new(session, facts);
        let mut expected = Expected::Unknown;
        match self.before.map(|before| repeated(session, plan, &made_of, &files, &mut digests, before)) {
            Some(Ok(_)) if options.check => expected = Expected::Nothing,
            Some(Ok((inputs, report))) => return Verdict::Repeat(inputs, Box::new(report)),
            Some(Err(error)) => say(session, &format!("{error:#}")),
            None => {}
        }
        Verdict::Ask(Watch::begin(self.question, made_of, files, digests), expected)
    }
}

/// Returns the options without `--check`.
fn unchecked(options: &BuildOptions) -> BuildOptions {
    BuildOptions { check: false, ..options.clone() }
}

/// Prints with `-v` why bake is called.
fn say(session: &Session, why: &str) {
    if session.globals.verbose {
        errln!("BuildKit is asked: {}", session.redactor.text(why));
    }
}

/// Returns the earlier build that equals this one, and its report.
///
/// # Errors
/// Says why the build has something to do.
fn repeated(
    session: &Session,
    plan: &Plan,
    made_of: &MadeOf,
    files: &InputFiles,
    digests: &mut FileDigests,
    (inputs, query): (BuildInputs, Option<ImagesQuery>),
) -> Result<(BuildInputs, BuildReport)> {
    let made =
        |name: &str| (inputs.targets.get(name).cloned(), inputs.steps.get(name).cloned().unwrap_or_default());
    if up_to_date::lacks_a_result(plan, made) {
        bail!("the store lacks a result");
    }
    let unread = files.unread_bytes(&digests.digests);
    if unread > READ_BEFORE {
        bail!("{unread} bytes of files are not known yet");
    }
    if made_of.rest != inputs.rest {
        bail!("the declaration, an option, an argument or the engine changed");
    }
    if digests.digest(files)? != inputs.files {
        bail!("a file changed");
    }
    let ids = query.map(ImagesQuery::ids).transpose()?;
    for ((name, digest), id) in inputs.images().zip(ids.into_iter().flatten()) {
        if digest != id {
            bail!("`{name}` is another image now");
        }
    }
    let report = inputs::report(&session.layout, &inputs.build).context("the last build left no report")?;
    if !matches!(report.result, BuildResult::Built | BuildResult::Cached) {
        bail!("the last build failed");
    }
    Ok((inputs, report))
}

impl Watch {
    /// Begins to read the files. Returns `None` if they are too large, or still being written.
    fn begin(question: String, made_of: MadeOf, files: InputFiles, mut memory: FileDigests) -> Option<Self> {
        if files.unread_bytes(&memory.digests) > READ_DURING {
            return None;
        }
        std::thread::sleep(files.settles_in(SystemTime::now())?);
        let stamp = files.stamp();
        let digest = std::thread::spawn(move || memory.digest(&files).ok());
        Some(Self { question, made_of, stamp, digest })
    }

    /// Records the inputs of a successful build. In case of doubt, the next build calls bake, too.
    pub(super) fn keep(
        self,
        session: &Session,
        plan: &Plan,
        record: &Record,
        trace: &Trace,
        outcomes: &StepOutcomes,
    ) {
        match self.inputs(plan, trace, outcomes) {
            Ok(inputs) => {
                let names = inputs.targets.keys();
                let steps = names.map(|name| (name.clone(), outcomes.keys(name).exact)).collect();
                record.inputs(&BuildInputs { steps, ..inputs });
            }
            Err(error) => say(session, &format!("next time as well, since {error:#}")),
        }
    }

    fn inputs(self, plan: &Plan, trace: &Trace, outcomes: &StepOutcomes) -> Result<BuildInputs> {
        if outcomes.are_doubtful() {
            bail!("BuildKit may notice a change of a file later");
        }
        // The next build must not repeat the warnings of this one.
        if trace.is_repeated {
            bail!("the call was repeated without a damaged cache");
        }
        let digest = self.digest.join().ok().flatten().context("a file could not be read")?;
        if self.made_of.look()?.stamp() != self.stamp {
            bail!("a file was written while the build ran");
        }
        let names: Vec<String> = plan.targets.iter().map(|target| target.name.clone()).collect();
        let read = lookups::images(trace, &names)
            .map_err(|name| anyhow::anyhow!("BuildKit looked elsewhere: {name}"))?;
        let (targets, made) = made(&plan.metadata, &names)?;
        Ok(BuildInputs {
            question: self.question,
            files: digest,
            rest: self.made_of.rest,
            read,
            made,
            targets,
            warnings: trace.warnings.clone(),
            ..BuildInputs::new(&plan.build)
        })
    }
}

/// Returns the digest of each target's image, and of each name of the images. An image without a
/// name has its digest as its name.
fn made(metadata: &Path, targets: &[String]) -> Result<(BTreeMap<String, String>, BTreeMap<String, String>)> {
    let digests = bake::digests(metadata);
    let mut made = BTreeMap::new();
    for target in targets {
        let digest = digests.get(target).with_context(|| format!("bake gave no digest of `{target}`"))?;
        let names = bake::image_names(metadata, target);
        let names = names.iter().filter(|name| !name.contains('@')).cloned();
        let before = made.len();
        made.extend(names.map(|name| (name, digest.clone())));
        if made.len() == before {
            made.insert(digest.clone(), digest.clone());
        }
    }
    Ok((digests, made))
}
