//! What buildx knows of one builder: how it was made, from the file that buildx keeps, and how it is, from what it says.

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
use crate::host::Host;
use crate::process::ask;
use crate::session::Session;

/// buildx asks every node of a builder; one that is down costs its own limit.
const LIMIT: Duration = Duration::from_secs(30);
/// A BuildKit that takes longer to accept a connection is down for us.
const CONNECT: Duration = Duration::from_secs(5);

/// A builder as buildx has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Instance {
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
pub fn read(session: &Session, name: &str) -> Result<Option<Instance>> {
    let sh = &session.sh;
    let answer = ask::ask(cmd!(sh, "docker buildx inspect {name}"), LIMIT)?;
    if !answer.success {
        let words = answer.stderr.trim();
        if words.contains("no builder") || words.contains("not found") {
            return Ok(None);
        }
        bail!("failed to look at the builder `{name}`: {words}\n`cargo xtask doctor` may tell more");
    }
    let mut instance = inspected(&answer.stdout);
    if let Some(node) = kept(&session.host, name) {
        let file = |text: &String| String::from_utf8(STANDARD.decode(text).ok()?).ok();
        instance.config = node.files.unwrap_or_default().get("buildkitd.toml").and_then(file);
        instance.options = node.driver_opts.unwrap_or_default();
    }
    Ok(Some(instance))
}

/// Reads `docker buildx inspect`.
pub fn inspected(text: &str) -> Instance {
    let field = |name: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.map(|value| value.trim().to_owned())
    };
    let status = field("Status").unwrap_or_default();
    Instance {
        driver: field("Driver").unwrap_or_default(),
        endpoint: field("Endpoint").unwrap_or_default(),
        is_up: status == "running",
        version: field("BuildKit version")
            .or_else(|| field("Buildkit version"))
            .or_else(|| field("Buildkit")),
        policy: policy(text),
        status,
        ..Instance::default()
    }
}

/// `GC Policy rule#0:` and the indented lines below it, as one line a rule.
fn policy(text: &str) -> Vec<String> {
    let mut rules: Vec<String> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        if line.starts_with("GC Policy rule#") {
            rules.push(String::new());
            inside = true;
        } else if let (true, Some((name, value)), Some(rule)) =
            (inside && line.starts_with(' '), line.split_once(':'), rules.last_mut())
        {
            let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
            let gap = if rule.is_empty() { "" } else { ", " };
            *rule += &format!("{gap}{} {value}", name.trim().to_lowercase());
        } else {
            inside = false;
        }
    }
    rules
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
struct Kept {
    nodes: Vec<Node>,
}

fn kept(host: &Host, name: &str) -> Option<Node> {
    let file = fs::read(instances(host).join(name)).ok()?;
    serde_json::from_slice::<Kept>(&file).ok()?.nodes.into_iter().next()
}

/// Where buildx keeps its builders.
pub fn instances(host: &Host) -> PathBuf {
    let own = host.var("BUILDX_CONFIG").map(|dir| host.absolute(dir));
    own.unwrap_or_else(|| client_config(host).join("buildx")).join("instances")
}

/// Whether somebody accepts connections at a remote BuildKit's address; buildx itself takes 20 s to say that nobody does,
/// and then without the address.
pub fn reach(endpoint: &str) -> Result<()> {
    if let Some(path) = endpoint.strip_prefix("unix://") {
        UnixStream::connect(path)?;
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
    fn a_builder_is_read_as_it_is_printed() {
        let text = "Name:          t1
Driver:        docker-container
Last Activity: 2026-11-25 06:33:48 +0000 UTC

Nodes:
Name:                  t10
Endpoint:              unix:///var/run/docker.sock
Driver Options:        image=\"a/b:c\"
Status:                running
BuildKit daemon flags: --allow-insecure-entitlement=network.host
BuildKit version:      v0.34.2
Labels:
 org.mobyproject.buildkit.worker.executor:         oci
GC Policy rule#0:
 All:        false
 Filters:    type!=exec.cachemount
 Keep Bytes: 27.94GiB
GC Policy rule#1:
 All:        true
 Keep Bytes: 27.94GiB
";
        let instance = inspected(text);
        assert_eq!((instance.driver.as_str(), instance.is_up), ("docker-container", true));
        assert_eq!(instance.version.as_deref(), Some("v0.34.2"));
        assert_eq!(
            instance.policy,
            [
                "all false, filters type!=exec.cachemount, keep bytes 27.94GiB",
                "all true, keep bytes 27.94GiB"
            ]
        );
    }

    #[test]
    fn nobody_at_an_address_is_an_error_and_other_schemes_are_not_ours() {
        assert!(reach("unix:///nonexistent/buildkitd.sock").is_err());
        assert!(reach("tcp://127.0.0.1:1").is_err());
        assert!(reach("docker-container://some").is_ok());
    }
}
