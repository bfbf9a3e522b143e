use crate::forecast::reasons::*;
use crate::project::context::Input;

fn step(stage: &str, text: &str, parts: &[(&str, &str)], files: &[(&str, &str)]) -> GraphStep {
    let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let input = |(path, state): &(&str, &str)| Input { path: (*path).to_owned(), state: (*state).to_owned() };
    GraphStep {
        target: "app".into(),
        stage: stage.into(),
        text: text.into(),
        key: format!("{stage}{text}{parts:?}{files:?}"),
        parts: parts.iter().map(pair).collect(),
        files: files.iter().map(input).collect(),
        ..GraphStep::default()
    }
}

fn cause(before: &GraphStep, now: &GraphStep) -> String {
    let (now, before) = ([now.clone()], [before.clone()]);
    let compared = Compared { now: &now, before: Some(&before) };
    let cause = compared.cause(0, &|_| PredictedState::Cached, Known::No);
    format!("{:?}: {}", cause.kind, cause.detail)
}

#[test]
fn what_changed_about_a_step_itself() {
    let plain = |parts: &[(&str, &str)]| step("a", "RUN make", parts, &[]);
    let copy = |files: &[(&str, &str)]| step("a", "COPY . .", &[], files);
    for (before, now, expected) in [
        (plain(&[("arg LEVEL", "1")]), plain(&[("arg LEVEL", "2")]), "Arg: LEVEL: `1` -> `2`"),
        (
            plain(&[("arg API_TOKEN", "(hidden 1)")]),
            plain(&[("arg API_TOKEN", "(hidden 2)")]),
            "Arg: API_TOKEN: changed value",
        ),
        (plain(&[]), plain(&[("env A", "x")]), "Instruction: ENV A is new: `x`"),
        (plain(&[("base", "d@1")]), plain(&[("base", "d@2")]), "Base: the base image: `d@1` -> `d@2`"),
        (
            plain(&[("arg PACKAGES", "liba/1 libfoo/1")]),
            plain(&[("arg PACKAGES", "liba/1 libfoo/1+deb13u1")]),
            "Package: libfoo 1 -> 1+deb13u1",
        ),
        (
            plain(&[("arg PACKAGES", "monday")]),
            plain(&[("arg PACKAGES", "tuesday")]),
            "Arg: PACKAGES: `monday` -> `tuesday`",
        ),
        (plain(&[("network", "host")]), plain(&[]), "Mount: network is removed"),
        (
            step("a", "COPY a b", &[("command", "a b")], &[("a", "644:1")]),
            plain(&[("command", "make"), ("fresh", "1"), ("env A", "x")]),
            "Instruction: its text: `COPY a b` -> `RUN make`",
        ),
        (
            plain(&[("arg DURANGO_FRESH", "1")]),
            plain(&[("arg DURANGO_FRESH", "2")]),
            "Fresh: it was requested to run again",
        ),
        (
            plain(&[("fresh", "1")]),
            plain(&[]),
            "Fresh: the earlier build was requested to run it again, and this one was not",
        ),
        (
            plain(&[("fresh", "1"), ("network", "none")]),
            plain(&[]),
            "Mount: network is removed; the earlier build was requested to run it again, and this one was not",
        ),
        (
            plain(&[("fresh", "1"), ("shm-size", "64m")]),
            plain(&[("fresh", "2"), ("shm-size", "65m")]),
            "Mount: shm-size: `64m` -> `65m`",
        ),
        (
            plain(&[("command", "a && b")]),
            plain(&[("command", "a && c")]),
            "Instruction: its text: `a && b` -> `a && c`",
        ),
        (copy(&[("a", "644:1")]), copy(&[("a", "644:2")]), "File: a: content changed"),
        (copy(&[("a", "644:1")]), copy(&[("a", "755:1")]), "File: a: mode 644 -> 755"),
        (copy(&[("a", "644:1")]), copy(&[("b", "644:1")]), "File: a is removed, b is new"),
        (copy(&[("a", "644:1")]), copy(&[("a", "->b")]), "File: a: a link now, a file before"),
        (
            step("a", "COPY x /", &[("arg L", "1")], &[("x", "644:1")]),
            step("a", "COPY x /", &[("arg L", "2")], &[("x", "644:2")]),
            "Arg: L: `1` -> `2`; x: content changed",
        ),
        (
            plain(&[]),
            step("a", "RUN make all", &[("command", "make all")], &[]),
            "Instruction: its text has an addition: `make all`",
        ),
    ] {
        assert_eq!(cause(&before, &now), expected);
    }
}

#[test]
fn what_follows_names_what_it_follows() {
    let first = step("a", "RUN first", &[], &[]);
    let second = GraphStep { parents: vec![0], ..step("a", "RUN second", &[], &[]) };
    let now = [first, second];
    let compared = Compared { now: &now, before: Some(&now) };
    let cause = compared.cause(1, &|at| PredictedState::of_ended(at == 0), Known::Certainly);
    assert_eq!((cause.kind, cause.detail.as_str()), (CauseKind::Parent, "a: RUN first"));
    assert_eq!(compared.cause(1, &|_| PredictedState::Cached, Known::Certainly).kind, CauseKind::Dropped);
    assert_eq!(compared.cause(1, &|_| PredictedState::Cached, Known::No).kind, CauseKind::Unknown);
    assert_eq!(
        Compared { now: &now, before: None }.cause(0, &|_| PredictedState::Cached, Known::No).kind,
        CauseKind::New
    );
}

#[test]
fn an_inserted_step_leaves_the_others_their_counterparts() {
    let before = [step("a", "RUN one", &[], &[]), step("a", "RUN two", &[], &[])];
    let now =
        [step("a", "RUN one", &[], &[]), step("a", "RUN new", &[], &[]), step("a", "RUN two", &[], &[])];
    let found = |at: usize| counterpart(&now, at, &before).map(|old| old.text.as_str());
    assert_eq!([found(0), found(1), found(2)], [Some("RUN one"), None, Some("RUN two")]);
    let edited = [step("a", "RUN one", &[], &[]), step("a", "RUN 2", &[], &[])];
    assert_eq!(counterpart(&edited, 1, &before).map(|old| old.text.as_str()), Some("RUN two"));
}

#[test]
fn what_changed_before_a_step_is_named_though_none_of_it_runs() {
    let chain = |texts: &[&str]| -> Vec<GraphStep> {
        let mut key = String::new();
        let steps = texts.iter().enumerate().map(|(at, text)| {
            key += text;
            let parents = at.checked_sub(1).into_iter().collect();
            GraphStep { parents, key: key.clone(), ..step("a", text, &[], &[]) }
        });
        steps.collect()
    };
    let before = chain(&["COPY a", "COPY b", "RUN c", "RUN d"]);
    let cause = |now: &[GraphStep], at: usize| {
        let cause = Compared { now, before: Some(&before) }.cause(at, &|_| PredictedState::Cached, Known::No);
        format!("{:?}: {}", cause.kind, cause.detail)
    };
    let removed = chain(&["COPY a", "RUN c", "RUN d"]);
    assert_eq!(cause(&removed, 1), "Instruction: `COPY b` before it is gone");
    assert_eq!(cause(&removed, 2), "Instruction: `COPY b` before it is gone");
    let swapped = chain(&["COPY b", "COPY a", "RUN c", "RUN d"]);
    assert_eq!(cause(&swapped, 2), "Instruction: it follows `COPY a` now, `COPY b` before");
    assert_eq!(cause(&swapped, 0), "Instruction: nothing is before it now");
    let inserted = chain(&["COPY a", "COPY b", "COPY n", "RUN c", "RUN d"]);
    assert_eq!(cause(&inserted, 3), "Instruction: `COPY n` before it is new");
    // A linked step is one of several that the next one is based on.
    let linked = |last: &[usize], drawn: &[usize]| {
        let mut steps = chain(&["COPY a", "COPY b", "RUN c"]);
        steps.push(GraphStep { parents: last.to_vec(), ..step("b", "COPY x", &[], &[]) });
        steps.push(GraphStep { draws: drawn.to_vec(), ..step("c", "COPY --from=a x", &[], &[]) });
        steps
    };
    let (both, one) = (linked(&[0, 1, 2], &[1, 2]), linked(&[0, 2], &[1]));
    let of_linked = |at: usize| Compared { now: &one, before: Some(&both) }.upstream(at).expect("one").detail;
    assert_eq!(of_linked(3), "it no longer follows `COPY b`");
    assert_eq!(of_linked(4), "it no longer follows `RUN c`");
    // A file that is back as it was before the last build.
    let mut back = chain(&["COPY a", "COPY b", "RUN c", "RUN d"]);
    back[1].files = vec![Input { path: "b".into(), state: "644:1".into() }];
    back.iter_mut().skip(1).for_each(|step| step.key += "back");
    assert_eq!(cause(&back, 3), "File: a: COPY b: b is new");
}

#[test]
fn a_url_is_the_reason_of_a_step_that_equals_an_earlier_one() {
    let open = GraphStep { is_open: true, ..step("a", "ADD http://x/y /", &[("url http://x/y", "")], &[]) };
    let pinned = GraphStep { is_open: false, ..open.clone() };
    let cause = |step: &GraphStep, before: bool| {
        let now = [step.clone()];
        let compared = Compared { now: &now, before: before.then_some(&now) };
        let cause = compared.cause(0, &|_| PredictedState::Cached, Known::Certainly);
        format!("{:?}: {}", cause.kind, cause.detail)
    };
    let after = |url: &GraphStep| {
        let now = [url.clone(), GraphStep { parents: vec![0], ..step("a", "RUN x", &[], &[]) }];
        Compared { now: &now, before: Some(&now) }
            .cause(1, &|_| PredictedState::Cached, Known::Certainly)
            .kind
    };
    assert_eq!((after(&open), after(&pinned)), (CauseKind::File, CauseKind::Dropped));
    // A URL says more than a step before it that may run, and less than one that runs.
    let now = [step("a", "COPY a /", &[], &[]), GraphStep { parents: vec![0], ..open.clone() }];
    let second = |state: PredictedState| {
        Compared { now: &now, before: Some(&now) }.cause(1, &|_| state, Known::Certainly).kind
    };
    assert_eq!(second(PredictedState::IfChanged), CauseKind::File);
    assert_eq!(second(PredictedState::Runs), CauseKind::Parent);
    for before in [true, false] {
        assert_eq!(cause(&open, before), "File: http://x/y: the server may send different content");
        assert_eq!(cause(&pinned, before), "Dropped: the builder no longer has its result");
    }
}

#[test]
fn another_version_on_a_server_is_a_reason_and_an_unknown_one_is_not() {
    let add = |version: &str| step("a", "ADD http://x/y /", &[("url http://x/y", version)], &[]);
    let cause = |before: &str, now: &str| {
        let (before, now) = ([add(before)], [add(now)]);
        let compared = Compared { now: &now, before: Some(&before) };
        compared.cause(0, &|_| PredictedState::IfChanged, Known::No).detail
    };
    assert_eq!(cause("1", "2"), "http://x/y: the server has another version");
    assert_eq!(cause("", "2"), "http://x/y: the server may send different content");
}

#[test]
fn hosts_in_random_order_are_the_reason_of_a_step_that_equals_an_earlier_one() {
    let open = GraphStep { is_open: true, ..step("a", "RUN x", &[("extra hosts", "a, b")], &[]) };
    let cause = |step: &GraphStep| {
        let now = [step.clone()];
        Compared { now: &now, before: Some(&now) }.cause(0, &|_| PredictedState::Cached, Known::Certainly)
    };
    assert_eq!(cause(&open).kind, CauseKind::Mount);
    assert!(cause(&open).detail.contains("random order"));
    assert_eq!(cause(&GraphStep { is_open: false, ..open }).kind, CauseKind::Dropped);
}
