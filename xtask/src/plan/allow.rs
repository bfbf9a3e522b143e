//! Checks which paths of this machine a foreign declaration uses. buildx has its own check since
//! 0.20, but not with the progress format that xtask reads (`rawjson`, seen in 0.29 and in its
//! sources of 2026), and earlier versions have none. So xtask checks by the same rules with every
//! buildx: everything below the declaration's directory and the current one is allowed, other paths
//! only if the user names them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::Value;

use super::options::BuildOptions;
use super::right::Right;
use crate::error::usage;
use crate::host::Host;
use crate::project::overrides::setting;
use crate::project::remote::is_remote;
use crate::project::secret_source::SecretSource;
use crate::project::secrets::Secrets;
use crate::project::typed_paths::is_bare_path;
use crate::project::{Declaration, Target};
use crate::text::csv;

/// Returns the rights that the user grants, with `--allow` and with paths in other options.
pub(crate) fn granted(
    declaration: &Declaration,
    options: &BuildOptions,
    given: &Secrets,
    host: &Host,
) -> Vec<Right> {
    let dir = &declaration.dir;
    let mut rights = options.allow.clone();
    rights.extend([Right::Read(dir.clone()), Right::Write(dir.clone())]);
    // A home directory is more than a project.
    if host.home().is_none_or(|home| !home.starts_with(&host.cwd)) {
        rights.extend([Right::Read(host.cwd.clone()), Right::Write(host.cwd.clone())]);
    }
    rights.extend(options.app.clone().map(Right::Read));
    // A list of certificates is not secret; `.netrc` is.
    rights.extend(given.ca_bundle.clone().map(Right::Read));
    for spec in &options.secrets {
        secret(dir, spec, &mut rights);
    }
    for output in &options.outputs {
        rights.extend(place(dir, &Value::from(output.as_str()), "dest").map(Right::Write));
    }
    for set in options.sets.iter().filter_map(|set| setting(set)) {
        let (value, text) = (set.value, Value::from(set.value));
        match set.key {
            "context" | "contexts" => rights.extend(source(dir, value).map(Right::Read)),
            "dockerfile" => rights.push(Right::Read(dir.join(value))),
            "secrets" => secret(dir, value, &mut rights),
            "ssh" => ssh(dir, &text, &mut rights),
            "cache-from" => rights.extend(place(dir, &text, "src").map(Right::Read)),
            "cache-to" | "output" => rights.extend(place(dir, &text, "dest").map(Right::Write)),
            "network" if value == "host" => rights.push(Right::Other("network.host".into())),
            "entitlements" => rights.push(Right::Other(value.to_owned())),
            _ => {}
        }
    }
    rights
}

/// Refuses a declaration that asks for more than the user grants, and names the options to grant
/// it.
pub(crate) fn check(declaration: &Declaration, names: &[String], granted: &[Right]) -> Result<()> {
    let mut lacking: BTreeSet<(Right, &str)> = BTreeSet::new();
    for name in names {
        let asked = asked(declaration, &declaration.targets[name]).into_iter();
        let is_lacking = |right: &Right| !granted.iter().any(|grant| right.is_in(grant));
        let asked: Vec<Right> = asked.filter(is_lacking).collect();
        // A right that another one includes is not listed.
        let is_own = |right: &&Right| !asked.iter().any(|other| other != *right && right.is_in(other));
        lacking.extend(asked.iter().filter(is_own).map(|right| (right.clone(), name.as_str())));
    }
    if lacking.is_empty() {
        return Ok(());
    }
    let line = |(right, name): &(Right, &str)| match right {
        Right::Read(path) => format!("  `{name}` reads `{}`\n", path.display()),
        Right::Write(path) => format!("  `{name}` writes `{}`\n", path.display()),
        Right::Other(right) => format!("  `{name}` uses {right}\n"),
    };
    let lines: String = lacking.iter().map(line).collect();
    let rights: BTreeSet<String> = lacking.iter().map(|(right, _)| right.to_option()).collect();
    let option = |right: &String| match right.split_once('=') {
        Some((right, at)) => format!("--allow {right}={}", shell_words::quote(at)),
        None => format!("--allow {right}"),
    };
    let options: Vec<String> = rights.iter().map(option).collect();
    let file = declaration.files.first().map(|file| file.display().to_string()).unwrap_or_default();
    Err(usage(format!(
        "`{file}` asks for more than its own directory:\n{lines}if you trust the file, allow it: {}",
        options.join(" ")
    )))
}

/// Returns the rights that a target asks for.
fn asked(declaration: &Declaration, target: &Target) -> BTreeSet<Right> {
    let dir = &declaration.dir;
    let context = target.context.as_deref().unwrap_or(".");
    let mut rights = Vec::new();
    for at in target.contexts.values().map(String::as_str).chain([context]) {
        rights.extend(source(dir, at).map(Right::Read));
    }
    rights.extend(declaration.dockerfile(target).map(Right::Read));
    target.secret.iter().for_each(|spec| secret(dir, &csv::line(spec), &mut rights));
    target.ssh.iter().for_each(|spec| ssh(dir, spec, &mut rights));
    for cache in &target.cache_from {
        rights.extend(place(dir, cache, "src").map(Right::Read));
    }
    for at in target.cache_to.iter().chain(&target.output) {
        rights.extend(place(dir, at, "dest").map(Right::Write));
    }
    let uses_host = target.network.as_deref() == Some("host");
    rights.extend(uses_host.then(|| Right::Other("network.host".to_owned())));
    rights.extend(target.entitlements.iter().cloned().map(Right::Other));
    rights.into_iter().map(Right::resolved).collect()
}

/// Returns the directory of a context, or `None` for a remote one.
fn source(dir: &Path, source: &str) -> Option<PathBuf> {
    if let Some(layout) = source.strip_prefix("oci-layout://") {
        let end =
            layout.rfind(['@', ':']).filter(|end| !layout[*end..].contains('/')).unwrap_or(layout.len());
        return Some(dir.join(&layout[..end]));
    }
    let schemes = ["target:", "service:", "docker-image:"];
    let is_elsewhere = is_remote(source) || schemes.iter().any(|scheme| source.starts_with(scheme));
    (!is_elsewhere && source != "-").then(|| dir.join(source))
}

fn secret(dir: &Path, spec: &str, rights: &mut Vec<Right>) {
    let path = SecretSource::parse(spec).file().map(|path| dir.join(path));
    rights.extend(path.filter(|path| path != Path::new("/dev/null")).map(Right::Read));
}

/// Parses `default`, `id=PATH,PATH` or an object with `paths`.
fn ssh(dir: &Path, spec: &Value, rights: &mut Vec<Right>) {
    let paths: Vec<String> = match spec {
        Value::Object(fields) => match fields.get("paths") {
            Some(Value::Array(paths)) => paths.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            Some(Value::String(paths)) => paths.split(',').map(str::to_owned).collect(),
            _ => Vec::new(),
        },
        other => other
            .as_str()
            .and_then(|text| text.split_once('='))
            .map_or_else(Vec::new, |(_, paths)| paths.split(',').map(str::to_owned).collect()),
    };
    if paths.is_empty() {
        rights.push(Right::Other("ssh".into()));
    }
    rights.extend(paths.iter().map(|path| Right::Read(dir.join(path))));
}

/// Returns the path of a cache or an output on this machine. A plain path is a directory.
fn place(dir: &Path, value: &Value, field: &str) -> Option<PathBuf> {
    let text = csv::line(value);
    let bare = || (field == "dest" && is_bare_path(&text)).then(|| text.clone());
    // The last one of a repeated field counts.
    let named = || csv::pairs(&text).into_iter().rev().find(|(name, _)| name == field).map(|(_, at)| at);
    bare().or_else(named).filter(|at| !at.is_empty() && at != "-").map(|at| dir.join(at))
}

#[cfg(test)]
#[path = "allow_tests.rs"]
mod tests;
