//! The missing packages and their sources. Only missing ones are installed: a client of another
//! origin is fine if its buildx is new enough.

use std::path::Path;

use anyhow::{Result, bail};

use super::facts::{Daemon, ProvisionFacts};
use crate::engine::os::Distribution;
use crate::engine::{OLDEST_BUILDX, Version, apt};
use crate::process::root::Root;
use crate::process::root::User;
use crate::step::Step;

/// The file that adds Debian 13 as a source.
const SOURCES: &str = "/etc/apt/sources.list.d/durango-engine.sources";
/// The file that limits the packages from it.
pub(crate) const PREFERENCES: &str = "/etc/apt/preferences.d/durango-engine";
/// Packages of Docker's own archive, which conflict with the distribution's.
pub(crate) const FOREIGN: [&str; 4] =
    ["docker-ce", "docker-ce-cli", "containerd.io", "docker-ce-rootless-extras"];
/// Packages that Debian 12 lacks or has in an old version.
const FROM_TRIXIE: [&str; 5] = ["docker.io", "docker-cli", "docker-buildx", "docker-compose", "containerd"];

/// The packages of each part of an engine.
struct Names {
    client: &'static str,
    daemon: &'static [&'static str],
    buildx: &'static str,
    compose: &'static str,
}

const DEBIAN: Names = Names {
    client: "docker-cli",
    daemon: &["docker.io", "containerd", "runc", "iptables"],
    buildx: "docker-buildx",
    compose: "docker-compose",
};
const UBUNTU: Names = Names { client: "docker.io", compose: "docker-compose-v2", ..DEBIAN };
const DOCKER: Names = Names {
    client: "docker-ce-cli",
    daemon: &["docker-ce", "containerd.io"],
    buildx: "docker-buildx-plugin",
    compose: "docker-compose-plugin",
};

/// Returns the packages to install, or why that is not possible here.
pub(crate) fn missing(facts: &ProvisionFacts) -> Result<Vec<&'static str>> {
    if let (Daemon::Elsewhere(place), true) = (&facts.daemon, facts.client) {
        bail!(
            "failed to provision: {place} is selected, and no engine answers there\nstart it there, or \
             remove the selection to use an engine on this machine"
        );
    }
    if let Some(path) = &facts.stranger {
        bail!(
            "failed to provision: `{}` does not answer like Docker's client\nif it is Podman's, remove it \
             (package podman-docker) or put another directory first on the PATH",
            path.display()
        );
    }
    let mut list = engine_parts(facts)?;
    if !list.is_empty() && !is_supported(&facts.distribution) {
        bail!(
            "failed to provision: xtask installs engines on Debian 12 and Ubuntu 22.04 or newer, and this \
             is {}\ninstall Docker Engine with buildx {OLDEST_BUILDX} or newer and Compose yourself",
            facts.distribution
        );
    }
    // A machine whose engine works must not fail without root: its base image may come from a
    // registry.
    if is_supported(&facts.distribution) && !(list.is_empty() && facts.user == User::Plain) {
        list.extend(bootstrap_parts(facts));
    }
    let mut seen = std::collections::BTreeSet::new();
    list.retain(|name| seen.insert(*name));
    Ok(list)
}

fn is_supported(distribution: &Distribution) -> bool {
    match distribution {
        Distribution::Debian { version, .. } => version.is_none_or(|version| version >= 12),
        Distribution::Ubuntu(version) => *version >= Version(22, 4),
        Distribution::Other(_) => false,
    }
}

fn names(facts: &ProvisionFacts) -> &'static Names {
    match facts.distribution {
        _ if !facts.installed.is_empty() => &DOCKER,
        Distribution::Ubuntu(_) => &UBUNTU,
        _ => &DEBIAN,
    }
}

fn engine_parts(facts: &ProvisionFacts) -> Result<Vec<&'static str>> {
    let names = names(facts);
    let mut list = Vec::new();
    if facts.daemon == Daemon::Down && !facts.dockerd {
        list.extend(names.daemon);
        list.extend((!facts.certificates).then_some("ca-certificates"));
        list.extend(facts.lacks_apparmor.then_some("apparmor"));
    }
    if !facts.client {
        list.push(names.client);
    }
    match &facts.buildx {
        Some((version, _)) if *version >= OLDEST_BUILDX => {}
        Some((version, path)) if !is_system(path) => bail!(
            "failed to provision: `{}` is buildx {version}, too old, and hides the system's \
             buildx\nremove it or replace it with {OLDEST_BUILDX} or newer",
            path.display()
        ),
        _ => list.push(names.buildx),
    }
    if !facts.compose {
        list.push(names.compose);
    }
    Ok(list)
}

/// Fails if the packages are installed and their buildx is too old, so that installing them again
/// changes nothing: the first release of Ubuntu 24.04 has 0.12, its updates have a newer one.
pub(crate) fn check_installed(facts: &ProvisionFacts) -> Result<()> {
    match &facts.buildx {
        Some((version, _)) if *version < OLDEST_BUILDX => bail!(
            "failed to provision: the package `{}` of {} is buildx {version}, and {OLDEST_BUILDX} or newer \
             is required\nadd the distribution's updates to apt's sources (on Ubuntu a suite such as \
             `noble-updates`), or install Docker Engine from Docker's own archive",
            names(facts).buildx,
            facts.distribution
        ),
        _ => Ok(()),
    }
}

/// Returns whether packages install plugins there.
fn is_system(path: &Path) -> bool {
    path.as_os_str().is_empty()
        || path.starts_with("/usr/libexec/docker")
        || path.starts_with("/usr/lib/docker")
}

/// Returns the packages to make a base image without a registry.
fn bootstrap_parts(facts: &ProvisionFacts) -> impl Iterator<Item = &'static str> {
    let tool = (!facts.mmdebstrap).then_some("mmdebstrap");
    tool.into_iter().chain((!facts.keyring).then_some("debian-archive-keyring"))
}

/// Waits for locks, because nobody is there to retry.
const WAITING_OPTIONS: [&str; 4] = ["-o", "DPkg::Lock::Timeout=120", "-o", "Acquire::Retries=3"];

/// Returns the steps that configure the package sources.
pub(crate) fn prepare(facts: &ProvisionFacts, packages: &[&str], root: &Root) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    if needs_trixie(facts, packages) {
        steps.extend(add_trixie(facts, packages, root)?);
    }
    if !packages.is_empty() {
        let update = root.command(["apt-get", "-qq"].into_iter().chain(WAITING_OPTIONS).chain(["update"]));
        steps.push(Step::run("reading the package lists", update));
    }
    Ok(steps)
}

/// Returns the step that installs packages.
pub(crate) fn install(packages: &[&str], root: &Root) -> Option<Step> {
    // Keeps changed configuration files, because nobody is there to be asked.
    let keep = ["-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold"];
    let argv = ["apt-get", "-y", "--no-install-recommends"].into_iter().chain(WAITING_OPTIONS).chain(keep);
    let argv = argv.chain(["install"]).chain(packages.iter().copied());
    let install = root.command_with(("DEBIAN_FRONTEND", "noninteractive"), argv);
    (!packages.is_empty()).then(|| Step::run(format!("installing {}", packages.join(" ")), install))
}

fn needs_trixie(facts: &ProvisionFacts, packages: &[&str]) -> bool {
    let is_old =
        matches!(facts.distribution, Distribution::Debian { version: Some(version), .. } if version < 13);
    is_old && packages.iter().any(|name| FROM_TRIXIE.contains(name))
}

/// Adds Debian 13 as a source only for the engine.
fn add_trixie(facts: &ProvisionFacts, packages: &[&str], root: &Root) -> Result<Vec<Step>> {
    let Some(main) = apt::debian_main(&facts.sources, &facts.distribution) else {
        bail!(
            "failed to provision: apt has no package source for {}\nadd one in `/etc/apt/sources.list.d`",
            facts.distribution
        );
    };
    let mut pinned: Vec<&str> = facts.pinned.iter().map(String::as_str).collect();
    pinned.extend(
        packages
            .iter()
            .filter(|name| FROM_TRIXIE.contains(name) && !facts.pinned.iter().any(|old| old == *name)),
    );
    let has_trixie = |source: &apt::Source| source.suites.iter().any(|suite| suite == "trixie");
    let is_theirs = facts.pinned.is_empty() && facts.sources.iter().any(has_trixie);
    let mut steps = Vec::new();
    if !is_theirs {
        let why =
            format!("adding Debian 13 as a package source, because {} has no buildx", facts.distribution);
        steps.extend(root.write(&why, Path::new(SOURCES), &sources_file(main)));
    }
    let why = "allowing only the engine from it";
    steps.extend(root.write(why, Path::new(PREFERENCES), &preferences_file(&pinned, is_theirs)));
    Ok(steps)
}

fn sources_file(main: &apt::Source) -> String {
    let mut text = format!(
        "# The container engine, from Debian 13. {PREFERENCES} allows nothing else.\nTypes: deb\nURIs: \
         {}\nSuites: trixie\nComponents: main\n",
        main.uri
    );
    if let Some(key) = &main.signed_by {
        text.push_str(&format!("Signed-By: {key}\n"));
    }
    text
}

/// Low for everything, high for the engine. If the user already has that suite, its priority is not
/// changed.
fn preferences_file(pinned: &[&str], is_theirs: bool) -> String {
    let everything = if is_theirs { "" } else { "Package: *\nPin: release n=trixie\nPin-Priority: 100\n\n" };
    format!("{everything}Package: {}\nPin: release n=trixie\nPin-Priority: 990\n", pinned.join(" "))
}

/// Returns the packages in an earlier preferences file of xtask.
pub(crate) fn pinned(preferences: &str) -> Vec<String> {
    let lines = preferences.lines().filter_map(|line| line.strip_prefix("Package: "));
    lines.flat_map(str::split_whitespace).filter(|name| *name != "*").map(str::to_owned).collect()
}
