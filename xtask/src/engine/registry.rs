//! Queries registries with buildx, which has docker's credentials and BuildKit's connection. Every
//! query has a timeout, a few run in parallel, and a registry that doesn't answer is skipped.

pub(crate) mod advice;
mod queue;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use xshell::{Shell, cmd};

use crate::error::usage;
use crate::host::Host;
use crate::memo::Memo;
use crate::process::query::{self, QueryOutput, RunningQuery};
use crate::process::signals;
use crate::session::Session;
use crate::text::sha256;

/// The variable with the timeout in seconds.
const VARIABLE: &str = "DURANGO_REGISTRY_TIMEOUT";
/// The default timeout of one answer.
const TIMEOUT: Duration = Duration::from_secs(4);
/// The time for which a silent registry is not asked again, because every build would wait for
/// nothing.
const REST: i64 = 120;
/// The media type of a cache's configuration.
const CACHE_CONFIG: &str = "application/vnd.buildkit.cacheconfig.v0";

/// The answer of a registry about one tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RegistryAnswer {
    /// The tag exists; its document.
    Has(String),
    /// The tag doesn't exist.
    Empty,
    /// The registry refused.
    Denied(String),
    /// The registry did not answer, or not validly.
    Unreachable(String),
}

/// The requested document.
#[derive(Debug, Clone, Copy)]
pub enum Wanted {
    /// The manifest unchanged.
    Manifest,
    /// The configuration of an image.
    Config,
}

/// Returns the timeout of one answer.
pub(crate) fn timeout(session: &Session) -> Duration {
    check_timeout(&session.host).unwrap_or(TIMEOUT)
}

/// Returns the timeout, and checks it.
///
/// # Errors
///
/// Fails if DURANGO_REGISTRY_TIMEOUT is not a positive number of seconds.
pub(crate) fn check_timeout(host: &Host) -> anyhow::Result<Duration> {
    let Some(text) = host.var(VARIABLE) else { return Ok(TIMEOUT) };
    let seconds: Option<f64> = text.parse().ok().filter(|seconds| *seconds > 0.0 && *seconds <= 3600.0);
    let wrong = || {
        usage(format!("`{VARIABLE}={text}` is not a number of seconds up to 3600\nset it to 20, for example"))
    };
    seconds.map(Duration::from_secs_f64).ok_or_else(wrong)
}

/// A query for several tags of one registry.
pub(crate) struct RegistryQuery<'a> {
    session: &'a Session,
    repository: &'a str,
    timeout: Duration,
    asked: Result<queue::Asked, RegistryAnswer>,
}

impl<'a> RegistryQuery<'a> {
    /// Starts the query. [`RegistryQuery::answers`] returns the answers.
    pub(crate) fn start(
        session: &'a Session,
        builder: &str,
        repository: &'a str,
        tags: &[(String, Wanted)],
    ) -> Self {
        let timeout = timeout(session);
        let asked = match resting(session, repository) {
            Some(said) => Err(said),
            None => {
                let (builder, tags) = (builder.to_owned(), Arc::<[_]>::from(tags));
                let count = tags.len();
                Ok(queue::Asked::start(count, timeout, move |at| {
                    let (reference, wanted) = &tags[at];
                    ask_for(&builder, reference, *wanted)
                }))
            }
        };
        Self { session, repository, timeout, asked }
    }

    /// Waits for the answers. An error is the reason to skip the registry; the remaining tags are
    /// not queried then.
    pub(crate) fn answers(self) -> Result<Vec<Option<String>>, RegistryAnswer> {
        let mut asked = self.asked?;
        let mut found = vec![None; asked.count()];
        while let Some((at, answer)) = asked.next() {
            let said = match &answer {
                Ok(answer) => read(answer),
                Err(_) => {
                    RegistryAnswer::Unreachable(format!("no answer within {} s", self.timeout.as_secs_f64()))
                }
            };
            match said {
                RegistryAnswer::Has(document) => found[at] = Some(document),
                RegistryAnswer::Empty => {}
                other => {
                    if answer.is_err() && !signals::interrupted() {
                        let since = self.session.host.now.as_second();
                        memo(self.session, self.repository).write(&since);
                    }
                    return Err(other);
                }
            }
        }
        Ok(found)
    }
}

/// Returns whether a registry answers now, with or without the tag.
pub(crate) fn answers(builder: &str, reference: &str, timeout: Duration) -> bool {
    let asked = ask_for(builder, reference, Wanted::Manifest).and_then(|asking| asking.answer(timeout));
    asked.is_ok_and(|answer| matches!(read(&answer), RegistryAnswer::Has(_) | RegistryAnswer::Empty))
}

/// Returns the document of one tag, if it exists.
pub fn document(builder: &str, reference: &str, wanted: Wanted, timeout: Duration) -> Option<String> {
    match read(&ask_for(builder, reference, wanted).ok()?.answer(timeout).ok()?) {
        RegistryAnswer::Has(document) => Some(document),
        _ => None,
    }
}

/// Returns the unchanged documents of several tags or digests, each if it exists. `limit` is for
/// each answer.
pub(crate) fn raw_documents(builder: &str, references: &[String], limit: Duration) -> Vec<Option<String>> {
    let (builder, all) = (builder.to_owned(), Arc::<[String]>::from(references));
    collect(references.len(), limit, move |at| ask_for(&builder, &all[at], Wanted::Manifest))
}

/// Returns the blobs of several descriptors, each if it exists, from the repository of a reference.
/// `inspect --raw` reads a blob only where a registry answers 404 to its digest as a manifest
/// (buildx 0.38). Needs buildx 0.15.
pub(crate) fn raw_blobs(
    builder: &str,
    reference: &str,
    descriptors: &[String],
    limit: Duration,
) -> Vec<Option<String>> {
    let (builder, all) = (builder.to_owned(), Arc::<[String]>::from(descriptors));
    let reference = reference.to_owned();
    let found = collect(descriptors.len(), limit, move |at| {
        let (sh, descriptor) = (Shell::new()?, &all[at]);
        let how = ["create", "--dry-run", "--prefer-index=false", "--tag", &reference, descriptor];
        query::start(cmd!(sh, "docker buildx --builder {builder} imagetools {how...}").quiet())
    });
    // buildx ends it with a line break.
    found.into_iter().map(|text| Some(text?.strip_suffix('\n')?.to_owned())).collect()
}

/// Asks several questions and returns the answers, in the order of the questions.
fn collect(
    count: usize,
    limit: Duration,
    start: impl Fn(usize) -> anyhow::Result<RunningQuery> + Send + Sync + 'static,
) -> Vec<Option<String>> {
    let mut asked = queue::Asked::start(count, limit, start);
    let mut found = vec![None; count];
    while let Some((at, answer)) = asked.next() {
        if let Ok(RegistryAnswer::Has(document)) = answer.map(|answer| read(&answer)) {
            found[at] = Some(document);
        }
    }
    found
}

fn ask_for(builder: &str, reference: &str, wanted: Wanted) -> anyhow::Result<RunningQuery> {
    let sh = Shell::new()?;
    let how: &[&str] = match wanted {
        Wanted::Manifest => &["--raw"],
        Wanted::Config => &["--format", "{{json .Image}}"],
    };
    query::start(
        cmd!(sh, "docker buildx --builder {builder} imagetools inspect {how...} {reference}").quiet(),
    )
}

/// Classifies buildx's answer by the registry's error codes.
fn read(answer: &QueryOutput) -> RegistryAnswer {
    if answer.success {
        return RegistryAnswer::Has(answer.stdout.clone());
    }
    let text = answer.stderr.trim();
    let last = text.lines().last().unwrap_or("no reason given");
    let reason = last.trim_start_matches("ERROR: ").chars().take(300).collect::<String>();
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if last.ends_with(": not found") || has(&["MANIFEST_UNKNOWN", "NAME_UNKNOWN", "manifest unknown"]) {
        RegistryAnswer::Empty
    } else if advice::is_denied(text) {
        RegistryAnswer::Denied(reason)
    } else {
        RegistryAnswer::Unreachable(reason)
    }
}

/// Returns the digest of a cache's manifest, or `None` if the tag is something else, which BuildKit
/// must not read.
pub(crate) fn cache_digest(document: &str) -> Option<String> {
    let manifest: serde_json::Value = serde_json::from_str(document).ok()?;
    let mut parts = manifest["manifests"].as_array().into_iter().flatten().chain([&manifest["config"]]);
    let is_cache = parts.any(|part| part["mediaType"] == CACHE_CONFIG);
    is_cache.then(|| sha256::name(document))
}

/// Returns why a recently silent registry is not asked.
fn resting(session: &Session, repository: &str) -> Option<RegistryAnswer> {
    let since: i64 = memo(session, repository).read()?;
    let ago = session.host.now.as_second() - since;
    (0..REST).contains(&ago).then(|| {
        RegistryAnswer::Unreachable(format!("no answer {ago} s ago; the next attempt is after {REST} s"))
    })
}

fn memo(session: &Session, repository: &str) -> Memo {
    Memo::new(&session.layout, "registry", &sha256::hex(repository))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(stderr: &str) -> RegistryAnswer {
        read(&QueryOutput { success: false, stdout: String::new(), stderr: stderr.into() })
    }

    #[test]
    fn words_of_buildx_and_what_they_mean() {
        assert_eq!(said("ERROR: r.example/c:x: not found\n"), RegistryAnswer::Empty);
        let denied = [
            "ERROR: pulling from host r.example failed with status code [manifests x]: 401 Unauthorized",
            "ERROR: unexpected status from HEAD request to https://r.example/v2/c/manifests/x: 403 Forbidden",
            "ERROR: failed to authorize: failed to fetch oauth token: denied: access forbidden",
        ];
        for text in denied {
            assert!(matches!(said(text), RegistryAnswer::Denied(_)), "{text}");
        }
        let unreachable = [
            "ERROR: failed to do request: Head \"http://127.0.0.1:1/\": dial tcp 127.0.0.1:1: connect: connection refused",
            "ERROR: failed to do request: Head \"https://x/\": dial tcp: lookup x: no such host",
            "error getting credentials - err: exec: \"docker-credential-x\": executable file not found in $PATH",
            "ERROR: unexpected status code [manifests x]: 500 Internal Server Error",
            "",
        ];
        for text in unreachable {
            assert!(matches!(said(text), RegistryAnswer::Unreachable(_)), "{text}");
        }
    }

    #[test]
    fn the_time_for_an_answer_is_a_number_of_seconds() {
        let timeout = |text: Option<&str>| {
            let mut host = Host::read();
            host.env.remove(VARIABLE);
            host.env.extend(text.map(|text| (VARIABLE.to_owned(), text.to_owned())));
            check_timeout(&host)
        };
        assert_eq!(timeout(None).expect("a time"), TIMEOUT);
        assert_eq!(timeout(Some("")).expect("a time"), TIMEOUT);
        assert_eq!(timeout(Some("0.5")).expect("a time"), Duration::from_millis(500));
        for wrong in ["0", "-1", "4s", "NaN", "inf", "1e9"] {
            let error = timeout(Some(wrong)).expect_err(wrong).to_string();
            assert!(error.contains(&format!("DURANGO_REGISTRY_TIMEOUT={wrong}")), "{error}");
        }
    }

    #[test]
    fn only_a_cache_is_shown_to_buildkit() {
        let image = r#"{"config":{"mediaType":"application/vnd.oci.image.config.v1+json"},"layers":[]}"#;
        let new = image.replace("application/vnd.oci.image.config.v1+json", CACHE_CONFIG);
        let old = format!(r#"{{"manifests":[{{"mediaType":"x"}},{{"mediaType":"{CACHE_CONFIG}"}}]}}"#);
        assert_eq!(cache_digest(image), None);
        assert_eq!(cache_digest("<html>"), None);
        assert!(cache_digest(&new).is_some_and(|digest| digest.starts_with("sha256:")));
        assert_ne!(cache_digest(&new), cache_digest(&old));
    }
}
