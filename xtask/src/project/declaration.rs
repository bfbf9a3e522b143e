//! The declaration: all targets of a Compose or bake file, as `docker buildx bake --print` resolves
//! them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use xshell::cmd;

use super::whole::{Whole, draws_on_others};
use super::{compose, project_name, templates};
use crate::error::usage;
use crate::memo::Memo;
use crate::process::query::{query, unreadable};
use crate::project::overrides::{is_by_variable, is_match, setting};
use crate::project::remembered::{Remembered, Sources};
use crate::session::Session;
use crate::text::suggestion;

/// The targets of a declaration, and their files.
#[derive(Debug, Clone, Default)]
pub(crate) struct Declaration {
    /// The files, absolute.
    pub files: Vec<PathBuf>,
    /// The directory of the files. Relative paths in them start here, and bake runs here, because
    /// it resolves paths from its current directory.
    pub dir: PathBuf,
    /// The name that identifies this project on every machine: [`project`].
    pub project: String,
    pub targets: BTreeMap<String, Target>,
    /// The targets of each group.
    pub groups: BTreeMap<String, Vec<String>>,
    /// Tags that no file declares: those of Compose services without `image:`, by target. They are
    /// included in the targets' tags.
    pub compose_names: BTreeMap<String, String>,
    /// All that bake printed, which [`Target`] has the part of that decisions need.
    pub whole: Whole,
}

/// The fields of a target that decisions need. They differ between versions of buildx, so fields
/// that are only passed on stay JSON.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case", default)]
pub(crate) struct Target {
    /// The main context: a directory, relative to the declaration's, or a URL.
    pub context: Option<String>,
    pub contexts: BTreeMap<String, String>,
    /// The Dockerfile, relative to the context.
    pub dockerfile: Option<String>,
    /// The stage to build; `None` for the last one.
    pub target: Option<String>,
    /// The text of an inline Dockerfile.
    pub dockerfile_inline: Option<String>,
    pub args: BTreeMap<String, Option<String>>,
    /// The names of the image.
    pub tags: Vec<String>,
    /// Secrets: `id=...,src=...` or, from newer versions, objects.
    pub secret: Vec<serde_json::Value>,
    /// Caches to read, in either form.
    pub cache_from: Vec<serde_json::Value>,
    pub cache_to: Vec<serde_json::Value>,
    /// Agents and keys for SSH.
    pub ssh: Vec<serde_json::Value>,
    /// Entitlements of its RUNs.
    pub entitlements: Vec<String>,
    /// The size of `/dev/shm`, such as `64MiB`; `None` for Docker's default.
    pub shm_size: Option<String>,
    /// The network of its RUNs, such as `host`.
    pub network: Option<String>,
    /// The limits of its RUNs.
    pub ulimits: Option<serde_json::Value>,
    /// Host names for its RUNs.
    pub extra_hosts: Option<serde_json::Value>,
    /// Platforms; empty for the builder's own.
    pub platforms: Vec<String>,
    /// Outputs; empty for the driver's default.
    pub output: Vec<serde_json::Value>,
    /// Attestations, in either form; `disabled=true` turns one off.
    pub attest: Vec<serde_json::Value>,
    /// Whether all of its steps run in every build.
    pub no_cache: Option<bool>,
    /// Stages whose steps run in every build.
    pub no_cache_filter: Vec<String>,
}

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Printed {
    #[serde(default)]
    group: BTreeMap<String, Group>,
    #[serde(default)]
    pub(super) target: BTreeMap<String, Target>,
    #[serde(default)]
    compose_names: BTreeMap<String, String>,
    #[serde(default)]
    whole: Whole,
}

#[derive(Clone, Serialize, Deserialize)]
struct Group {
    targets: Option<Vec<String>>,
}

/// The input of a query for the declaration.
pub(crate) struct DeclarationQuery<'a> {
    /// Compose or bake files, absolute.
    pub files: &'a [PathBuf],
    /// Targets that may be missing from the default group of a bake file.
    pub requested: &'a [String],
    /// The user's overrides, as `--set` takes them.
    pub sets: &'a [String],
    /// Variables for bake in addition to the environment's.
    pub env: &'a BTreeMap<String, String>,
    /// Whether the answer may be cached: not if the caller repeats values from `env`.
    pub remember: bool,
}

/// Much longer than bake takes, even if it downloads files.
pub(super) const QUERY_TIMEOUT: Duration = Duration::from_secs(60);

/// The name of the cached answers. The number changes with the fields of [`Target`], which an old
/// answer lacks.
const MEMO: &str = "bake-10";

/// Reads the declaration with the user's overrides applied.
pub(crate) fn read(session: &Session, question: &DeclarationQuery<'_>) -> Result<Declaration> {
    let files = question.files;
    let dir = files.first().and_then(|file| file.parent()).unwrap_or(Path::new("/")).to_path_buf();
    let sets = asked_sets(question.sets);
    let texts = texts(files, &dir);
    let fingerprint = fingerprint(session, files, &texts, &sets).filter(|_| question.remember);
    let memo = fingerprint.map(|print| Memo::new(&session.layout, MEMO, &print));
    let sources = Sources { env: &session.host.env, texts: &texts };
    let remembered = memo.as_ref().and_then(Memo::read::<Remembered>);
    let mut printed = match remembered.and_then(|remembered| remembered.recall(&sources)) {
        Some(printed) => printed,
        None => {
            let mut printed = print(session, question, &sets, &dir)?;
            if files.iter().all(|file| is_yaml(file)) {
                printed.compose_names = compose::image_names(session, files, &dir, &printed.target);
            }
            let remembered =
                memo.and_then(|memo| Some((memo, Remembered::new(&printed, &sources, &session.redactor)?)));
            remembered.inspect(|(memo, remembered)| memo.write(remembered));
            printed
        }
    };
    printed.whole.has_all_files = texts.is_some() || !files.iter().any(|file| is_yaml(file));
    apply(&mut printed.target, question.sets);
    if printed.target.is_empty() {
        return Err(usage(format!(
            "`{}` declares no target\nadd a `build:` section to a service, or name another file with --file",
            show(files)
        )));
    }
    let groups =
        printed.group.into_iter().map(|(name, group)| (name, group.targets.unwrap_or_default())).collect();
    let project = project(files, &dir, &printed.target);
    let (compose_names, whole) = (printed.compose_names, printed.whole);
    for (name, tag) in &compose_names {
        if let Some(target) = printed.target.get_mut(name) {
            target.tags.push(tag.clone());
        }
    }
    Ok(Declaration {
        files: files.to_vec(),
        dir,
        targets: printed.target,
        groups,
        compose_names,
        project,
        whole,
    })
}

/// Names a project: by the `name:` of its Compose file, else by the repository of its first image,
/// else by its directory, which differs on other machines.
fn project(files: &[PathBuf], dir: &Path, targets: &BTreeMap<String, Target>) -> String {
    let named = files.iter().rev().find_map(|file| project_name::of_file(file));
    let tags = targets.values().flat_map(|target| &target.tags);
    let repositories = tags.map(|tag| project_name::repository(tag).to_owned());
    named.or_else(|| repositories.min()).unwrap_or_else(|| {
        let digest = format!("{:x}", Sha256::digest(dir.as_os_str().as_encoded_bytes()));
        format!("directory-{}", &digest[..12])
    })
}

fn print(session: &Session, question: &DeclarationQuery<'_>, sets: &[String], dir: &Path) -> Result<Printed> {
    let files = question.files;
    // A Compose file's default group has every service; a bake file's may not.
    let names = if files.iter().all(|file| is_yaml(file)) { &[] } else { question.requested };
    let files_args = files.iter().flat_map(|file| ["-f".into(), file.clone().into_os_string()]);
    let set_args = sets.iter().flat_map(|set| ["--set", set]);
    let sh = &session.sh;
    let _dir = sh.push_dir(dir);
    let question = cmd!(sh, "docker buildx bake {files_args...} --print {set_args...} {names...}")
        .quiet()
        .envs(question.env);
    let answer = query(question, QUERY_TIMEOUT)?;
    if !answer.success {
        return Err(refused(files, &answer.stderr));
    }
    let json = answer.stdout;
    let failed =
        || format!("failed to read `{}`: {}", show(files), unreadable("docker buildx bake --print", &json));
    let mut document = serde_json::from_str(&json).with_context(failed)?;
    if templates::may_be_escaped(&json) && templates::are_escaped(sh)? {
        templates::unescape(&mut document);
    }
    let whole = Whole::of(&document);
    let printed: Printed = serde_json::from_value(document).with_context(failed)?;
    Ok(Printed { whole, ..printed })
}

/// Returns bake's error without its progress lines, with the file in front.
fn refused(files: &[PathBuf], stderr: &str) -> anyhow::Error {
    let words: Vec<&str> =
        stderr.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()).collect();
    let words = words.join("\n  ");
    let words = words.trim_start_matches("ERROR: ");
    let kind = if words.contains("yaml: ") { " is not valid YAML" } else { "" };
    usage(format!("`{}`{kind}: {words}\ncorrect the file or the options that change it", show(files)))
}

fn show(files: &[PathBuf]) -> String {
    files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join("`, `")
}

fn is_yaml(file: &Path) -> bool {
    file.extension().is_some_and(|ext| ext == "yaml" || ext == "yml")
}

/// Returns the overrides for the query. Values that may not be in a command are applied to the
/// answer. Without a value bake only checks that the target exists.
fn asked_sets(sets: &[String]) -> Vec<String> {
    let asked = |set: &String| match set.split_once('=') {
        Some((field, _)) if is_by_variable(set) => {
            let is_argument = setting(set).is_some_and(|setting| setting.key == "args");
            is_argument.then(|| field.trim_end_matches('+').to_owned())
        }
        _ => Some(set.clone()),
    };
    sets.iter().filter_map(asked).collect()
}

/// Applies the overrides that the query left out.
fn apply(targets: &mut BTreeMap<String, Target>, sets: &[String]) {
    for setting in sets.iter().filter(|set| is_by_variable(set)).filter_map(|set| setting(set)) {
        for name in matching(targets, setting.pattern) {
            let Some(target) = targets.get_mut(&name) else { continue };
            let (name, value) = (setting.name.to_owned(), setting.value.to_owned());
            match setting.key {
                "args" => drop(target.args.insert(name, Some(value))),
                "contexts" => drop(target.contexts.insert(name, value)),
                "context" => target.context = Some(value),
                "cache-from" => target.cache_from.push(value.into()),
                "cache-to" => target.cache_to.push(value.into()),
                "output" => target.output.push(value.into()),
                _ => {}
            }
        }
    }
}

/// Returns the targets for a pattern: the one with this name, else all that match.
fn matching(targets: &BTreeMap<String, Target>, pattern: &str) -> Vec<String> {
    if targets.contains_key(pattern) {
        return vec![pattern.to_owned()];
    }
    targets.keys().filter(|name| is_match(pattern, name)).cloned().collect()
}

/// Returns the texts of Compose files and of the `.env` next to them. Returns `None` if a file has
/// another format or includes other files.
fn texts(files: &[PathBuf], dir: &Path) -> Option<Vec<String>> {
    let mut texts = Vec::new();
    for file in files {
        let text = fs::read_to_string(file).ok().filter(|_| is_yaml(file))?;
        if draws_on_others(&text) {
            return None;
        }
        texts.push(text);
    }
    match fs::read_to_string(dir.join(".env")) {
        Ok(text) => texts.push(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => texts.push(String::new()),
        Err(_) => return None,
    }
    Some(texts)
}

/// Returns a digest of the files and variables that a Compose file is interpolated from.
fn fingerprint(
    session: &Session,
    files: &[PathBuf],
    texts: &Option<Vec<String>>,
    sets: &[String],
) -> Option<String> {
    let mut hash = Sha256::new();
    hash.update(format!("{files:?}\0{:?}\0{sets:?}\0", texts.as_ref()?));
    for (name, value) in &session.host.env {
        if !["_", "SHLVL", "PWD", "OLDPWD"].contains(&name.as_str()) {
            hash.update(format!("{name}={value}\0"));
        }
    }
    Some(format!("{:x}", hash.finalize()))
}

impl Declaration {
    /// Returns the targets for the user's arguments, with groups resolved. An unknown one is an
    /// error that lists the known ones.
    ///
    /// As for bake, a group takes precedence over a target of the same name. Within such a group
    /// the name means the target.
    pub(crate) fn resolve(&self, requested: &[String]) -> Result<Vec<String>> {
        let mut names = self.expand(requested, &mut Vec::new())?;
        let mut seen = std::collections::BTreeSet::new();
        names.retain(|name| seen.insert(name.clone()));
        Ok(names)
    }

    fn expand<'a>(&'a self, words: &'a [String], groups: &mut Vec<&'a str>) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for word in words {
            if let Some(members) = self.groups.get(word).filter(|_| !groups.contains(&word.as_str())) {
                groups.push(word);
                names.extend(self.expand(members, groups)?);
                groups.pop();
            } else if self.targets.contains_key(word) {
                names.push(word.clone());
            } else {
                let known: Vec<&str> = self.targets.keys().map(String::as_str).collect();
                let near = suggestion(word, known.iter().copied());
                return Err(usage(format!(
                    "unknown target `{word}`{near}\n`{}` declares: {}",
                    show(&self.files),
                    known.join(", ")
                )));
            }
        }
        Ok(names)
    }

    /// Returns the targets for a pattern of `--set`.
    pub(crate) fn matching(&self, pattern: &str) -> Vec<String> {
        matching(&self.targets, pattern)
    }

    /// Returns the path of a target's Dockerfile, in lower case if buildx finds only that. Returns
    /// `None` for an inline Dockerfile or a remote context.
    pub(crate) fn dockerfile(&self, target: &Target) -> Option<PathBuf> {
        let context = target.context.as_deref().unwrap_or(".");
        if target.dockerfile_inline.is_some() || context.contains("://") {
            return None;
        }
        let path = self.dir.join(context).join(target.dockerfile.as_deref().unwrap_or("Dockerfile"));
        let lower = path.with_file_name("dockerfile");
        let is_lower =
            path.file_name().is_some_and(|name| name == "Dockerfile") && !path.is_file() && lower.is_file();
        Some(if is_lower { lower } else { path })
    }

    /// Returns contexts that name the image of another target, as (context, target). A build of
    /// both needs `target:` there: a tag would be looked up in a registry, or be the image of the
    /// previous build.
    pub(crate) fn links<'a>(&'a self, target: &'a Target) -> impl Iterator<Item = (&'a str, &'a str)> {
        target.contexts.iter().filter_map(|(context, source)| {
            if let Some(name) = source.strip_prefix("target:") {
                return Some((context.as_str(), self.targets.get_key_value(name)?.0.as_str()));
            }
            // bake resolves these since buildx 0.24. Earlier versions print them unchanged.
            if let Some(service) = source.strip_prefix("service:") {
                let name = self.targets.get_key_value(&service.replace('.', "_"))?.0;
                return Some((context.as_str(), name.as_str()));
            }
            let image = source.strip_prefix("docker-image://")?;
            let owner =
                self.targets.iter().find(|(_, other)| other.tags.iter().any(|tag| same_image(tag, image)));
            owner.map(|(name, _)| (context.as_str(), name.as_str()))
        })
    }
}

impl Target {
    /// Returns whether the image is a manifest list: one manifest per platform, and one for the
    /// attestations of each.
    pub(crate) fn makes_manifest_list(&self) -> bool {
        let is_off = |value: &serde_json::Value| match value {
            serde_json::Value::String(text) => text.split(',').any(|field| field == "disabled=true"),
            object => ["true", "1"].iter().any(|on| object["disabled"] == *on) || object["disabled"] == true,
        };
        self.platforms.len() > 1 || self.attest.iter().any(|attest| !is_off(attest))
    }

    /// Returns whether it is based on the pinned base image and no other was chosen for it.
    pub(crate) fn is_based_on(&self, pinned: &str) -> bool {
        self.args.get("BASE_IMAGE").and_then(Option::as_deref) == Some(pinned)
    }
}

/// Returns whether two references name one image: `b` is `docker.io/library/b:latest`.
fn same_image(one: &str, other: &str) -> bool {
    full_reference(one) == full_reference(other)
}

/// Returns a reference with docker's default registry, directory, and tag.
fn full_reference(reference: &str) -> String {
    let is_registry = |part: &str| part.contains(['.', ':']) || part == "localhost";
    let (registry, path) =
        reference.split_once('/').filter(|(first, _)| is_registry(first)).unwrap_or(("docker.io", reference));
    let registry = if registry == "index.docker.io" { "docker.io" } else { registry };
    let directory = if registry == "docker.io" && !path.contains('/') { "library/" } else { "" };
    let has_tag = path.rsplit('/').next().is_some_and(|name| name.contains([':', '@']));
    format!("{registry}/{directory}{path}{}", if has_tag { "" } else { ":latest" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_has_the_same_name_on_every_machine() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("compose.yaml");
        let tagged = |tags: &[&str]| {
            let tags = tags.iter().map(ToString::to_string).collect();
            BTreeMap::from([("app".to_owned(), Target { tags, ..Target::default() })])
        };
        let named = |text: &str, tags: &[&str]| {
            fs::write(&file, text).expect("written");
            project(std::slice::from_ref(&file), dir.path(), &tagged(tags))
        };
        for text in ["name: shop\n", "services: {}\nname: 'shop' # ours\n", "name: \"shop\"\r\n"] {
            assert_eq!(named(text, &["r.example:5000/team/app:1"]), "shop", "{text}");
        }
        let tags = ["r.example:5000/team/web:1", "r.example:5000/team/app:2@sha256:0"];
        for text in ["services: {}\n", "name: ${NAME}\n", "x:\n  name: shop\n", "name:\n"] {
            assert_eq!(named(text, &tags), "r.example:5000/team/app", "{text}");
        }
        assert!(named("services: {}\n", &[]).starts_with("directory-"));
        assert_ne!(named("", &[]), project(&[], Path::new("/other"), &tagged(&[])));
    }

    fn declaration() -> Declaration {
        let json = r#"{"group":{"default":{"targets":["app","base"]}},"target":{
            "app":{"context":".","contexts":{"base":"docker-image://toy/base","src":"../app"},"dockerfile":"b.Dockerfile"},
            "base":{"context":"sub","tags":["toy/base:latest"],"secret":["id=ca,src=/dev/null"]}}}"#;
        let printed: Printed = serde_json::from_str(json).expect("it is what bake prints");
        let groups = printed.group.into_iter().map(|(name, group)| (name, group.targets.unwrap_or_default()));
        Declaration {
            files: vec!["/p/compose.yaml".into()],
            dir: "/p".into(),
            project: "toy".into(),
            targets: printed.target,
            groups: groups.collect(),
            ..Declaration::default()
        }
    }

    #[test]
    fn a_context_that_is_another_targets_image_is_a_link() {
        let declared = declaration();
        let links: Vec<_> = declared.links(&declared.targets["app"]).collect();
        assert_eq!(links, [("base", "base")]);
    }

    #[test]
    fn a_context_that_names_a_service_is_a_link() {
        let mut declared = declaration();
        declared.targets.insert("my_db".into(), Target::default());
        let contexts = &mut declared.targets.get_mut("app").expect("a target").contexts;
        contexts.insert("db".into(), "service:my.db".into());
        contexts.insert("gone".into(), "service:nobody".into());
        let links: Vec<_> = declared.links(&declared.targets["app"]).collect();
        assert_eq!(links, [("base", "base"), ("db", "my_db")]);
    }

    #[test]
    fn references_are_compared_as_docker_completes_them() {
        for (one, other, same) in [
            ("x", "docker.io/library/x:latest", true),
            ("a/x:1", "index.docker.io/a/x:1", true),
            ("localhost/x", "localhost/x:latest", true),
            ("r.example:5000/x", "r.example:5000/x:latest", true),
            ("x", "a/x", false),
            ("x:1", "x", false),
            ("r.example/x", "x", false),
        ] {
            assert_eq!(same_image(one, other), same, "{one} and {other}");
        }
    }

    #[test]
    fn several_platforms_and_attestations_make_a_list_of_manifests() {
        let makes =
            |json: &str| serde_json::from_str::<Target>(json).expect("a target").makes_manifest_list();
        assert!(makes(r#"{"platforms":["linux/amd64","linux/arm64"]}"#));
        assert!(
            makes(r#"{"attest":["type=sbom"]}"#)
                && makes(r#"{"attest":[{"type":"provenance","mode":"max"}]}"#)
        );
        assert!(!makes(r#"{"platforms":["linux/arm64"],"attest":["type=provenance,disabled=true"]}"#));
        assert!(!makes(r#"{"attest":[{"type":"provenance","disabled":"true"}]}"#) && !makes("{}"));
    }

    #[test]
    fn groups_are_resolved_and_unknown_names_get_a_suggestion() {
        let declared = declaration();
        assert_eq!(declared.resolve(&["default".into(), "app".into()]).expect("known"), ["app", "base"]);
        let error = declared.resolve(&["bas".into()]).expect_err("unknown").to_string();
        assert!(error.contains("did you mean `base`?") && error.contains("app, base"), "{error}");
    }

    #[test]
    fn a_group_wins_over_a_target_of_its_name() {
        let mut declared = declaration();
        let members = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        declared.groups.insert("app".into(), members(&["app", "base"]));
        declared.groups.insert("outer".into(), members(&["app"]));
        declared.groups.insert("one".into(), members(&["two"]));
        declared.groups.insert("two".into(), members(&["one", "base"]));
        assert_eq!(declared.resolve(&["app".into()]).expect("known"), ["app", "base"]);
        assert_eq!(declared.resolve(&["outer".into()]).expect("known"), ["app", "base"]);
        assert_eq!(declared.resolve(&["base".into()]).expect("known"), ["base"]);
        declared.resolve(&["one".into()]).expect_err("a circle without a target of that name");
    }

    #[test]
    fn a_dockerfile_in_lower_case_stands_in_for_the_default_name_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        let declared = Declaration { dir: dir.path().into(), ..Declaration::default() };
        let of = |name: &str| Target { dockerfile: Some(name.into()), ..Target::default() };
        let path = |target: &Target| declared.dockerfile(target).expect("a path");
        fs::create_dir(dir.path().join("sub")).expect("made");
        for name in ["dockerfile", "sub/dockerfile", "x.dockerfile"] {
            fs::write(dir.path().join(name), "FROM scratch\n").expect("written");
        }
        assert_eq!(path(&Target::default()).file_name(), Some("dockerfile".as_ref()));
        assert!(path(&of("sub/Dockerfile")).ends_with("sub/dockerfile"));
        assert!(path(&of("x.Dockerfile")).ends_with("x.Dockerfile"));
        fs::write(dir.path().join("Dockerfile"), "FROM scratch\n").expect("written");
        assert_eq!(path(&Target::default()).file_name(), Some("Dockerfile".as_ref()));
    }

    #[test]
    fn a_dockerfile_is_found_below_its_context() {
        let declared = declaration();
        assert_eq!(declared.dockerfile(&declared.targets["app"]), Some("/p/./b.Dockerfile".into()));
        assert_eq!(declared.dockerfile(&declared.targets["base"]), Some("/p/sub/Dockerfile".into()));
    }
}
