//! The layers of the crate: which room imports which, and which rooms write. A room is a directory
//! or a file directly below `src`. Test code is exempt.

mod source;

use std::collections::{BTreeMap, BTreeSet};

use source::{Source, code, imports, room, sources};

/// Every room with the rooms that it may import, from the bottom to the top. An import of a room
/// further down in this list is an upward import, so no circle can arise. `*` stands for all rooms
/// above in the list.
const ROOMS: &[(&str, &str)] = &[
    ("redact", ""),
    ("error", "redact"),
    ("host", "error"),
    ("files", ""),
    ("layout", "error host"),
    ("build_id", ""),
    ("args", "error"),
    ("session", "redact error host layout args"),
    ("text", "redact"),
    ("step", ""),
    ("memo", "files layout"),
    ("json", "error text"),
    ("defaults", ""),
    ("platform", ""),
    ("process", "error host layout text step"),
    ("project", "files redact error host session text memo platform process"),
    ("engine", "error host session text step memo defaults platform process"),
    ("store", "files error host layout build_id text defaults process project"),
    ("progress", "redact text process"),
    ("provision", "host layout session step defaults process project engine"),
    ("base_image", "layout build_id session step memo defaults process engine store"),
    (
        "plan",
        "files redact error host layout args session text step json defaults project engine store progress base_image",
    ),
    ("outcome", "redact text json progress plan"),
    ("record", "files redact layout build_id text json project store progress plan outcome"),
    ("forecast", "json project progress outcome record"),
    (
        "exec",
        "files host layout build_id session text step defaults process project engine store progress provision plan record",
    ),
    ("report", "text step json project engine store plan outcome record forecast"),
    ("live", "host session text process progress forecast report"),
    ("setup", "host session step engine provision"),
    ("doctor", "files session text defaults project engine provision base_image outcome record setup"),
    ("smoke", "error session json process engine"),
    ("bench", "layout session text process defaults engine base_image exec"),
    ("commands", "*"),
    ("cli", "redact error host layout args session text process setup commands"),
    ("lib", ""),
    ("testing", "*"),
    ("fuzz", "*"),
];

/// The rooms that may write files or start processes, each with the purpose.
const WRITERS: &[(&str, &str)] = &[
    ("live", "an unnamed file for output that waits"),
    ("base_image", "a scratch directory for questions to apt"),
    ("project", "a probe of how bake prints"),
    ("files", "whole and private files in the store"),
    ("memo", "answers that are asked for again"),
    ("process", "queries, which change nothing"),
    ("store", "the lock, the mark of use, the quarantine"),
    ("record", "the history of builds"),
    ("exec", "steps and builds"),
    ("smoke", "containers and their files"),
    ("fuzz", "files of a target, without a test's guard"),
    ("bench", "a copy of the project and second machines"),
    ("commands", "scratch directories, bundles, cargo"),
];

/// The calls that write files or start processes.
const WRITES: &[&str] = &[
    "fs::copy(",
    "fs::create_dir",
    "fs::hard_link(",
    "fs::remove_",
    "fs::rename(",
    "fs::set_permissions(",
    "fs::write(",
    "File::create",
    ".append(true)",
    ".write(true)",
    "process::Command",
    "fs::symlink(",
    "tempfile::",
    ".set_modified(",
];

/// Returns the violations of the tables, one line each.
fn findings(rooms: &[(&str, &str)], writers: &[(&str, &str)], sources: &[Source]) -> Vec<String> {
    let place = |name: &str| rooms.iter().position(|(room, _)| *room == name);
    let mut findings = Vec::new();
    let mut used: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let mut writing: BTreeSet<&str> = BTreeSet::new();
    for (file, text) in sources {
        let (room, code) = (room(file), code(text));
        let Some(at) = place(room) else {
            findings.push(format!("{file}: the room `{room}` is not in the table"));
            continue;
        };
        let allowed: BTreeSet<&str> = rooms[at].1.split_whitespace().collect();
        // Names that are not rooms are items of lib.rs.
        for import in imports(file, &code).into_iter().filter(|name| place(name).is_some()) {
            if place(&import) > Some(at) {
                findings.push(format!("{file}: `{room}` imports upward from `{import}`"));
            } else if !allowed.contains("*") && !allowed.contains(import.as_str()) {
                findings.push(format!("{file}: `{room}` may not import `{import}`"));
            }
            used.entry(room).or_default().insert(import);
        }
        if let Some(write) = WRITES.iter().find(|write| code.contains(**write)) {
            writing.insert(room);
            if !writers.iter().any(|(writer, _)| *writer == room) {
                findings.push(format!("{file}: `{room}` may not write, but has `{write}`"));
            }
        }
    }
    for (room, allowed) in rooms {
        let stale = |import: &&str| !used.get(room).is_some_and(|used| used.contains(*import));
        let stale = allowed.split_whitespace().filter(|name| *name != "*").filter(stale);
        findings
            .extend(stale.map(|import| format!("the table lets `{room}` import `{import}`: no file does")));
    }
    let idle = writers.iter().filter(|(writer, _)| !writing.contains(writer));
    findings.extend(idle.map(|(writer, _)| format!("the table lets `{writer}` write: no file does")));
    findings
}

#[test]
fn every_room_imports_only_from_below_and_only_some_write() {
    let findings = findings(ROOMS, WRITERS, &sources());
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

#[test]
fn a_planted_import_is_found() {
    let rooms = [("error", ""), ("store", "error"), ("plan", "store"), ("lib", "plan")];
    let found = |file: &str, line: &str| {
        let clean = [
            ("store/mod.rs", "use crate::error::usage;"),
            ("plan.rs", "use crate::store::Layer;"),
            ("lib.rs", "fn main() { crate::plan::run() }"),
            ("error.rs", ""),
        ];
        let mut sources: Vec<Source> = clean.map(|(file, text)| (file.into(), text.into())).into();
        assert_eq!(findings(&rooms, &[], &sources), [""; 0]);
        sources.push((file.into(), line.into()));
        findings(&rooms, &[], &sources)
    };
    let upward = ["store/key.rs: `store` imports upward from `plan`"];
    assert_eq!(found("store/key.rs", "use crate::plan::build::Plan;"), upward);
    assert_eq!(found("store/key.rs", "fn f() -> u8 { super::super::plan::f() }"), upward);
    assert_eq!(found("store/key.rs", "use crate::{error, plan::{a, error}};"), upward);
    assert_eq!(
        found("store/key/a.rs", "pub(crate) use super::super::super::plan::f;"),
        upward.map(|line| line.replace("key", "key/a"))
    );
    let quote = "const Q: char = '\"'; const R: &str = r#\"\"#; use crate::plan::f;";
    assert_eq!(found("store/key.rs", quote), upward);
    assert_eq!(found("plan.rs", "use crate::error::Error;"), ["plan.rs: `plan` may not import `error`"]);
    assert_eq!(found("new.rs", ""), ["new.rs: the room `new` is not in the table"]);
    let write = "fn f() { std::fs::write(a, b) }";
    assert_eq!(found("plan.rs", write), ["plan.rs: `plan` may not write, but has `fs::write(`"]);
    let harmless = "// use crate::plan;\nconst A: &str = \"crate::plan fs::write(\";\nfn f<'a>(x: &'a str) {}\n\
        #[cfg(test)]\nmod tests { use crate::plan::f; fn g() { fs::write(a, b) } }";
    assert_eq!(found("store/key.rs", harmless), [""; 0]);
}

#[test]
fn a_permission_that_nobody_uses_is_found() {
    let sources = [("a.rs".to_owned(), String::new()), ("b.rs".to_owned(), String::new())];
    let found = findings(&[("a", ""), ("b", "a")], &[("b", "files")], &sources);
    assert_eq!(
        found,
        ["the table lets `b` import `a`: no file does", "the table lets `b` write: no file does"]
    );
}
