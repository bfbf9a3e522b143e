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

    #[test]
    fn nobody_at_an_address_is_an_error_and_other_schemes_are_not_ours() {
        assert!(check_reachable("unix:///nonexistent/buildkitd.sock").is_err());
        assert!(check_reachable("tcp://127.0.0.1:1").is_err());
        assert!(check_reachable("docker-container://some").is_ok());
    }
}
