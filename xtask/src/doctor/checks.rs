//! Checks of facts. Pure, so that every finding is a unit test.

use super::Check;
use super::facts::{DoctorFacts, ENGINE_DISK};
use super::habits;
use crate::base_image::BaseImage;
use crate::defaults::TAG;
use crate::engine::gc_limits::GcLimits;
use crate::engine::info::Info;
use crate::engine::problem::Problem;
use crate::engine::{Driver, Engine};
use crate::text::size;

const GIB: u64 = 1 << 30;
/// The size of a cold build of both images with its saved layers.
const ROOMY: u64 = 12 * GIB;
/// The minimum for a build.
const CRAMPED: u64 = 2 * GIB;
/// With less, the compiler fails on a large file.
const MEMORY: u64 = 2 * GIB;

const PROVISION: &str = "cargo xtask doctor --provision";

/// Returns every possible check.
pub(crate) fn all(facts: &DoctorFacts) -> Vec<Check> {
    let mut checks = engine(facts);
    let is_roomy = |free: u64| !facts.has_images || free >= ROOMY;
    let disks = facts.disks.iter();
    checks.extend(
        disks.map(|(name, path, free)| disk(name, &path.display().to_string(), *free, is_roomy(*free))),
    );
    checks.extend(facts.memory.map(memory));
    checks.push(ca_bundle(facts));
    if facts.has_images {
        checks.extend([go(facts), pins(facts)]);
    }
    checks.extend(facts.base.map(|base| base_image(base, facts)));
    checks.extend(facts.mirror.as_ref().map(|(mirror, answers)| network(mirror, *answers)));
    checks.push(buildkit(facts));
    checks.extend(habits::checks(&facts.habits));
    checks
}

/// Checks the client, plugins, daemon and builder. Stops at the first failure.
fn engine(facts: &DoctorFacts) -> Vec<Check> {
    let (Some(client), Some(info)) = (&facts.client, &facts.info) else {
        return vec![problem("docker client", &no_client(facts))];
    };
    let mut checks = vec![Check::ok("docker client", format!("{} at {}", info.client(), client.display()))];
    checks.push(match (&facts.engine, info.plugin("buildx")) {
        (Err(found @ (Problem::NoBuildx | Problem::OldBuildx(_))), _) => problem("buildx", found),
        (_, Some(plugin)) => Check::ok("buildx", format!("{} at {}", plugin.version, plugin.path)),
        (_, None) => problem("buildx", &Problem::NoBuildx),
    });
    checks.push(match info.plugin("compose") {
        Some(plugin) => Check::ok("compose", plugin.version.clone()),
        None => {
            Check::warn("compose", "missing; xtask works without it, `docker compose up` does not", PROVISION)
        }
    });
    checks.extend(daemon(facts, info));
    checks
}

/// A client without any answer counts as missing.
fn no_client(facts: &DoctorFacts) -> Problem {
    match &facts.engine {
        Err(problem) => problem.clone(),
        Ok(_) => Problem::Other("`docker info` failed".into()),
    }
}

fn daemon(facts: &DoctorFacts, info: &Info) -> Vec<Check> {
    let place = facts.place.as_ref().map_or(String::new(), |place| format!(" ({place})"));
    if !info.is_up() {
        let words = || info.server_errors.first().cloned().unwrap_or_default();
        if info.is_forbidden() {
            return vec![problem("permission", &Problem::NoPermission(words()))];
        }
        let found = match &facts.engine {
            Err(found @ Problem::DaemonDown(_)) => found.clone(),
            _ => Problem::DaemonDown(words()),
        };
        return vec![problem("daemon", &found)];
    }
    let mut checks = vec![
        Check::ok("daemon", format!("{}{place}", info.server_version)),
        Check::ok("permission", "this user reaches the daemon"),
    ];
    match &facts.engine {
        Ok(engine) => {
            checks.extend([store(engine), builder(engine)]);
            checks.extend(facts.limits.map(|limits| build_cache(limits, engine, facts)));
        }
        Err(Problem::NoBuildx | Problem::OldBuildx(_)) => {}
        Err(found) => checks.push(problem("builder", found)),
    }
    checks
}

fn store(engine: &Engine) -> Check {
    let name = "image store";
    match (engine.containerd_store, engine.driver) {
        (true, _) => Check::ok(name, "containerd"),
        (false, Driver::Docker) => Check::warn(
            name,
            "classic image store: builds work, but their layers cannot be saved to the local store",
            "cargo xtask setup, then restart the daemon; images in the classic store are hidden until \
             `setup --undo`",
        ),
        (false, _) => Check::ok(name, "classic image store; this builder does not depend on it"),
    }
}

fn builder(engine: &Engine) -> Check {
    let driver = serde_json::to_value(engine.driver).ok();
    let driver = driver.as_ref().and_then(|value| value.as_str()).unwrap_or_default();
    Check::ok("builder", format!("{} (driver {driver}, {})", engine.builder, engine.platform))
}

/// Records that are removed between two builds are built again.
fn build_cache(limits: GcLimits, engine: &Engine, facts: &DoctorFacts) -> Check {
    let name = "build cache";
    let free = facts.disks.iter().find(|(name, ..)| *name == ENGINE_DISK).map(|(.., free)| *free);
    let Some(lack) = limits.lack(free) else {
        let kept = limits.all.map_or("no limit".to_owned(), |bytes| format!("limit {}", size::show(bytes)));
        return Check::ok(name, kept);
    };
    let remedy = match engine.driver {
        Driver::Docker if facts.place.is_some() => "raise `builder.gc` in the daemon.json of that daemon",
        Driver::Docker if facts.has_limit => {
            "raise `builder.gc` in /etc/docker/daemon.json, then restart the daemon"
        }
        Driver::Docker => "cargo xtask setup, then restart the daemon",
        Driver::DockerContainer => "cargo xtask builder up --size 40GB",
        Driver::Remote | Driver::Kubernetes => "its owner can raise the limit in buildkitd.toml",
    };
    Check::warn(name, lack, remedy)
}

fn problem(name: &'static str, problem: &Problem) -> Check {
    Check::fail(name, problem.what(), problem.remedy())
}

fn disk(name: &'static str, path: &str, free: u64, is_roomy: bool) -> Check {
    let detail = format!("{:.1} GiB free at {path}", free as f64 / GIB as f64);
    let remedy = "free some space: `docker system df` shows the engine's use; directories below `layers/` \
     of the store may be removed";
    match free {
        free if free < CRAMPED => Check::fail(name, detail, remedy),
        _ if !is_roomy => Check::warn(name, detail + ", a cold build may need more", remedy),
        _ => Check::ok(name, detail),
    }
}

fn memory(bytes: u64) -> Check {
    let detail = format!("{:.1} GiB", bytes as f64 / GIB as f64);
    if bytes < MEMORY {
        Check::warn("memory", detail + ", little for a compiler", "add memory or swap")
    } else {
        Check::ok("memory", detail)
    }
}

fn ca_bundle(facts: &DoctorFacts) -> Check {
    let name = "CA bundle";
    match (&facts.lost_bundle, &facts.secrets.ca_bundle) {
        (Some(path), _) => Check::warn(
            name,
            format!("SSL_CERT_FILE names `{path}`, which does not exist"),
            "correct or unset SSL_CERT_FILE",
        ),
        (None, Some(path)) => Check::ok(name, path.display().to_string()),
        (None, None) => Check::ok(name, "none on this host; builds use the bundle of their image"),
    }
}

/// Names only, because a proxy's address may contain a password.
fn go(facts: &DoctorFacts) -> Check {
    let lines = facts.secrets.goenv.iter().flat_map(|text| text.lines());
    let mut names: Vec<&str> = lines.filter_map(|line| Some(line.split_once('=')?.0)).collect();
    names.extend(facts.secrets.netrc.as_ref().map(|_| ".netrc"));
    let detail = if names.is_empty() { "Go's own defaults".to_owned() } else { names.join(", ") };
    Check::ok("Go modules", detail)
}

fn pins(facts: &DoctorFacts) -> Check {
    match &facts.pins {
        Ok(pinned) => Check::ok("pins", format!("readable; base image {pinned}")),
        Err(error) => Check::fail("pins", error.replace('\n', " "), "git checkout builder/pins.env"),
    }
}

fn base_image(base: BaseImage, facts: &DoctorFacts) -> Check {
    let (name, pinned) = ("base image", facts.pins.as_deref().unwrap_or("the pinned one"));
    match base {
        BaseImage::Bootstrapped => {
            Check::ok(name, format!("{TAG}, made on this machine (`docker rmi {TAG}` reverts to {pinned})"))
        }
        BaseImage::Local => Check::ok(name, format!("{pinned}, in the engine")),
        BaseImage::Registry => Check::ok(name, format!("{pinned}, from its registry")),
        BaseImage::Missing => {
            match facts.cannot_bootstrap.as_ref().and_then(|words| words.split_once('\n')) {
                None => {
                    Check::ok(name, "no registry answers; the first build makes one from the Debian mirror")
                }
                Some((what, remedy)) => Check::fail(name, what, remedy),
            }
        }
    }
}

fn network(mirror: &str, answers: bool) -> Check {
    if answers {
        Check::ok("Debian mirror", mirror)
    } else {
        let remedy = "check the network and its proxy; builds from the cache work without it";
        Check::warn("Debian mirror", format!("{mirror} does not answer"), remedy)
    }
}

fn buildkit(facts: &DoctorFacts) -> Check {
    let name = "BuildKit";
    match facts.buildkit.as_deref() {
        Some("0") => {
            Check::warn(name, "DOCKER_BUILDKIT=0 turns it off for plain docker", "unset DOCKER_BUILDKIT")
        }
        Some(_) => Check::ok(name, "on, also for plain docker"),
        None if facts.is_set_up => Check::ok(name, "set up; new shells have it"),
        None => Check::ok(name, "on in xtask; run `cargo xtask setup` to turn it on for plain docker too"),
    }
}

#[cfg(test)]
mod tests;
