//! The end of a call of bake, and its classification.

use super::trace::Trace;

/// Why a call ended. An end that was requested is never a success, even if bake exited with 0
/// before the signal reached it: its results are not what was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BakeStatus {
    /// bake exited with 0.
    Succeeded,
    /// bake exited with another code.
    Failed,
    /// The caller's `stop` found a reason in the events.
    Stopped,
    /// The call sent nothing for too long.
    Stalled,
    /// The caller's `end_if` returned true.
    ConditionMet,
}

/// The end of a call.
pub(crate) struct BakeOutcome {
    pub status: BakeStatus,
    /// The events.
    pub trace: Trace,
    /// Text outside the stream: bake's own error.
    pub text: Vec<String>,
    /// The wall time in seconds.
    pub seconds: f64,
}

impl BakeOutcome {
    /// Returns whether bake made everything.
    pub(crate) fn is_success(&self) -> bool {
        self.status == BakeStatus::Succeeded
    }

    /// Returns whether it ended without success, and not because the events were a reason to stop.
    fn has_failed(&self) -> bool {
        !matches!(self.status, BakeStatus::Succeeded | BakeStatus::Stopped)
    }

    /// Returns whether only a race of the engine ended the build, which can be repeated: finished
    /// steps are cached then. With two parallel builds, one may fail in BuildKit's graph, or lose
    /// an image's content when another image is removed (seen with Docker 26.1).
    pub(crate) fn is_engine_race(&self) -> bool {
        let is_race = |line: &String| {
            line.contains("failed to get state for index")
                || line.contains("inconsistent graph state")
                || line.ends_with("failed to solve: not found")
                // Another build gave its image this name at the same time (Docker 26.1).
                || line.contains("failed to solve: image \"") && line.ends_with("\": already exists")
                // Content of one of two images from saved results, after a prune (Docker 26.1).
                || line.contains("failed to get reader from content store") && line.ends_with(": not found")
                // The writer of an export that a full disk ended, for some seconds (Docker 26.1).
                || line.contains(" locked for ") && line.ends_with(": unavailable")
        };
        let said = self.has_failed() && self.text.iter().any(is_race);
        said || self.lost_a_snapshot()
    }

    /// Returns whether a failed export may succeed when it is repeated: after a race, or if
    /// BuildKit chose a result whose content a registry has lost, although the build has made
    /// another one (Docker 26.1).
    pub(crate) fn is_transient_export_failure(&self) -> bool {
        let is_lost =
            |line: &String| line.contains("could not fetch content descriptor") && line.contains("not found");
        self.is_engine_race() || self.has_failed() && self.text.iter().any(is_lost)
    }

    /// Returns whether a snapshot of the engine was gone: when an image was unpacked, because
    /// another one with a common layer was removed, or below a step, because results were pruned
    /// while another build ran (both seen with Docker 26.1).
    fn lost_a_snapshot(&self) -> bool {
        let lost = |message: &str| {
            message.contains("snapshot")
                && message.contains("does not exist: not found")
                // A command may have these words.
                && !message.contains("exit code:")
        };
        !self.is_success() && self.trace.failed().is_some_and(|state| lost(&state.error))
    }
}

impl BakeOutcome {
    /// Returns whether damaged cache content may have ended the build: not if a command failed.
    pub(crate) fn may_be_damage(&self) -> bool {
        let is_command = |message: &str| message.contains("exit code:");
        self.has_failed()
            && !self.trace.failed().map_or_else(
                || self.text.iter().any(|line| is_command(line)),
                |state| is_command(&state.error),
            )
    }

    /// Returns whether the download of a blob from a registry failed, by the words of containerd's
    /// resolver.
    pub(crate) fn is_missing_registry_blob(&self) -> bool {
        let words = [
            "httpReadSeeker",
            "could not fetch content",
            "failed to do request",
            "failed to copy",
            "from remote",
            // The content differs from its digest, or is too short.
            "failed commit on ref",
            "failed size validation",
            "failed to read expected number of bytes",
            "unexpected EOF",
        ];
        let is_fetch = |message: &str| words.iter().any(|word| message.contains(word));
        self.has_failed()
            && self.trace.failed().map_or_else(
                || self.text.iter().any(|line| is_fetch(line)),
                |state| is_fetch(&state.error) && !state.error.contains("exit code:"),
            )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_races_of_the_engine_are_tried_again() {
        let ended = |name: &str, error: &str| {
            let mut trace = Trace::new(&["app".to_owned()]);
            let json = serde_json::json!({"vertexes": [{"digest": "d", "name": name, "error": error}]});
            trace.apply(&serde_json::from_value(json).expect("well formed"));
            BakeOutcome { status: BakeStatus::Failed, trace, text: Vec::new(), seconds: 0.0 }
        };
        let lost = "failed to prepare extraction snapshot \"x\": parent snapshot sha256:b0 does not exist: not found";
        assert!(ended("exporting to image", lost).lost_a_snapshot());
        let below =
            "failed to prepare sha256:44 as vwz5: parent snapshot sha256:44 does not exist: not found";
        assert!(ended("[2/2] COPY --from=build /out /", below).lost_a_snapshot());
        let command = format!("process \"/bin/sh -c echo '{lost}'\" did not complete: exit code: 1");
        assert!(!ended("[2/2] RUN x", &command).lost_a_snapshot());
        assert!(!ended("exporting to image", "no space left on device").lost_a_snapshot());
        let said = |line: &str| BakeOutcome { text: vec![line.to_owned()], ..ended("[2/2] RUN x", "") };
        for (status, is_race) in [
            (BakeStatus::Succeeded, false),
            (BakeStatus::Failed, true),
            (BakeStatus::Stopped, false),
            (BakeStatus::Stalled, true),
            (BakeStatus::ConditionMet, true),
        ] {
            let ended = BakeOutcome { status, ..said("ERROR: failed to solve: not found") };
            assert_eq!(ended.is_engine_race(), is_race, "{status:?}");
            assert_eq!(ended.is_success(), status == BakeStatus::Succeeded, "{status:?}");
        }
        assert!(
            said("ERROR: failed to solve: failed to get state for index 0 on [php 1/3] COPY x y")
                .is_engine_race()
        );
        assert!(!said("ERROR: failed to solve: x: not found").is_engine_race());
        let named = "ERROR: target app: failed to solve: image \"docker.io/library/app:1\": already exists";
        assert!(said(named).is_engine_race());
        assert!(!said("ERROR: failed to solve: network \"a\": already exists").is_engine_race());
        let locked = "ERROR: failed to solve: mount callback failed on /x: failed to open writer: ref moby/1/wc \
                      locked for 1.3s (since 2026-11-27 03:48:31 +0000 UTC): unavailable";
        assert!(said(locked).is_engine_race());
        let gone = "ERROR: failed to solve: failed to extract layer sha256:b7: failed to get reader from content \
                    store: content digest sha256:a4: not found";
        assert!(said(gone).is_engine_race());
        let fetch = "failed to copy: httpReadSeeker: failed open: could not fetch content descriptor x from remote: not found";
        assert!(ended("exporting to image", fetch).is_missing_registry_blob());
        assert!(ended("[2/2] COPY a /", fetch).is_missing_registry_blob());
        let lie = "failed to compute cache key: failed commit on ref \"layer-sha256:dc\": commit failed: unexpected commit digest";
        assert!(ended("[2/2] COPY --from=build /out /", lie).is_missing_registry_blob());
        assert!(
            !ended("[2/2] RUN x", "process \"x; failed to do request\" did not complete: exit code: 1")
                .is_missing_registry_blob()
        );
        let read = "failed to compute cache key: failed to read expected number of bytes: unexpected EOF";
        assert!(ended("[2/2] COPY --from=build /out /", read).may_be_damage());
        let command = "process \"/bin/sh -c false\" did not complete successfully: exit code: 1";
        assert!(!ended("[2/2] RUN false", command).may_be_damage());
    }
}
