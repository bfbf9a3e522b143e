//! Random flags of RUN: mounts of every kind with every option and form of a target, several of
//! them, below each other.

use super::dockerfile::Around;
use crate::bench::random::Random;

/// Forms of a target: absolute, relative to the working directory, with variables, and others that
/// a path may have.
const TARGETS: &[&str] = &[
    "/m",
    "/m/",
    "/m/in",
    "m",
    "./m/",
    "m/in/..",
    "/m//in",
    "/m/../n",
    "/n$A",
    "/n/${A#o}/",
    "${E:-e}/n",
    "~/m",
    "/n/m-in@x:y",
];

/// Ids of cache mounts and secrets.
const IDS: &[&str] = &["i", "i/j", "i-$A", "/i/", "I.j_k@l:m%n", "\u{e9}"];

/// Random flags, each followed by a blank.
pub(super) fn flags(around: &Around<'_>, random: &mut Random) -> String {
    let mut flags = String::new();
    for _ in 0..[0, 0, 0, 1, 1, 1, 2, 3][random.below(8)] {
        flags += &format!("--mount={} ", mount(around, random));
    }
    if random.once_in(8) {
        flags += random.of(&["--network=none ", "--network=default "]);
    }
    if around.flags.security && random.once_in(8) {
        flags += "--security=sandbox ";
    }
    flags
}

fn mount(around: &Around<'_>, random: &mut Random) -> String {
    let target = format!("{}={}", random.of(&["target", "dst", "destination"]), random.of(TARGETS));
    match random.below(9) {
        0 | 1 => {
            let options = random.of(&["", ",rw", ",ro", ",readwrite", ",readonly=false", ",rw=false"]);
            let kind = random.of(&["type=bind,", ""]);
            format!("{kind}{}{target}{options}", bound(around, random))
        }
        2 | 3 => {
            let id = random.of(IDS);
            let options = [
                String::new(),
                format!(",id={id}"),
                format!(",id={id},sharing=locked"),
                ",sharing=private".to_owned(),
                ",uid=1,gid=2,mode=0700".to_owned(),
                ",id=c,uid=0".to_owned(),
                ",ro".to_owned(),
                ",mode=750,readonly=true".to_owned(),
            ];
            format!("type=cache,{target}{}", random.of(&options))
        }
        4 => match around.stages.len() {
            0 => format!("type=cache,{target}"),
            count => format!("type=cache,from=s{},source=/,{target}", random.below(count)),
        },
        5 => format!("type=tmpfs,{target}{}", random.of(&["", ",size=1048576", ",size=64k", ",ro"])),
        6 => secret(around, &target, random),
        7 => {
            let options =
                random.of(&["", ",id=none", ",id=default,mode=0666", ",required=false,uid=1", ",mode=0600"]);
            let target = if random.once_in(2) { format!(",{target}") } else { String::new() };
            format!("type=ssh{options}{target}")
        }
        // Below each other, in any order.
        _ => {
            let inner = random.of(&["type=tmpfs", "type=cache,id=inner", "source=sub"]);
            let (outer, inner) = ("type=cache,target=/outer".to_owned(), format!("{inner},target=/outer/in"));
            let (first, second) = if random.once_in(2) { (outer, inner) } else { (inner, outer) };
            format!("{first} --mount={second}")
        }
    }
}

/// The source of a bind mount, with a comma at the end.
fn bound(around: &Around<'_>, random: &mut Random) -> String {
    match random.below(6) {
        0 if !around.stages.is_empty() => format!("from=s{},", random.below(around.stages.len())),
        1 if !around.stages.is_empty() => format!("from={},source=/,", random.below(around.stages.len())),
        2 if around.contexts.contains(&"extra") => "from=extra,source=sub,".to_owned(),
        3 => around.flags.image.map_or_else(String::new, |image| format!("from={image},source=/etc,")),
        4 => String::new(),
        _ => random
            .of(&["source=sub,", "src=/sub/,", "source=sub${NONE},", "source=./other/../sub,"])
            .to_owned(),
    }
}

fn secret(around: &Around<'_>, target: &str, random: &mut Random) -> String {
    let id = random.of(IDS);
    match random.below(6) {
        0 => format!("type=secret,id={id}{}", random.of(&["", ",required=false", ",mode=0400", ",uid=0"])),
        1 => format!("type=secret,id=s,{target},mode=0444,required=true"),
        2 => format!("type=secret,id=s,{target},uid=1,gid=1"),
        3 if around.flags.secret_variable => "type=secret,id=s,env=S".to_owned(),
        4 if around.flags.secret_variable => format!("type=secret,id=s,env=S$A,{target}"),
        _ => "type=secret,id=s,required".to_owned(),
    }
}
