//! Random instructions: every one that makes a step or is inherited, and the flags that the
//! engine's frontend knows.

use super::dockerfile::Around;
use super::{mounts, remote};
use crate::bench::random::Random;

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

/// Sources of COPY in a context.
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

/// Sources of `COPY --parents`.
const PARENTS: &[&str] =
    &["**/*.md", "sub/**/*.txt", "./sub/./**/c.*", "*/deep", "**/deep/*", "sub/./deep/*", "a*"];

/// Patterns of `--exclude`.
const EXCLUDED: &[&str] =
    &["*.md", "**/*.txt", "deep", "sub/deep", "#odd", "**/deep/*", "*", "a.txt", "d*/c*"];

/// A random instruction.
pub(super) fn instruction(around: &Around<'_>, random: &mut Random) -> String {
    let number = random.below(40);
    match random.below(if around.has_shell { 27 } else { 19 }) {
        0..=3 => copy(around, number, random),
        16 => remote::add(around, number, random),
        17 if !around.contexts.is_empty() => {
            let from = random.of(around.contexts);
            let links = random.of(&["", "", "--link "]);
            let what = match from {
                "extra" => random.of(&["x*", ".", "sub"]),
                "repo" => random.of(&["file", ".", "sub"]),
                _ => random.of(&["/w*", "/"]),
            };
            format!("COPY {links}--from={from} {what} /named{number}/")
        }
        18 => format!("COPY --chown=${{U:-0}}:0 {} /owned{number}/", random.of(&["a*", "sub", "*.md"])),
        4 => heredoc(number, random),
        5 => format!(
            "ADD {} /add{number}/",
            random.of(&["arch.tar", "*.tar", "a*", "sub", "--chmod=700 a.txt", "--chown=0:0 arch.tar"])
        ),
        6 => format!(
            "WORKDIR {}w{number}{}",
            random.of(&["/", ""]),
            random.of(&["", "$A", "/${A#o}", "/", "/x/.."])
        ),
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
                "HEALTHCHECK --interval=3s CMD true $A",
                "EXPOSE $A 8080/udp",
                "VOLUME [\"/v\", \"/w$A\"]",
                "STOPSIGNAL ${E:-15}",
                "MAINTAINER $A",
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
        19 => random.of(&["SHELL [\"/bin/bash\", \"-c\"]", "SHELL [\"/bin/sh\", \"-ec\"]"]).to_owned(),
        _ if around.has_shell => run(around, number, random),
        _ => copy(around, number, random),
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
    if around.has_shell && random.once_in(8) {
        flags += "--chown=root:root ";
    }
    if around.flags.symbolic_mode && flags.is_empty() && random.once_in(6) {
        flags += random.of(&["--chmod=u+x ", "--chmod=go=rX "]);
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
    let flags = mounts::flags(around, random);
    match random.below(7) {
        // More than once in a stage, or not by its text.
        6 => format!("RUN : {}", random.of(&["again", "again", "$A", "$E"])),
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
