use crate::outcome::Cause;
use crate::report::timeline::*;

fn step(target: &str, instruction: &str, seconds: f64, needs: &[usize]) -> StepReport {
    StepReport {
        target: target.into(),
        stage: instruction.split(' ').next().unwrap_or_default().to_lowercase(),
        instruction: instruction.into(),
        number: 0,
        cached: seconds == 0.0,
        seconds,
        started: (seconds > 0.0).then_some(1.0),
        needs: needs.to_vec(),
        cause: None,
    }
}

#[test]
fn the_critical_path_is_the_longest_chain_of_what_ran() {
    let steps = [
        step("app", "A", 2.0, &[]),
        step("app", "B", 5.0, &[]),
        step("app", "C", 4.0, &[0]),
        step("app", "D", 0.0, &[1, 2]),
        step("app", "E", 0.5, &[3]),
    ];
    let timeline = Timeline::of(&steps);
    assert_eq!(timeline.critical, [0, 2, 4], "through the cached one");
    assert!((timeline.critical_seconds() - 6.5).abs() < 1e-9);
    assert_eq!((timeline.ran(), timeline.span), (4, Some(6.0)));
    assert!(timeline.rows[2].is_critical && !timeline.rows[3].is_critical);
}

#[test]
fn of_a_step_that_another_build_had_begun_only_the_rest_counts() {
    let mut steps = [step("app", "A", 19.0, &[]), step("app", "B", 0.5, &[0])];
    (steps[0].started, steps[1].started) = (Some(-18.0), Some(1.0));
    let timeline = Timeline::of(&steps);
    assert!((timeline.critical_seconds() - 1.5).abs() < 1e-9);
    assert_eq!(timeline.span, Some(1.5));
}

#[test]
fn records_that_tell_less_or_nonsense_are_borne() {
    assert!(Timeline::of(&[]).critical.is_empty());
    assert!(Timeline::of(&[step("app", "A", 2.0, &[]), step("app", "B", 1.0, &[])]).critical.is_empty());
    let circle =
        [step("app", "A", 2.0, &[1, 9]), step("app", "B", 1.0, &[0, 1]), step("app", "C", 1.0, &[0])];
    assert!(Timeline::of(&circle).critical.len() <= 3);
    assert!(Timeline::of(&[step("app", "A", f64::NAN, &[]), step("app", "B", 1.0, &[0])]).rows.len() == 2);
}

#[test]
fn a_step_of_two_targets_is_one_row() {
    let steps = [
        step("app", "S", 2.0, &[]),
        step("base", "S", 2.0, &[]),
        step("app", "A", 1.0, &[0]),
        step("base", "B", 1.0, &[1]),
        step("app", "A", 1.0, &[0]),
    ];
    let timeline = Timeline::of(&steps);
    let rows: Vec<_> = timeline.rows.iter().map(|row| (row.targets.join(" "), row.needs.clone())).collect();
    let row = |targets: &str, needs: &[usize]| (targets.to_owned(), needs.to_vec());
    assert_eq!(rows, [row("app base", &[]), row("app", &[0]), row("base", &[0]), row("app", &[0])]);
    assert_eq!(timeline.stages, [("s", vec![0]), ("a", vec![1, 3]), ("b", vec![2])]);
}

#[test]
fn what_follows_is_under_its_first_cause() {
    let because = |kind, mut step: StepReport| {
        step.cause = Some(Cause { kind, detail: String::new() });
        step
    };
    let steps = [
        because(CauseKind::File, step("app", "A", 1.0, &[])),
        because(CauseKind::Parent, step("app", "B", 1.0, &[0])),
        because(CauseKind::Arg, step("app", "C", 1.0, &[])),
        because(CauseKind::Parent, step("app", "D", 1.0, &[1])),
        because(CauseKind::Parent, step("app", "E", 1.0, &[])),
        step("app", "F", 0.0, &[3]),
    ];
    assert_eq!(Timeline::of(&steps).causes(), [(0, vec![1, 3]), (2, vec![]), (4, vec![])]);
}
