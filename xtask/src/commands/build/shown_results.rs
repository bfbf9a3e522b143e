//! Selects the saved results that BuildKit gets. Of several results for one target, BuildKit 0.25
//! misses steps that it finds if it gets one of them alone. So a build gets only those that have,
//! together, all steps that any of them has.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::forecast::stored_entry;
use super::restore_ahead;
use crate::forecast::{Forecast, PredictedState};
use crate::live::SharedForecast;
use crate::plan::build::Plan;

/// Returns the results that a build does without. Waits for the forecast if there is a choice.
pub(super) fn superfluous(plan: &Plan, forecast_slot: &SharedForecast) -> Result<Vec<PathBuf>> {
    if !plan.reads_fewest || plan.targets.iter().all(|target| target.read.len() < 2) {
        return Ok(Vec::new());
    }
    let Some(forecast) = restore_ahead::provisional(forecast_slot)? else { return Ok(Vec::new()) };
    let shown: Vec<&[PathBuf]> = plan.targets.iter().map(|target| target.read.as_slice()).collect();
    let steps = |dir: &Path| stored_entry(dir).map(|entry| entry.steps);
    Ok(choose(&shown, forecast, &steps))
}

/// Returns the results that no target needs, from those that each target is shown.
fn choose(
    shown: &[&[PathBuf]],
    forecast: &Forecast,
    steps: &dyn Fn(&Path) -> Option<Vec<String>>,
) -> Vec<PathBuf> {
    // A result with the new content of a step's input may be any of them.
    if forecast.steps.iter().any(|step| step.forecast.state == PredictedState::IfChanged) {
        return Vec::new();
    }
    let wanted: BTreeSet<&str> = forecast.steps.iter().map(|step| step.key.as_str()).collect();
    let all: BTreeSet<&PathBuf> = shown.iter().copied().flatten().collect();
    let read = |dir: &PathBuf| Some((dir.clone(), steps(dir)?.into_iter().collect::<BTreeSet<String>>()));
    let entries: BTreeMap<PathBuf, BTreeSet<String>> = all.iter().copied().filter_map(read).collect();
    let mut needed: BTreeSet<&PathBuf> =
        all.iter().copied().filter(|dir| !entries.contains_key(*dir)).collect();
    for results in shown {
        let mut missing = wanted.clone();
        let found = |missing: &BTreeSet<&str>, dir: &PathBuf| {
            entries.get(dir).map_or(0, |steps| missing.iter().filter(|key| steps.contains(**key)).count())
        };
        // The first one of equal ones is the newest.
        while let Some(best) =
            results.iter().rev().max_by_key(|dir| found(&missing, dir)).filter(|dir| found(&missing, dir) > 0)
        {
            missing.retain(|key| !entries[best].contains(*key));
            needed.insert(best);
        }
    }
    all.into_iter().filter(|dir| !needed.contains(dir)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forecast::{StepForecast, StepPrediction};

    fn forecast(steps: &[(&str, PredictedState)]) -> Forecast {
        let step = |(key, state): &(&str, PredictedState)| StepForecast {
            target: "app".into(),
            stage: "stage-0".into(),
            instruction: String::new(),
            line: 0,
            key: (*key).to_owned(),
            forecast: StepPrediction { state: *state, seconds: None },
            cause: None,
        };
        Forecast { steps: steps.iter().map(step).collect(), ..Forecast::default() }
    }

    #[test]
    fn a_build_is_shown_the_fewest_results_with_all_steps() {
        let entries = [("new", "a b d"), ("old", "a b c"), ("oldest", "a x"), ("other", "y")];
        let steps = |dir: &Path| {
            let (_, keys) = entries.iter().find(|(name, _)| dir == Path::new(name))?;
            Some(keys.split(' ').map(str::to_owned).collect())
        };
        let superfluous = |shown: &[&[&str]], keys: &[&str]| {
            let shown: Vec<Vec<PathBuf>> =
                shown.iter().map(|dirs| dirs.iter().map(PathBuf::from).collect()).collect();
            let shown: Vec<&[PathBuf]> = shown.iter().map(Vec::as_slice).collect();
            let known: Vec<_> = keys.iter().map(|key| (*key, PredictedState::Cached)).collect();
            let all = choose(&shown, &forecast(&known), &steps);
            all.iter().map(|dir| dir.display().to_string()).collect::<Vec<_>>()
        };
        let all = ["new", "old", "oldest"];
        assert_eq!(superfluous(&[&all], &["a", "b", "c"]), ["new", "oldest"]);
        assert_eq!(superfluous(&[&all], &["a", "b", "d"]), ["old", "oldest"]);
        assert_eq!(superfluous(&[&all], &["a", "b", "c", "d"]), ["oldest"], "two have all together");
        assert_eq!(superfluous(&[&all], &["a", "b", "e"]), ["old", "oldest"], "the newest of equal ones");
        assert_eq!(superfluous(&[&all], &["e"]), all, "none has any step");
        assert_eq!(superfluous(&[&["new", "unknown"]], &["a", "d"]), [""; 0], "an entry that says nothing");
        assert_eq!(
            superfluous(&[&["new", "old"], &["old"]], &["a", "d"]),
            [""; 0],
            "needed by another target"
        );
        assert_eq!(superfluous(&[&["new", "old"], &["other"]], &["a", "d", "y"]), ["old"]);
        let open = forecast(&[("a", PredictedState::Cached), ("d", PredictedState::IfChanged)]);
        let dirs = ["new", "old"].map(PathBuf::from);
        assert!(choose(&[&dirs], &open, &steps).is_empty(), "a URL may have the content of any result");
    }
}
