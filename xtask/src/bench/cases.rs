//! What is measured, and what it may cost: the promise of this project, a line each.

/// The base image.
pub(super) const BASE: &str = "frankenphp-base-builder";
/// The image that is served.
pub(super) const RUNTIME: &str = "frankenphp";

/// One thing that is measured.
pub(crate) struct Case {
    /// Its name on the command line.
    pub name: &'static str,
    /// What is done.
    pub kind: Kind,
    /// At most this ratio.
    pub limit: f64,
}

/// What a case does.
pub(crate) enum Kind {
    /// A rebuild here after an edit of the copy, as a part of the cold build.
    Edit {
        /// What is built.
        target: &'static str,
        /// What is edited before.
        edit: Edit,
    },
    /// A build on a second machine, which has nothing but a bundle.
    Away(Away),
    /// A cache mount of that many megabytes taken out and put back, as a multiple of `tar | zstd`.
    Mounts(u64),
    /// So many builds of small images, each after an edit, under a budget of a third of what they
    /// would fill: the largest size that the store had, as a part of the budget.
    Many(usize),
    /// A context of so many files: what planning and recording take.
    Large(usize),
    /// An unchanged build with so many ignored files, as a multiple of the same without them.
    Ignored(usize),
    /// Thirty edits of a project: what was foreseen against what came.
    Edits,
    /// Random edits of random projects: what was forecast against what BuildKit did.
    Forecast,
}

/// An edit of the copy.
#[derive(Clone, Copy)]
pub(crate) enum Edit {
    /// Nothing; compared with plain bake in place of the cold build.
    None,
    /// Text added to the end of a file of the copy.
    Append(&'static str, &'static str),
    /// An argument of the command line.
    Arg(&'static str),
}

/// What is done on the second machine, in this order.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Away {
    /// From the bundle to the image, nothing changed: part of cold.
    Unchanged,
    /// A line of Go, mounts put back included: part of cold, and compared with plain buildx and its
    /// local cache.
    Go,
    /// PHP built again with another built-in extension: compared with the same at home.
    BuiltIn,
}

/// The line of Go.
pub(super) const GO: Edit = Edit::Append("builder/frankenphp/main.go", "\nvar _ = \"bench\"\n");
/// Another set of the extensions that are compiled in: PHP is built again.
pub(super) const BUILT_IN: Edit = Edit::Arg("PHP_EXTENSIONS=-tokenizer");

const fn edit(name: &'static str, target: &'static str, edit: Edit, limit: f64) -> Case {
    Case { name, kind: Kind::Edit { target, edit }, limit }
}

/// Every case.
pub(crate) const CASES: &[Case] = &[
    edit("unchanged", BASE, Edit::None, 1.3),
    edit("main.go", BASE, GO, 0.04),
    edit("extension", BASE, Edit::Arg("PHP_EXTENSIONS=+dba"), 0.12),
    edit("built-in", BASE, BUILT_IN, 0.12),
    edit("comment", BASE, Edit::Append("builder/base-build.Dockerfile", "\n# bench\n"), 0.02),
    edit("Caddyfile", RUNTIME, Edit::Append("docker/Caddyfile", "\n# bench\n"), 0.02),
    edit("page", RUNTIME, Edit::Append("docker/app/public/index.php", "\n<!-- bench -->\n"), 0.02),
    Case { name: "away-unchanged", kind: Kind::Away(Away::Unchanged), limit: 0.04 },
    Case { name: "away-main.go", kind: Kind::Away(Away::Go), limit: 0.10 },
    Case { name: "away-built-in", kind: Kind::Away(Away::BuiltIn), limit: 1.3 },
    Case { name: "mounts-500MB", kind: Kind::Mounts(500), limit: 2.0 },
    Case { name: "mounts-2GB", kind: Kind::Mounts(2000), limit: 2.0 },
    Case { name: "edits", kind: Kind::Edits, limit: 1.0 },
    Case { name: "forecast", kind: Kind::Forecast, limit: 1.0 },
    Case { name: "20000-files", kind: Kind::Large(20_000), limit: 1.0 },
    Case { name: "300000-ignored", kind: Kind::Ignored(300_000), limit: 1.2 },
    Case { name: "fifty", kind: Kind::Many(50), limit: 1.0 },
];
