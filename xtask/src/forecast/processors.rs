//! Parallel steps: the time of one step alone, and the time of some steps together. A step is
//! assumed to use one processor. If there are more steps than processors, each gets an equal part,
//! so a build of many stages runs each of them slower.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::project::graph::GraphStep;
use crate::record::steps::StepOutcome;

/// A builder's processors; 0 if unknown. Steps then don't slow each other down.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Processors(pub u32);

/// The time span of a step, in seconds from the start of the first one.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Span {
    pub from: f64,
    pub to: f64,
}

impl Processors {
    /// Returns the part of its full speed that each of some steps has.
    fn speed(self, steps: usize) -> f64 {
        let steps = u32::try_from(steps).unwrap_or(u32::MAX);
        if self.0 == 0 || steps <= self.0 { 1.0 } else { f64::from(self.0) / f64::from(steps) }
    }

    /// Returns the seconds that the steps of a build would have taken alone, by their keys. A step
    /// of several targets ran once.
    pub(crate) fn alone(self, steps: &[StepOutcome]) -> BTreeMap<&str, f64> {
        let ran: BTreeMap<&str, _> =
            steps.iter().filter_map(|step| Some((step.key.as_str(), step.ran?))).collect();
        let mut times: Vec<_> = ran.values().flat_map(|(from, to)| [*from, *to]).collect();
        times.sort();
        times.dedup();
        let mut alone: BTreeMap<&str, f64> = ran.keys().map(|key| (*key, 0.0)).collect();
        for pair in times.windows(2) {
            let runs = |(from, to): &(Timestamp, Timestamp)| *from <= pair[0] && pair[1] <= *to;
            let seconds = pair[1].duration_since(pair[0]).as_secs_f64()
                * self.speed(ran.values().filter(|ran| runs(ran)).count());
            for (key, sum) in &mut alone {
                *sum += if runs(&ran[key]) { seconds } else { 0.0 };
            }
        }
        alone
    }

    /// Returns the time span of each step of a graph from their times alone: each starts when its
    /// dependencies are done, and runs once for all targets.
    pub(crate) fn together(self, graph: &[GraphStep], seconds: &[f64]) -> Vec<Span> {
        let mut first = BTreeMap::new();
        let once: Vec<usize> = graph
            .iter()
            .enumerate()
            .map(|(at, step)| *first.entry(step.key.as_str()).or_insert(at))
            .collect();
        let mut spans = vec![Span::default(); graph.len()];
        let mut left = seconds.to_vec();
        let (mut waiting, mut running): (Vec<usize>, Vec<usize>) =
            (first.into_values().collect(), Vec::new());
        waiting.sort_unstable();
        let mut is_over = vec![false; graph.len()];
        let mut now = 0.0;
        loop {
            // Dependencies come first in a graph, so one pass starts all that can, including those
            // that take no time.
            waiting.retain(|&at| {
                if !graph[at].needs().all(|needed| is_over[once[needed]]) {
                    return true;
                }
                spans[at] = Span { from: now, to: now };
                if left[at] > 0.0 {
                    running.push(at);
                } else {
                    is_over[at] = true;
                }
                false
            });
            let Some(next) = running.iter().map(|at| left[*at]).reduce(f64::min) else {
                return once.into_iter().map(|at| spans[at]).collect();
            };
            now += next / self.speed(running.len());
            running.retain(|&at| {
                left[at] -= next;
                spans[at].to = now;
                is_over[at] = left[at] <= 0.0;
                !is_over[at]
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(key: &str, ran: Option<(i64, i64)>) -> StepOutcome {
        let at = |second: i64| Timestamp::from_second(second).expect("in range");
        StepOutcome {
            key: key.into(),
            ran: ran.map(|(from, to)| (at(from), at(to))),
            ..StepOutcome::default()
        }
    }

    #[test]
    fn who_shares_is_slower() {
        let ran = [
            step("a", Some((0, 6))),
            step("b", Some((0, 6))),
            step("c", Some((0, 8))),
            step("d", None),
            step("a", Some((0, 6))),
        ];
        let rounded = |processors: u32, steps: &[StepOutcome]| -> Vec<String> {
            let alone = Processors(processors).alone(steps);
            alone.into_iter().map(|(key, seconds)| format!("{key} {seconds:.0}")).collect()
        };
        assert_eq!(rounded(2, &ran), ["a 4", "b 4", "c 6"]);
        assert_eq!(rounded(0, &ran), ["a 6", "b 6", "c 8"], "nobody knows of how many");
        assert_eq!(rounded(2, &[step("a", Some((5, 4)))]), ["a 0"], "a clock that was set");
    }

    #[test]
    fn together_they_take_what_the_processors_need() {
        let step = |key: &str, parents: &[usize]| GraphStep {
            key: key.into(),
            parents: parents.to_vec(),
            ..GraphStep::default()
        };
        // Two targets need `a`.
        let graph = [
            step("a", &[]),
            step("b", &[]),
            step("c", &[]),
            step("d", &[0, 1]),
            step("a", &[]),
            step("e", &[4]),
        ];
        let spans = |processors: u32, seconds: [f64; 6]| -> String {
            let spans = Processors(processors).together(&graph, &seconds);
            spans.iter().map(|span| format!("{:.0}-{:.0} ", span.from, span.to)).collect()
        };
        assert_eq!(spans(2, [4.0, 4.0, 6.0, 1.0, 4.0, 0.0]), "0-6 0-6 0-8 6-7 0-6 6-6 ");
        assert_eq!(spans(0, [4.0, 4.0, 6.0, 1.0, 4.0, 3.0]), "0-4 0-4 0-6 4-5 0-4 4-7 ");
        assert_eq!(spans(1, [0.0, 0.0, 0.0, 3.0, 0.0, 0.0]), "0-0 0-0 0-0 0-3 0-0 0-0 ");
    }
}
