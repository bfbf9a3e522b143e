//! What the tests need beside an engine: Debian's registry. It is unpacked below `target/` and not installed, since installed it
//! would start as a service of the developer's machine.

use super::Root;
use crate::host::Host;
use crate::layout::Layout;
use crate::plan::step::{Command, Step};

/// The program and its package.
const REGISTRY: &str = "docker-registry";

/// The steps that bring it; none where it is there, or where there is no apt to bring it.
pub fn steps(host: &Host, layout: &Layout) -> Vec<Step> {
    let dir = layout.test_tools();
    let is_there = host.which(REGISTRY).is_some() || dir.join("usr/bin").join(REGISTRY).is_file();
    if is_there || host.which("apt-get").is_none() {
        return Vec::new();
    }
    let unpack = format!("for file in {REGISTRY}_*.deb; do dpkg-deb -x \"$file\" .; done");
    let root = Root::of(host, layout);
    let update = root.command(["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120", "update"]);
    let update = (host.is_root || root.is_sudo()).then(|| Step::run("", update));
    let make = Command::new(["mkdir", "-p", &dir.display().to_string()]);
    [Some(Step::run("fetching a registry for the tests", make)), update]
        .into_iter()
        .flatten()
        .chain([
            Step::run("", Command::new(["apt-get", "-qq", "download", REGISTRY]).cwd(&dir)),
            Step::run("", Command::new(["sh", "-c", &unpack]).cwd(&dir)),
        ])
        .collect()
}
