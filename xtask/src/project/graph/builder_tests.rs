use super::*;
use crate::project::dockerfile::{Dockerfile, Inputs};

fn graph(text: &str, run: &[(&str, &str)], run_is_open: bool) -> Vec<GraphStep> {
    versioned(text, run, run_is_open, &[])
}

fn versioned(
    text: &str,
    run: &[(&str, &str)],
    run_is_open: bool,
    versions: &[(&str, &str)],
) -> Vec<GraphStep> {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let facts = TargetFacts {
        name: "app".into(),
        file: Dockerfile::parse(text.as_bytes()),
        inputs: Inputs::default(),
        contexts: BTreeMap::new(),
        run: run.iter().map(own).collect(),
        run_is_open,
        compares_roots: true,
        ignores_cache: None,
    };
    let versions = versions.iter().map(own).collect();
    let remote = RemoteFacts { images: &BTreeMap::new(), versions: &versions };
    steps(&[facts], remote, &mut Digests::default())
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
fn the_size_by_which_a_step_runs_again_replaces_the_declared_one() {
    let key = |run: &[(&str, &str)]| graph("FROM scratch\nRUN x\n", run, false).remove(0).key;
    assert_eq!(key(&[("fresh", "67108865"), ("shm-size", "64MiB")]), key(&[("fresh", "67108865")]));
    assert_ne!(key(&[("fresh", "67108865")]), key(&[("fresh", "67108866")]));
    assert_ne!(key(&[("shm-size", "64MiB")]), key(&[]));
}

#[test]
fn settings_in_random_order_make_runs_open() {
    let is_open = |run_is_open: bool| {
        let graph = graph("FROM scratch\nWORKDIR /w\nRUN x\n", &[], run_is_open);
        graph.iter().map(|step| step.is_open).collect::<Vec<_>>()
    };
    assert_eq!((is_open(true), is_open(false)), (vec![false, true], vec![false, false]));
}

#[test]
fn a_version_decides_and_another_one_may_have_the_same_content() {
    let url = "https://x.example/y.tar";
    let text = format!("FROM scratch\nADD {url} /\nRUN x\n");
    let of = |versions: &[(&str, &str)]| versioned(&text, &[], false, versions);
    let (unknown, first, second) = (of(&[]), of(&[(url, "1")]), of(&[(url, "2")]));
    assert_eq!([&unknown, &first, &second].map(|graph| graph[0].is_open), [true, false, false]);
    for at in 0..2 {
        let steps = [&unknown[at], &first[at], &second[at]];
        let distinct = |digest: fn(&GraphStep) -> &String| {
            steps.iter().map(|step| digest(step)).collect::<BTreeSet<_>>().len()
        };
        assert_eq!((distinct(|step| &step.key), distinct(|step| &step.soft)), (3, 1), "step {at}");
    }
    let pinned = format!("FROM scratch\nADD --checksum=sha256:00 {url} /\n");
    let key = |versions: &[(&str, &str)]| versioned(&pinned, &[], false, versions).remove(0).key;
    assert_eq!(key(&[(url, "1")]), key(&[]));
}

/// BuildKit compares the content of a file, not where it is from.
#[test]
fn of_a_file_on_a_server_only_the_name_and_the_content_count() {
    let add = |flags: &str, url: &str| {
        let mut graph = graph(&format!("FROM scratch\nADD {flags}{url} /x/\n"), &[], false);
        graph.remove(0)
    };
    let file = "https://a.example/one/file.txt";
    let checksum = "--checksum=sha256:00 ";
    for same in
        ["http://a.example/one/file.txt", "https://b.example/file.txt", "https://a.example/x/file.txt?v=2"]
    {
        for flags in ["", checksum, "--chmod=600 ", "--link ", "--chown=1 "] {
            let (one, other) = (add(flags, file), add(flags, same));
            assert_eq!(one.key, other.key, "{flags}{same}");
            assert_eq!(one.is_open, flags != checksum, "{flags}{same}");
        }
    }
    for other in
        ["https://a.example/one/file.md", "https://a.example/file.txt/one", "https://a.example/file.txt.git"]
    {
        assert_ne!(add(checksum, file).key, add(checksum, other).key, "{other}");
    }
    assert_ne!(add(checksum, file).key, add("--checksum=sha256:01 ", file).key);
    let commit = "0123456789abcdef0123456789abcdef01234567";
    let git = |at: &str| add("", &format!("https://a.example/file.git#{at}")).key;
    assert_ne!(git(commit), git(&commit.replace('0', "1")));
    assert_ne!(git(commit), git(&format!("{commit}:sub")));
}

/// Measured on Docker 26.1: a step below another command with the same result is cached, unless it
/// can write to the context.
#[test]
fn the_root_below_a_secret_is_compared_by_its_content() {
    let last = |before: &str, flags: &str| {
        let mut graph = graph(&format!("FROM scratch\nRUN {before}\nRUN {flags}make\n"), &[], false);
        graph.pop().expect("a step")
    };
    for (flags, compares) in [
        ("--mount=type=secret,id=s ", true),
        ("--mount=type=cache,target=/c --mount=type=ssh ", true),
        ("--mount=type=secret,id=s,env=S --mount=type=tmpfs,target=/t ", true),
        ("--mount=type=ssh --mount=type=bind,target=/m,rw ", false),
        ("--mount=type=cache,target=/c ", false),
        ("", false),
    ] {
        let (one, other) = (last(": x", flags), last(": y", flags));
        assert_eq!(one.compares_root, compares, "{flags}");
        assert_eq!(one.soft == other.soft, compares, "{flags}");
        assert_ne!(one.key, other.key, "{flags}");
    }
}
