//! The reasons why a step ran or will run: its current inputs compared with the earlier ones.

mod differences;
mod upstream;

use self::differences::{NAMED, differences, fresh};
use crate::forecast::PredictedState;
use crate::outcome::{Cause, CauseKind};
use crate::project::graph::GraphStep;
use crate::project::run_settings::HOSTS;
use crate::record::steps::Known;

/// The input for reasons.
pub(crate) struct Compared<'a> {
    pub now: &'a [GraphStep],
    /// The steps of the build to compare with, if there is one.
    pub before: Option<&'a [GraphStep]>,
}

impl Compared<'_> {
    /// Returns why step `at` runs. `state` returns the state of each step. `known` tells whether
    /// exactly this result was made before.
    pub(crate) fn cause(&self, at: usize, state: &dyn Fn(usize) -> PredictedState, known: Known) -> Cause {
        let step = &self.now[at];
        if step.is_forced {
            return fresh();
        }
        let own = match self.before.filter(|before| !before.is_empty()) {
            Some(before) => match counterpart(self.now, at, before) {
                Some(old) => differences(old, step),
                None => {
                    vec![Cause { kind: CauseKind::Instruction, detail: "it is new in the Dockerfile".into() }]
                }
            },
            None if known > Known::No => Vec::new(),
            None => vec![Cause { kind: CauseKind::New, detail: "no recorded build has it".into() }],
        };
        if let Some(first) = own.first() {
            let details: Vec<&str> = own.iter().map(|cause| cause.detail.as_str()).collect();
            return Cause { kind: first.kind, detail: details.join("; ") };
        }
        let follows = self.follows(at, state, known).or_else(|| self.upstream(at));
        follows.unwrap_or(Cause { kind: CauseKind::Unknown, detail: String::new() })
    }

    /// Returns the reason of a step that is as it was: a step before it that runs, a key that is
    /// unknown in advance, a step before it that may run, its lost result, or a change that
    /// BuildKit did not notice.
    fn follows(&self, at: usize, state: &dyn Fn(usize) -> PredictedState, known: Known) -> Option<Cause> {
        let step = &self.now[at];
        let parent = |wanted: PredictedState| {
            let parent = &self.now[step.needs().find(|at| state(*at) == wanted)?];
            let detail = format!("{}: {}", parent.stage, parent.text);
            Some(Cause { kind: CauseKind::Parent, detail })
        };
        // A version that only one of the builds knows is not compared.
        let is_compared = || {
            let before = self.before.and_then(|before| counterpart(self.now, at, before));
            before.is_none_or(|before| before.remotes().eq(step.remotes()))
        };
        let open = || {
            let own = open(step).filter(|_| known > Known::No);
            own.or_else(|| content_of_servers(step).filter(|_| !is_compared()))
        };
        let lost = || match known {
            Known::No => None,
            Known::Perhaps => unnoticed(step),
            Known::Certainly => Some(self.nearest_open(at).unwrap_or_else(dropped)),
        };
        parent(PredictedState::Runs).or_else(open).or_else(|| parent(PredictedState::IfChanged)).or_else(lost)
    }
}

/// Returns the reason of a step whose key is unknown in advance: it reads a URL whose content only
/// its server knows, or has extra hosts in random order.
fn open(step: &GraphStep) -> Option<Cause> {
    if !step.is_open {
        return None;
    }
    let detail = format!("{HOSTS}: this version of buildx passes them in random order");
    let hosts = step.parts.contains_key(HOSTS).then_some(Cause { kind: CauseKind::Mount, detail });
    content_of_servers(step).or(hosts)
}

fn content_of_servers(step: &GraphStep) -> Option<Cause> {
    let urls: Vec<&str> = step.remotes().map(|(url, _)| url).collect();
    let detail = format!("{}: the server may send different content", urls.join(", "));
    (!urls.is_empty()).then_some(Cause { kind: CauseKind::File, detail })
}

/// Returns the reason of a step whose files changed earlier.
fn unnoticed(step: &GraphStep) -> Option<Cause> {
    let paths: Vec<&str> = step.unnoticed.keys().map(String::as_str).take(NAMED).collect();
    let detail = format!(
        "{}: a mode or an attribute changed earlier, which BuildKit may notice only now",
        paths.join(", ")
    );
    (!paths.is_empty()).then_some(Cause { kind: CauseKind::File, detail })
}

fn dropped() -> Cause {
    Cause { kind: CauseKind::Dropped, detail: "the builder no longer has its result".into() }
}

/// Returns the same step of another build: with the same inputs, else with the same text, else at
/// the same place of its stage.
pub(crate) fn counterpart<'a>(
    now: &[GraphStep],
    at: usize,
    before: &'a [GraphStep],
) -> Option<&'a GraphStep> {
    counterpart_index(now, at, before).map(|index| &before[index])
}

fn counterpart_index(now: &[GraphStep], at: usize, before: &[GraphStep]) -> Option<usize> {
    let step = &now[at];
    let place = |steps: &[GraphStep], at: usize| {
        steps[..at].iter().filter(|one| one.target == step.target && one.stage == step.stage).count()
    };
    let own =
        || before.iter().enumerate().filter(|(_, old)| old.target == step.target && old.stage == step.stage);
    let same_text: Vec<_> = own().filter(|(_, old)| old.text == step.text).collect();
    let number = now[..at]
        .iter()
        .filter(|one| one.target == step.target && one.stage == step.stage && one.text == step.text);
    let by_key = own().find(|(_, old)| old.key == step.key);
    by_key
        .or_else(|| same_text.get(number.count()).copied())
        .or_else(|| {
            // A step whose text is in both files matches no other.
            let is_gone = |old: &GraphStep| {
                !now.iter()
                    .any(|one| one.stage == old.stage && one.target == old.target && one.text == old.text)
            };
            own().find(|(index, old)| place(before, *index) == place(now, at) && is_gone(old))
        })
        .map(|(index, _)| index)
}

#[cfg(test)]
mod tests;
