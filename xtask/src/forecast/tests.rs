use jiff::Timestamp;

use crate::forecast::*;
use crate::project::context::Input;

/// `made` reads a file, `last` reads `made` and continues, `aside` is independent.
fn graph(file: &str) -> Vec<GraphStep> {
    let step = |stage: &str, key: String, soft: String, parents: Vec<usize>, draws: Vec<usize>| GraphStep {
        target: "app".into(),
        stage: stage.into(),
        text: format!("RUN {stage}{}", parents.len()),
        key,
        soft,
        parents,
        draws,
        ..GraphStep::default()
    };
    let read =
        |step: GraphStep| GraphStep { files: vec![Input { path: "a".into(), state: file.into() }], ..step };
    vec![
        read(step("made", format!("made-{file}"), format!("made-{file}"), vec![], vec![])),
        step("last", format!("copy-{file}"), "copy".into(), vec![], vec![0]),
        step("last", format!("run-{file}"), "run".into(), vec![1], vec![]),
        step("other", "other".into(), "other".into(), vec![], vec![]),
    ]
}

fn past(graph: &[GraphStep], build: &str, ran: &[(usize, i64)], seconds: f64) -> BuildSteps {
    let at = |second: i64| Timestamp::from_second(second).expect("in range");
    let steps = graph.iter().enumerate().map(|(index, step)| StepOutcome {
        target: step.target.clone(),
        stage: step.stage.clone(),
        text: step.text.clone(),
        key: step.key.clone(),
        soft: step.soft.clone(),
        is_done: true,
        ran: ran.iter().find(|(step, _)| *step == index).map(|(_, took)| (at(0), at(*took))),
        ..StepOutcome::default()
    });
    BuildSteps {
        build: build.into(),
        is_good: true,
        seconds,
        steps: steps.collect(),
        ..BuildSteps::default()
    }
}

/// Returns whether the builder has a step's result.
type Holds<'a> = &'a dyn Fn(&GraphStep, Option<&StepOutcome>) -> bool;

fn predict(now: &[GraphStep], past: &[BuildSteps], before: &[GraphStep], holds: Holds<'_>) -> Forecast {
    let stored = StoredKeys::default();
    let known = ForecastInputs {
        graph: now,
        past,
        before: Some(before),
        stored: &stored,
        processors: Processors(8),
        holds,
    };
    forecast(&known, BTreeMap::new())
}

fn states(forecast: &Forecast) -> String {
    let letter = |step: &StepForecast| match step.forecast.state {
        PredictedState::Cached => '=',
        PredictedState::Runs => '!',
        PredictedState::IfChanged => '?',
    };
    forecast.steps.iter().map(letter).collect()
}

#[test]
fn what_runs_and_what_may() {
    let (one, two) = (graph("1"), graph("2"));
    let first = past(&one, "b1", &[(0, 8), (1, 1), (2, 4), (3, 2)], 9.0);
    let all = |_: &GraphStep, _: Option<&StepOutcome>| true;
    let none = |_: &GraphStep, _: Option<&StepOutcome>| false;
    assert_eq!(states(&predict(&one, &[], &[], &all)), "!!!!", "nothing was built here");
    assert_eq!(states(&predict(&one, std::slice::from_ref(&first), &one, &all)), "====");
    assert_eq!(
        states(&predict(&one, std::slice::from_ref(&first), &one, &none)),
        "!!!!",
        "an emptied builder"
    );
    let edited = predict(&two, std::slice::from_ref(&first), &one, &all);
    assert_eq!(states(&edited), "!??=");
    let causes: Vec<_> =
        edited.steps.iter().map(|step| step.cause.as_ref().map(|cause| cause.detail.as_str())).collect();
    assert_eq!(
        causes,
        [Some("a: 1"), Some("made: RUN made0"), Some("last: RUN last0"), None]
            .map(|cause| cause.map(|text| if text == "a: 1" { "a: mode 1 -> 2" } else { text }))
    );
    assert_eq!(edited.expected, Some(ExpectedTime { seconds: 14.0, low: 9.0, high: 14.0 }));
    let second = past(&two, "b2", &[(0, 6)], 7.0);
    let back = predict(&one, &[second.clone(), first.clone()], &two, &all);
    assert_eq!(states(&back), "====", "an edit that is taken back");
    // Its output was equal and is expected to be equal again: 1 s outside its steps, and 6 or 8 s
    // for the one that runs.
    let three = graph("3");
    let again = predict(&three, &[second, first], &two, &all);
    assert_eq!(states(&again), "!??=");
    assert_eq!(again.expected.map(|time| time.seconds), Some(7.0));
}

#[test]
fn what_lies_below_a_cached_step_may_be_gone() {
    let one = graph("1");
    let first = past(&one, "b1", &[(0, 8), (1, 1), (2, 4), (3, 2)], 9.0);
    let without = |gone: &'static [&'static str]| {
        move |step: &GraphStep, _: Option<&StepOutcome>| !gone.contains(&step.stage.as_str())
    };
    assert_eq!(states(&predict(&one, std::slice::from_ref(&first), &one, &without(&["made"]))), "====");
    assert_eq!(
        states(&predict(&one, std::slice::from_ref(&first), &one, &without(&["made", "last"]))),
        "!!!="
    );
    assert_eq!(states(&predict(&one, std::slice::from_ref(&first), &one, &without(&["last"]))), "=!!=");
}

#[test]
fn a_step_without_a_cache_runs_whatever_is_there() {
    let mut now = graph("1");
    let first = past(&now, "b1", &[(0, 8), (1, 1), (2, 4), (3, 2)], 9.0);
    now.iter_mut().take(3).for_each(|step| step.is_forced = true);
    let all = |_: &GraphStep, _: Option<&StepOutcome>| true;
    let forecast = predict(&now, std::slice::from_ref(&first), &graph("1"), &all);
    assert_eq!(states(&forecast), "!!!=");
    let cause = forecast.steps[2].cause.as_ref().expect("a reason");
    assert_eq!(cause.kind, crate::outcome::CauseKind::Fresh);
}

#[test]
fn another_umask_is_named_where_the_store_has_the_step_with_other_modes() {
    let mut now = graph("664:1");
    now[0].any_mode = "any".into();
    let key = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect::<BTreeSet<_>>();
    let stored = StoredKeys { exact: key(&["made-644:1"]), any_mode: key(&["any"]) };
    let known = ForecastInputs {
        graph: &now,
        past: &[],
        before: None,
        stored: &stored,
        processors: Processors(8),
        holds: &|_, _| true,
    };
    let forecast = forecast(&known, BTreeMap::new());
    let cause = forecast.steps[0].cause.as_ref().expect("it runs");
    assert!(cause.detail.contains("another umask"), "{cause:?}");
    let other = StoredKeys { exact: key(&["made-644:1"]), any_mode: key(&["other"]) };
    let forecast = super::forecast(&ForecastInputs { stored: &other, ..known }, BTreeMap::new());
    assert!(!forecast.steps[0].cause.as_ref().expect("it runs").detail.contains("umask"));
}

#[test]
fn what_follows_an_address_may_run_though_its_result_is_there() {
    let mut now = graph("1");
    now[0].is_open = true;
    let first = past(&now, "b1", &[(0, 8), (1, 1), (2, 4), (3, 2)], 9.0);
    let all = |_: &GraphStep, _: Option<&StepOutcome>| true;
    assert_eq!(states(&predict(&now, std::slice::from_ref(&first), &now, &all)), "???=");
    now[2].key = "edited".into();
    let of_another_stage = predict(&now, std::slice::from_ref(&first), &now, &all);
    assert_eq!(states(&of_another_stage), "???=", "only content that BuildKit compares has changed");
    now[2].soft = "edited".into();
    assert_eq!(states(&predict(&now, std::slice::from_ref(&first), &now, &all)), "??!=");
}

#[test]
fn an_address_below_equal_content_may_be_cached() {
    let (mut one, mut two) = (graph("1"), graph("2"));
    for step in [&mut one[2], &mut two[2]] {
        step.is_open = true;
    }
    let first = past(&one, "b1", &[(0, 8), (1, 1), (2, 4), (3, 2)], 9.0);
    let all = |_: &GraphStep, _: Option<&StepOutcome>| true;
    assert_eq!(states(&predict(&two, std::slice::from_ref(&first), &one, &all)), "!??=");
    two[1].soft = "edited".into();
    two[2].soft = "edited".into();
    assert_eq!(states(&predict(&two, &[first], &one, &all)), "!!!=");
}

#[test]
fn a_vertex_of_two_stages_is_one_step() {
    let step = |stage: &str, text: &str, key: &str, parents: &[usize]| GraphStep {
        target: "app".into(),
        stage: stage.into(),
        text: text.into(),
        key: key.into(),
        soft: key.into(),
        parents: parents.to_vec(),
        ..GraphStep::default()
    };
    let graph = |edit: &str| {
        let first = [step("a", "WORKDIR /w", "w", &[]), step("a", "COPY a .", "a", &[0])];
        let second = [step("b", "WORKDIR /w", "w", &[]), step("b", "COPY b .", &format!("b{edit}"), &[2])];
        first.into_iter().chain(second).collect::<Vec<_>>()
    };
    let (one, two) = (graph("1"), graph("2"));
    let first = past(&one, "b1", &[(0, 8), (1, 1), (2, 8), (3, 2)], 9.0);
    let nothing = |_: &GraphStep, _: Option<&StepOutcome>| false;
    let not_first = |step: &GraphStep, _: Option<&StepOutcome>| step.text == "COPY a .";
    assert_eq!(states(&predict(&two, std::slice::from_ref(&first), &one, &nothing)), "!!!");
    let edited = predict(&two, std::slice::from_ref(&first), &one, &not_first);
    assert_eq!(states(&edited), "!=!", "the second stage needs the step that is shown under the first");
}

#[test]
fn a_root_that_is_compared_may_be_equal_below_commands_alone() {
    let step = |text: &str, edit: &str, parents: &[usize]| GraphStep {
        target: "app".into(),
        stage: "app".into(),
        text: text.into(),
        key: format!("{text} {edit}"),
        soft: format!("{text} {edit}"),
        parents: parents.to_vec(),
        ..GraphStep::default()
    };
    let graph = |first: &str, edit: &str, compares_root: bool| {
        let make = GraphStep { compares_root, soft: "make".into(), ..step("RUN make", edit, &[1]) };
        vec![step(first, edit, &[]), step("RUN between", edit, &[0]), make]
    };
    let all = |_: &GraphStep, _: Option<&StepOutcome>| true;
    for (first, compares, expected) in
        [("RUN first", true, "!!?"), ("RUN first", false, "!!!"), ("COPY first .", true, "!!!")]
    {
        let (one, two) = (graph(first, "1", compares), graph(first, "2", compares));
        let past = past(&one, "b1", &[(0, 1), (1, 1), (2, 1)], 3.0);
        assert_eq!(states(&predict(&two, &[past], &one, &all)), expected, "{first}");
    }
}
