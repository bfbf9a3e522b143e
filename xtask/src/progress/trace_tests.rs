use crate::progress::trace::*;

fn names(targets: &[&str]) -> Vec<String> {
    targets.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn labels_as_bake_writes_them() {
    let two = names(&["app", "base"]);
    let one = names(&["base"]);
    type Expected<'a> = Option<(Option<&'a str>, &'a str, &'a str)>;
    let table: &[(&str, &[String], Expected<'_>)] = &[
        ("[app stage-0 2/3] RUN x", &two, Some((Some("app"), "stage-0", "RUN x"))),
        ("[base php 2/3] RUN x", &two, Some((Some("base"), "php", "RUN x"))),
        ("[base 3/3] COPY a b", &one, Some((None, "base", "COPY a b"))),
        ("[2/4] RUN x", &one, Some((None, "stage-0", "RUN x"))),
        ("[ 2/10] RUN x", &one, Some((None, "stage-0", "RUN x"))),
        ("[app stage-0  2/10] RUN x", &two, Some((Some("app"), "stage-0", "RUN x"))),
        ("[app linux/arm64 php 2/3] RUN x", &two, Some((Some("app"), "php", "RUN x"))),
        ("[internal] load metadata", &one, None),
        ("[app internal] load build definition", &two, None),
        ("[app] exporting to image", &two, None),
        ("exporting to image", &one, None),
    ];
    for (name, targets, expected) in table {
        let found = step_name(name, targets);
        let found = found.as_ref().map(|l| (l.target.as_deref(), l.stage.as_str(), l.instruction.as_str()));
        assert_eq!(found, *expected, "{name}");
    }
}

fn chunk(json: &str) -> Chunk {
    serde_json::from_str(json).expect("well formed")
}

#[test]
fn a_vertex_of_two_targets_is_one_with_both_names() {
    let mut trace = Trace::new(&names(&["a", "b"]));
    let times = r#""started":"2026-11-22T12:00:00Z","completed":"2026-11-22T12:00:02.5Z""#;
    trace.apply(&chunk(&format!(r#"{{"vertexes":[{{"digest":"d","name":"[a s 1/2] RUN x",{times}}}]}}"#)));
    let events = trace
        .apply(&chunk(&format!(r#"{{"vertexes":[{{"digest":"d","name":"[b s 1/2] RUN x",{times}}}]}}"#)));
    assert_eq!(events, []);
    let (state, _) = trace.steps().next().expect("one step");
    assert_eq!((state.targets.join(" "), state.seconds()), ("a b".into(), 2.5));
}

#[test]
fn a_command_that_starts_is_known_by_the_builder_s_own_clock() {
    // A builder whose clock is years behind or ahead.
    for year in ["1999", "2026", "2199"] {
        let vertex = |name: &str, second: u32| {
            format!(
                r#"{{"vertexes":[{{"digest":"{name}","name":"{name}","started":"{year}-11-22T12:00:{second:02}Z"}}]}}"#
            )
        };
        let mut trace = Trace::new(&names(&["a"]));
        trace.apply(&chunk(&vertex("[internal] load build definition from x", 5)));
        assert!(!trace.started_a_command(), "{year}");
        trace.apply(&chunk(&vertex("[s 2/3] RUN replayed", 1)));
        trace.apply(&chunk(&vertex("[s 1/3] FROM x", 6)));
        assert!(!trace.started_a_step(), "{year}: no step of this build");
        trace.apply(&chunk(&vertex("[s 1/3] COPY a b", 6)));
        assert!(trace.started_a_step(), "{year}");
        assert!(!trace.started_a_command(), "{year}: it ran for another build");
        trace.apply(&chunk(&vertex("[s 3/3] RUN own", 6)));
        assert!(trace.started_a_command(), "{year}");
    }
}

#[test]
fn a_build_began_when_it_read_its_own_files() {
    let mut trace = Trace::new(&names(&["a", "b"]));
    let at = |time: &str| time.parse::<Timestamp>().expect("a time");
    let replayed =
        r#"{"vertexes":[{"digest":"1","name":"[a 1/2] FROM x","started":"2026-11-22T12:00:00Z"}]}"#;
    trace.apply(&chunk(replayed));
    assert_eq!(trace.begun(), None);
    let own = r#"{"vertexes":[{"digest":"2","name":"[a internal] load build definition from Dockerfile",
        "started":"2026-11-22T12:00:05Z"}]}"#;
    trace.apply(&chunk(own));
    assert_eq!(trace.begun(), Some(at("2026-11-22T12:00:05Z")));
}

#[test]
fn what_ran_in_an_earlier_call_ran_in_this_build_and_has_its_place_in_this_graph() {
    let mut traces = [Trace::new(&names(&["a"])), Trace::new(&names(&["a"]))];
    let own = |second: u32| {
        format!(
            r#"{{"digest":"l{second}","name":"[internal] load build definition from x","started":"2026-11-22T12:00:{second:02}Z"}}"#
        )
    };
    let step = |digest: &str, times: &str| {
        format!(r#"{{"digest":"{digest}","name":"[2/2] RUN x","inputs":["i{digest}"],{times}}}"#)
    };
    let ran = r#""started":"2026-11-22T12:00:02Z","completed":"2026-11-22T12:00:05Z""#;
    traces[0].apply(&chunk(&format!(r#"{{"vertexes":[{},{}]}}"#, own(1), step("1", ran))));
    traces[1].apply(&chunk(&format!(r#"{{"vertexes":[{},{}]}}"#, own(9), step("2", r#""cached":true"#))));
    let [before, mut after] = traces;
    after.merge_previous(&before);
    let (digest, state, _) = after.digests().next().expect("a step");
    assert_eq!((digest, state.seconds(), state.inputs.as_slice()), ("2", 3.0, ["i2".to_owned()].as_slice()));
    assert_eq!(after.origin(), Some("2026-11-22T12:00:01Z".parse().expect("a time")));
}

#[test]
fn output_comes_line_by_line_and_only_its_end_is_kept() {
    let mut trace = Trace::new(&names(&["a"]));
    trace.apply(&chunk(
        r#"{"vertexes":[{"digest":"d","name":"[s 1/2] RUN x","started":"2026-11-22T12:00:00Z"}]}"#,
    ));
    let log = |text: &str| {
        let data = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, text);
        chunk(&format!(r#"{{"logs":[{{"vertex":"d","data":"{data}"}}]}}"#))
    };
    assert_eq!(trace.apply(&log("ha")), []);
    assert_eq!(
        trace.apply(&log("lf\n10%\r100%\n")),
        [Event::Line("d".into(), "half".into()), Event::Line("d".into(), "100%".into())]
    );
    for _ in 0..TAIL {
        trace.apply(&log("more\n"));
    }
    assert_eq!(trace.vertices["d"].tail.len(), TAIL);
    let end = r#"{"vertexes":[{"digest":"d","name":"[s 1/2] RUN x","completed":"2026-11-22T12:00:01Z",
        "error":"process \"x\" did not complete successfully: exit code: 42: gone"}]}"#;
    trace.apply(&chunk(end));
    assert_eq!(trace.failed().and_then(VertexState::exit_code), Some(42));
}

#[test]
fn a_secret_in_pieces_of_characters_is_redacted() {
    let redactor = crate::redact::Redactor::default();
    redactor.learn("hünter22");
    let mut trace = Trace::new(&names(&["a"])).redacted_by(&redactor);
    let begun = r#"{"vertexes":[{"digest":"d","name":"[s 1/2] RUN x","started":"2026-11-22T12:00:00Z"}]}"#;
    trace.apply(&chunk(begun));
    let lines = "is hünter22\n".bytes().flat_map(|byte| {
        let data = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, [byte]);
        trace.apply(&chunk(&format!(r#"{{"logs":[{{"vertex":"d","data":"{data}"}}]}}"#)))
    });
    assert_eq!(lines.collect::<Vec<_>>(), [Event::Line("d".into(), "is ***".into())]);
}

#[test]
fn what_another_build_ran_before_is_cached_here() {
    let mut trace = Trace::new(&names(&["a"]));
    let step = |digest: &str, name: &str, from: u32, to: u32| {
        format!(
            r#"{{"vertexes":[{{"digest":"{digest}","name":"{name}","started":"2026-11-22T12:00:{from:02}Z","completed":"2026-11-22T12:00:{to:02}Z"}}]}}"#
        )
    };
    for chunk in [
        step("1", "[s 1/3] RUN before", 1, 4),
        step("2", "[internal] load build definition from Dockerfile", 5, 6),
        step("3", "[s 2/3] RUN during", 2, 7),
    ] {
        trace.apply(&self::chunk(&chunk));
    }
    trace.mark_replayed_as_cached();
    assert!(trace.vertices["1"].cached && !trace.vertices["3"].cached && !trace.vertices["2"].cached);
}

#[test]
fn a_step_that_takes_nothing_is_looked_up_in_every_build() {
    let vertex =
        |times: &str| format!(r#"{{"vertexes":[{{"digest":"d","name":"[1/2] WORKDIR /w"{times}}}]}}"#);
    let lookup = r#","started":"2026-11-26T13:00:00Z","completed":"2026-11-26T13:00:00.1Z""#;
    let mut trace = Trace::new(&names(&["a"]));
    trace.apply(&chunk(&vertex("")));
    trace.apply(&chunk(&vertex(lookup)));
    assert!(trace.vertices["d"].cached);
    trace.apply(&chunk(&vertex(r#","started":"2026-11-26T13:00:00.2Z""#)));
    let state = &trace.vertices["d"];
    assert!(!state.cached && state.is_running);
    let run = r#","started":"2026-11-26T13:00:00.2Z","completed":"2026-11-26T13:00:01.2Z""#;
    trace.apply(&chunk(&vertex(run)));
    let state = &trace.vertices["d"];
    assert!(!state.cached && (state.seconds() - 1.0).abs() < 0.001);
}

#[test]
fn a_step_that_takes_nothing_is_looked_up_for_every_target_that_shares_it() {
    let vertex = |target: &str, started: &str| {
        let (name, hour) = (format!("[{target} s 1/2] WORKDIR /w"), "2026-11-26T13:00:0");
        let times = format!(r#""started":"{hour}{started}Z","completed":"{hour}{started}1Z""#);
        chunk(&format!(r#"{{"vertexes":[{{"digest":"d","name":"{name}",{times}}}]}}"#))
    };
    let traced = |events: &[(&str, &str)]| {
        let mut trace = Trace::new(&names(&["a", "b"]));
        events.iter().for_each(|(target, started)| drop(trace.apply(&vertex(target, started))));
        trace.vertices["d"].cached
    };
    assert!(traced(&[("a", "0.1"), ("b", "0.2"), ("b", "0.2"), ("a", "0.1")]), "two lookups");
    assert!(!traced(&[("a", "0.1"), ("a", "0.3")]));
    assert!(!traced(&[("a", "0.1"), ("b", "0.2"), ("a", "0.3"), ("b", "0.3")]));
    assert!(!traced(&[("a", "0.1"), ("a", "0.3"), ("b", "0.4")]), "b finds what a has made");
    assert!(!traced(&[("b", "0.3"), ("a", "0.1"), ("a", "0.3")]), "b came later");
}

#[test]
fn what_an_add_fetches_is_no_step() {
    let mut trace = Trace::new(&names(&["a"]));
    trace.apply(&chunk(
        r#"{"vertexes":[{"digest":"s","name":"[1/1] ADD https://x /y"},
            {"digest":"d","name":"[1/1] ADD https://x /y","inputs":["s"]}]}"#,
    ));
    assert!(trace.vertices["s"].is_internal() && !trace.vertices["d"].is_internal());
}

#[test]
fn a_step_that_runs_after_it_was_called_cached_ran() {
    let vertex = |cached: bool, from: u32, to: Option<u32>, error: &str| {
        let time = |second: u32| format!("2026-11-27T07:00:{second:02}Z");
        let vertex = serde_json::json!({"digest": "d", "name": "[s 2/3] RUN make", "inputs": ["i"],
            "cached": cached, "started": time(from), "completed": to.map(time), "error": error});
        serde_json::from_value(serde_json::json!({ "vertexes": [vertex] })).expect("well formed")
    };
    let traced = |events: &[(bool, u32, Option<u32>, &str)]| {
        let mut trace = Trace::new(&names(&["a"]));
        events.iter().for_each(|event| drop(trace.apply(&vertex(event.0, event.1, event.2, event.3))));
        let state = &trace.vertices["d"];
        (state.cached, state.seconds(), state.error.clone())
    };
    let (found, ran) = ((true, 1, Some(1), ""), (false, 5, Some(8), ""));
    assert_eq!(traced(&[found, (false, 5, None, ""), ran]), (false, 3.0, String::new()));
    assert_eq!(traced(&[(true, 1, Some(2), "lost"), ran]), (false, 3.0, String::new()), "a lost result");
    assert_eq!(traced(&[ran, found]), (false, 3.0, String::new()), "another target found it then");
    assert!(traced(&[found, found]).0);
    let mut trace = Trace::new(&names(&["a"]));
    trace.apply(&vertex(true, 1, Some(1), ""));
    let download = r#"{"digest":"d","name":"[s 2/3] RUN make","started":"2026-11-27T07:00:05Z"}"#;
    trace.apply(&chunk(&format!(r#"{{"vertexes":[{download}]}}"#)));
    assert!(trace.vertices["d"].cached, "only its layer is downloaded");
}
