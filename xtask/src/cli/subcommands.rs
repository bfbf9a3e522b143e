//! The subcommands of `cache`, `builder`, `history` and `bench`.

use super::options::{
    APP, BUILDER_DOWN, BUILDER_UP, CHAOS, CLEAR, DRY_RUN, EXPORT, FILE, GC, HISTORY_RM, IMPORT, TARGETS, YES,
};
use super::table::Command;
use crate::commands::{bench, builder, cache, history};

pub(super) const CACHE: &[Command] = &[
    Command {
        name: "key",
        args: "[TARGET...]",
        summary: "print the key under which a CI cache keeps the store, and the prefixes to restore by",
        example: "cache key frankenphp",
        options: &[FILE, TARGETS, APP],
        subcommands: &[],
        run: Some(cache::key::run),
    },
    Command {
        name: "ls",
        args: "",
        summary: "list the saved layers and cache mounts",
        example: "cache ls",
        options: &[],
        subcommands: &[],
        run: Some(cache::show::ls),
    },
    Command {
        name: "du",
        args: "",
        summary: "show the sizes of the store and of the builder's own cache",
        example: "cache du",
        options: &[],
        subcommands: &[],
        run: Some(cache::show::du),
    },
    Command {
        name: "verify",
        args: "",
        summary: "check every file of the store and quarantine damaged entries",
        example: "cache verify --dry-run",
        options: &[DRY_RUN],
        subcommands: &[],
        run: Some(cache::tidy::verify),
    },
    Command {
        name: "gc",
        args: "",
        summary: "remove superseded and unused entries until the store fits its budget",
        example: "cache gc --budget 5GB",
        options: &[GC, DRY_RUN],
        subcommands: &[],
        run: Some(cache::tidy::gc),
    },
    Command {
        name: "clear",
        args: "KIND...",
        summary: "remove layers, mounts, builds, quarantine, builder (its cache mounts) or all",
        example: "cache clear mounts --dry-run",
        options: &[FILE, CLEAR, DRY_RUN, YES],
        subcommands: &[],
        run: Some(cache::tidy::clear),
    },
    Command {
        name: "export",
        args: "[IMAGE...]",
        summary: "write a bundle of the store for a machine without a network",
        example: "cache export --to cache.tar",
        options: &[EXPORT, FILE, DRY_RUN],
        subcommands: &[],
        run: Some(cache::bundle::export),
    },
    Command {
        name: "import",
        args: "",
        summary: "read a bundle into the store",
        example: "cache import --from cache.tar",
        options: &[IMPORT, DRY_RUN],
        subcommands: &[],
        run: Some(cache::bundle::import),
    },
];

pub(super) const BUILDER: &[Command] = &[
    Command {
        name: "up",
        args: "[BUILDER]",
        summary: "create the builder, or start it, and use it for builds",
        example: "builder up --size 60GB",
        options: &[BUILDER_UP, DRY_RUN],
        subcommands: &[],
        run: Some(builder::up),
    },
    Command {
        name: "status",
        args: "[BUILDER]",
        summary: "show the state, size and cache mounts of the builder; exit code 1 if it is down",
        example: "builder status",
        options: &[],
        subcommands: &[],
        run: Some(builder::status),
    },
    Command {
        name: "down",
        args: "[BUILDER]",
        summary: "remove the builder, and keep its cache for the next `builder up`",
        example: "builder down",
        options: &[BUILDER_DOWN, DRY_RUN, YES],
        subcommands: &[],
        run: Some(builder::down),
    },
];

pub(super) const HISTORY: &[Command] = &[Command {
    name: "rm",
    args: "[BUILD...]",
    summary: "remove the records of builds",
    example: "history rm latest",
    options: &[HISTORY_RM, DRY_RUN, YES],
    subcommands: &[],
    run: Some(history::rm),
}];

pub(super) const BENCH: &[Command] = &[Command {
    name: "chaos",
    args: "[FAULT...]",
    summary: "test faults of all kinds on a private engine",
    example: "bench chaos --minutes 10",
    options: &[CHAOS],
    subcommands: &[],
    run: Some(bench::chaos),
}];
