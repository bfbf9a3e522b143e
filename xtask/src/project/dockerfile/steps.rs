//! The steps of a stage with all that BuildKit's cache key of each is made of, as far as the file tells: its own text, variables,
//! folder and user, mounts, and what it reads from elsewhere. LABEL, CMD and the like are no steps: they change an image's
//! configuration and run nothing.

use std::collections::BTreeMap;

use super::scope::{Scope, clean};
use super::words::split;
use super::{Dockerfile, Inputs, Instruction};

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The line that its instruction begins in, counted from 0.
    pub line: usize,
    /// RUN, COPY, ADD or WORKDIR.
    pub keyword: String,
    /// All of it in one line.
    pub text: String,
    /// What it is made of by name, as `command`, `arg NAME`, `env NAME`, `mount /target`.
    pub parts: BTreeMap<String, String>,
    /// What it reads.
    pub reads: Vec<Read>,
    /// Whether it is made beside what stands before it: `COPY --link`.
    pub is_linked: bool,
}

/// Content that a step reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// From where.
    pub from: From,
    /// Paths as COPY takes them, with patterns.
    pub paths: Vec<String>,
    /// What `--exclude` leaves out.
    pub excludes: Vec<String>,
}

/// Where content comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum From {
    /// The main context.
    Context,
    /// An earlier stage, by its index.
    Stage(usize),
    /// A named context or an image.
    Name(String),
    /// A URL.
    Remote(String),
}

impl Dockerfile {
    /// The steps that are run in a stage, its base's ONBUILDs first.
    pub fn steps(&self, stage: usize, inputs: &Inputs) -> Vec<Step> {
        let mut steps = Vec::new();
        self.walk(stage, inputs, &mut |instruction, scope| {
            let reader = Reader { file: self, stage, inputs, scope };
            match instruction.keyword.as_str() {
                "RUN" => steps.push(reader.run(instruction)),
                "COPY" | "ADD" => steps.push(reader.copy(instruction)),
                "WORKDIR" => steps.extend(reader.workdir(instruction)),
                _ => {}
            }
        });
        steps
    }
}

struct Reader<'a> {
    file: &'a Dockerfile,
    stage: usize,
    inputs: &'a Inputs,
    scope: &'a Scope,
}

impl Reader<'_> {
    fn step(&self, instruction: &Instruction, command: String) -> Step {
        Step {
            line: instruction.line,
            keyword: instruction.keyword.clone(),
            text: instruction.text.clone(),
            parts: BTreeMap::from([("command".to_owned(), command + &instruction.documents)]),
            reads: Vec::new(),
            is_linked: false,
        }
    }

    fn expand(&self, text: &str) -> String {
        self.scope.expand(text, self.file.escape).text
    }

    /// A RUN's command goes to its shell as it is; its flags are expanded.
    fn run(&self, instruction: &Instruction) -> Step {
        let mut step = self.step(instruction, instruction.rest.clone());
        for (kind, name, value) in self.scope.given() {
            step.parts.insert(format!("{kind} {name}").trim_end().to_owned(), value);
        }
        // Their order is in the key as well (measured).
        step.parts.insert("order".to_owned(), self.scope.order());
        for (name, value) in instruction.flags.iter().filter(|(name, _)| name != "mount") {
            step.parts.insert(format!("option {name}"), self.expand(value));
        }
        for options in instruction.mounts() {
            let options: BTreeMap<String, String> =
                options.into_iter().map(|(key, value)| (key, self.expand(value.unwrap_or("true")))).collect();
            self.mount(&options, &mut step);
        }
        step
    }

    /// What of a mount is in the key. Of a cache mount neither id nor sharing, of a secret not whether it must be there (measured).
    fn mount(&self, options: &BTreeMap<String, String>, step: &mut Step) {
        let of = |names: &[&str]| names.iter().find_map(|name| options.get(*name)).map(String::as_str);
        let kind = of(&["type"]).unwrap_or("bind");
        let target = of(&["target", "dst", "destination"]).unwrap_or_default();
        let source = of(&["source", "src"]).unwrap_or_default();
        if kind == "bind" || (kind == "cache" && options.contains_key("from")) {
            let from = match of(&["from"]) {
                Some(name) => self.from(name),
                None => From::Context,
            };
            let paths = vec![clean(&format!("/{source}"))];
            step.reads.push(Read { from, paths, excludes: Vec::new() });
        }
        let written = match kind {
            "bind" => format!(
                "bind of {} from {}",
                clean(&format!("/{source}")),
                of(&["from"]).unwrap_or("the context")
            ),
            other => other.to_owned(),
        };
        let ways = ["ro", "readonly", "rw", "readwrite", "size", "uid", "gid", "mode", "env"];
        let kept = ways.iter().filter(|name| options.contains_key(**name));
        let ways: Vec<String> = kept.map(|name| format!("{name}={}", options[*name])).collect();
        let value = [vec![written], ways].concat().join(", ");
        step.parts.insert(format!("mount {kind} {target}"), value);
    }

    fn copy(&self, instruction: &Instruction) -> Step {
        let words = words(&instruction.rest, self.file.escape);
        let words: Vec<String> = words.iter().map(|word| self.expand(word)).collect();
        let (target, sources) =
            words.split_last().map_or(("", &[][..]), |(last, rest)| (last.as_str(), rest));
        let flags = instruction.flags.iter().filter(|(name, _)| name != "from");
        let flags = flags.map(|(name, value)| format!("--{name}={}", self.expand(value)));
        let is_relative = !target.starts_with('/');
        let mut step =
            self.step(instruction, flags.chain(words.iter().cloned()).collect::<Vec<_>>().join(" "));
        let workdir = self.scope.given().find(|(kind, _, _)| *kind == "workdir");
        if let Some((kind, _, path)) = workdir.filter(|_| is_relative) {
            step.parts.insert(kind.to_owned(), path);
        }
        step.is_linked = instruction.flag("link").is_some_and(|value| value != "false");
        let excludes: Vec<String> = instruction
            .flags
            .iter()
            .filter(|(name, _)| name == "exclude")
            .map(|(_, value)| self.expand(value))
            .collect();
        let files: Vec<String> = sources.iter().filter(|word| !word.starts_with("<<")).cloned().collect();
        let is_remote = |word: &&String| {
            instruction.keyword == "ADD" && (word.contains("://") || word.starts_with("git@"))
        };
        for url in files.iter().filter(is_remote) {
            step.reads.push(Read {
                from: From::Remote(url.clone()),
                paths: Vec::new(),
                excludes: Vec::new(),
            });
        }
        let paths: Vec<String> = files.iter().filter(|word| !is_remote(word)).cloned().collect();
        if !paths.is_empty() {
            let from = instruction.flag("from").map_or(From::Context, |name| self.from(&self.expand(name)));
            step.reads.push(Read { from, paths, excludes });
        }
        step
    }

    fn workdir(&self, instruction: &Instruction) -> Option<Step> {
        let path = self.expand(&instruction.rest);
        let path = self.scope.absolute(&path).unwrap_or(path);
        (path != "/").then(|| self.step(instruction, path))
    }

    fn from(&self, name: &str) -> From {
        match self.file.stage(name, self.stage, self.inputs) {
            Some(index) => From::Stage(index),
            // A mount may name any stage, also a later one.
            None => match self.file.by_name(name, self.file.stages.len(), self.inputs) {
                Some(index) => From::Stage(index),
                None => From::Name(name.to_owned()),
            },
        }
    }
}

/// The words of COPY and ADD, also as a JSON list.
fn words(rest: &str, escape: char) -> Vec<String> {
    serde_json::from_str(rest)
        .unwrap_or_else(|_| split(rest, escape).into_iter().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "ARG BASE=debian\nFROM $BASE AS made\nARG LEVEL=1\nENV MODE=fast\nWORKDIR /src\nCOPY --link a.txt sub/ ./\n\
        USER app\nRUN --network=none --mount=type=cache,id=x,sharing=locked,target=/c --mount=type=bind,source=gen,target=/g \\\n  make $LEVEL\n\
        FROM scratch\nLABEL a=b\nCOPY --from=made --chown=1 /out/*.bin /\nCOPY <<EOF /etc/x\nhello\nEOF\nADD https://x.example/y /y\nWORKDIR /\n";

    fn steps(stage: usize) -> Vec<Step> {
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
                "order: MODE LEVEL",
                "user: app",
                "workdir: /src",
            ]
        );
        assert_eq!(run.reads.len(), 1);
        assert_eq!((run.reads[0].from.clone(), run.reads[0].paths.join(" ")), (From::Context, "/gen".into()));
    }

    #[test]
    fn copies_read_from_their_places() {
        let made = steps(0);
        assert_eq!((made[0].keyword.as_str(), made[0].parts["command"].as_str()), ("WORKDIR", "/src"));
        assert!(made[1].is_linked);
        assert_eq!(made[1].parts["workdir"], "/src");
        assert_eq!(made[1].reads[0].paths, ["a.txt", "sub/"]);
        let last = steps(1);
        assert_eq!(last.len(), 3, "LABEL and WORKDIR / are none");
        assert_eq!(last[0].reads[0].from, From::Stage(0));
        assert_eq!(last[0].parts["command"], "--chown=1 /out/*.bin /");
        assert_eq!((last[1].parts["command"].as_str(), last[1].reads.len()), ("<<EOF /etc/xhello\nEOF\n", 0));
        assert_eq!(last[2].reads[0].from, From::Remote("https://x.example/y".into()));
    }
}
