//! The state of one builder: its settings from the file that buildx keeps, and its status from
//! buildx's output.

use std::collections::BTreeMap;
use std::fs;
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use xshell::cmd;

use super::inspect::{self, Instance};
use crate::host::Host;
use crate::process::{query, retry};
use crate::session::Session;

/// buildx asks every node of a builder. One that is down takes the full timeout.
const QUERY_TIMEOUT: Duration = Duration::from_secs(30);
/// A BuildKit that takes longer to accept a connection counts as down.
const CONNECT: Duration = Duration::from_secs(5);

/// Reads a builder. Returns `None` if it doesn't exist.
pub(crate) fn read(session: &Session, name: &str) -> Result<Option<Instance>> {
    let sh = &session.sh;
    let answer = query::query(cmd!(sh, "docker buildx inspect {name}"), QUERY_TIMEOUT)?;
    if !answer.success {
        let words = answer.stderr.trim();
        if words.contains("no builder") || words.contains("not found") {
            return Ok(None);
        }
        bail!("failed to inspect the builder `{name}`: {words}\nrun `cargo xtask doctor` for details");
    }
    let mut instance = inspect::parse(&answer.stdout)?;
    if let Some(node) = kept(&session.host, name) {
        let file = |text: &String| String::from_utf8(STANDARD.decode(text).ok()?).ok();
        instance.config = node.files.unwrap_or_default().get("buildkitd.toml").and_then(file);
        instance.options = node.driver_opts.unwrap_or_default();
    }
    Ok(Some(instance))
}

/// The first node of a builder in buildx's file.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Node {
    driver_opts: Option<BTreeMap<String, String>>,
    files: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InstanceFile {
    nodes: Vec<Node>,
}

fn kept(host: &Host, name: &str) -> Option<Node> {
    let file = fs::read(instances(host).join(name)).ok()?;
    serde_json::from_slice::<InstanceFile>(&file).ok()?.nodes.into_iter().next()
}

/// Returns the directory of the client's configuration.
pub(crate) fn client_config(host: &Host) -> PathBuf {
    let default = || host.home().unwrap_or(Path::new("/")).join(".docker");
    host.var("DOCKER_CONFIG").map_or_else(default, |dir| host.absolute(dir))
}

/// Returns the directory of buildx's configuration.
pub(super) fn buildx_config(host: &Host) -> PathBuf {
    let own = host.var("BUILDX_CONFIG").map(|dir| host.absolute(dir));
    own.unwrap_or_else(|| client_config(host).join("buildx"))
}

/// Returns the directory of buildx's builders.
pub(crate) fn instances(host: &Host) -> PathBuf {
    buildx_config(host).join("instances")
}

/// Returns what `docker buildx use` has chosen: the current builder, and the default one of each
/// context. buildx writes the files anew at every call, so only their content counts.
pub(crate) fn chosen_by_buildx(host: &Host) -> Vec<Vec<u8>> {
    let dir = buildx_config(host);
    let mut defaults: Vec<PathBuf> = files_of(&dir.join("defaults"));
    defaults.sort();
    let named = defaults.iter().map(|file| file.as_os_str().as_encoded_bytes().to_vec());
    let names: Vec<Vec<u8>> = named.collect();
    let all = std::iter::once(dir.join("current")).chain(defaults);
    all.map(|file| fs::read(file).unwrap_or_default()).chain(names).collect()
}

fn files_of(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// Returns the name of the selected context of docker, unless it is the default one or
/// `DOCKER_HOST` wins.
pub(crate) fn context_name(host: &Host) -> Option<String> {
    let text = || fs::read(client_config(host).join("config.json")).ok();
    let current = || serde_json::from_slice::<serde_json::Value>(&text()?).ok();
    let name = host.var("DOCKER_CONTEXT").map(str::to_owned);
    let name = name.or_else(|| current()?["currentContext"].as_str().map(str::to_owned))?;
    let counts = host.var("DOCKER_HOST").is_none() && !name.is_empty() && name != "default";
    counts.then_some(name)
}

/// Returns the definition of the selected context of docker; nothing for the default one.
pub(crate) fn context(host: &Host) -> Vec<u8> {
    let Some(name) = context_name(host) else { return Vec::new() };
    let id = format!("{:x}", Sha256::digest(name));
    fs::read(client_config(host).join("contexts/meta").join(id).join("meta.json")).unwrap_or_default()
}

/// Returns the address of a context's daemon.
pub(crate) fn context_host(definition: &[u8]) -> Option<String> {
    let definition: serde_json::Value = serde_json::from_slice(definition).ok()?;
    Some(definition["Endpoints"]["docker"]["Host"].as_str()?.to_owned())
}

/// Checks that a remote BuildKit accepts connections. buildx takes 20 s to report a failure, and
/// then without the address.
pub(crate) fn check_reachable(endpoint: &str) -> Result<()> {
    if let Some(path) = endpoint.strip_prefix("unix://") {
        #[expect(clippy::disallowed_methods, reason = "with a retry")]
        retry::retry(|| UnixStream::connect(path))?;
    } else if let Some(address) = endpoint.strip_prefix("tcp://") {
        let mut last = None;
        for address in address.to_socket_addrs().with_context(|| "the name is not known")? {
            match TcpStream::connect_timeout(&address, CONNECT) {
                Ok(_) => return Ok(()),
                Err(error) => last = Some(error),
            }
        }
        return Err(last.map_or_else(|| anyhow::anyhow!("the name has no address"), Into::into));
    }
    // buildx handles other schemes, such as ssh:// and docker-container://.
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(env: &[(&str, &Path)]) -> Host {
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), value.display().to_string()));
        Host { env: env.collect(), cwd: "/".into(), ..Host::read() }
    }

    #[test]
    fn the_choice_of_buildx_is_read_where_its_configuration_is() {
        let dir = tempfile::tempdir().expect("a directory");
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().expect("a directory")).expect("made");
            fs::write(path, text).expect("written");
        };
        let own = dir.path().join("own");
        let at = host(&[("DOCKER_CONFIG", dir.path())]);
        let elsewhere = host(&[("DOCKER_CONFIG", dir.path()), ("BUILDX_CONFIG", &own)]);
        write("buildx/current", "one");
        let (before, before_elsewhere) = (chosen_by_buildx(&at), chosen_by_buildx(&elsewhere));
        write("own/current", "two");
        assert_eq!(chosen_by_buildx(&at), before);
        let current = chosen_by_buildx(&elsewhere);
        assert_ne!(current, before_elsewhere);
        write("own/defaults/0a", "builder");
        assert_ne!(chosen_by_buildx(&elsewhere), current, "`buildx use --default`");
    }

    #[test]
    fn the_selected_context_has_a_definition() {
        let dir = tempfile::tempdir().expect("a directory");
        let meta = dir.path().join("contexts/meta").join(format!("{:x}", Sha256::digest("far")));
        fs::create_dir_all(&meta).expect("made");
        let text = r#"{"Name":"far","Endpoints":{"docker":{"Host":"unix:///run/far.sock"}}}"#;
        fs::write(meta.join("meta.json"), text).expect("written");
        let address = |env: &[(&str, &Path)]| {
            let env = [&[("DOCKER_CONFIG", dir.path())], env].concat();
            context_host(&context(&host(&env)))
        };
        let far = Some("unix:///run/far.sock".to_owned());
        assert_eq!(address(&[]), None);
        assert_eq!(address(&[("DOCKER_CONTEXT", Path::new("far"))]), far);
        assert_eq!(address(&[("DOCKER_CONTEXT", Path::new("gone"))]), None);
        fs::write(dir.path().join("config.json"), r#"{"currentContext":"far"}"#).expect("written");
        assert_eq!(address(&[]), far);
        assert_eq!(address(&[("DOCKER_HOST", Path::new("unix:///x"))]), None, "it wins");
    }

    #[test]
    fn nobody_at_an_address_is_an_error_and_other_schemes_are_not_ours() {
        assert!(check_reachable("unix:///nonexistent/buildkitd.sock").is_err());
        assert!(check_reachable("tcp://127.0.0.1:1").is_err());
        assert!(check_reachable("docker-container://some").is_ok());
    }
}
