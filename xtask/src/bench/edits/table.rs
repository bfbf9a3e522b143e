//! The edits in order. Each is based on those before it.

/// One edit.
pub(super) struct Edit {
    /// Its description.
    pub(super) name: &'static str,
    /// Changes of the project, one after the other.
    pub(super) changes: &'static [Change],
    /// Arguments for the build.
    pub(super) args: &'static [&'static str],
    /// The kind of the reason, and a word of its detail; `None` if no step should run.
    pub(super) cause: Option<(&'static str, &'static str)>,
}

/// A change of the project.
pub(super) enum Change {
    /// Writes this text to a file. `@SALT@` in it separates it from other runs.
    Write(&'static str, &'static str),
    /// Replaces the first of these texts in a file with the second.
    Replace(&'static str, &'static str, &'static str),
    /// Removes a file.
    Remove(&'static str),
    /// Changes the mode of a file.
    Mode(&'static str, u32),
    /// Sets the time of a file to the oldest possible one.
    Touch(&'static str),
    /// Creates the other base image again.
    OtherBase,
    /// Removes the results of the project's RUNs with this text from the builder.
    Drop(&'static str),
}

use Change::{Drop, Mode, OtherBase, Remove, Replace, Touch, Write};

impl Edit {
    /// No change.
    pub(super) const NONE: Self = Self { name: "nothing", changes: &[], args: &[], cause: None };
}

const fn edit(
    name: &'static str,
    changes: &'static [Change],
    cause: Option<(&'static str, &'static str)>,
) -> Edit {
    Edit { name, changes, args: &[], cause }
}

const fn with(
    name: &'static str,
    args: &'static [&'static str],
    cause: Option<(&'static str, &'static str)>,
) -> Edit {
    Edit { name, changes: &[], args, cause }
}

/// All edits. An argument is only for its own row.
pub(super) const EDITS: &[Edit] = &[
    Edit::NONE,
    edit(
        "a file of a copied directory",
        &[Write("one/src/a.txt", "other\n")],
        Some(("file", "one/src/a.txt")),
    ),
    edit("the same taken back", &[Write("one/src/a.txt", "a\n")], None),
    edit(
        "spaces in a source: equal output",
        &[Write("one/src/a.txt", "a \n")],
        Some(("file", "one/src/a.txt")),
    ),
    edit(
        "a new file in a copied directory",
        &[Write("one/src/n.txt", "n\n")],
        Some(("file", "one/src/n.txt is new")),
    ),
    edit("that file gone", &[Remove("one/src/n.txt")], None),
    edit("a file of a pattern", &[Write("one/docs/b.md", "more words\n")], Some(("file", "one/docs/b.md"))),
    edit(
        "a file outside the pattern",
        &[Write("one/docs/c.txt", "c\n")],
        Some(("file", "one/docs/c.txt is new")),
    ),
    edit("a mode", &[Mode("one/src/b.txt", 0o755)], Some(("file", "mode 644 -> 755"))),
    edit("a time", &[Touch("one/go.sum")], None),
    edit("a file that .dockerignore names", &[Write("ignored.log", "x\n")], None),
    edit("what a mode is set for", &[Write("one/app.ini", "x=2\n")], Some(("file", "one/app.ini"))),
    with("an argument", &["--build-arg", "LEVEL=2"], Some(("arg", "LEVEL: `1` -> `2`"))),
    with("a secret argument", &["--build-arg", "API_TOKEN=x"], Some(("arg", "API_TOKEN"))),
    edit(
        "a comment",
        &[Replace("one.Dockerfile", "# Stages", "# All stages")],
        Some(("file", "one.Dockerfile")),
    ),
    edit("a label", &[Replace("one.Dockerfile", "level=1", "level=2")], Some(("file", "one.Dockerfile"))),
    edit("a RUN's text", &[Replace("one.Dockerfile", "wc -w", "wc -c")], Some(("instruction", "wc -c"))),
    edit(
        "a variable",
        &[Replace("one.Dockerfile", "MODE=fast", "MODE=slow")],
        Some(("instruction", "ENV MODE")),
    ),
    edit(
        "an id of a cache mount",
        &[Replace("one.Dockerfile", "id=bench-edits", "id=bench-edits-2")],
        Some(("file", "one.Dockerfile")),
    ),
    edit(
        "a new RUN",
        &[Replace("one.Dockerfile", "ARG LEVEL", "RUN true\nARG LEVEL")],
        Some(("instruction", "new in the Dockerfile")),
    ),
    edit(
        "a line of a heredoc",
        &[Replace("two.Dockerfile", "echo script", "echo other")],
        Some(("instruction", "echo other")),
    ),
    edit("a file of an ONBUILD", &[Write("two/trigger", "t2\n")], Some(("file", "two/trigger"))),
    edit(
        "a network",
        &[Replace("two.Dockerfile", "--network=none ", "")],
        Some(("instruction", "--network")),
    ),
    edit(
        "a secret's options",
        &[Replace("two.Dockerfile", "id=word ", "id=word,required=false ")],
        Some(("file", "two.Dockerfile")),
    ),
    edit("a bound file", &[Write("two/bound/x", "x2\n")], Some(("file", "two/bound/x"))),
    edit("a user", &[Replace("two.Dockerfile", "USER nobody", "USER daemon")], Some(("instruction", "USER"))),
    edit("a linked file", &[Write("two/linked", "l2 @SALT@\n")], Some(("file", "two/linked"))),
    edit("the other base image", &[OtherBase], Some(("base", "the base image"))),
    edit("a file of a named context", &[Write("assets/logo", "l2\n")], Some(("file", "assets:logo"))),
    edit(
        "a builder without a step",
        &[Drop("wc /from/*"), Write("two/linked", "l3 @SALT@\n")],
        Some(("file", "two/linked")),
    ),
    edit(
        "two causes at once",
        &[Replace("one.Dockerfile", "LEVEL=1", "LEVEL=3"), Write("one/src/b.txt", "b3\n")],
        Some(("arg", "LEVEL: `1` -> `3`")),
    ),
];
