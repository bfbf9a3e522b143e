//! Random Dockerfiles that build: every instruction and mount, and the flags that the engine's
//! frontend knows.

use crate::bench::random::Random;

/// A Dockerfile by its stages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Model {
    /// What stands before the first stage.
    pub(super) head: Vec<String>,
    pub(super) stages: Vec<StageModel>,
}

/// A stage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct StageModel {
    pub(super) from: String,
    /// Whether it has a shell.
    pub(super) has_shell: bool,
    /// Its instructions, the first of which sets it apart from all other builds.
    pub(super) lines: Vec<String>,
}

/// What a random instruction may use.
pub(super) struct Around<'a> {
    /// Files of the context that are not special.
    pub(super) files: Vec<String>,
    /// Whether the frontend knows `COPY --exclude`, `--parents`.
    pub(super) flags: Flags,
    /// Stages before.
    pub(super) stages: &'a [StageModel],
    pub(super) has_shell: bool,
}

/// Flags that not every frontend knows.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Flags {
    pub(super) exclude: bool,
    pub(super) parents: bool,
}

impl Model {
    /// A Dockerfile for the image `base`. `salt` is in no other.
    pub(super) fn new(base: &str, salt: &str, files: &[String], flags: Flags, random: &mut Random) -> Self {
        let mut model =
            Self { head: vec![format!("ARG BASE={base}"), "ARG G=one".to_owned()], ..Self::default() };
        for index in 0..1 + random.below(3) {
            let stage = model.stage(index, salt, files, flags, random);
            model.stages.push(stage);
        }
        model
    }

    fn stage(
        &self,
        index: usize,
        salt: &str,
        files: &[String],
        flags: Flags,
        random: &mut Random,
    ) -> StageModel {
        let below = (index > 0 && random.once_in(3)).then(|| random.below(index));
        let (source, has_shell) = match below {
            Some(below) => (format!("s{below}"), self.stages[below].has_shell),
            None if random.once_in(3) => ((*random.of(&["$BASE", "${BASE}", "${BASE:-x}"])).to_owned(), true),
            None => ("scratch".to_owned(), false),
        };
        let from = random.of(&["FROM", "FROM", "from"]).to_owned();
        let mut stage =
            StageModel { from: format!("{from} {source} AS s{index}"), has_shell, lines: Vec::new() };
        stage.lines.push(format!("WORKDIR /salt-{salt}-{index}"));
        for _ in 0..2 + random.below(6) {
            let around =
                Around { files: files.to_vec(), flags, stages: &self.stages, has_shell: stage.has_shell };
            let line = instruction(&around, random);
            stage.lines.push(line);
        }
        stage
    }

    /// The file's text.
    pub(super) fn text(&self) -> String {
        let stage = |stage: &StageModel| format!("{}\n{}\n", stage.from, stage.lines.join("\n"));
        format!("{}\n{}", self.head.join("\n"), self.stages.iter().map(stage).collect::<String>())
    }
}

/// Ways to write an argument. An empty pattern is left out: BuildKit 0.13 panics on it, and the
/// daemon with it.
const ARGS: &[&str] = &[
    "$A",
    "${A}",
    "${A#o}",
    "${A##*e}",
    "${A%e}",
    "${A/o/0}",
    "${A//e/3}",
    "${A:-none}",
    "${A:+set}",
    "${U:-$A}",
    "${U-unset}",
    "${E:-e}",
    "$E",
    "${A?needed}",
    "${B%x${A#o}}",
    "$G",
];

/// What COPY copies of a context.
const SOURCES: &[&str] = &[
    ".",
    "*",
    "*.txt",
    "*.md",
    "sub",
    "sub/",
    "sub/*",
    "su?",
    "[ab].*",
    "s*/deep",
    "sub/deep/",
    "./a.txt",
    "/sub",
    "other/../sub",
    "link*",
    "deep-link/*",
    "[^s]*",
    "*/b.md",
    "f-*",
    "\\#odd*",
];

/// What `--parents` copies.
const PARENTS: &[&str] =
    &["**/*.md", "sub/**/*.txt", "./sub/./**/c.*", "*/deep", "**/deep/*", "sub/./deep/*", "a*"];

/// What is excluded.
const EXCLUDED: &[&str] =
    &["*.md", "**/*.txt", "deep", "sub/deep", "#odd", "**/deep/*", "*", "a.txt", "d*/c*"];

/// A random instruction.
pub(super) fn instruction(around: &Around<'_>, random: &mut Random) -> String {
    let number = random.below(40);
    match random.below(if around.has_shell { 24 } else { 16 }) {
        0..=3 => copy(around, number, random),
        4 => heredoc(number, random),
        5 => format!(
            "ADD {} /add{number}/",
            random.of(&["arch.tar", "*.tar", "a*", "sub", "--chmod=700 a.txt"])
        ),
        6 => format!("WORKDIR {}w{number}{}", random.of(&["/", ""]), random.of(&["", "$A", "/${A#o}"])),
        7 if random.once_in(4) => format!("ENV PATH=$PATH:/x{number}"),
        7 => format!("ENV E=e{number} {}={}", random.of(&["E2", "A"]), random.of(&["1", "$E", "\"x $A\""])),
        8 => format!(
            "ARG {}",
            random.of(&["A=one", "A", "B=${A}two", "B", "A=${G}", "G", "C=$E D", "TARGETARCH"])
        ),
        9 => format!("USER {}", random.of(&["0", "0:0", "${U:-0}"])),
        10 => format!("LABEL l{number}=\"$A\" m=x"),
        11 => random
            .of(&[
                "CMD [\"x\"]",
                "EXPOSE 80",
                "VOLUME /v",
                "STOPSIGNAL 9",
                "HEALTHCHECK NONE",
                "ENTRYPOINT x $A",
            ])
            .to_owned(),
        12 => match random.below(4) {
            0 => format!("ONBUILD COPY {} /on{number}/", random.of(&["a*", "*.md", "sub"])),
            1 => format!("ONBUILD ENV O=o{number}"),
            2 if around.has_shell => format!("ONBUILD RUN : on {number} $A $E"),
            _ => format!("ONBUILD WORKDIR /on{number}"),
        },
        13 if !around.stages.is_empty() => {
            let from = random.below(around.stages.len());
            let from = if random.once_in(2) { format!("s{from}") } else { from.to_string() };
            format!("COPY --from={from} {} /from{number}/", random.of(&["/*", "/d*", "/", "/w*"]))
        }
        14 => format!("copy --link {} /link{number}/", random.of(&["a*", "sub", "*.txt", "."])),
        15 => format!("# a comment {number}\ncopy a* \\\n  # inside\n  s* \\\n  /c{number}/"),
        16 => random.of(&["SHELL [\"/bin/bash\", \"-c\"]", "SHELL [\"/bin/sh\", \"-ec\"]"]).to_owned(),
        _ => run(around, number, random),
    }
}

fn copy(around: &Around<'_>, number: usize, random: &mut Random) -> String {
    let mut flags = String::new();
    if random.once_in(4) {
        flags += random.of(&[
            "--chmod=0644 ",
            "--chmod=755 ",
            "--chown=1:2 ",
            "--link ",
            "--chown=3 --chmod=600 ",
        ]);
    }
    if around.flags.exclude && random.once_in(2) {
        flags += &format!("--exclude={} ", random.of(EXCLUDED));
    }
    if around.flags.parents && random.once_in(3) {
        return format!("COPY {flags}--parents {} /p{number}/", random.of(PARENTS));
    }
    let sources = match random.below(6) {
        0 => format!("f-{}*", random.of(ARGS)),
        1 => format!("{} {}", random.of(SOURCES), random.of(SOURCES)),
        2 if around.files.iter().any(|file| !file.contains(' ')) => {
            let plain: Vec<&String> = around.files.iter().filter(|file| !file.contains(' ')).collect();
            format!("./{}", random.of(&plain))
        }
        _ => random.of(SOURCES).to_owned(),
    };
    let target = format!("{}d{number}{}/", random.of(&["/", "/", ""]), random.of(&["", "", "$A"]));
    if random.once_in(5) {
        let words: Vec<String> = sources.split(' ').map(|word| format!("{word:?}")).collect();
        return format!("COPY {flags}[{}, {target:?}]", words.join(", "));
    }
    format!("COPY {flags}{sources} {target}")
}

fn heredoc(number: usize, random: &mut Random) -> String {
    let name = random.of(&["EOF", "'EOF'", "\"EOF\"", "-EOF"]);
    let variable = random.of(ARGS);
    let keyword = random.of(&["COPY", "COPY", "ADD"]);
    format!("{keyword} <<{name} /h{number}/\nvalue '{variable}' {number}\n\tsecond\nEOF")
}

fn run(around: &Around<'_>, number: usize, random: &mut Random) -> String {
    let stage = random.below(around.stages.len());
    let from_stage = format!("--mount=type=bind,from=s{stage},target=/m{number} ");
    let mounts = [
        "--mount=type=bind,source=sub,target=/m ",
        "--mount=target=/m,rw ",
        "--mount=type=bind,source=a.txt,target=/m/a.txt ",
        "--mount=type=cache,target=/cache ",
        "--mount=type=cache,id=i-$A,target=/cache/$A,sharing=locked ",
        "--mount=type=cache,target=/cache2,uid=1,mode=0700 ",
        "--mount=type=tmpfs,target=/t,size=1048576 ",
        "--mount=type=secret,id=none ",
        "--network=none ",
        if around.stages.is_empty() { "" } else { &from_stage },
    ];
    let flags = if random.once_in(2) { random.of(&mounts) } else { "" };
    match random.below(6) {
        0 => format!("RUN {flags}[\"/bin/true\", \"{number}\"]"),
        1 => format!("RUN {flags}<<EOF\n: {number} $A\n:\nEOF"),
        2 => format!("run {flags}: {number} \\\n  && : \"$A\" '$E'"),
        3 => format!("RUN {flags}<<'A' cat >/run-{number}\n$A {number}\nA"),
        _ => format!(
            "RUN {flags}: {number} {} && echo {number} >/r{number}",
            random.of(&["$A", "$E", "", "\"$B\""])
        ),
    }
}
