//! The cases and their limits: the promise of this project, one line each.

/// The base image.
pub(super) const BASE: &str = "frankenphp-base-builder";
/// The image that serves the application.
pub(super) const RUNTIME: &str = "frankenphp";

/// One case of the benchmark.
pub(crate) struct Case {
    /// Its name on the command line.
    pub name: &'static str,
    pub kind: Kind,
    /// The maximum ratio.
    pub limit: f64,
}

/// The work of a case.
pub(crate) enum Kind {
    /// A rebuild on this machine after an edit of the copy, compared with the cold build.
    Edit { target: &'static str, edit: Edit },
    /// A build on a second machine that only has a bundle.
    Away(Away),
    /// The first build on an engine of the leg *current* that only has a bundle of this engine.
    NewerEngine,
    /// A cache mount of this many megabytes, saved and restored, compared with `tar | zstd`.
    Mounts(u64),
    /// This many builds of small images, each after an edit, with a budget of a third of their
    /// results: the maximum size of the store, compared with the budget.
    Many(usize),
    /// A context of this many files: the time of planning and recording.
    Large(usize),
    /// An unchanged build with so many ignored files, as a multiple of the same without them.
    Ignored(usize),
    /// Thirty edits of a project: the forecast compared with the build.
    Edits,
    /// Random edits of random projects: the forecast compared with BuildKit.
    Forecast,
    /// Random edits of a project: builds that were called up to date against what BuildKit does.
    UpToDate,
}

/// An edit of the copy.
#[derive(Clone, Copy)]
pub(crate) enum Edit {
    /// No edit; compared with plain bake instead of the cold build.
    None,
    /// No edit, and BuildKit is asked.
    Checked,
    /// Text appended to a file of the copy.
    Append(&'static str, &'static str),
    /// An argument of the command line.
    Arg(&'static str),
}

/// The builds on the second machine, in this order.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Away {
    /// From the bundle to the image without a change, compared with the cold build.
    Unchanged,
    /// A line of Go, including restored mounts: compared with the cold build, with the same on the
    /// first machine, and with plain buildx and its local cache.
    Go,
    /// PHP built again, compared with the same on the first machine.
    Php,
}

/// The line of Go.
pub(super) const GO: Edit = Edit::Append("builder/frankenphp/main.go", "\nvar _ = \"bench\"\n");
/// A comment in the script that builds PHP: ccache has every object.
pub(super) const PHP: Edit = Edit::Append("builder/lib/php.sh", "\n# bench\n");
// An edit of the rebuilds on this machine. Those on another machine have none of its results.
const GO_HERE: Edit = Edit::Append("builder/frankenphp/main.go", "\nvar _ = \"bench here\"\n");

const fn edit(name: &'static str, target: &'static str, edit: Edit, limit: f64) -> Case {
    Case { name, kind: Kind::Edit { target, edit }, limit }
}

/// Every case.
pub(crate) const CASES: &[Case] = &[
    edit("unchanged", BASE, Edit::None, 0.5),
    edit("unchanged --check", BASE, Edit::Checked, 1.3),
    edit("main.go", BASE, GO_HERE, 0.04),
    edit("extension", BASE, Edit::Arg("PHP_EXTENSIONS=+dba"), 0.12),
    edit("built-in", BASE, Edit::Arg("PHP_EXTENSIONS=-tokenizer"), 0.12),
    edit("comment", BASE, Edit::Append("builder/base-build.Dockerfile", "\n# bench\n"), 0.02),
    edit("Caddyfile", RUNTIME, Edit::Append("docker/Caddyfile", "\n# bench\n"), 0.02),
    edit("page", RUNTIME, Edit::Append("docker/app/public/index.php", "\n<!-- bench -->\n"), 0.02),
    Case { name: "away-unchanged", kind: Kind::Away(Away::Unchanged), limit: 0.04 },
    Case { name: "away-main.go", kind: Kind::Away(Away::Go), limit: 0.08 },
    Case { name: "away-php", kind: Kind::Away(Away::Php), limit: 1.3 },
    Case { name: "away-newer-engine", kind: Kind::NewerEngine, limit: 0.25 },
    Case { name: "mounts-500MB", kind: Kind::Mounts(500), limit: 2.0 },
    Case { name: "mounts-2GB", kind: Kind::Mounts(2000), limit: 2.0 },
    Case { name: "edits", kind: Kind::Edits, limit: 1.0 },
    Case { name: "forecast", kind: Kind::Forecast, limit: 1.0 },
    Case { name: "up-to-date", kind: Kind::UpToDate, limit: 0.0 },
    Case { name: "20000-files", kind: Kind::Large(20_000), limit: 1.0 },
    Case { name: "300000-ignored", kind: Kind::Ignored(300_000), limit: 1.2 },
    Case { name: "fifty", kind: Kind::Many(50), limit: 1.0 },
];
