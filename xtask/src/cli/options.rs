//! The options of the commands, in groups that several commands share.

use crate::args::{Opt, switch, value};

pub(super) const PROVISION: &[Opt] = &[switch(
    "--provision",
    "install and start missing programs (Debian, Ubuntu); without it nothing is installed",
)];

pub(super) const TEST: &[Opt] = &[
    switch("--quick", "skip the tests that need an engine"),
    value("--allow-skips", "N", "the number of tests that may be skipped in CI [0]"),
    value("--engine", "LEG", "fetch another engine and run the tests on it: floor, current or newest"),
];

pub(super) const BENCH: &[Opt] = &[
    value("--engine", "LEG", "floor, current or newest next to this machine's engine [this engine]"),
    value("--edits", "N", "random edits of the cases `forecast` and `up-to-date` [200]"),
    value("--seed", "S", "the seed of these edits [1]"),
    value("--minutes", "N", "the time that the case `forecast` takes [its full count]"),
    value("--page", "FILE", "also write the results to FILE as a page, with the machine and its versions"),
];

pub(super) const CHAOS: &[Opt] = &[
    value("--seed", "S", "the seed of the faults [1]"),
    value("--minutes", "N", "the time that the faults share [each its full count]"),
];

pub(super) const FILE: &[Opt] =
    &[value("--file", "FILE", "a Compose or bake file instead of builder/compose.yaml (repeatable)")];

pub(super) const TARGETS: &[Opt] = &[
    value("--platform", "PLATFORM", "build for this platform, as linux/arm64 (repeatable)"),
    value("--build-arg", "K=V", "a build argument for every target (repeatable)"),
    value("--set", "T.KEY=V", "as bake's: one field of the targets that T matches (repeatable)"),
];

pub(super) const PLAN: &[Opt] = &[
    switch("--locked", "fail if a pinned version is gone, instead of using the newest one"),
    switch("--check", "ask BuildKit also if nothing has changed since the last build"),
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
    value("--allow", "RIGHT", "grant FILE a right, as bake's: fs.read=DIR, network.host (repeatable)"),
    value("--tag", "TAG", "name of the image, instead of the declared one (one target; repeatable)"),
    value("--output", "OUTPUT", "as buildx's --output (one target; repeatable)"),
    value("--secret", "SPEC", "as buildx's: id=NAME,src=FILE or id=NAME,env=VAR (repeatable)"),
];

pub(super) const EXPLAIN: &[Opt] =
    &[value("--against", "BUILD", "compare with this build [the one before it of the same targets]")];

pub(super) const DRY_RUN: &[Opt] = &[switch("--dry-run", "show the plan or the changes, and change nothing")];

pub(super) const YES: &[Opt] = &[switch("--yes", "do not ask for confirmation")];

pub(super) const APP: &[Opt] = &[value("--app", "DIR", "the application to put into the image [docker/app]")];

pub(super) const BUILDER_UP: &[Opt] = &[
    value("--image", "REF", "the BuildKit image [moby/buildkit:buildx-stable-1]"),
    value("--size", "GB", "the maximum size of its cache [40GB]"),
    value("--endpoint", "URL", "a BuildKit on another machine, as tcp://buildkit.example:1234"),
    value("--cacert", "FILE", "the CA certificate of the endpoint"),
    value("--cert", "FILE", "the client certificate"),
    value("--key", "FILE", "the key of the client certificate"),
    value("--driver-opt", "K=V", "as buildx's, as network=host (repeatable)"),
];

pub(super) const BUILDER_DOWN: &[Opt] = &[switch("--purge", "also remove the builder's cache permanently")];

pub(super) const SMOKE: &[Opt] = &[
    value("--only", "CHECK", "only this check or extension, as gd or sessions (repeatable)"),
    switch("--keep", "leave the containers running for inspection"),
];

pub(super) const GC: &[Opt] = &[
    value(
        "--budget",
        "SIZE",
        "the store's maximum size, as 500M, 10GB, 1GiB [DURANGO_CACHE_BUDGET, else 10GB]",
    ),
    value("--older-than", "DAYS", "also remove entries that were not used for this many days"),
    value("--keep", "N", "how many results to keep for each image and platform [3]"),
];

pub(super) const CLEAR: &[Opt] =
    &[value("--format", "N", "with `all`: a store of format N, which another version wrote")];

pub(super) const EXPORT: &[Opt] =
    &[value("--to", "PLACE", "a directory, a file that ends with .tar, or - for a tar archive on stdout")];

pub(super) const IMPORT: &[Opt] =
    &[value("--from", "PLACE", "a bundle from export; - reads a tar archive from stdin")];

pub(super) const HISTORY_RM: &[Opt] = &[switch("--all", "every record, except those of running builds")];

pub(super) const REPORT: &[Opt] = &[
    value("--format", "FORMAT", "text, json, markdown or html [by FILE's ending, else text]"),
    value("--output", "FILE", "write the report to FILE; - for stdout [-]"),
];

pub(super) const SETUP: &[Opt] = &[switch("--undo", "restore the files, byte for byte")];

pub(super) const MAN: &[Opt] = &[switch("--markdown", "the page docs/reference/cli.md instead")];

pub(super) const PINS: &[Opt] = &[switch("--update", "use the newest available versions")];
