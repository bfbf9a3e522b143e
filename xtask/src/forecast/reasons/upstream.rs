//! Reasons that lie before a step: it is what it was, but follows from something else, and nothing
//! of that runs because its result is there.

use std::collections::BTreeSet;

use super::{Compared, counterpart_index, differences, open};
use crate::outcome::{Cause, CauseKind};
use crate::project::graph::GraphStep;

impl Compared<'_> {
    /// Returns the nearest change before a step.
    pub(super) fn upstream(&self, at: usize) -> Option<Cause> {
        let before = self.before?;
        let mut seen = BTreeSet::from([at]);
        let mut next = std::collections::VecDeque::from([at]);
        while let Some(at) = next.pop_front() {
            if let Some(cause) = self.predecessor(at, before) {
                return Some(cause);
            }
            for needed in self.now[at].needs().filter(|needed| seen.insert(*needed)) {
                let step = &self.now[needed];
                let Some(old) = counterpart_index(self.now, needed, before) else {
                    let detail = format!("`{}` before it is new", step.text);
                    return Some(Cause { kind: CauseKind::Instruction, detail });
                };
                if let Some(own) = differences(&before[old], step).into_iter().next() {
                    let detail = format!("{}: {}: {}", step.stage, step.text, own.detail);
                    return Some(Cause { kind: own.kind, detail });
                }
                if before[old].key != step.key {
                    next.push_back(needed);
                }
            }
        }
        None
    }

    /// The nearest step whose key is unknown in advance: this one, or one before it. A build that
    /// failed may have run that one already.
    pub(super) fn nearest_open(&self, at: usize) -> Option<Cause> {
        let mut seen = BTreeSet::from([at]);
        let mut next = std::collections::VecDeque::from([at]);
        while let Some(at) = next.pop_front() {
            if let Some(cause) = open(&self.now[at]) {
                return Some(cause);
            }
            next.extend(self.now[at].needs().filter(|needed| seen.insert(*needed)));
        }
        None
    }

    /// A step that is based on or reads from other instructions than before.
    fn predecessor(&self, at: usize, before: &[GraphStep]) -> Option<Cause> {
        let step = &self.now[at];
        let old = &before[counterpart_index(self.now, at, before)?];
        let (now, then) = (needs(self.now, step), needs(before, old));
        if now == then {
            return None;
        }
        let is_in = |graph: &[GraphStep], one: &Name| {
            graph.iter().any(|step| step.target == old.target && name(step) == *one)
        };
        let added = now.iter().find(|one| !then.contains(one));
        let removed = then.iter().find(|one| !now.contains(one));
        let detail = match (added, removed) {
            (_, Some(then)) if !is_in(self.now, then) => format!("`{}` before it is gone", then.1),
            (Some(now), _) if !is_in(before, now) => format!("`{}` before it is new", now.1),
            (Some(now), Some(then)) => format!("it follows `{}` now, `{}` before", now.1, then.1),
            (Some(now), None) => format!("it follows `{}` now", now.1),
            (None, Some(_)) if now.is_empty() => "nothing is before it now".to_owned(),
            (None, Some(then)) => format!("it no longer follows `{}`", then.1),
            (None, None) => "the order of the steps before it is another one".to_owned(),
        };
        Some(Cause { kind: CauseKind::Instruction, detail })
    }
}

/// The stage and the text of a step.
type Name = (String, String);

fn name(step: &GraphStep) -> Name {
    (step.stage.clone(), step.text.clone())
}

/// The steps that a step is based on, the last one first, and then those that it reads from.
fn needs(graph: &[GraphStep], step: &GraphStep) -> Vec<Name> {
    let order = step.parents.iter().rev().chain(step.draws.iter().rev());
    order.map(|needed| name(&graph[*needed])).collect()
}
