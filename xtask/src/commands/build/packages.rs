//! Asks for the versions of Debian packages at most once a day, and stores the answer with the
//! other facts about an image. Without an answer the last one is used, so that nothing changes. An
//! answer whose inputs and mirror are unchanged is renewed without the builder.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use jiff::{SignedDuration, Timestamp};

use super::forecast::stage_key;
use super::package_mirror::PackageMirror;
use crate::exec::scratch::Scratch;
use crate::exec::steps;
use crate::files;
use crate::plan::build_facts::BuildFacts;
use crate::plan::options::BuildOptions;
use crate::plan::packages as planned;
use crate::process::stdio::errln;
use crate::process::{query, signals};
use crate::project::release_files::ReleaseFile;
use crate::project::{packages, release_files};
use crate::session::Progress;
use crate::session::Session;
use crate::step::Step;
use crate::store::fresh::{Packages, Sources};

/// The lifetime of an answer.
const DAY: SignedDuration = SignedDuration::from_hours(24);
/// The delay before a mirror without an answer is asked again.
const PAUSE: SignedDuration = SignedDuration::from_hours(1);
/// The timeout for the answer. On a new machine the packages are downloaded.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(300);

/// Adds the known versions to each target that installs packages. Asks for those that are older
/// than a day.
pub(super) fn resolve(session: &Session, options: &BuildOptions, facts: &mut BuildFacts) -> Result<()> {
    let mut mirror = PackageMirror::default();
    for name in facts.names.clone() {
        let Some(fresh) = facts.fresh.get(&name) else { continue };
        let Some(source) = &fresh.source else { continue };
        if !packages::is_asked_for(&facts.declaration.targets[&name], &source.file, &fresh.inputs) {
            continue;
        }
        let known = fresh.file.platforms.get(&fresh.platform).and_then(|known| known.packages.clone());
        // Imported versions are checked like the mirror's own answer.
        let known = known.filter(|known| packages::is_value(&known.versions));
        let answer = current(session, options, facts, &mut mirror, (&name, known))?;
        if let Some(answer) = answer {
            facts.packages.insert(name, answer.versions);
        }
    }
    Ok(())
}

/// Returns the versions to build with.
fn current(
    session: &Session,
    options: &BuildOptions,
    facts: &mut BuildFacts,
    mirror: &mut PackageMirror,
    (name, known): (&str, Option<Packages>),
) -> Result<Option<Packages>> {
    let now = session.host.now;
    if !known.as_ref().is_none_or(|known| known.is_due(now)) {
        return Ok(known);
    }
    // Without its base image the stage cannot be built yet. The next build asks.
    if facts.base.as_ref().is_some_and(|base| !base.steps.is_empty()) {
        return Ok(known);
    }
    if options.locked {
        facts.secrets.warnings.extend(known.as_ref().map(|known| unasked(known, "`--locked` keeps them")));
        return Ok(known);
    }
    let key = stage_key(session, facts, options, name, (packages::STAGE, packages::ARG));
    if let Some(known) = &known {
        match renewed(session, mirror, known, key.as_deref()) {
            Ok(answer) => {
                remember(facts, name, &answer);
                return Ok(Some(answer));
            }
            Err(why) => {
                signals::check()?;
                say(session, &format!("the builder asks the package mirror: {why:#}"));
            }
        }
    }
    let answer = match ask(session, options, facts, name) {
        Ok((versions, files)) => {
            // A URL with a secret stays out of the store.
            let is_open = |url: &str| session.redactor.text(url) == url;
            let files = files.filter(|files| files.iter().all(|file| is_open(&file.url)));
            let sources = key.zip(files).map(|(key, files)| Sources { key, files });
            Packages { versions, asked: now, next: now + DAY, sources }
        }
        Err(error) => {
            signals::check()?;
            let mut kept = known.unwrap_or_default();
            facts.secrets.warnings.push(unasked(&kept, &format!("the mirror did not answer: {error:#}")));
            kept.next = now + PAUSE;
            kept
        }
    };
    remember(facts, name, &answer);
    Ok(Some(answer).filter(|answer| !answer.versions.is_empty()))
}

/// Returns the answer for another day.
///
/// # Errors
///
/// Says why the builder has to be asked.
fn renewed(
    session: &Session,
    mirror: &mut PackageMirror,
    known: &Packages,
    key: Option<&str>,
) -> Result<Packages> {
    let sources = known.sources.as_ref().context("the Release files of the last answer are unknown")?;
    ensure!(key == Some(&sources.key), "the stage `{}` changed", packages::STAGE);
    mirror.check(&session.host, &sources.files)?;
    say(session, "the package mirror is unchanged");
    let now = session.host.now;
    Ok(Packages { asked: now, next: now + DAY, ..known.clone() })
}

/// Prints a line with `-v`.
fn say(session: &Session, line: &str) {
    if session.globals.verbose {
        errln!("{}", session.redactor.text(line));
    }
}

fn unasked(known: &Packages, why: &str) -> String {
    if known.versions.is_empty() {
        return format!("the versions of Debian packages are unknown; {why}");
    }
    let day = known.asked.strftime("%Y-%m-%d");
    format!("using the versions of Debian packages of {day}; {why}")
}

/// The versions, and the Release files that they are from.
type Answer = (String, Option<Vec<ReleaseFile>>);

/// Asks in a separate scratch directory: a plan has none, and a build's must stay empty.
fn ask(session: &Session, options: &BuildOptions, facts: &mut BuildFacts, name: &str) -> Result<Answer> {
    let scratch = Scratch::new(&session.layout, session.host.now, "packages")?;
    let own = std::mem::replace(&mut facts.scratch, scratch.dir().to_path_buf());
    let answer = ask_builder(session, options, facts, name);
    facts.scratch = own;
    answer
}

/// Builds the stage and reads its files.
fn ask_builder(session: &Session, options: &BuildOptions, facts: &BuildFacts, name: &str) -> Result<Answer> {
    if session.globals.progress != Progress::Quiet && !session.globals.json {
        errln!("asking the package mirror for updates");
    }
    let dest = facts.scratch.join("packages").join(name);
    let nonce = format!("{}.{}", facts.nonce.at, facts.nonce.value);
    let (before, command) = planned::question(facts, options, name, &nonce, &dest);
    steps::run(&before, session.globals.verbose)?;
    if session.globals.verbose {
        errln!("$ {}", command.to_shell());
    }
    let answer =
        query::start_process(steps::to_process(&command), command.to_shell())?.answer(ANSWER_TIMEOUT)?;
    let text = fs::read_to_string(dest.join(packages::STAGE));
    if !answer.success {
        return Err(anyhow!("{}", reason(&answer.stderr)));
    }
    // A version without a file is reported, or the next build would be the first to notice.
    lines(&answer.stderr, "WARNING: packages:").for_each(|line| errln!("warning: {line}"));
    let versions = packages::value(&text.context("failed to read the answer")?)?;
    let releases = files::read_text(&dest.join(release_files::FILE)).ok();
    Ok((versions, releases.and_then(|text| release_files::parse(&text))))
}

/// Returns the message of the script, or the last line of the builder.
fn reason(output: &str) -> String {
    let own = lines(output, "ERROR: ").next();
    own.or_else(|| output.lines().rfind(|line| !line.trim().is_empty()).map(str::to_owned))
        .unwrap_or_default()
}

/// Returns the log lines that begin with these words after the builder's prefix.
fn lines<'a>(output: &'a str, words: &'a str) -> impl Iterator<Item = String> + 'a {
    output.lines().filter_map(move |line| {
        let (prefix, rest) = line.split_once(words)?;
        let is_log = prefix.starts_with('#') && prefix.len() < 24;
        is_log.then(|| rest.trim().to_owned())
    })
}

/// Stores the answer with the other facts about the image. After a failure the next build asks.
fn remember(facts: &mut BuildFacts, name: &str, answer: &Packages) {
    let Some(fresh) = facts.fresh.get_mut(name) else { return };
    fresh.file.platforms.entry(fresh.platform.clone()).or_default().packages = Some(answer.clone());
    if let (Some(path), Ok(json)) = (&fresh.path, serde_json::to_string(&fresh.file)) {
        steps::clean(&[Step::write("", path, json)]);
    }
}

impl Packages {
    /// Returns whether to ask the mirror, also after a wrong clock.
    fn is_due(&self, now: Timestamp) -> bool {
        now >= self.next || self.asked > now || self.next > now + DAY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + hours * 3600).unwrap()
    }

    #[test]
    fn an_answer_holds_for_a_day_and_no_clock_makes_it_last() {
        let known = Packages { versions: "a/1".into(), asked: at(0), next: at(24), sources: None };
        let due: Vec<bool> = [0, 23, 24, 25, -1].map(|hours| known.is_due(at(hours))).into();
        assert_eq!(due, [false, false, true, true, true]);
        let far = Packages { next: at(24 * 365), ..known };
        assert!(far.is_due(at(1)));
        assert!(Packages::default().is_due(at(0)));
    }

    #[test]
    fn the_script_s_own_message_is_the_reason() {
        let log = "#5 [resolve 1/1] RUN x\n#5 0.512 ERROR: failed to download the package lists\n\
            #5 ERROR: process \"/bin/sh\" did not complete\n------\nERROR: failed to solve";
        assert_eq!(reason(log), "failed to download the package lists");
        assert_eq!(reason("x\n\n"), "x");
        let warning = "#5 1.2 WARNING: packages: libfoo 2 is listed, but gone\nWARNING: packages: no log";
        assert_eq!(
            lines(warning, "WARNING: packages:").collect::<Vec<_>>(),
            ["libfoo 2 is listed, but gone"]
        );
    }
}
