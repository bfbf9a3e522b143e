//! What is measured, and what it may cost: the promise of this project, a line each.

/// The base image.
pub(super) const BASE: &str = "frankenphp-base-builder";
/// The image that is served.
pub(super) const RUNTIME: &str = "frankenphp";

/// One edit and what its rebuild may cost.
pub struct Case {
    /// Its name on the command line.
    pub name: &'static str,
    /// What is built.
    pub target: &'static str,
    /// What is edited before.
    pub edit: Edit,
    /// At most this part of the cold build.
    pub limit: f64,
}

/// An edit of the copy.
pub enum Edit {
    /// Nothing; compared with plain bake in place of the cold build.
    None,
    /// Text added to the end of a file of the copy.
    Append(&'static str, &'static str),
    /// An argument of the command line.
    Arg(&'static str),
}

/// Every case, in the order in which they are run.
pub const CASES: &[Case] = &[
    Case { name: "unchanged", target: BASE, edit: Edit::None, limit: 1.3 },
    Case {
        name: "main.go",
        target: BASE,
        edit: Edit::Append("builder/frankenphp/main.go", "\nvar _ = \"bench\"\n"),
        limit: 0.04,
    },
    Case { name: "extension", target: BASE, edit: Edit::Arg("PHP_EXTENSIONS=+dba"), limit: 0.12 },
    // Another set of those that are compiled in: PHP is built again.
    Case { name: "built-in", target: BASE, edit: Edit::Arg("PHP_EXTENSIONS=-tokenizer"), limit: 0.12 },
    Case {
        name: "comment",
        target: BASE,
        edit: Edit::Append("builder/base-build.Dockerfile", "\n# bench\n"),
        limit: 0.02,
    },
    Case {
        name: "Caddyfile",
        target: RUNTIME,
        edit: Edit::Append("docker/Caddyfile", "\n# bench\n"),
        limit: 0.02,
    },
    Case {
        name: "page",
        target: RUNTIME,
        edit: Edit::Append("docker/app/public/index.php", "\n<!-- bench -->\n"),
        limit: 0.02,
    },
];
