//! Checks which paths of this machine a foreign declaration uses. buildx has its own check since
//! 0.20, but not with the progress format that xtask reads (`rawjson`, seen in 0.29 and in its
//! sources of 2026), and earlier versions have none. So xtask checks by the same rules with every
//! buildx: everything below the declaration's directory and the current one is allowed, other paths
//! only if the user names them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::Value;

use super::bake_args::to_csv;
use super::options::BuildOptions;
use crate::error::usage;
use crate::host::Host;
use crate::project::overrides::setting;
use crate::project::secrets::Secrets;
use crate::project::{Declaration, Target};

/// Rights without a path.
const PLAIN: &[&str] = &["network.host", "security.insecure", "ssh"];

/// A right that a declaration asks for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Right {
    /// Reading below a path.
    Read(PathBuf),
    /// Writing below a path.
    Write(PathBuf),
    /// One of [`PLAIN`], or one that only buildx knows.
    Other(String),
}

impl Right {
    /// Parses `--allow`, as in bake. Paths are relative to the user's directory.
    pub(crate) fn parse(text: &str, host: &Host) -> Result<Vec<Self>> {
        let path = |path: &str| if path == "*" { PathBuf::from("/") } else { host.absolute(path) };
        let rights = match text.split_once('=') {
            Some(("fs.read", at)) if !at.is_empty() => vec![Self::Read(path(at))],
            Some(("fs.write", at)) if !at.is_empty() => vec![Self::Write(path(at))],
            Some(("fs", at)) if !at.is_empty() => vec![Self::Read(path(at)), Self::Write(path(at))],
            Some(("device", _)) => vec![Self::Other(text.to_owned())],
            None if PLAIN.contains(&text) => vec![Self::Other(text.to_owned())],
            _ => {
                return Err(usage(format!(
                    "unknown value `{text}` for `--allow`\nuse fs.read=DIR, fs.write=DIR, fs=DIR, {}",
                    PLAIN.join(", ")
                )));
            }
        };
        Ok(rights)
    }

    /// Returns the value for `--allow`.
    pub(crate) fn to_option(&self) -> String {
        match self {
            Self::Read(path) => format!("fs.read={}", path.display()),
            Self::Write(path) => format!("fs.write={}", path.display()),
            Self::Other(right) => right.clone(),
        }
    }

    /// Returns the value for bake's `--allow`. buildx 0.38 refuses to write to a path that does not
    /// exist unless its nearest existing directory is allowed (measured). [`check`] has refused all
    /// that the user did not grant before that.
    pub(crate) fn to_bake_option(&self) -> String {
        match self {
            Self::Write(path) => {
                let existing = path.ancestors().find(|path| path.exists()).unwrap_or(path);
                Self::Write(existing.to_owned()).to_option()
            }
            other => other.to_option(),
        }
    }

    /// Resolves the links of its path.
    fn resolved(self) -> Self {
        match self {
            Self::Read(path) => Self::Read(resolve(&path)),
            Self::Write(path) => Self::Write(resolve(&path)),
            other => other,
        }
    }

    /// Returns whether another right includes it.
    fn is_in(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Read(path), Self::Read(of)) | (Self::Write(path), Self::Write(of)) => {
                resolve(path).starts_with(resolve(of))
            }
            (Self::Other(right), Self::Other(of)) => right == of,
            _ => false,
        }
    }
}

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
    for set in options.sets.iter().filter_map(|set| setting(set)) {
        let (value, text) = (set.value, Value::from(set.value));
        match set.key {
            "context" | "contexts" => rights.extend(source(dir, value).map(Right::Read)),
            "dockerfile" => rights.push(Right::Read(dir.join(value))),
            "secrets" => secret(dir, value, &mut rights),
            "ssh" => ssh(dir, &text, &mut rights),
            "cache-from" => rights.extend(place(dir, &text, &["src"]).map(Right::Read)),
            "cache-to" | "output" => rights.extend(place(dir, &text, &["dest"]).map(Right::Write)),
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
    rights.extend(declaration.dockerfile(target).filter(|_| source(dir, context).is_some()).map(Right::Read));
    target.secret.iter().for_each(|spec| secret(dir, &to_csv(spec), &mut rights));
    target.ssh.iter().for_each(|spec| ssh(dir, spec, &mut rights));
    for cache in &target.cache_from {
        rights.extend(place(dir, cache, &["src"]).map(Right::Read));
    }
    for at in target.cache_to.iter().chain(&target.output) {
        rights.extend(place(dir, at, &["dest"]).map(Right::Write));
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
    let schemes = ["target:", "service:", "docker-image:", "git@", "github.com/"];
    let is_elsewhere = source.contains("://") || schemes.iter().any(|scheme| source.starts_with(scheme));
    (!is_elsewhere && source != "-").then(|| dir.join(source))
}

fn secret(dir: &Path, spec: &str, rights: &mut Vec<Right>) {
    let paths = spec.split(',').filter_map(|field| field.split_once('='));
    let paths = paths.filter(|(name, _)| ["src", "source"].contains(name)).map(|(_, path)| dir.join(path));
    rights.extend(paths.filter(|path| path != Path::new("/dev/null")).map(Right::Read));
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
fn place(dir: &Path, value: &Value, fields: &[&str]) -> Option<PathBuf> {
    let text = to_csv(value);
    let mut pairs = text.split(',').filter_map(|field| field.trim_matches('"').split_once('='));
    let found = pairs.find(|(name, _)| fields.contains(name)).map(|(_, at)| at.to_owned());
    let bare = || (!text.contains('=') && fields.contains(&"dest") && text != "-").then(|| text.clone());
    found.or_else(bare).filter(|at| !at.is_empty() && at != "-").map(|at| dir.join(at))
}

/// Resolves a path: follows existing links, and takes `..` of missing parts literally.
fn resolve(path: &Path) -> PathBuf {
    for base in path.ancestors() {
        if let Ok(real) = base.canonicalize() {
            let rest = path.strip_prefix(base).unwrap_or(Path::new(""));
            return rest.components().fold(real, |mut path, part| {
                match part {
                    std::path::Component::ParentDir => drop(path.pop()),
                    part => path.push(part),
                }
                path
            });
        }
    }
    path.to_path_buf()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bake_may_write_where_a_missing_path_will_be() {
        let dir = tempfile::tempdir().expect("a directory");
        let right = |path: PathBuf| Right::Write(path).to_bake_option();
        let expected = format!("fs.write={}", dir.path().display());
        assert_eq!(right(dir.path().join("new/out.tar")), expected);
        assert_eq!(right(dir.path().to_owned()), expected);
        let read = Right::Read(dir.path().join("new"));
        assert_eq!(read.to_bake_option(), read.to_option());
    }

    fn host(home: &Path, cwd: &Path) -> Host {
        let mut host = Host::read();
        host.env = [("HOME".to_owned(), home.display().to_string())].into();
        host.cwd = cwd.to_path_buf();
        host
    }

    fn declaration(dir: &Path, target: Target) -> Declaration {
        Declaration {
            files: vec![dir.join("docker-bake.hcl")],
            dir: dir.to_path_buf(),
            targets: [("app".to_owned(), target)].into(),
            ..Declaration::default()
        }
    }

    fn refusal(dir: &Path, target: Target, options: &BuildOptions) -> Option<String> {
        let home = dir.parent().expect("a parent");
        let declaration = declaration(dir, target);
        let given = Secrets { ca_bundle: Some("/etc/ca.pem".into()), ..Secrets::default() };
        let granted = granted(&declaration, options, &given, &host(home, home));
        check(&declaration, &["app".to_owned()], &granted).err().map(|error| error.to_string())
    }

    #[test]
    fn what_is_outside_is_refused_with_the_option_that_grants_it() {
        let home = tempfile::tempdir().expect("a directory");
        let home = home.path().canonicalize().expect("a path");
        let dir = home.join("project");
        std::fs::create_dir_all(dir.join("sub")).expect("made");
        std::os::unix::fs::symlink(&home, dir.join("link")).expect("linked");
        let at = |name: &str| home.join(name).display().to_string();
        let inside = Target {
            context: Some("sub".into()),
            contexts: [
                ("a".to_owned(), "docker-image://x".to_owned()),
                ("b".to_owned(), "target:y".to_owned()),
            ]
            .into(),
            secret: vec![
                "id=ca,src=/etc/ca.pem".into(),
                "id=a,src=./s".into(),
                "id=b,env=B".into(),
                "id=c,src=/dev/null".into(),
            ],
            output: vec!["type=local,dest=out".into(), "type=docker".into(), "./o".into(), "-".into()],
            cache_from: vec!["type=registry,ref=x/y".into()],
            ..Target::default()
        };
        assert_eq!(refusal(&dir, inside, &BuildOptions::default()), None);
        let context = |context: &str| Target { context: Some(context.into()), ..Target::default() };
        let output = |output: &str| Target { output: vec![output.into()], ..Target::default() };
        let table = [
            (context(".."), "fs.read="),
            (context("link"), "fs.read="),
            (Target { dockerfile: Some("../x/Dockerfile".into()), ..Target::default() }, "fs.read="),
            (Target { contexts: [("x".to_owned(), at(".ssh"))].into(), ..Target::default() }, "fs.read="),
            (
                Target {
                    contexts: [("x".to_owned(), format!("oci-layout://{}:tag", at("oci")))].into(),
                    ..Target::default()
                },
                "fs.read=",
            ),
            (
                Target { secret: vec![format!("id=k,src={}", at(".ssh/id")).into()], ..Target::default() },
                "fs.read=",
            ),
            (Target { ssh: vec![format!("k={}", at(".ssh/id")).into()], ..Target::default() }, "fs.read="),
            (Target { ssh: vec!["default".into()], ..Target::default() }, "ssh"),
            (Target { ssh: vec![serde_json::json!({"id": "default"})], ..Target::default() }, "ssh"),
            (output(&format!("type=local,dest={}", at("o"))), "fs.write="),
            (output("type=tar,dest=link/x.tar"), "fs.write="),
            (output("../o"), "fs.write="),
            (
                Target {
                    output: vec![serde_json::json!({"type": "local", "dest": at("o")})],
                    ..Target::default()
                },
                "fs.write=",
            ),
            (Target { cache_to: vec!["type=local,dest=../c".into()], ..Target::default() }, "fs.write="),
            (Target { cache_from: vec!["type=local,src=/etc".into()], ..Target::default() }, "fs.read="),
            (Target { network: Some("host".into()), ..Target::default() }, "network.host"),
            (
                Target { entitlements: vec!["security.insecure".into()], ..Target::default() },
                "security.insecure",
            ),
        ];
        for (target, option) in table {
            let said = refusal(&dir, target.clone(), &BuildOptions::default()).unwrap_or_default();
            let (_, grant) =
                said.split_once("allow it: --allow ").unwrap_or_else(|| panic!("{target:?}: {said}"));
            assert!(grant.starts_with(option), "{said}");
            let allow = Right::parse(grant, &host(&home, &home)).expect("an option");
            let options = BuildOptions { allow, ..BuildOptions::default() };
            assert_eq!(refusal(&dir, target, &options), None, "{grant}");
        }
    }

    #[test]
    fn what_the_user_names_is_granted() {
        let home = tempfile::tempdir().expect("a directory");
        let home = home.path().canonicalize().expect("a path");
        let dir = home.join("project");
        std::fs::create_dir_all(&dir).expect("made");
        let outside = home.join("x").display().to_string();
        let target = Target {
            context: Some(outside.clone()),
            secret: vec![format!("id=k,src={outside}/k").into()],
            output: vec![format!("type=local,dest={outside}/o").into()],
            network: Some("host".into()),
            ..Target::default()
        };
        let sets = [
            format!("app.context={outside}"),
            format!("app.output=type=local,dest={outside}/o"),
            "app.network=host".to_owned(),
        ];
        let secrets = vec![format!("id=k,src={outside}/k")];
        let options = BuildOptions { sets: sets.into(), secrets, ..BuildOptions::default() };
        assert_eq!(refusal(&dir, target.clone(), &options), None);
        assert!(refusal(&dir, target.clone(), &BuildOptions::default()).is_some());
        // The current directory counts, unless it is the home directory or above it.
        let declaration = declaration(&dir, target);
        let all = granted(
            &declaration,
            &BuildOptions::default(),
            &Secrets::default(),
            &host(&home.join("h"), &home.join("x")),
        );
        assert!(all.contains(&Right::Read(home.join("x"))) && !all.contains(&Right::Read(home.clone())));
        let all = granted(
            &declaration,
            &BuildOptions::default(),
            &Secrets::default(),
            &host(&home.join("h"), &home),
        );
        assert!(!all.contains(&Right::Read(home)));
    }

    #[test]
    fn an_option_is_read_as_bake_reads_it() {
        let host = host(Path::new("/h"), Path::new("/h/p"));
        let parse = |text: &str| Right::parse(text, &host);
        assert_eq!(parse("fs.read=../x").expect("a path"), [Right::Read("/h/p/../x".into())]);
        assert_eq!(parse("fs=*").expect("a path"), [Right::Read("/".into()), Right::Write("/".into())]);
        assert_eq!(parse("network.host").expect("a right"), [Right::Other("network.host".into())]);
        assert!(parse("fs.read").is_err() && parse("net").is_err() && parse("fs.read=").is_err());
    }
}
