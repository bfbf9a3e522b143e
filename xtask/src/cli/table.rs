//! The table of commands: name, arguments, options, help and function of each.

use super::Run;
use super::documents;
use super::options::{
    APP, BENCH, DRY_RUN, EXPLAIN, FILE, MAN, PINS, PLAN, PROVISION, REPORT, SETUP, SMOKE, TARGETS, TEST,
};
use super::subcommands;
use crate::args::Opt;
use crate::commands;

/// A command, or a subcommand of one.
pub struct Command {
    /// The word for it on the command line.
    pub name: &'static str,
    /// Arguments, as the help shows them; empty for none.
    pub args: &'static str,
    /// One line for the list of commands in the help and the README.
    pub summary: &'static str,
    /// An example, without `cargo xtask`.
    pub example: &'static str,
    /// Groups of its options, in addition to the global ones.
    pub options: &'static [&'static [Opt]],
    /// Its subcommands, of which each has options of its own.
    pub subcommands: &'static [Command],
    /// The function that it runs; `None` where a subcommand must follow.
    pub run: Option<Run>,
}

/// Every command, in the order of the help.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "base-build",
        args: "",
        summary: "build the base image: PHP and FrankenPHP from source",
        example: "base-build --provision",
        options: &[PROVISION, DRY_RUN, FILE, TARGETS, PLAN],
        subcommands: &[],
        run: Some(commands::build::base_build),
    },
    Command {
        name: "frankenphp",
        args: "",
        summary: "build the image that runs an application, and its base image if needed",
        example: "frankenphp --app ../shop",
        options: &[APP, PROVISION, DRY_RUN, FILE, TARGETS, PLAN],
        subcommands: &[],
        run: Some(commands::build::frankenphp),
    },
    Command {
        name: "build",
        args: "TARGET...",
        summary: "build any target of a Compose or bake file",
        example: "build web worker --file compose.yaml",
        options: &[APP, PROVISION, DRY_RUN, FILE, TARGETS, PLAN],
        subcommands: &[],
        run: Some(commands::build::build),
    },
    Command {
        name: "plan",
        args: "TARGET...",
        summary: "show what a build would do and cost, without building",
        example: "plan frankenphp",
        options: &[APP, PROVISION, FILE, TARGETS, PLAN],
        subcommands: &[],
        run: Some(commands::build::plan),
    },
    Command {
        name: "explain",
        args: "[BUILD]",
        summary: "explain why each step of a build ran, by default of the last one",
        example: "explain 20261125-1200",
        options: &[EXPLAIN],
        subcommands: &[],
        run: Some(commands::explain::explain),
    },
    Command {
        name: "history",
        args: "",
        summary: "list the recorded builds with their results and times, or remove records",
        example: "history",
        options: &[],
        subcommands: subcommands::HISTORY,
        run: Some(commands::history::list),
    },
    Command {
        name: "report",
        args: "[BUILD]",
        summary: "show one build (timeline, reasons, cache) as text, JSON, Markdown or HTML",
        example: "report latest --output report.html",
        options: &[REPORT],
        subcommands: &[],
        run: Some(commands::report::run),
    },
    Command {
        name: "cache",
        args: "",
        summary: "inspect, verify, prune, export and import the store",
        example: "cache du",
        options: &[],
        subcommands: subcommands::CACHE,
        run: None,
    },
    Command {
        name: "smoke",
        args: "[IMAGE]",
        summary: "start a built image and test PHP, HTTP, worker mode and each extension",
        example: "smoke durango/frankenphp:latest",
        options: &[SMOKE],
        subcommands: &[],
        run: Some(commands::smoke::run),
    },
    Command {
        name: "doctor",
        args: "",
        summary: "diagnose this machine and suggest fixes",
        example: "doctor",
        options: &[PROVISION, DRY_RUN],
        subcommands: &[],
        run: Some(commands::doctor::run),
    },
    Command {
        name: "setup",
        args: "",
        summary: "turn BuildKit on permanently, install completions and the man page, or undo that",
        example: "setup --undo",
        options: &[DRY_RUN, SETUP],
        subcommands: &[],
        run: Some(documents::setup),
    },
    Command {
        name: "pins",
        args: "",
        summary: "show the pinned versions, or update them",
        example: "pins --update",
        options: &[DRY_RUN, PINS],
        subcommands: &[],
        run: Some(commands::pins::run),
    },
    Command {
        name: "outdated",
        args: "[IMAGE]",
        summary: "list the Debian packages of an image that have updates; exit code 1 for security updates",
        example: "outdated durango/frankenphp:latest",
        options: &[],
        subcommands: &[],
        run: Some(commands::outdated::run),
    },
    Command {
        name: "builder",
        args: "",
        summary: "manage a persistent builder whose garbage collector spares cache mounts",
        example: "builder up",
        options: &[],
        subcommands: subcommands::BUILDER,
        run: None,
    },
    Command {
        name: "bench",
        args: "[CASE...]",
        summary: "benchmark rebuilds against plain buildx; `chaos` tests faults of all kinds",
        example: "bench unchanged main.go",
        options: &[BENCH],
        subcommands: subcommands::BENCH,
        run: Some(commands::bench::run),
    },
    Command {
        name: "test",
        args: "[FILTER...]",
        summary: "run the tests: units, the binary, small images, the real images",
        example: "test --provision",
        options: &[PROVISION, TEST],
        subcommands: &[],
        run: Some(commands::test::run),
    },
    Command {
        name: "completions",
        args: "SHELL",
        summary: "print the completion script of bash, zsh or fish, which `setup` installs",
        example: "completions bash",
        options: &[],
        subcommands: &[],
        run: Some(documents::completions),
    },
    Command {
        name: "man",
        args: "",
        summary: "print the man page, which `setup` installs",
        example: "man",
        options: &[MAN],
        subcommands: &[],
        run: Some(documents::man),
    },
];

/// Returns the command with this name.
pub(crate) fn find(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.name == name)
}

/// How many free arguments a command takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Arity {
    pub(super) least: usize,
    pub(super) most: usize,
}

impl Command {
    /// Its options without the global ones, in the order of its help.
    pub fn own_options(&self) -> impl Iterator<Item = &'static Opt> + use<> {
        self.options.iter().copied().flatten()
    }

    /// The subcommand of that name.
    pub(super) fn subcommand(&self, name: &str) -> Option<&'static Command> {
        self.subcommands.iter().find(|command| command.name == name)
    }

    /// Its options and those of its subcommands, each name once.
    pub(super) fn all_options(&self) -> Vec<&'static Opt> {
        let mut all: Vec<&Opt> = Vec::new();
        let subcommands = self.subcommands.iter().flat_map(Self::own_options);
        for opt in self.own_options().chain(subcommands) {
            if !all.iter().any(|known| known.name == opt.name) {
                all.push(opt);
            }
        }
        all
    }

    /// `NAME` is one argument, `[NAME]` at most one, and dots stand for more.
    pub(super) fn arity(&self) -> Arity {
        let many = self.args.trim_end_matches(']').ends_with("...");
        Arity {
            least: usize::from(!self.args.is_empty() && !self.args.starts_with('[')),
            most: if many { usize::MAX } else { usize::from(!self.args.is_empty()) },
        }
    }
}

/// Every command and subcommand with its name in full, as `cache gc`, in the order of the help.
pub fn all() -> Vec<(String, &'static Command)> {
    let with_subcommands = |command: &'static Command| {
        let of = |sub: &'static Command| (format!("{} {}", command.name, sub.name), sub);
        std::iter::once((command.name.to_owned(), command)).chain(command.subcommands.iter().map(of))
    };
    COMMANDS.iter().flat_map(with_subcommands).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::parse::command_line;

    #[test]
    fn the_table_is_sound() {
        let all = all();
        for (index, (path, command)) in all.iter().enumerate() {
            assert!(all[..index].iter().all(|(other, _)| other != path), "{path} twice");
            assert!(!command.summary.ends_with('.') && !command.summary.is_empty());
            assert!(command.run.is_some() || !command.subcommands.is_empty(), "{path} runs nothing");
            // The example of a command that needs a subcommand has one.
            let args = command.example.split(' ').map(Into::into).collect();
            let (known, _) = command_line(args).unwrap_or_else(|error| panic!("{path}: {error:#}"));
            assert!(command.example.starts_with(path), "the example of {path}");
            assert!(known.run.is_some(), "the example of {path}");
            // Options stand before a subcommand, too, so that one name is one kind of option.
            let options: Vec<&Opt> = command.subcommands.iter().flat_map(Command::own_options).collect();
            for opt in &options {
                let same = options.iter().filter(|known| known.name == opt.name);
                same.for_each(|known| assert_eq!(known.value, opt.value, "{path} {}", opt.name));
            }
        }
    }
}
