//! What buildx knows of one builder: how it was made, from the file that buildx keeps, and how it
//! is, from what it says.

use std::collections::BTreeMap;
use std::fs;
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use xshell::cmd;

use super::facts::client_config;
use super::inspect;
use crate::host::Host;
use crate::process::{query, retry};
use crate::session::Session;

/// buildx asks every node of a builder; one that is down costs its own limit.
const QUERY_TIMEOUT: Duration = Duration::from_secs(30);
/// A BuildKit that takes longer to accept a connection is down for us.
const CONNECT: Duration = Duration::from_secs(5);

/// A builder as buildx has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Instance {
    /// Its name.
    #[serde(skip)]
    pub name: String,
    /// Its driver, as buildx writes it.
    pub driver: String,
    /// Where its first node is.
    pub endpoint: String,
    /// Options of its driver, as `image=...`.
    pub options: BTreeMap<String, String>,
    /// Its `buildkitd.toml`, as buildx wrote it anew.
    #[serde(skip)]
    pub config: Option<String>,
    /// Whether BuildKit answers.
    pub is_up: bool,
    /// In words of buildx: `running`, `stopped`, `inactive`.
    pub status: String,
    /// Version of BuildKit, where it is up.
    pub version: Option<String>,
    /// Rules of its garbage collection, where it is up: a line each.
    pub policy: Vec<String>,
}

/// Looks a builder up; `None` where there is none of that name.
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

/// What buildx keeps of a builder's first node.
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

/// Where buildx keeps its builders.
pub(crate) fn instances(host: &Host) -> PathBuf {
    let own = host.var("BUILDX_CONFIG").map(|dir| host.absolute(dir));
    own.unwrap_or_else(|| client_config(host).join("buildx")).join("instances")
}

/// Whether somebody accepts connections at a remote BuildKit's address; buildx itself takes 20 s to
/// say that nobody does, and then without the address.
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
    // Others, as ssh:// and docker-container://, are buildx's own matter.
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
