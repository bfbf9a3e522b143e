//! The newest versions of buildx and BuildKit, built as Go modules.

use std::path::Path;

use crate::step::{Command, Step};

/// A program of a Go module.
struct Module {
    path: &'static str,
    packages: &'static [&'static str],
    /// The files that the build creates.
    programs: &'static [&'static str],
}

const MODULES: [Module; 2] = [
    Module {
        path: "github.com/docker/buildx",
        packages: &["github.com/docker/buildx/cmd/buildx"],
        programs: &["buildx"],
    },
    Module {
        path: "github.com/moby/buildkit",
        packages: &["github.com/moby/buildkit/cmd/buildkitd", "github.com/moby/buildkit/cmd/buildctl"],
        programs: &["buildkitd", "buildctl"],
    },
];

/// Builds packages of a module as tools of a separate module, because their own modules have
/// directives that `go install` refuses. The version is set as in their own builds; buildx without
/// a version counts as old.
const BUILD: &str = r#"module=$1 to=$2; shift 2
rm -f go.mod go.sum; go mod init leg
for package; do echo "$package@latest"; done | xargs go get -tool
version=$(go list -m -f '{{.Version}}' "$module")
go build -trimpath -buildvcs=false -ldflags "-s -w -X $module/version.Version=$version" -o "$to/" "$@""#;

/// The client looks for this name.
const PLUGIN: &str = r#"rm -rf "$2"; mv -T "$1/buildx" "$1/docker-buildx"; mv -T "$1" "$2""#;

/// Returns whether all programs exist.
pub(super) fn are_in(bin: &Path) -> bool {
    ["docker-buildx", "buildkitd", "buildctl"].iter().all(|name| bin.join(name).is_file())
}

/// Returns the steps that build them, with the Go of the PATH or the one unpacked in `go`.
pub(super) fn build(dir: &Path, bin: &Path, go: Option<&Path>) -> Vec<Step> {
    let new = dir.join("newest.new");
    let mut steps = vec![Step::remove("", &new)];
    for module in &MODULES {
        let source = dir.join("modules").join(module.programs[0]);
        let why = format!("building {}, which takes minutes", module.programs.join(" and "));
        let make = ["mkdir", "-p"]
            .map(str::to_owned)
            .into_iter()
            .chain([&source, &new].map(|at| at.display().to_string()));
        steps.push(Step::run(why, Command::new(make)));
        let argv = ["sh", "-ec", BUILD, "sh", module.path, &new.display().to_string()].map(str::to_owned);
        let command = Command::new(argv).args(module.packages.iter().copied()).cwd(&source);
        steps.push(Step::run("", with_go(command, go)));
    }
    let place = ["sh", "-ec", PLUGIN, "sh", &new.display().to_string(), &bin.display().to_string()];
    steps.push(Step::run("", Command::new(place)));
    steps
}

fn with_go(command: Command, go: Option<&Path>) -> Command {
    // Debian's Go may be older than the version that a module requires, which Go then downloads
    // like a module.
    let command = command.env("CGO_ENABLED", "0").env("GOTOOLCHAIN", "auto").env("GOFLAGS", "-mod=mod");
    match go {
        Some(go) => command.env("PATH", format!("{}/usr/bin:/usr/bin:/bin", go.display())),
        None => command,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_program_is_built_in_a_module_of_its_own_and_placed_at_the_end() {
        let steps = build(Path::new("/c"), Path::new("/c/newest"), Some(Path::new("/c/go")));
        let lines: Vec<String> = steps.iter().map(Step::to_shell).collect();
        assert!(lines[2].starts_with("(cd /c/modules/buildx && ") && lines[2].contains("PATH=/c/go/usr/"));
        assert!(lines[4].contains("github.com/moby/buildkit/cmd/buildctl"), "{}", lines[4]);
        assert!(lines[5].ends_with("sh /c/newest.new /c/newest"), "{}", lines[5]);
    }
}
