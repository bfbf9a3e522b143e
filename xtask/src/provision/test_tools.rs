//! Tools of the tests besides an engine: Debian's registry, a terminal whose screen can be read,
//! and the shells that complete `cargo xtask`. They are unpacked below `target/` and not installed:
//! an installed registry would start as a service of the developer's machine.

use std::path::Path;

use crate::host::Host;
use crate::layout::Layout;
use crate::process::root::Root;
use crate::step::{Command, Step};

/// A package that the tests use.
struct Tool {
    package: &'static str,
    purpose: &'static str,
    /// The file that shows that the package is installed or unpacked.
    file: &'static str,
    /// Beginnings of the names of packages that it depends on; their ends differ from one Debian
    /// release to the next.
    needs: &'static [&'static str],
}

const TOOLS: [Tool; 5] = [
    Tool { package: "docker-registry", purpose: "a registry", file: "usr/bin/docker-registry", needs: &[] },
    Tool {
        package: "tmux",
        purpose: "a terminal",
        file: "usr/bin/tmux",
        needs: &["libevent-core", "libutempter"],
    },
    Tool { package: "zsh", purpose: "zsh", file: "usr/bin/zsh", needs: &["zsh-common"] },
    Tool { package: "fish", purpose: "fish", file: "usr/bin/fish", needs: &["fish-common", "libpcre2-32"] },
    Tool {
        package: "bash-completion",
        purpose: "completions of bash",
        file: "usr/share/bash-completion/bash_completion",
        needs: &[],
    },
];

impl Tool {
    /// Fetches the packages into the current directory and unpacks them there.
    fn script(&self) -> String {
        let package = self.package;
        let needs: Vec<String> = self
            .needs
            .iter()
            .map(|name| format!("$(apt-cache depends {package} | sed -n 's/^[ |]*Depends: \\({name}.*\\)/\\1/p' | head -n 1)"))
            .collect();
        format!(
            "set -e; mkdir -p deb-{package}; cd deb-{package}; apt-get -qq download {package} {}; \
             for file in *.deb; do dpkg-deb -x \"$file\" ..; done",
            needs.join(" ")
        )
    }

    /// Returns whether it is installed, as the package has it or anywhere on the PATH, or unpacked.
    fn is_there(&self, host: &Host, unpacked: &Path) -> bool {
        let is_program = self.file.starts_with("usr/bin/") && host.which(self.package).is_some();
        is_program || [Path::new("/"), unpacked].iter().any(|root| root.join(self.file).is_file())
    }
}

/// Returns the steps that fetch the missing tools; none where there is no apt.
pub(crate) fn steps(host: &Host, layout: &Layout) -> Vec<Step> {
    let dir = layout.test_tools();
    let missing: Vec<&Tool> = TOOLS.iter().filter(|tool| !tool.is_there(host, &dir)).collect();
    if missing.is_empty() || host.which("apt-get").is_none() {
        return Vec::new();
    }
    let root = Root::of(host, layout);
    let update = root.command(["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120", "update"]);
    let update = (host.is_root || root.is_sudo()).then(|| Step::run("", update));
    let make = Command::new(["mkdir", "-p", &dir.display().to_string()]);
    let fetch = |tool: &&Tool| {
        let why = format!("fetching {} for the tests", tool.purpose);
        Step::run(why, Command::new(["sh", "-c", &tool.script()]).cwd(&dir))
    };
    [Some(Step::run("", make)), update].into_iter().flatten().chain(missing.iter().map(fetch)).collect()
}
