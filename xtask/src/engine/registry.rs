//! Asking registries what they hold: by buildx, which takes credentials from docker's own configuration and goes the ways that
//! BuildKit goes. Every question is bounded, all are under way at once, and what did not answer is left out of the build.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use xshell::{Shell, cmd};

use crate::memo::Memo;
use crate::process::ask::{self, Answer, Asking};
use crate::session::Session;

/// A registry that takes longer is left out.
pub const LIMIT: Duration = Duration::from_secs(4);
/// How long a registry that let us wait is not asked again: every build in between would wait as long for nothing.
const REST: i64 = 120;
/// Media type of a cache's configuration.
const CACHE_CONFIG: &str = "application/vnd.buildkit.cacheconfig.v0";

/// What a registry said of one tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Said {
    /// The tag is there, and this is its document.
    Has(String),
    /// It answered, and has no such tag.
    Empty,
    /// It refused.
    Denied(String),
    /// It did not answer, or not sensibly.
    Unreachable(String),
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub enum Wanted {
    /// The manifest as it stands.
    Manifest,
    /// The configuration of an image.
    Config,
}

/// Asks for several tags of one registry at once.
pub struct Question<'a> {
    session: &'a Session,
    repository: &'a str,
    asked: Result<Vec<Asking>, Said>,
    started: Instant,
}

impl<'a> Question<'a> {
    /// Starts asking; the answers come with [`Question::answers`].
    pub fn start(
        session: &'a Session,
        builder: &str,
        repository: &'a str,
        tags: &[(String, Wanted)],
    ) -> Self {
        let started = Instant::now();
        let asked = match resting(session, repository) {
            Some(said) => Err(said),
            None => tags
                .iter()
                .map(|(reference, wanted)| ask_for(builder, reference, *wanted))
                .collect::<anyhow::Result<Vec<_>>>()
                .map_err(|error| Said::Unreachable(format!("{error:#}"))),
        };
        Self { session, repository, asked, started }
    }

    /// Waits for them, all within [`LIMIT`] of the start. The error is the reason to leave the registry out altogether.
    pub fn answers(self) -> Result<Vec<Option<String>>, Said> {
        let mut found = Vec::new();
        let (mut trouble, mut let_us_wait) = (None, false);
        for asking in self.asked? {
            let left = LIMIT.saturating_sub(self.started.elapsed());
            let answer = asking.answer(left);
            let_us_wait |= answer.is_err();
            let said = answer.map_or_else(
                |_| Said::Unreachable(format!("it gave no answer within {} s", LIMIT.as_secs())),
                |answer| read(&answer),
            );
            match said {
                Said::Has(document) => found.push(Some(document)),
                Said::Empty => found.push(None),
                other => trouble = trouble.or(Some(other)),
            }
        }
        match trouble {
            None => Ok(found),
            Some(said) => {
                if let_us_wait {
                    let since = self.session.host.now.as_second();
                    memo(self.session, self.repository).write(&since);
                }
                Err(said)
            }
        }
    }
}

/// Whether a registry answers for a tag at all, now: it is empty or full, but there.
pub fn answers(builder: &str, reference: &str) -> bool {
    let asked = ask_for(builder, reference, Wanted::Manifest).and_then(|asking| asking.answer(LIMIT));
    asked.is_ok_and(|answer| matches!(read(&answer), Said::Has(_) | Said::Empty))
}

/// The document of one tag, or none.
pub fn document(builder: &str, reference: &str, wanted: Wanted) -> Option<String> {
    match read(&ask_for(builder, reference, wanted).ok()?.answer(LIMIT).ok()?) {
        Said::Has(document) => Some(document),
        _ => None,
    }
}

fn ask_for(builder: &str, reference: &str, wanted: Wanted) -> anyhow::Result<Asking> {
    let sh = Shell::new()?;
    let how: &[&str] = match wanted {
        Wanted::Manifest => &["--raw"],
        Wanted::Config => &["--format", "{{json .Image}}"],
    };
    ask::start(cmd!(sh, "docker buildx --builder {builder} imagetools inspect {how...} {reference}").quiet())
}

/// What an answer of buildx means; its words are those of a registry's error codes.
fn read(answer: &Answer) -> Said {
    if answer.success {
        return Said::Has(answer.stdout.clone());
    }
    let text = answer.stderr.trim();
    let last = text.lines().last().unwrap_or("no reason given");
    let reason = last.trim_start_matches("ERROR: ").chars().take(300).collect::<String>();
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if last.ends_with(": not found") || has(&["MANIFEST_UNKNOWN", "NAME_UNKNOWN", "manifest unknown"]) {
        Said::Empty
    } else if has(&[
        "401 Unauthorized",
        "403 Forbidden",
        "authorization failed",
        "insufficient_scope",
        "denied",
        "no basic auth",
    ]) {
        Said::Denied(reason)
    } else {
        Said::Unreachable(reason)
    }
}

/// The digest of a cache's manifest, or nothing where the tag holds something else, which BuildKit must not be shown.
pub fn cache_digest(document: &str) -> Option<String> {
    use sha2::{Digest, Sha256};
    let manifest: serde_json::Value = serde_json::from_str(document).ok()?;
    let mut parts = manifest["manifests"].as_array().into_iter().flatten().chain([&manifest["config"]]);
    let is_cache = parts.any(|part| part["mediaType"] == CACHE_CONFIG);
    is_cache.then(|| format!("sha256:{:x}", Sha256::digest(document)))
}

/// A registry that let us wait lately.
fn resting(session: &Session, repository: &str) -> Option<Said> {
    let since: i64 = memo(session, repository).read()?;
    let ago = session.host.now.as_second() - since;
    (0..REST).contains(&ago).then(|| {
        Said::Unreachable(format!("it gave no answer {ago} s ago and is asked again after {REST} s"))
    })
}

fn memo(session: &Session, repository: &str) -> Memo {
    use sha2::{Digest, Sha256};
    Memo::new(&session.layout, "registry", &format!("{:x}", Sha256::digest(repository)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(stderr: &str) -> Said {
        read(&Answer { success: false, stdout: String::new(), stderr: stderr.into() })
    }

    #[test]
    fn words_of_buildx_and_what_they_mean() {
        assert_eq!(said("ERROR: r.example/c:x: not found\n"), Said::Empty);
        let denied = [
            "ERROR: pulling from host r.example failed with status code [manifests x]: 401 Unauthorized",
            "ERROR: unexpected status from HEAD request to https://r.example/v2/c/manifests/x: 403 Forbidden",
            "ERROR: failed to authorize: failed to fetch oauth token: denied: access forbidden",
        ];
        for text in denied {
            assert!(matches!(said(text), Said::Denied(_)), "{text}");
        }
        let unreachable = [
            "ERROR: failed to do request: Head \"http://127.0.0.1:1/\": dial tcp 127.0.0.1:1: connect: connection refused",
            "ERROR: failed to do request: Head \"https://x/\": dial tcp: lookup x: no such host",
            "error getting credentials - err: exec: \"docker-credential-x\": executable file not found in $PATH",
            "ERROR: unexpected status code [manifests x]: 500 Internal Server Error",
            "",
        ];
        for text in unreachable {
            assert!(matches!(said(text), Said::Unreachable(_)), "{text}");
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
