//! The engine versions that the tests run on, each unpacked to its own directory.
//!
//! A leg is the docker client, its plugins, the daemon and containerd of one Debian suite. The
//! newest leg adds buildx and BuildKit, built from their newest Go modules. Nothing is installed,
//! and the engine of the machine is not changed.

mod modules;
mod packages;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::apt;
use super::os::Distribution;
use crate::error;
use crate::host::Host;
use crate::session::Session;
use crate::step::Step;

/// One of the supported engine versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leg {
    /// The oldest supported engine, from Debian 13.
    Floor,
    /// The engine that most users have, from Debian unstable.
    Current,
    /// The engine of [`Leg::Current`] with the newest buildx and the newest BuildKit.
    Newest,
}

impl Leg {
    /// All legs, oldest first.
    pub const ALL: [Self; 3] = [Self::Floor, Self::Current, Self::Newest];

    /// Returns the leg of that name.
    pub fn parse(name: &str) -> Result<Self> {
        let names = Self::ALL.map(Self::name).join(", ");
        let found = Self::ALL.into_iter().find(|leg| leg.name() == name);
        found.ok_or_else(|| error::usage(format!("no engine is called `{name}`; there are {names}")))
    }

    /// Returns its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Current => "current",
            Self::Newest => "newest",
        }
    }

    /// Returns the Debian suite of its packages.
    fn suite(self) -> &'static str {
        match self {
            Self::Floor => "trixie",
            Self::Current | Self::Newest => "sid",
        }
    }
}

/// Topics of the integration tests that depend on the engine. The newest leg runs the first list:
/// the others test Docker's daemon, which is that of [`Leg::Current`] there.
const TOPICS: [&[&str]; 2] = [
    &[
        "builders",
        "builds",
        "declared",
        "drivers",
        "engines",
        "explain",
        "foreign",
        "fresh",
        "keys",
        "mounts",
        "mounts_ahead",
        "progress",
        "real_projects",
        "references",
        "registry",
        "registry_ahead",
        "rights",
        "second_machine",
    ],
    &[
        "budget",
        "bundle",
        "bundle_hostile",
        "clear",
        "engine_daemon",
        "environment",
        "mounts_in_use",
        "mounts_trust",
        "odd_files",
        "output",
        "packages",
        "record",
        "registry_mounts",
        "secrets",
        "store",
        "store_shared",
        "up_to_date",
    ],
];

/// Topics that need an engine and are the same on every one: the real images and the pipelines,
/// which take long, and tests of the machine's own engine.
#[doc(hidden)]
pub const SAME_EVERYWHERE: [&str; 10] = [
    "adopting",
    "completions",
    "docs",
    "doctor",
    "engine_base",
    "images",
    "pins",
    "pipelines",
    "setup",
    "smoke",
];

impl Leg {
    /// Returns the topics of the integration tests that run on this leg; `None` for all tests.
    pub fn topics(self) -> Option<Vec<&'static str>> {
        match self {
            Self::Floor => None,
            Self::Current => Some(TOPICS.concat()),
            Self::Newest => Some(TOPICS[0].to_vec()),
        }
    }
}

/// The programs of a leg.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Programs {
    /// Directories for the start of the PATH.
    pub path: Vec<PathBuf>,
    /// The client's plugins by file name.
    pub plugins: Vec<(&'static str, PathBuf)>,
    /// The directory of `buildkitd` and `buildctl`, if the leg has its own.
    pub buildkit: Option<PathBuf>,
}

/// Returns the directory of the legs: next to the default store, whatever store is used.
fn directory(host: &Host) -> Result<PathBuf> {
    let cache = host.var("XDG_CACHE_HOME").map(|dir| host.absolute(dir));
    let cache = cache.or_else(|| Some(host.home()?.join(".cache")));
    let cache =
        cache.context("failed to find the cache directory: neither XDG_CACHE_HOME nor HOME is set")?;
    Ok(cache.join("durango-engines"))
}

/// Returns the programs of a leg and the steps that download them: none if they exist, unless
/// `again` is set.
pub(crate) fn prepare(session: &Session, leg: Leg, again: bool) -> Result<(Programs, Vec<Step>)> {
    let host = &session.host;
    let dir = directory(host)?;
    let packages = dir.join(leg.suite());
    let mut steps = Vec::new();
    if again || !packages.join("usr/bin/docker").is_file() {
        steps.extend(packages::engine(&apt_of(host, leg.suite(), &dir)?, &packages));
    }
    let mut programs = Programs {
        path: vec![packages.join("usr/sbin"), packages.join("usr/bin")],
        plugins: ["docker-buildx", "docker-compose"]
            .map(|name| (name, packages.join("usr/libexec/docker/cli-plugins").join(name)))
            .into(),
        buildkit: None,
    };
    if leg == Leg::Newest {
        let bin = dir.join("newest");
        if again || !modules::are_in(&bin) {
            let go = match host.which("go") {
                Some(_) => None,
                None => Some((apt_of(host, Leg::Current.suite(), &dir)?, dir.join("go"))),
            };
            steps.extend(go.iter().flat_map(|(apt, to)| packages::go(apt, to)));
            steps.extend(modules::build(&dir, &bin, go.as_ref().map(|(_, at)| at.as_path())));
        }
        programs.plugins[0].1 = bin.join("docker-buildx");
        programs.buildkit = Some(bin);
    }
    Ok((programs, steps))
}

/// Returns the apt configuration of a suite, with this machine's mirror.
fn apt_of(host: &Host, suite: &'static str, dir: &Path) -> Result<packages::Apt> {
    let distribution = Distribution::read();
    let sources = apt::read(Path::new("/etc/apt"));
    let main = apt::debian_main(&sources, &distribution);
    let main = main.with_context(|| {
        format!("failed to fetch an engine: apt has no source of Debian's packages on {distribution}")
    })?;
    if host.which("runc").is_none() && !Path::new("/usr/sbin/runc").is_file() {
        bail!("failed to fetch an engine: `runc` is missing\nrun `cargo xtask test --provision` first");
    }
    Ok(packages::Apt {
        dir: dir.join(format!("apt-{suite}")),
        suite,
        uri: main.uri.clone(),
        signed_by: main.signed_by.clone(),
        is_root: host.is_root,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leg_has_a_name_and_others_are_a_usage_error() {
        for leg in Leg::ALL {
            assert_eq!(Leg::parse(leg.name()).expect("a leg"), leg);
        }
        let error = Leg::parse("oldest").expect_err("no leg");
        assert!(error.to_string().contains("floor, current, newest"), "{error}");
    }
}
