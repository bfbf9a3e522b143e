//! What the tests need beside an engine: Debian's registry, and a terminal that tells what it
//! shows. They are unpacked below `target/` and not installed, since a registry, installed, would
//! start as a service of the developer's machine.

use crate::host::Host;
use crate::layout::Layout;
use crate::process::root::Root;
use crate::step::{Command, Step};

/// A program, which is in a package of its name.
struct Tool {
    program: &'static str,
    what: &'static str,
    /// Beginnings of the names of packages with its libraries; their ends differ from one Debian to
    /// the next.
    libraries: &'static [&'static str],
}

const TOOLS: [Tool; 2] = [
    Tool { program: "docker-registry", what: "a registry", libraries: &[] },
    Tool { program: "tmux", what: "a terminal", libraries: &["libevent-core", "libutempter"] },
];

impl Tool {
    /// Fetches the packages into the current folder and unpacks them there.
    fn script(&self) -> String {
        let program = self.program;
        let libraries: Vec<String> = self
            .libraries
            .iter()
            .map(|name| format!("$(apt-cache depends {program} | sed -n 's/^[ |]*Depends: \\({name}.*\\)/\\1/p' | head -n 1)"))
            .collect();
        format!(
            "set -e; mkdir -p deb-{program}; cd deb-{program}; apt-get -qq download {program} {}; \
             for file in *.deb; do dpkg-deb -x \"$file\" ..; done",
            libraries.join(" ")
        )
    }
}

/// The steps that bring them; none where they are there, or where there is no apt to bring them.
pub(crate) fn steps(host: &Host, layout: &Layout) -> Vec<Step> {
    let dir = layout.test_tools();
    let is_there =
        |tool: &&Tool| host.which(tool.program).is_some() || dir.join("usr/bin").join(tool.program).is_file();
    let missing: Vec<&Tool> = TOOLS.iter().filter(|tool| !is_there(tool)).collect();
    if missing.is_empty() || host.which("apt-get").is_none() {
        return Vec::new();
    }
    let root = Root::of(host, layout);
    let update = root.command(["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120", "update"]);
    let update = (host.is_root || root.is_sudo()).then(|| Step::run("", update));
    let make = Command::new(["mkdir", "-p", &dir.display().to_string()]);
    let fetch = |tool: &&Tool| {
        let why = format!("fetching {} for the tests", tool.what);
        Step::run(why, Command::new(["sh", "-c", &tool.script()]).cwd(&dir))
    };
    [Some(Step::run("", make)), update].into_iter().flatten().chain(missing.iter().map(fetch)).collect()
}
