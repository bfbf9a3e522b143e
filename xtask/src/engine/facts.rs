//! Queries the engine. The answers are cached until the files that they depend on change: a query
//! costs 90 ms, reading the memo 1 ms.

use std::path::Path;
use std::time::Duration;

use sha2::{Digest, Sha256};
use xshell::cmd;

use super::builders::{self, client_config};
use super::buildx_program;
use super::info::Info;
use super::inspect;
use super::problem::Problem;
use super::{Driver, Engine, OLDEST_BUILDX, Version};
use crate::memo;
use crate::platform;
use crate::process::query;
use crate::session::Session;

/// An engine that takes longer to answer counts as down.
const QUERY_TIMEOUT: Duration = Duration::from_secs(20);

/// Returns the builder that the user named: `--builder`, DURANGO_BUILDER, BUILDX_BUILDER, else the
/// one of `builder up`.
pub(crate) fn builder_name(session: &Session) -> Option<String> {
    let host = &session.host;
    let given = session.globals.builder.as_deref();
    let named = given.or(host.var("DURANGO_BUILDER")).or(host.var("BUILDX_BUILDER"));
    let is_known = |name: &String| builders::instances(host).join(name).is_file();
    named.map(str::to_owned).or_else(|| chosen_builder(session).filter(is_known))
}

/// Returns the last builder of `builder up` that `builder down` has not removed.
pub(crate) fn chosen_builder(session: &Session) -> Option<String> {
    let text = std::fs::read_to_string(session.layout.chosen_builder()).ok()?;
    Some(text.trim().to_owned()).filter(|name| !name.is_empty())
}

/// Returns the warning for a builder of `builder up` that was removed otherwise, or belongs to a
/// store of another machine.
pub(crate) fn lost_builder(session: &Session) -> Option<String> {
    let mut variables = ["DURANGO_BUILDER", "BUILDX_BUILDER"].into_iter();
    if session.globals.builder.is_some() || variables.any(|name| session.host.var(name).is_some()) {
        return None;
    }
    let name = chosen_builder(session)?;
    let is_lost = !builders::instances(&session.host).join(&name).is_file();
    is_lost.then(|| {
        format!(
            "the builder `{name}` is gone, so buildx's current builder is used; run `cargo xtask builder \
             up` to create it again, `cargo xtask builder down` to forget it"
        )
    })
}

/// Returns the answer of `docker info`, which may be only the client's part.
pub(crate) fn info(session: &Session) -> Option<Info> {
    session.host.which("docker")?;
    let sh = &session.sh;
    let answer = query::query(cmd!(sh, "docker info --format '{{json .}}'"), QUERY_TIMEOUT).ok()?;
    let mut info: Info = serde_json::from_str(&answer.stdout).ok()?;
    // Some clients report the daemon's failure on stderr, others in the document.
    if !info.is_up() && info.server_errors.is_empty() {
        info.server_errors.push(answer.stderr.trim().to_owned());
    }
    Some(info)
}

/// Returns the engine, from the memo if nothing that it depends on has changed.
pub(crate) fn read(session: &Session) -> Result<Engine, Problem> {
    let Some(docker) = session.host.which("docker") else { return Err(Problem::NoDocker) };
    let fingerprint = fingerprint(session, &docker);
    let memo = memo::Memo::new(&session.layout, "engine", &fingerprint);
    let remembered = memo.read();
    let is_new = remembered.is_none();
    let engine: Engine = remembered.map_or_else(|| ask_engine(session), Ok)?;
    if engine.driver == Driver::Remote {
        builders::check_reachable(&engine.endpoint).map_err(|error| Problem::BuilderDown {
            name: engine.builder.clone(),
            endpoint: engine.endpoint.clone(),
            words: format!("{error:#}"),
        })?;
    }
    if is_new {
        memo.write(&engine);
    }
    Ok(engine)
}

/// Checks that there is an engine, with any builder.
pub(crate) fn check(session: &Session) -> Result<(), Problem> {
    if session.host.which("docker").is_none() {
        return Err(Problem::NoDocker);
    }
    let sh = &session.sh;
    let answer = query::query(cmd!(sh, "docker info --format '{{json .}}'"), QUERY_TIMEOUT);
    usable(&answer.map_err(|error| Problem::DaemonDown(error.to_string()))?).map(|_| ())
}

/// Returns the engine's answer if it and its buildx are supported.
fn usable(info: &query::QueryOutput) -> Result<(Info, Version), Problem> {
    let parsed: Info = serde_json::from_str(&info.stdout).map_err(|_| unread(info))?;
    let buildx = parsed.buildx().ok_or(Problem::NoBuildx)?;
    if buildx < OLDEST_BUILDX {
        return Err(Problem::OldBuildx(buildx));
    }
    if parsed.server_version.is_empty() {
        let words = parsed.server_errors.first().map_or(info.stderr.trim(), String::as_str);
        return Err(Problem::of_daemon(words));
    }
    Ok((parsed, buildx))
}

/// Queries the engine without the memo.
pub fn ask_engine(session: &Session) -> Result<Engine, Problem> {
    let sh = &session.sh;
    if session.host.which("docker").is_none() {
        return Err(Problem::NoDocker);
    }
    let name = builder_name(session);
    let named: Vec<&str> = name.iter().map(String::as_str).collect();
    let start = |command| query::start(command).map_err(|error| Problem::Other(error.to_string()));
    let info = start(cmd!(sh, "docker info --format '{{json .}}'"))?;
    let inspecting = start(cmd!(sh, "docker buildx inspect {named...}"))?;
    let info = info.answer(QUERY_TIMEOUT).map_err(|error| Problem::DaemonDown(error.to_string()))?;
    let (parsed, buildx) = usable(&info)?;
    let inspect = inspecting.answer(QUERY_TIMEOUT).map_err(|error| Problem::Other(error.to_string()))?;
    if !inspect.success {
        let words = inspect.stderr.trim();
        let missing = words.contains("no builder") || words.contains("not found");
        return Err(match name.filter(|_| missing) {
            Some(name) => Problem::UnknownBuilder(name),
            None => Problem::of_daemon(words),
        });
    }
    let instance = inspect::parse(&inspect.stdout).map_err(|error| Problem::Other(format!("{error:#}")))?;
    let driver = match instance.driver.as_str() {
        "docker" => Driver::Docker,
        "docker-container" => Driver::DockerContainer,
        "remote" => Driver::Remote,
        "kubernetes" => Driver::Kubernetes,
        other => return Err(Problem::Other(format!("the driver `{other}` is unknown"))),
    };
    let builder = instance.name;
    // All other contexts of docker are remote machines, virtual machines, and rootless daemons in
    // their own networks.
    let is_default = driver == Driver::Docker && builder == "default";
    let is_own = is_default && !parsed.is_rootless();
    let docker_host = session.host.var("DOCKER_HOST");
    let is_local = |address: &str| address.starts_with("unix://");
    let has_own_daemon = docker_host.is_none_or(is_local);
    let loopback = is_own && has_own_daemon;
    let is_here = loopback
        || match driver {
            Driver::DockerContainer => {
                is_local(&instance.endpoint) || (instance.endpoint == "default" && has_own_daemon)
            }
            Driver::Remote => is_local(&instance.endpoint),
            Driver::Docker | Driver::Kubernetes => false,
        };
    let address = docker_host.filter(|_| is_default);
    Ok(Engine {
        buildx,
        buildx_program: buildx_program::find(&session.host, &parsed, driver, &builder),
        daemon: address
            .map_or_else(String::new, |address| format!("{:x}", Sha256::digest(address))[..8].to_owned()),
        loopback,
        is_here,
        builder,
        driver,
        endpoint: instance.endpoint,
        containerd_store: parsed.containerd_store(),
        platform: platform::normalized(&format!("{}/{}", parsed.os_type, parsed.architecture)),
        processors: if matches!(driver, Driver::Docker | Driver::DockerContainer) {
            parsed.processors
        } else {
            0
        },
        server: parsed.server_version,
    })
}

/// Returns an error for an answer that isn't from Docker's client: plain text, or another kind of
/// document.
fn unread(answer: &query::QueryOutput) -> Problem {
    match answer.stdout.trim().is_empty() {
        true => Problem::of_daemon(&answer.stderr),
        false => Problem::Other("`docker` does not answer like Docker's client; it may be Podman's".into()),
    }
}

/// A digest of which engine this is and how it is reached; nothing where its socket is not on this
/// machine, since another engine may answer there next time.
pub(crate) fn instance(session: &Session, engine: &Engine) -> Option<String> {
    let is_here = session.host.var("DOCKER_HOST").is_none_or(|host| host.starts_with("unix://"));
    // A builder of another context has that context's name.
    let docker = session.host.which("docker").filter(|_| is_here && engine.builder == "default")?;
    Some(format!("{:x}", client(session, &docker).finalize()))
}

/// Covers what the answers depend on: the client, and the choice of builder.
fn fingerprint(session: &Session, docker: &Path) -> String {
    let host = &session.host;
    let mut hash = client(session, docker);
    hash.update(format!("{:?};", builder_name(session)));
    hash.update(memo::stamp(&builders::instances(host)));
    builders::chosen_by_buildx(host).iter().for_each(|choice| hash.update(choice));
    format!("{:x}", hash.finalize())
}

/// Covers the client and its plugin, docker's configuration, and the daemon's socket, which is made
/// anew whenever it starts.
fn client(session: &Session, docker: &Path) -> Sha256 {
    let host = &session.host;
    let mut hash = Sha256::new();
    for name in ["DOCKER_HOST", "DOCKER_CONTEXT", "BUILDX_CONFIG", "DOCKER_CONFIG"] {
        hash.update(format!("{name}={:?};", host.var(name)));
    }
    let config = client_config(host);
    let context = builders::context(host);
    let of_context = builders::context_host(&context);
    let address = host.var("DOCKER_HOST").or(of_context.as_deref());
    let socket = address.and_then(|url| url.strip_prefix("unix://")).unwrap_or("/var/run/docker.sock");
    let plugins = [
        "/usr/libexec/docker/cli-plugins",
        "/usr/lib/docker/cli-plugins",
        "/usr/local/lib/docker/cli-plugins",
    ];
    let mut paths = vec![docker.to_path_buf(), socket.into(), "/etc/docker/daemon.json".into()];
    paths.extend(plugins.iter().map(|dir| Path::new(dir).join("docker-buildx")));
    paths.push(config.join("cli-plugins/docker-buildx"));
    for path in paths {
        hash.update(memo::stamp(&path));
    }
    hash.update(std::fs::read(config.join("config.json")).unwrap_or_default());
    hash.update(&context);
    hash
}
