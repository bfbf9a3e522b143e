use crate::project::dockerfile::steps::*;

const FILE: &str = "ARG BASE=debian\nFROM $BASE AS made\nARG LEVEL=1\nENV MODE=fast\nWORKDIR /src\nCOPY --link a.txt sub/ ./\n\
    USER app\nRUN --network=none --mount=type=cache,id=x,sharing=locked,target=/c --mount=type=bind,source=gen,target=/g \\\n  make $LEVEL\n\
    FROM scratch\nLABEL a=b\nCOPY --from=made --chown=1 /out/*.bin /\nCOPY <<EOF /etc/x\nhello\nEOF\nADD https://x.example/y /y\nWORKDIR /\n";

fn paths(step: &DockerfileStep) -> String {
    let selectors = step.reads.iter().flat_map(|read| &read.selectors);
    selectors.map(|one| one.path.as_str()).collect::<Vec<_>>().join(" ")
}

fn steps(stage: usize) -> Vec<DockerfileStep> {
    Dockerfile::parse(FILE.as_bytes()).steps(stage, &Inputs::default())
}

#[test]
fn a_run_is_made_of_all_in_scope() {
    let run = &steps(0)[2];
    let parts: Vec<String> = run.parts.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    assert_eq!(
        parts,
        [
            "arg LEVEL: 1",
            "command: make $LEVEL",
            "env MODE: fast",
            "mount bind /g: bind of /gen from the context",
            "mount cache /c: cache",
            "option network: none",
            "order: LEVEL MODE",
            "user: app",
            "workdir: /src",
        ]
    );
    assert_eq!(run.reads.len(), 1);
    assert_eq!((&run.reads[0].from, paths(run)), (&From::Context, "/gen".into()));
}

#[test]
fn copies_read_from_their_places() {
    let made = steps(0);
    assert_eq!((made[0].keyword.as_str(), made[0].parts["command"].as_str()), ("WORKDIR", "/src"));
    assert!(made[1].is_linked);
    assert_eq!(made[1].parts["workdir"], "/src");
    assert_eq!(paths(&made[1]), "a.txt sub/");
    let last = steps(1);
    assert_eq!(last.len(), 3, "LABEL and WORKDIR / are none");
    assert_eq!(last[0].reads[0].from, From::Stage(0));
    assert_eq!(last[0].parts["command"], "--chown=1 /out/*.bin /");
    assert_eq!(
        (last[1].parts["command"].as_str(), last[1].parts["heredoc EOF"].as_str()),
        ("<<EOF /etc/x", "hello\n")
    );
    assert_eq!(last[2].reads[0].from, From::Remote { url: "https://x.example/y".into(), is_pinned: false });
}

/// Returns the last step of a file: its operation and the content that it reads, as text.
fn last(file: &str, args: &[(&str, &str)]) -> (Vec<String>, Vec<Read>) {
    let file = Dockerfile::parse(file.as_bytes());
    let given = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let inputs = Inputs {
        args: args.iter().map(given).collect(),
        platform: "linux/amd64".into(),
        ..Inputs::default()
    };
    let step = file.steps(file.stages.len() - 1, &inputs).pop().expect("a step");
    (step.operation, step.reads)
}

#[test]
fn a_change_of_an_argument_reaches_all_that_is_expanded() {
    let one: &[(&str, &str)] = &[("V", "1")];
    let two: &[(&str, &str)] = &[("V", "2")];
    for (file, counts) in [
        ("COPY <<EOF /v\nv=$V\nEOF\n", true),
        ("COPY <<-EOF /v\n\tv=${V}\n\tEOF\n", true),
        ("COPY <<'EOF' /v\nv=$V\nEOF\n", false),
        ("COPY <<\"EOF\" /v\nv=$V\nEOF\n", false),
        ("ADD <<EOF /v\nv='$V'\nEOF\n", true),
        ("COPY <<EOF /v\nv=\\$V\nEOF\n", false),
        ("COPY a$V /x\n", true),
        ("COPY a${V#1}b /x\n", true),
        ("COPY ${V/1/b} /x\n", true),
        ("COPY a /x/${V%1}\n", true),
        ("COPY --chmod=64$V a /x\n", true),
        ("COPY --chown=$V a /x\n", true),
        ("COPY --exclude=$V . /x\n", false),
        ("COPY '$V' /x\n", false),
        ("WORKDIR /$V\n", true),
        ("WORKDIR /${V:+a}\n", false),
        ("USER $V\nWORKDIR /x\n", true),
        ("ENV E=${V#1}\nRUN x\n", true),
        ("ADD https://x.example/$V /x\n", true),
        ("RUN --mount=type=tmpfs,target=/t,size=${V}m x\n", true),
        ("RUN --mount=type=secret,id=$V x\n", true),
        ("RUN --mount=type=cache,target=/$V x\n", true),
    ] {
        let all = format!("FROM scratch\nARG V\n{file}");
        assert_eq!(last(&all, one) != last(&all, two), counts || file.contains("RUN"), "{file}");
    }
}

#[test]
fn the_same_operation_in_other_words() {
    for (one, other, is_same) in [
        ("COPY a b /x/\n", "COPY a  b /x/\n", true),
        ("COPY a /x\n", "COPY [\"a\", \"/x\"]\n", true),
        ("COPY d/a /x\n", "COPY e/a /x\n", true),
        ("COPY a /x\n", "COPY a /x/\n", false),
        ("COPY a /x\n", "COPY b /x\n", false),
        ("COPY --chmod=0644 a /x\n", "COPY --chmod=644 a /x\n", true),
        ("COPY a /x\n", "ADD a /x\n", false),
        ("WORKDIR /w\nCOPY a b\n", "COPY a /w/b\n", true),
        ("COPY [\"<<A\", \"/x/\"]\n", "COPY [\"<<B\", \"/x/\"]\n", false),
        ("ENV \"A\"=b\nRUN x\n", "ENV A=b\nRUN x\n", true),
        ("RUN [\"a\", \"b\"]\n", "RUN [\"a\",\"b\"]\n", true),
        ("SHELL [\"/a\"]\nRUN [\"a\"]\n", "SHELL [\"/b\"]\nRUN [\"a\"]\n", true),
        ("SHELL [\"/a\"]\nRUN a\n", "SHELL [\"/b\"]\nRUN a\n", false),
        ("RUN [\"a\"]\n", "RUN a\n", false),
        ("RUN <<A\nx\nA\n", "RUN <<B\nx\nB\n", true),
        ("RUN <<A\n#!/b\nA\n", "RUN <<B\n#!/b\nB\n", false),
        ("RUN <<-A\n\tx\n\tA\n", "RUN <<A\nx\nA\n", true),
        ("RUN --mount=target=/t,source=a x\n", "RUN --mount=target=/t,source=b x\n", true),
        ("RUN --mount=target=/t x\n", "RUN --mount=target=/t,rw x\n", false),
        ("COPY \"a b\" /x\n", "COPY a\\ b /x\n", false),
        ("RUN --mount=type=tmpfs,target=/t\\  x\n", "RUN --mount=type=tmpfs,target=/t x\n", false),
        ("RUN --mount=type=tmpfs,target=/t/ x\n", "RUN --mount=type=tmpfs,target=/t x\n", false),
        ("WORKDIR /w\nRUN --mount=target=t/ x\n", "WORKDIR /w\nRUN --mount=target=/w/t x\n", true),
        ("RUN --mount=type=secret,id=s x\n", "RUN --mount=type=secret,target=/run/secrets/s x\n", true),
        ("RUN --mount=type=secret,id=s x\n", "RUN --mount=type=secret,src=s x\n", true),
        ("RUN --mount=type=secret,id=s x\n", "RUN --mount=type=secret,id=t x\n", false),
        ("RUN --mount=type=secret,id=s,env=S x\n", "RUN --mount=type=secret,id=s x\n", false),
        ("RUN --network=default x\n", "RUN x\n", true),
        ("RUN --security=sandbox x\n", "RUN x\n", true),
        ("RUN --network=none x\n", "RUN x\n", false),
        ("WORKDIR /w/\nRUN x\n", "WORKDIR /w\nRUN x\n", false),
        ("WORKDIR /v/../w\nRUN x\n", "WORKDIR /w\nRUN x\n", false),
        ("WORKDIR /w\nWORKDIR v/\nRUN x\n", "WORKDIR /w/\nWORKDIR ./v\nRUN x\n", true),
        ("WORKDIR /w/\n", "WORKDIR /w\n", true),
        ("WORKDIR /w/\nCOPY a b\n", "WORKDIR /w\nCOPY a b\n", true),
    ] {
        let operation = |file: &str| last(&format!("FROM scratch\n{file}"), &[]).0;
        assert_eq!(operation(one) == operation(other), is_same, "{one} | {other}");
    }
}

#[test]
fn what_a_copy_selects() {
    let selectors = |copy: &str| {
        let reads = last(&format!("FROM scratch\nARG TARGETARCH\n{copy}\n"), &[]).1;
        let shown = |one: &Selector| format!("{} {}", one.path, one.include.as_deref().unwrap_or("-"));
        reads[0].selectors.iter().map(shown).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(selectors("COPY --parents ./**/p a/./b/../c /x"), "/ **/p, a c");
    assert_eq!(selectors("COPY bin-${TARGETARCH/amd64/x86_64} /x"), "bin-x86_64 -");
    assert_eq!(selectors("COPY --parents=false a /x"), "a -");
}

#[test]
fn a_path_that_only_the_base_image_knows_takes_all() {
    let (_, reads) = last("FROM debian\nCOPY a$B /x\n", &[]);
    assert!(reads[0].is_open);
    assert!(!last("FROM debian\nENV B=b\nCOPY a$B /x\n", &[]).1[0].is_open);
    let (one, other) = (last("FROM debian\nCOPY a$B /x\n", &[]), last("FROM debian\nCOPY a$C /x\n", &[]));
    assert_ne!(one.0, other.0);
}

#[test]
fn sources_elsewhere_are_pinned_by_a_checksum_or_a_commit() {
    let commit = "0123456789abcdef0123456789abcdef01234567";
    for (add, expected) in [
        ("ADD https://x.example/y /y".to_owned(), false),
        ("ADD --checksum=sha256:00 https://x.example/y /y".to_owned(), true),
        ("ADD https://x.example/y.git#main /y".to_owned(), false),
        (format!("ADD https://x.example/y.git#{commit} /y"), true),
        (format!("ADD git@x.example:y.git#{commit}:sub /y"), true),
    ] {
        let reads = last(&format!("FROM scratch\n{add}\n"), &[]).1;
        assert!(
            matches!(&reads[0].from, From::Remote { is_pinned, .. } if *is_pinned == expected),
            "{add}: {reads:?}"
        );
    }
}

/// Arguments that no instruction declares, and that steps depend on all the same.
#[test]
fn arguments_of_the_frontend_are_inputs_of_their_steps() {
    for (name, step, counts) in [
        ("BUILDKIT_SANDBOX_HOSTNAME", "RUN x\n", true),
        ("BUILDKIT_SANDBOX_HOSTNAME", "RUN [\"x\"]\n", true),
        ("BUILDKIT_SANDBOX_HOSTNAME", "COPY a /x\n", false),
        ("BUILDKIT_SANDBOX_HOSTNAME", "WORKDIR /x\n", false),
        ("SOURCE_DATE_EPOCH", "WORKDIR /x\n", true),
        ("SOURCE_DATE_EPOCH", "COPY a /x\n", false),
        ("BUILDKIT_INLINE_CACHE", "RUN x\n", false),
        ("HTTP_PROXY", "RUN x\n", false),
    ] {
        let of = |value: &str| {
            let args = [(name.to_owned(), value.to_owned())].into();
            let inputs = Inputs { args, platform: "linux/amd64".into(), ..Inputs::default() };
            let file = Dockerfile::parse(format!("FROM scratch\n{step}").as_bytes());
            let undated = Inputs { leaves_directories_undated: true, ..inputs.clone() };
            let undated = file.steps(0, &undated).pop().expect("a step");
            assert!(
                value.is_empty()
                    || undated.operation.contains(&value.to_owned()) == (counts && step.starts_with("RUN"))
            );
            file.steps(0, &inputs).pop().expect("a step")
        };
        let (one, other) = (of("1"), of("2"));
        assert_eq!(one.operation != other.operation, counts, "{name} {step}");
        assert_eq!(one.parts.contains_key(&format!("arg {name}")), counts, "{name} {step}");
        let without =
            Dockerfile::parse(format!("FROM scratch\n{step}").as_bytes()).steps(0, &Inputs::default());
        assert_eq!(of("").operation, without[0].operation, "{name} {step}: empty is as good as none");
    }
}
