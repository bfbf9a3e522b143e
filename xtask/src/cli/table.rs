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
    /// One line for the list of commands; the README's list is made of these.
    pub summary: &'static str,
    /// An example, without `cargo xtask`.
    pub example: &'static str,
    /// Groups of options it takes beside the global ones.
    pub options: &'static [&'static [Opt]],
    /// What it runs.
    pub run: Run,
}

const PROVISION: &[Opt] = &[switch(
    "--provision",
    "install and start what is missing (Debian, Ubuntu); nothing is changed without it",
)];

const TEST: &[Opt] = &[
    switch("--quick", "leave out the tests that need an engine"),
    value("--allow-skips", "N", "how many tests may be skipped in CI before the run fails [0]"),
    value("--engine", "LEG", "fetch another engine and run on it: floor, current or newest"),
];

const BENCH: &[Opt] = &[
    value("--edits", "N", "random edits of the case `forecast` (default 200)"),
    value("--seed", "S", "the seed of these edits (default 1)"),
];

const PLAN: &[Opt] = &[
    switch("--locked", "fail where a pinned version is gone, instead of taking the newest there is"),
    switch("--no-cache", "run every step again; cache mounts stay as they are"),
    value("--fresh", "STEP", "run this stage or RUN again, and what builds upon it (repeatable)"),
    switch("--no-save", "do not save the result's layers to the store"),
    value(
        "--mounts",
        "LIST",
        "cache mounts that travel: all, none, or ids; -ID leaves one out [DURANGO_MOUNTS, else all]",
    ),
    switch("--push", "push the images to their registry"),
    value(
        "--cache",
        "CACHE",
        "registry=REF[,ro] beside the store, or none to leave that out (repeatable) [DURANGO_CACHE]",
    ),
    value("--file", "FILE", "a Compose or bake file in place of builder/compose.yaml (repeatable)"),
    value("--allow", "RIGHT", "grant FILE a right, as bake's: fs.read=DIR, network.host (repeatable)"),
    value("--platform", "PLATFORM", "build for this platform, as linux/arm64 (repeatable)"),
    value("--tag", "TAG", "name of the image, in place of the declared one (one target; repeatable)"),
    value("--output", "OUTPUT", "as buildx's --output (one target; repeatable)"),
    value("--build-arg", "K=V", "a build argument for every target (repeatable)"),
    value("--secret", "SPEC", "as buildx's: id=NAME,src=FILE or id=NAME,env=VAR (repeatable)"),
    value("--set", "T.KEY=V", "as bake's: one field of the targets that T matches (repeatable)"),
];

const EXPLAIN: &[Opt] =
    &[value("--against", "BUILD", "compare with this build [the one before it of the same targets]")];
const DRY_RUN: &[Opt] = &[switch("--dry-run", "print the plan and its steps, do none of them")];
const APP: &[Opt] = &[value("--app", "DIR", "the application to put into the image [docker/app]")];

const BUILDER: &[Opt] = &[
    switch("--purge", "down: remove the builder's cache as well, for good"),
    switch("--yes", "down --purge: do not ask"),
    value("--image", "REF", "up: the image that BuildKit comes in [moby/buildkit:buildx-stable-1]"),
    value("--size", "GB", "up: how large its cache may grow [40GB]"),
    value("--endpoint", "URL", "up: a BuildKit that runs elsewhere, as tcp://buildkit.example:1234"),
    value("--cacert", "FILE", "up: who signed that one's certificate"),
    value("--cert", "FILE", "up: the certificate to show it"),
    value("--key", "FILE", "up: that certificate's key"),
    value("--driver-opt", "K=V", "up: as buildx's, as network=host (repeatable)"),
];

const SMOKE: &[Opt] = &[
    value("--only", "CHECK", "only this check or extension, as gd or sessions (repeatable)"),
    switch("--keep", "leave the containers running, to look at them"),
];

const CACHE: &[Opt] = &[
    value(
        "--file",
        "FILE",
        "key, clear, export: a Compose or bake file in place of builder/compose.yaml (repeatable)",
    ),
    value("--platform", "PLATFORM", "key: for this platform, as linux/arm64 (repeatable)"),
    value("--build-arg", "K=V", "key: a build argument for every target (repeatable)"),
    value("--set", "T.KEY=V", "key: as bake's: one field of the targets that T matches (repeatable)"),
    value("--app", "DIR", "key: the application to put into the image [docker/app]"),
    value(
        "--budget",
        "SIZE",
        "gc: what the store may take, as 500M, 10GB, 1GiB [DURANGO_CACHE_BUDGET, else 10GB]",
    ),
    value("--older-than", "DAYS", "gc: also what was not used for so many days"),
    value("--keep", "N", "gc: the newest N generations an image and platform [3]"),
    value("--to", "PLACE", "export: a folder, a file that ends with .tar, or - for a tar on stdout"),
    value("--from", "PLACE", "import: what export made; - reads a tar from stdin"),
    switch("--dry-run", "verify, gc, clear, export, import: show what would go, and let nothing go"),
    switch("--yes", "clear: without a question"),
];

const HISTORY: &[Opt] = &[
    switch("--all", "rm: every record, but for builds that run"),
    switch("--dry-run", "rm: show what would go, and let nothing go"),
    switch("--yes", "rm: without a question"),
];

const REPORT: &[Opt] = &[
    value("--format", "FORMAT", "text, json, markdown or html [by FILE's ending, else text]"),
    value("--output", "FILE", "write it there; - for stdout [-]"),
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
        summary: "build the image that runs an application, and the base image where needed",
        example: "frankenphp --app ../shop",
        options: &[APP, PROVISION, DRY_RUN, PLAN],
        run: commands::build::frankenphp,
    },
    Command {
        name: "build",
        args: "TARGET...",
        summary: "build any target of the declaration, or of a Compose or bake file",
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
        summary: "tell why each step of a build ran, the last one's where none is named",
        example: "explain 20261125-1200",
        options: &[EXPLAIN],
        run: commands::explain::explain,
    },
    Command {
        name: "history",
        args: "[rm BUILD...]",
        summary: "builds so far: what each came to, how long they took; or remove their records",
        example: "history",
        options: &[HISTORY],
        run: commands::history::run,
    },
    Command {
        name: "report",
        args: "[BUILD]",
        summary: "one build: its steps on a line of time, why they ran, its cache; as text, JSON, Markdown, HTML",
        example: "report latest --output report.html",
        options: &[REPORT],
        run: commands::report::run,
    },
    Command {
        name: "cache",
        args: "key|ls|du|verify|gc|clear|export|import [ARG...]",
        summary: "the store of layers and cache mounts: see it, check it, bound it, empty it, move it",
        example: "cache du",
        options: &[CACHE],
        run: commands::cache::run,
    },
    Command {
        name: "smoke",
        args: "[IMAGE]",
        summary: "start a built image and prove it: PHP, HTTP, worker mode, each extension",
        example: "smoke durango/frankenphp:latest",
        options: &[SMOKE],
        run: commands::smoke::run,
    },
    Command {
        name: "doctor",
        args: "",
        summary: "say what is wrong on this machine and which command mends it",
        example: "doctor",
        options: &[PROVISION, DRY_RUN],
        run: commands::doctor::run,
    },
    Command {
        name: "setup",
        args: "",
        summary: "turn BuildKit on for good, in the shell and in the daemon; undoable",
        example: "setup --undo",
        options: &[DRY_RUN, &[switch("--undo", "put the files back, byte for byte")]],
        run: commands::setup::run,
    },
    Command {
        name: "pins",
        args: "",
        summary: "show the pinned versions, or refresh them",
        example: "pins --update",
        options: &[DRY_RUN, &[switch("--update", "take the newest versions that can be had")]],
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
        summary: "a persistent builder whose garbage collector spares cache mounts",
        example: "builder up",
        options: &[DRY_RUN, BUILDER],
        run: commands::builder::run,
    },
    Command {
        name: "bench",
        args: "[CASE...]",
        summary: "time rebuilds beside plain buildx and print their ratios",
        example: "bench unchanged main.go",
        options: &[BENCH],
        run: commands::bench::run,
    },
    Command {
        name: "test",
        args: "[FILTER...]",
        summary: "run every test: units, the binary, small images, the real images",
        example: "test --provision",
        options: &[PROVISION, TEST],
        run: commands::test::run,
    },
];

/// The command of that name.
pub fn find(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.name == name)
}
