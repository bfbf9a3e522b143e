//! The daemon's configuration. A backup of the file is kept next to it. If the file has changed
//! since, only our settings are removed.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};

use super::{Changes, TextFile};
use crate::engine::builders;
use crate::engine::daemon_json::{self, BUILDKIT, CONTAINERD_STORE, Settings};
use crate::engine::facts as engine_facts;
use crate::engine::gc_limits::GcLimits;
use crate::host::Host;
use crate::provision::probe::chosen_place;
use crate::session::Session;
use crate::step::{Action, Step};

/// A variable with the path of another file: for a daemon with its own `--config-file`, and for
/// tests.
pub(crate) const PATH_VARIABLE: &str = "DURANGO_DAEMON_JSON";
const BACKUP: &str = "before-durango-setup";
/// The content of the backup if there was no file. It is not a valid daemon.json.
const NONE: &str = "# there was no file before `cargo xtask setup`\n";
const FEATURES: [&str; 2] = [BUILDKIT, CONTAINERD_STORE];

/// The facts about the daemon's configuration.
#[derive(Debug)]
pub(crate) struct DaemonFacts {
    pub file: TextFile,
    /// The backup of an earlier setup.
    pub backup: TextFile,
    /// Why this machine's daemon is not configured, if so.
    pub absent: Option<String>,
    /// The number of images that a change of the image store would hide.
    pub hidden: u64,
    /// Whether the daemon keeps less build cache than the images need.
    pub drops: bool,
    /// The command with which this user can write the file.
    pub as_root: String,
}

impl DaemonFacts {
    /// Reads the facts.
    pub(crate) fn read(session: &Session) -> Result<Self> {
        let host = &session.host;
        let (path, is_named) = (path(host), host.var(PATH_VARIABLE).is_some());
        let has_daemon =
            host.which("dockerd").is_some() || Path::new("/usr/sbin/dockerd").exists() || path.exists();
        let absent = match chosen_place(host) {
            _ if is_named => None,
            Some(place) => Some(format!("{place} is selected: configure the daemon there")),
            None => (!has_daemon).then(|| "no daemon is installed on this machine".to_owned()),
        };
        let info = engine_facts::info(session).filter(|info| absent.is_none() && !info.containerd_store());
        let extension = format!("json.{BACKUP}");
        Ok(Self {
            backup: TextFile::read(&path.with_extension(extension))?,
            file: TextFile::read(&path)?,
            hidden: info.map_or(0, |info| info.images),
            drops: absent.is_none() && drops(session),
            absent,
            as_root: as_root(host),
        })
    }
}

/// Returns the path of the daemon's configuration.
fn path(host: &Host) -> PathBuf {
    host.var(PATH_VARIABLE).map_or_else(|| daemon_json::PATH.into(), |path| host.absolute(path))
}

/// Returns whether it already has a limit of the build cache, which is not changed.
pub(crate) fn has_limit(host: &Host) -> bool {
    let text = std::fs::read_to_string(path(host)).unwrap_or_default();
    daemon_json::parse(&text).is_ok_and(|config| daemon_json::has_limit(&config))
}

/// An engine without a limit gets none: it keeps everything, and other projects may depend on that.
fn drops(session: &Session) -> bool {
    let own = session.host.which("docker").and_then(|_| builders::read(session, "default").ok().flatten());
    own.is_some_and(|instance| GcLimits::of(&instance.policy).lack(None).is_some())
}

/// Returns the command that does the same with root's rights, for the same home and the same file.
fn as_root(host: &Host) -> String {
    let exe = std::env::current_exe().unwrap_or_else(|_| "xtask".into());
    let home = host.home().map(|home| format!("HOME={}", home.display()));
    let named =
        host.var(PATH_VARIABLE).map(|path| format!("{PATH_VARIABLE}={}", host.absolute(path).display()));
    let words = ["sudo".to_owned(), "env".to_owned()].into_iter().chain(home).chain(named);
    shell_words::join(words.chain([exe.display().to_string(), "setup".to_owned()]))
}

/// Turns on the features, and sets the build cache's limit if the daemon's own is too small.
pub(crate) fn setup(facts: &DaemonFacts, changes: &mut Changes) -> Result<()> {
    if let Some(reason) = &facts.absent {
        changes.notes.push(format!("the daemon is not changed: {reason}"));
        return Ok(());
    }
    let text = facts.file.text.as_deref();
    let settings = Settings { features: &FEATURES, limit: facts.drops };
    let old = text.unwrap_or_default();
    let failed = |error| unreadable(facts, &error);
    let Some(new) = daemon_json::with(old, settings).map_err(failed)? else {
        return Ok(());
    };
    let config = daemon_json::parse(old).map_err(failed)?;
    if !facts.file.writable {
        changes.notes.push(format!(
            "{} is not writable for this user; run: {}",
            facts.file.path.display(),
            facts.as_root
        ));
        return Ok(());
    }
    if facts.backup.text.is_none() {
        let content = text.unwrap_or(NONE).to_owned();
        changes.steps.push(write("", &facts.backup.path, content, facts.file.mode));
    }
    let path = facts.file.path.display();
    let is_on = FEATURES.iter().all(|name| daemon_json::feature(&config, name) == Some(true));
    let raises = facts.drops && !daemon_json::has_limit(&config);
    let on = (!is_on).then_some("turning on BuildKit and the containerd image store");
    let up = raises.then_some("raising the limit of the build cache");
    let what: Vec<&str> = on.into_iter().chain(up).collect();
    let why = format!("{} in {path}", what.join(" and "));
    changes.steps.push(write(&why, &facts.file.path, new, facts.file.mode));
    changes.notes.push("restart the daemon for it to take effect: sudo systemctl restart docker".into());
    if facts.hidden > 0 {
        changes.notes.push(format!(
            "then the engine's {} images, which are in the classic image store, are hidden until `cargo \
             xtask setup --undo`",
            facts.hidden
        ));
    }
    Ok(())
}

/// Restores the file.
pub(crate) fn undo(facts: &DaemonFacts, changes: &mut Changes) -> Result<()> {
    let Some(backup) = facts.backup.text.as_deref() else { return Ok(()) };
    if !facts.file.writable || !facts.backup.writable {
        let path = facts.file.path.display();
        changes.notes.push(format!("{path} is not writable for this user; run: {} --undo", facts.as_root));
        return Ok(());
    }
    let original = (backup != NONE).then_some(backup);
    let before = original_or_rest(facts, original)?;
    if before.as_deref() != facts.file.text.as_deref() {
        let why = format!("putting {} back", facts.file.path.display());
        changes.steps.push(match before {
            Some(content) => write(&why, &facts.file.path, content, facts.file.mode),
            None => Step::remove(why, &facts.file.path),
        });
        changes.notes.push("restart the daemon for it to take effect: sudo systemctl restart docker".into());
    }
    changes.steps.push(Step::remove("", &facts.backup.path));
    Ok(())
}

/// Returns the original file, or the current one without the settings that setup added.
fn original_or_rest(facts: &DaemonFacts, original: Option<&str>) -> Result<Option<String>> {
    let Some(current) = facts.file.text.as_deref() else { return Ok(None) };
    let failed = |error| unreadable(facts, &error);
    let limit = daemon_json::has_our_limit(&daemon_json::parse(current).map_err(failed)?);
    let settings = Settings { features: &FEATURES, limit };
    let ours = daemon_json::with(original.unwrap_or_default(), settings).map_err(failed)?;
    if ours.as_deref() == Some(current) {
        return Ok(original.map(str::to_owned));
    }
    let rest = daemon_json::without(current, original.unwrap_or_default(), settings).map_err(failed)?;
    let is_empty =
        daemon_json::parse(&rest).is_ok_and(|value| value.as_object().is_some_and(|map| map.is_empty()));
    Ok((original.is_some() || !is_empty).then_some(rest))
}

fn unreadable(facts: &DaemonFacts, error: &anyhow::Error) -> anyhow::Error {
    anyhow!(
        "failed to read `{}`: {error}\nnothing was changed; correct it and retry",
        facts.file.path.display()
    )
}

fn write(why: &str, path: &Path, content: String, mode: u32) -> Step {
    let action = Action::Write { path: path.to_path_buf(), content, mode, secret: false };
    Step { why: why.to_owned(), action }
}
