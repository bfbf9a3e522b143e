//! A failed build, reported once: the step, its last lines, its exit code, the path of the log,
//! advice.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::progress::trace::Trace;
use crate::progress::vertex::TAIL;
use crate::text;
use crate::text::size::show;
use crate::text::terminal;

/// Why a build failed.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct BuildFailure {
    /// The step, as BuildKit names it; `None` if no step had started.
    pub step: Option<String>,
    /// The step's own exit code.
    pub exit_code: Option<i32>,
    /// BuildKit's message.
    pub message: String,
    /// The step's last lines.
    pub output: Vec<String>,
    /// Advice, if the cause is known.
    pub advice: Option<String>,
    /// The full output of the build.
    pub log: String,
}

/// The first row of [`ADVICE`].
const FULL_DISK: (&str, &str) = (
    "no space left on device",
    "free some space: `docker system df` shows what uses it, `docker buildx prune` frees the builder's \
     cache",
);

/// Lower-case text in a message or in a step's output, and the advice for it.
const ADVICE: &[(&str, &str)] = &[
    FULL_DISK,
    (
        "checksum mismatch",
        "a module does not match go.sum: find out who changed it; run `go mod tidy` in builder/frankenphp \
         only if you want the change",
    ),
    ("missing go.sum entry", "run `go mod tidy` in builder/frankenphp and commit go.sum"),
    (
        "certificate signed by unknown authority",
        "name your company's CA bundle in SSL_CERT_FILE: it is passed to the build as a secret",
    ),
    (
        "failed to resolve source metadata",
        "the image of a FROM is not available: check its name, the registry, and `docker login`",
    ),
    (
        "pull access denied",
        "the image of a FROM is not available: check its name, the registry, and `docker login`",
    ),
    ("dockerfile parse error", "correct the Dockerfile at the line named above"),
    (
        "failed to read dockerfile",
        "the Dockerfile does not exist at that path, or is a link out of its directory: check `dockerfile:` \
         and `context:` in the declaration",
    ),
    (
        "contains invalid utf-8",
        "the name of a file in a context is not UTF-8, which BuildKit does not support: rename the file or \
         exclude it in .dockerignore; `find . | grep -axv '.*'` lists such names",
    ),
    (
        "could not resolve",
        "the network or its name server failed: run the build again; finished steps are kept",
    ),
    (
        "temporary failure resolving",
        "the network or its name server failed: run the build again; finished steps are kept",
    ),
    (
        "connection refused",
        "a server that a step needs does not answer: run the build again; finished steps are kept",
    ),
];

impl BuildFailure {
    /// Describes a build that ended before BuildKit answered.
    pub(crate) fn of_error(error: &anyhow::Error, log: &Path) -> Self {
        let (message, log) = (format!("{error:#}"), log.display().to_string());
        Self { step: None, exit_code: None, message, output: Vec::new(), advice: None, log }
    }

    /// Describes the failure in the trace and `lines`, bake's own output.
    pub(crate) fn new(trace: &Trace, lines: &[String], log: &Path) -> Self {
        let failed = trace.failed();
        let errors = || lines.iter().rev().find_map(|line| line.strip_prefix("ERROR: "));
        let message = errors().map(str::to_owned).or_else(|| failed.map(|state| state.error.clone()));
        let message = message.unwrap_or_else(|| lines[lines.len().saturating_sub(TAIL)..].join("\n"));
        let tail = failed.into_iter().flat_map(|state| &state.tail);
        let output: Vec<String> = tail.map(|line| text::one_line(line, text::KEPT_LINE)).collect();
        let said = |word: &str| {
            std::iter::once(&message).chain(&output).any(|line| line.to_lowercase().contains(word))
        };
        let advice = ADVICE.iter().find(|(word, _)| said(word)).map(|(_, advice)| (*advice).to_owned());
        Self {
            step: failed.map(|state| state.name.clone()),
            exit_code: failed.and_then(|state| state.exit_code()),
            message,
            output,
            advice,
            log: log.display().to_string(),
        }
    }
}

impl BuildFailure {
    /// Returns whether a command failed or the message has advice.
    pub(crate) fn has_cause(&self) -> bool {
        self.exit_code.is_some() || self.advice.is_some()
    }

    /// Says that the engine has ended, and where the cause of that is.
    pub(crate) fn set_engine_down(&mut self) {
        self.advice = Some(
            "the engine does not answer any more: look at its log (`journalctl -u docker`) and at the free \
             space of its disk"
                .to_owned(),
        );
    }

    /// Names the engine's full disk as the cause.
    pub(crate) fn set_full_disk(&mut self, dir: &Path, free: u64) {
        let (word, advice) = FULL_DISK;
        self.advice = Some(format!(
            "{word}: the engine's disk at `{}` has {} free\n{advice}",
            dir.display(),
            show(free)
        ));
    }
}

impl fmt::Display for BuildFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (step, message) =
            (self.step.as_deref().map(text::step_without_mount_flags), terminal::lines(&self.message));
        match (step.as_deref().map(terminal::plain), self.exit_code) {
            (Some(step), Some(code)) => write!(f, "the build failed with exit code {code} in `{step}`")?,
            (Some(step), None) => write!(f, "the build failed in `{step}`: {message}")?,
            (None, _) => write!(f, "the build failed: {message}")?,
        }
        for line in &self.output {
            write!(f, "\n  | {}", terminal::plain(line))?;
        }
        if let Some(advice) = &self.advice {
            write!(f, "\n{advice}")?;
        }
        write!(f, "\nfull log: {}", self.log)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::decode::Chunk;

    #[test]
    fn step_code_lines_advice_and_log_are_reported() {
        let mut trace = Trace::new(&["app".to_owned()]);
        let chunk: Chunk = serde_json::from_str(
            r#"{"vertexes":[{"digest":"d","name":"[s 2/3] RUN make","started":"2026-11-22T12:00:00Z"}],
                "logs":[{"vertex":"d","data":"Y3A6IG5vIHNwYWNlIGxlZnQgb24gZGV2aWNlCg=="}]}"#,
        )
        .expect("well formed");
        trace.apply(&chunk);
        let error = r#"{"vertexes":[{"digest":"d","error":"process \"make\" did not complete successfully: exit code: 2"}]}"#;
        trace.apply(&serde_json::from_str(error).expect("well formed"));
        let said =
            BuildFailure::new(&trace, &["ERROR: failed to solve".into()], Path::new("/log")).to_string();
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines[0], "the build failed with exit code 2 in `[s 2/3] RUN make`");
        assert_eq!(lines[1], "  | cp: no space left on device");
        assert!(lines[2].starts_with("free some space"));
        assert_eq!(lines[3], "full log: /log");
    }

    #[test]
    fn a_full_disk_is_named_where_the_engine_says_nothing() {
        let text = ["ERROR: failed to receive status: connection reset by peer".to_owned()];
        let mut failure = BuildFailure::new(&Trace::default(), &text, Path::new("/log"));
        assert!(!failure.has_cause());
        failure.set_full_disk(Path::new("/var/lib/docker"), 16_384);
        assert!(failure.has_cause());
        let said = failure.to_string();
        let reason =
            "\nno space left on device: the engine's disk at `/var/lib/docker` has 16.4 kB free\nfree some";
        assert!(said.contains(reason), "{said}");
        failure.set_engine_down();
        assert!(failure.to_string().contains("\nthe engine does not answer any more"), "{failure}");
    }

    #[test]
    fn colored_output_is_reported_without_colors() {
        let mut failure = BuildFailure::new(&Trace::default(), &["x".to_owned()], Path::new("/log"));
        failure.output.push("\x1b[31mred\x1b[0m\x1b[2K".into());
        assert!(failure.to_string().contains("\n  | red\n"));
    }

    #[test]
    fn a_build_that_did_not_begin_tells_bakes_own_words() {
        let text = ["#1 x".to_owned(), "ERROR: failed to read dockerfile: open nope".to_owned()];
        let failure = BuildFailure::new(&Trace::default(), &text, Path::new("/log"));
        assert_eq!((failure.step, failure.exit_code), (None, None));
        assert_eq!(failure.message, "failed to read dockerfile: open nope");
        assert!(failure.advice.is_some());
    }
}
