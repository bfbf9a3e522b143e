use super::*;
use crate::project::dockerfile::{Dockerfile, Inputs};

fn graph(text: &str, run: &[(&str, &str)], run_is_open: bool) -> Vec<GraphStep> {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let facts = TargetFacts {
        name: "app".into(),
        file: Dockerfile::parse(text.as_bytes()),
        inputs: Inputs::default(),
        contexts: BTreeMap::new(),
        run: run.iter().map(own).collect(),
        run_is_open,
        ignores_cache: None,
    };
    steps(&[facts], &BTreeMap::new(), &mut Digests::default())
}

#[test]
fn a_run_s_own_network_takes_precedence() {
    let keys = |text: &str, network: &str| {
        let graph = graph(&format!("FROM scratch\n{text}\n"), &[("network", network)], false);
        graph.into_iter().map(|step| step.key).collect::<Vec<_>>()
    };
    for (text, differs) in [
        ("RUN x", true),
        ("RUN --network=default x", true),
        ("RUN --network=none x", false),
        ("RUN --network=host x", false),
        ("WORKDIR /w", false),
    ] {
        assert_eq!(keys(text, "none") != keys(text, "host"), differs, "{text}");
    }
}

#[test]
fn settings_in_random_order_make_runs_open() {
    let is_open = |run_is_open: bool| {
        let graph = graph("FROM scratch\nWORKDIR /w\nRUN x\n", &[], run_is_open);
        graph.iter().map(|step| step.is_open).collect::<Vec<_>>()
    };
    assert_eq!((is_open(true), is_open(false)), (vec![false, true], vec![false, false]));
}
