//! Reads a declaration: asks `docker buildx bake --print`, and remembers the answer.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use xshell::cmd;

use super::declaration::{Declaration, matching, show};
use super::remembered::{Remembered, Sources};
use super::target::Target;
use super::whole::{Whole, draws_on_others};
use super::{compose, project_name, requested, templates};
use crate::error::usage;
use crate::files;
use crate::memo::{self, Memo};
use crate::process::query::{query, unreadable};
use crate::project::overrides::{is_by_variable, setting};
use crate::session::Session;

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Printed {
    #[serde(default)]
    pub(super) group: BTreeMap<String, Group>,
    #[serde(default)]
    pub(super) target: BTreeMap<String, Target>,
    #[serde(default)]
    compose_names: BTreeMap<String, String>,
    #[serde(default)]
    whole: Whole,
}

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Group {
    pub(super) targets: Option<Vec<String>>,
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
const MEMO: &str = "bake-12";

/// Reads the declaration with the user's overrides applied.
pub(crate) fn read(session: &Session, question: &DeclarationQuery<'_>) -> Result<Declaration> {
    let files = question.files;
    let dir = files.first().and_then(|file| file.parent()).unwrap_or(Path::new("/")).to_path_buf();
    requested::check_readable(&dir.join(".env"))?;
    let sets = asked_sets(question.sets);
    let texts = texts(files, &dir);
    let sources = Sources { env: &session.host.env, texts: &texts };
    let fingerprint = fingerprint(session, question, &sources, &sets).filter(|_| question.remember);
    let memo = fingerprint.map(|print| Memo::new(&session.layout, MEMO, &print));
    let remembered = memo.as_ref().and_then(Memo::read::<Remembered>);
    let mut printed = match remembered.and_then(|remembered| remembered.recall(&sources)) {
        Some(printed) => printed,
        None => {
            let mut printed = print(session, question, &sets, &dir)?;
            if files.iter().all(|file| is_yaml(file)) {
                printed.compose_names =
                    compose::complete(session, files, (&dir, question.env), &mut printed.target);
            }
            let remembered =
                memo.and_then(|memo| Some((memo, Remembered::new(&printed, &sources, &session.redactor)?)));
            remembered.inspect(|(memo, remembered)| memo.write(remembered));
            printed
        }
    };
    printed.whole.has_all_files = texts.is_some() || !files.iter().any(|file| is_yaml(file));
    apply(&mut printed.target, question.sets);
    printed.target.values_mut().for_each(|target| target.resolve_paths(&dir));
    if printed.target.is_empty() {
        return Err(usage(format!(
            "`{}` declares no target\nadd a `build:` section to a service, or name another file with --file",
            show(files)
        )));
    }
    let groups =
        printed.group.into_iter().map(|(name, group)| (name, group.targets.unwrap_or_default())).collect();
    let project = project_name::project(files, &dir, &printed.target);
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

fn print(session: &Session, question: &DeclarationQuery<'_>, sets: &[String], dir: &Path) -> Result<Printed> {
    let files = question.files;
    // A Compose file's default group has every service; a bake file's may not.
    let names = if files.iter().all(|file| is_yaml(file)) { &[] } else { question.requested };
    let files_args = files.iter().flat_map(|file| ["-f".into(), file.clone().into_os_string()]);
    let set_args = sets.iter().flat_map(|set| ["--set", set]);
    let sh = &session.sh;
    let _dir = sh.push_dir(dir);
    let question =
        cmd!(sh, "docker buildx bake --progress plain {files_args...} --print {set_args...} {names...}")
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

/// Returns the texts of Compose files and of the `.env` next to them. Returns `None` if a file has
/// another format or includes other files.
fn texts(files: &[PathBuf], dir: &Path) -> Option<Vec<String>> {
    let mut texts = Vec::new();
    for file in files {
        let text = files::read_text(file).ok().filter(|_| is_yaml(file))?;
        if draws_on_others(&text) {
            return None;
        }
        texts.push(text);
    }
    match files::read_text(&dir.join(".env")) {
        Ok(text) => texts.push(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => texts.push(String::new()),
        Err(_) => return None,
    }
    Some(texts)
}

/// Returns a digest of everything that a Compose file is printed from: the files, the options, the
/// variables that it may read ([`Sources::variables`]), and the client.
fn fingerprint(
    session: &Session,
    question: &DeclarationQuery<'_>,
    sources: &Sources<'_>,
    sets: &[String],
) -> Option<String> {
    let mut hash = Sha256::new();
    hash.update(format!("{:?}\0{:?}\0{sets:?}\0", question.files, sources.texts.as_ref()?));
    hash.update(session.host.which("docker").map(|docker| memo::stamp(&docker)).unwrap_or_default());
    for (name, value) in sources.variables().chain(question.env) {
        hash.update(format!("{name}={value}\0"));
    }
    Some(format!("{:x}", hash.finalize()))
}
