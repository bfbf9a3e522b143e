//! THE table of commands: name, arguments, options, help and function of each.

use super::Run;
use crate::args::{Opt, switch, value};
use crate::commands;

/// One command.
pub struct Command {
    /// What is typed after `cargo xtask`.
    pub name: &'static str,
    /// Free arguments, as the help shows them; none are taken where it is empty.
    pub args: &'static str,
    /// One line for the list of commands; the README's list is made of these lines.
    pub summary: &'static str,
    /// An example, without `cargo xtask`.
    pub example: &'static str,
    /// Groups of options it takes, in addition to the global ones.
    pub options: &'static [&'static [Opt]],
    /// What it runs.
    pub run: Run,
}

const PROVISION: &[Opt] = &[switch(
    "--provision",
    "install and start missing programs (Debian, Ubuntu); without it nothing is installed",
)];

const TEST: &[Opt] = &[
    switch("--quick", "skip the tests that need an engine"),
    value("--allow-skips", "N", "the number of tests that may be skipped in CI [0]"),
    value("--engine", "LEG", "fetch another engine and run the tests on it: floor, current or newest"),
];

const BENCH: &[Opt] = &[
    value("--edits", "N", "random edits of the case `forecast` (default 200)"),
    value("--seed", "S", "the seed of these edits, or of the faults of `chaos` [1]"),
    value("--minutes", "N", "the time that `forecast` or `chaos` takes [each its full count]"),
];

const PLAN: &[Opt] = &[
    switch("--locked", "fail if a pinned version is gone, instead of using the newest one"),
    switch("--no-cache", "run every step again; cache mounts keep their contents"),
    value("--fresh", "STEP", "run this stage or RUN again, and everything based on it (repeatable)"),
    switch("--no-save", "do not save layers and cache mounts to the store or a registry"),
    value(
        "--mounts",
        "LIST",
        "cache mounts to save and restore: all, none, or ids; -ID excludes one [DURANGO_MOUNTS, else all]",
    ),
    switch("--push", "push the images to their registry"),
    value(
        "--cache",
        "CACHE",
        "registry=REF[,ro] in addition to the store, or none to ignore the store (repeatable) [DURANGO_CACHE]",
    ),
    value("--file", "FILE", "a Compose or bake file instead of builder/compose.yaml (repeatable)"),
    value("--allow", "RIGHT", "grant FILE a right, as bake's: fs.read=DIR, network.host (repeatable)"),
    value("--platform", "PLATFORM", "build for this platform, as linux/arm64 (repeatable)"),
    value("--tag", "TAG", "name of the image, instead of the declared one (one target; repeatable)"),
    value("--output", "OUTPUT", "as buildx's --output (one target; repeatable)"),
    value("--build-arg", "K=V", "a build argument for every target (repeatable)"),
    value("--secret", "SPEC", "as buildx's: id=NAME,src=FILE or id=NAME,env=VAR (repeatable)"),
    value("--set", "T.KEY=V", "as bake's: one field of the targets that T matches (repeatable)"),
];

const EXPLAIN: &[Opt] =
    &[value("--against", "BUILD", "compare with this build [the one before it of the same targets]")];
const DRY_RUN: &[Opt] = &[switch("--dry-run", "print the plan and its steps without running them")];
const APP: &[Opt] = &[value("--app", "DIR", "the application to put into the image [docker/app]")];

const BUILDER: &[Opt] = &[
    switch("--purge", "down: also remove the builder's cache permanently"),
    switch("--yes", "down --purge: do not ask for confirmation"),
    value("--image", "REF", "up: the BuildKit image [moby/buildkit:buildx-stable-1]"),
    value("--size", "GB", "up: the maximum size of its cache [40GB]"),
    value("--endpoint", "URL", "up: a BuildKit on another machine, as tcp://buildkit.example:1234"),
    value("--cacert", "FILE", "up: the CA certificate of the endpoint"),
    value("--cert", "FILE", "up: the client certificate"),
    value("--key", "FILE", "up: the key of the client certificate"),
    value("--driver-opt", "K=V", "up: as buildx's, as network=host (repeatable)"),
];

const SMOKE: &[Opt] = &[
    value("--only", "CHECK", "only this check or extension, as gd or sessions (repeatable)"),
    switch("--keep", "leave the containers running for inspection"),
];

const CACHE: &[Opt] = &[
    value(
        "--file",
        "FILE",
        "key, clear, export: a Compose or bake file instead of builder/compose.yaml (repeatable)",
    ),
    value("--platform", "PLATFORM", "key: for this platform, as linux/arm64 (repeatable)"),
    value("--build-arg", "K=V", "key: a build argument for every target (repeatable)"),
    value("--set", "T.KEY=V", "key: as bake's: one field of the targets that T matches (repeatable)"),
    value("--app", "DIR", "key: the application to put into the image [docker/app]"),
    value(
        "--budget",
        "SIZE",
        "gc: the store's maximum size, as 500M, 10GB, 1GiB [DURANGO_CACHE_BUDGET, else 10GB]",
    ),
    value("--older-than", "DAYS", "gc: also remove entries that were not used for this many days"),
    value("--keep", "N", "gc: how many results to keep for each image and platform [3]"),
    value(
        "--to",
        "PLACE",
        "export: a directory, a file that ends with .tar, or - for a tar archive on stdout",
    ),
    value("--from", "PLACE", "import: a bundle from export; - reads a tar archive from stdin"),
    value("--format", "N", "clear: with all, a store of format N, which another version wrote"),
    switch("--dry-run", "verify, gc, clear, export, import: show what would change, and change nothing"),
    switch("--yes", "clear: do not ask for confirmation"),
];

const HISTORY: &[Opt] = &[
    switch("--all", "rm: every record, except those of running builds"),
    switch("--dry-run", "rm: show what would be removed, and remove nothing"),
    switch("--yes", "rm: do not ask for confirmation"),
];

const REPORT: &[Opt] = &[
    value("--format", "FORMAT", "text, json, markdown or html [by FILE's ending, else text]"),
    value("--output", "FILE", "write the report to FILE; - for stdout [-]"),
];

/// Every command, in the order of the help.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "base-build",
        args: "",
        summary: "build the base image: PHP and FrankenPHP from source",
        example: "base-build --provision",
        options: &[PROVISION, DRY_RUN, PLAN],
        run: commands::build::base_build,
    },
    Command {
        name: "frankenphp",
        args: "",
        summary: "build the image that runs an application, and its base image if needed",
        example: "frankenphp --app ../shop",
        options: &[APP, PROVISION, DRY_RUN, PLAN],
        run: commands::build::frankenphp,
    },
    Command {
        name: "build",
        args: "TARGET...",
        summary: "build any target of a Compose or bake file",
        example: "build web worker --file compose.yaml",
        options: &[APP, PROVISION, DRY_RUN, PLAN],
        run: commands::build::build,
    },
    Command {
        name: "plan",
        args: "TARGET...",
        summary: "show what a build would do and cost, without building",
        example: "plan frankenphp",
        options: &[APP, PROVISION, PLAN],
        run: commands::build::plan,
    },
    Command {
        name: "explain",
        args: "[BUILD]",
        summary: "explain why each step of a build ran, by default of the last one",
        example: "explain 20261125-1200",
        options: &[EXPLAIN],
        run: commands::explain::explain,
    },
    Command {
        name: "history",
        args: "[rm BUILD...]",
        summary: "list the recorded builds with their results and times, or remove records",
        example: "history",
        options: &[HISTORY],
        run: commands::history::run,
    },
    Command {
        name: "report",
        args: "[BUILD]",
        summary: "show one build (timeline, reasons, cache) as text, JSON, Markdown or HTML",
        example: "report latest --output report.html",
        options: &[REPORT],
        run: commands::report::run,
    },
    Command {
        name: "cache",
        args: "key|ls|du|verify|gc|clear|export|import [ARG...]",
        summary: "inspect, verify, prune, export and import the store",
        example: "cache du",
        options: &[CACHE],
        run: commands::cache::run,
    },
    Command {
        name: "smoke",
        args: "[IMAGE]",
        summary: "start a built image and test PHP, HTTP, worker mode and each extension",
        example: "smoke durango/frankenphp:latest",
        options: &[SMOKE],
        run: commands::smoke::run,
    },
    Command {
        name: "doctor",
        args: "",
        summary: "diagnose this machine and suggest fixes",
        example: "doctor",
        options: &[PROVISION, DRY_RUN],
        run: commands::doctor::run,
    },
    Command {
        name: "setup",
        args: "",
        summary: "turn BuildKit on permanently in the shell and the daemon, or undo that",
        example: "setup --undo",
        options: &[DRY_RUN, &[switch("--undo", "restore the files, byte for byte")]],
        run: commands::setup::run,
    },
    Command {
        name: "pins",
        args: "",
        summary: "show the pinned versions, or update them",
        example: "pins --update",
        options: &[DRY_RUN, &[switch("--update", "use the newest available versions")]],
        run: commands::pins::run,
    },
    Command {
        name: "outdated",
        args: "[IMAGE]",
        summary: "list the Debian packages of an image that have updates; exit code 1 for security updates",
        example: "outdated durango/frankenphp:latest",
        options: &[],
        run: commands::outdated::run,
    },
    Command {
        name: "builder",
        args: "up|status|down [NAME]...",
        summary: "manage a persistent builder whose garbage collector spares cache mounts",
        example: "builder up",
        options: &[DRY_RUN, BUILDER],
        run: commands::builder::run,
    },
    Command {
        name: "bench",
        args: "[CASE...] | chaos [FAULT...]",
        summary: "benchmark rebuilds against plain buildx; `chaos` tests faults of all kinds",
        example: "bench unchanged main.go",
        options: &[BENCH],
        run: commands::bench::run,
    },
    Command {
        name: "test",
        args: "[FILTER...]",
        summary: "run the tests: units, the binary, small images, the real images",
        example: "test --provision",
        options: &[PROVISION, TEST],
        run: commands::test::run,
    },
];

/// The command of that name.
pub(crate) fn find(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.name == name)
}
