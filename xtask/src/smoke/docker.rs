//! The engine for the checks: short commands with a timeout, containers that are removed at the
//! end, and addresses of their ports.

use std::process::Command;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use jiff::Timestamp;
use serde_json::Value;
use xshell::{Shell, cmd};

use super::relay::Relay;
use crate::process::query::{self, QueryOutput};
use crate::process::signals;
use crate::process::stdio::errln;

/// Longer than any of these commands takes on a busy machine.
pub(crate) const DOCKER_TIMEOUT: Duration = Duration::from_secs(30);

/// The command line of the engine.
pub(crate) struct Docker<'a> {
    pub sh: &'a Shell,
    /// Whether each command is shown.
    pub verbose: bool,
}

impl Docker<'_> {
    /// Runs a command and returns any answer. Ctrl-C is an error.
    pub(crate) fn ask(&self, args: &[&str], limit: Duration) -> Result<QueryOutput> {
        let answer = self.ask_even_interrupted(args, limit);
        signals::check()?;
        answer
    }

    /// Runs a command even after Ctrl-C, to clean up.
    pub(crate) fn ask_even_interrupted(&self, args: &[&str], limit: Duration) -> Result<QueryOutput> {
        if self.verbose {
            errln!("$ docker {}", shell_words::join(args));
        }
        let Self { sh, .. } = self;
        query::query(cmd!(sh, "docker {args...}"), limit)
    }

    /// Runs a command that must succeed, and returns its stdout.
    pub(crate) fn must(&self, args: &[&str], limit: Duration) -> Result<String> {
        let answer = self.ask(args, limit)?;
        if !answer.success {
            bail!("`docker {}` failed: {}", shell_words::join(args), answer.stderr.trim());
        }
        Ok(answer.stdout.trim().to_owned())
    }
}

/// The access to ports of containers. They are published on the loopback interface, or not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PortAccess {
    /// The engine is on this machine, so its loopback interface is reachable.
    Published,
    /// The engine is on another machine: connections go through the engine.
    Relayed,
}

impl PortAccess {
    /// Returns the access for an endpoint of the engine.
    pub(crate) fn of(endpoint: &str) -> Result<Self> {
        let (scheme, rest) = endpoint.split_once("://").unwrap_or(("unix", endpoint));
        if matches!(scheme, "unix" | "npipe" | "fd") {
            return Ok(Self::Published);
        }
        let authority = rest.split('/').next().unwrap_or(rest);
        let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
        match (scheme, host) {
            ("tcp" | "http" | "https", "localhost" | "127.0.0.1" | "[::1]") => Ok(Self::Published),
            (_, "") => Err(anyhow!("the engine's address `{endpoint}` has no host")),
            _ => Ok(Self::Relayed),
        }
    }
}

/// A container that is removed on drop, with its volumes.
pub(crate) struct Container<'a> {
    docker: &'a Docker<'a>,
    /// Its random name.
    pub name: String,
    /// The `HOST:PORT` of its port.
    pub http: String,
    keep: bool,
    relay: Option<Relay>,
}

/// The settings of a container.
pub(crate) struct Start<'a> {
    pub name: String,
    pub image: &'a str,
    /// Arguments of `docker create` before the image.
    pub args: &'a [&'a str],
    /// The port of its server.
    pub port: u16,
    /// A directory on this machine and the destination of its content.
    pub pages: Option<(&'a str, &'a str)>,
    /// Whether it is kept at the end.
    pub keep: bool,
}

impl<'a> Container<'a> {
    /// Creates a container, copies its pages, starts it, and finds its port.
    pub(crate) fn start(docker: &'a Docker<'a>, access: PortAccess, start: &Start<'_>) -> Result<Self> {
        let mut container =
            Self { docker, name: start.name.clone(), http: String::new(), keep: start.keep, relay: None };
        let publish = format!("127.0.0.1::{}", start.port);
        let mut create = vec!["create", "--name", &start.name];
        if access == PortAccess::Published {
            create.extend(["--publish", &publish]);
        }
        create.extend(start.args);
        create.push(start.image);
        docker.must(&create, DOCKER_TIMEOUT)?;
        if let Some((from, to)) = start.pages {
            // Copied, not mounted, because the engine may not see this machine's directories.
            docker.must(&["cp", &format!("{from}/."), &format!("{}:{to}", start.name)], DOCKER_TIMEOUT)?;
        }
        docker.must(&["start", &start.name], DOCKER_TIMEOUT)?;
        container.http = match access {
            PortAccess::Published => container.published(start.port)?,
            PortAccess::Relayed => container.relayed(start.port)?,
        };
        Ok(container)
    }

    /// Returns the address of a published port. A container that ended at once has none; its last
    /// output is the reason.
    fn published(&self, port: u16) -> Result<String> {
        let answer = self.docker.ask(&["port", &self.name, &format!("{port}/tcp")], DOCKER_TIMEOUT)?;
        let port = answer.stdout.lines().find_map(port_of);
        port.map(|port| format!("127.0.0.1:{port}")).ok_or_else(|| self.exit_reason())
    }

    /// Returns the address of a relay to a port.
    fn relayed(&mut self, port: u16) -> Result<String> {
        let sh = self.docker.sh.clone();
        let command = move |args: &[&str]| Command::from(cmd!(sh, "docker {args...}"));
        let relay = self.relay.insert(Relay::start(&self.name, port, command)?);
        Ok(relay.address())
    }

    /// Runs a command in the container.
    pub(crate) fn exec(&self, args: &[&str], limit: Duration) -> Result<QueryOutput> {
        let all: Vec<&str> = ["exec", &self.name].into_iter().chain(args.iter().copied()).collect();
        self.docker.ask(&all, limit)
    }

    /// Runs a command of the binary, which must succeed, and returns its stdout.
    pub(crate) fn frankenphp(&self, args: &[&str], limit: Duration) -> Result<String> {
        let all: Vec<&str> = ["frankenphp"].into_iter().chain(args.iter().copied()).collect();
        let answer = self.exec(&all, limit)?;
        if answer.success {
            return Ok(answer.stdout);
        }
        let words = last_lines(&format!("{}\n{}", answer.stdout, answer.stderr), 3);
        bail!("`frankenphp {}` failed: {words}", shell_words::join(args))
    }

    /// Returns one field of `docker inspect`.
    pub(crate) fn inspect(&self, format: &str) -> Result<String> {
        self.docker.must(&["container", "inspect", "--format", format, &self.name], DOCKER_TIMEOUT)
    }

    /// Sends a signal to its first process.
    pub(crate) fn signal(&self, signal: &str) -> Result<()> {
        self.docker.must(&["kill", "--signal", signal, &self.name], DOCKER_TIMEOUT).map(drop)
    }

    /// Stops it as `docker stop` does.
    pub(crate) fn stop(&self) -> Result<()> {
        self.docker.must(&["stop", "-t", "10", &self.name], DOCKER_TIMEOUT).map(drop)
    }

    pub(crate) fn is_running(&self) -> bool {
        self.inspect("{{.State.Running}}").is_ok_and(|running| running == "true")
    }

    /// Returns why it doesn't run: its exit code and its last output.
    pub(crate) fn exit_reason(&self) -> anyhow::Error {
        let code = self.inspect("{{.State.ExitCode}}").unwrap_or_else(|_| "unknown".into());
        let words = self.output(&["--tail", "5"]);
        anyhow!("the container ended with exit code {code}: {}", last_lines(&words, 5))
    }

    /// Adds what it has printed since `begun`, such as an error of PHP, which no visitor sees.
    pub(crate) fn explain(&self, error: anyhow::Error, begun: Timestamp) -> anyhow::Error {
        match last_lines(&self.output(&["--since", &begun.to_string()]), 3) {
            words if words.is_empty() => error,
            words => anyhow!("{error:#}; the container's log: {words}"),
        }
    }

    fn output(&self, options: &[&str]) -> String {
        let logs = self.docker.ask(&[&["logs"], options, &[&self.name]].concat(), DOCKER_TIMEOUT);
        logs.map_or_else(|error| error.to_string(), |logs| format!("{}\n{}", logs.stdout, logs.stderr))
    }
}

impl Container<'_> {
    /// Removes it. Returns whether it existed.
    fn removed(&self) -> bool {
        match self.docker.ask_even_interrupted(&["rm", "--force", "--volumes", &self.name], DOCKER_TIMEOUT) {
            // With --force, some versions of the command line don't report this as a failure.
            Ok(answer) if answer.stderr.contains("No such container") => {}
            Ok(answer) if answer.success => return true,
            _ => errln!("warning: failed to remove the container {0}\nrun: docker rm -f -v {0}", self.name),
        }
        false
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        if self.keep {
            let address = self.relay.is_none().then(|| format!(" at http://{}/", self.http));
            errln!("kept {0}{1}; docker rm -f -v {0}", self.name, address.unwrap_or_default());
            return;
        }
        if !self.removed() && signals::interrupted() {
            // Ctrl-C ends `docker create` as well, but the container may still be created.
            std::thread::sleep(Duration::from_millis(500));
            self.removed();
        }
    }
}

/// Returns the port in a line of `docker port`, such as `127.0.0.1:32768`.
fn port_of(line: &str) -> Option<u16> {
    line.trim().rsplit_once(':')?.1.parse().ok()
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = lines[lines.len().saturating_sub(count)..].iter().map(|line| message(line));
    last.collect::<Vec<String>>().join(" | ")
}

/// Returns the message of a line of Caddy's log, which is JSON; any other line as it is.
fn message(line: &str) -> String {
    let value: Value = serde_json::from_str(line).unwrap_or_default();
    let text = |name: &str| value[name].as_str();
    match (text("msg"), text("error")) {
        (Some(message), Some(error)) => format!("{message}: {error}"),
        (Some(message), None) => message.to_owned(),
        (None, _) => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_reached_where_the_engine_is() {
        for here in ["unix:///var/run/docker.sock", "tcp://localhost:2375", "tcp://[::1]:2375", "/run/d.sock"]
        {
            assert_eq!(PortAccess::of(here).unwrap(), PortAccess::Published, "{here}");
        }
        for there in ["tcp://docker:2376", "tcp://127.0.0.2:2375", "ssh://me@far", "tcp://[fe80::1]:1"] {
            assert_eq!(PortAccess::of(there).unwrap(), PortAccess::Relayed, "{there}");
        }
        assert!(PortAccess::of("tcp://").is_err());
    }

    #[test]
    fn ports_are_read() {
        assert_eq!(port_of("127.0.0.1:32768"), Some(32768));
        assert_eq!(port_of("[::]:80\n"), Some(80));
        assert_eq!(port_of("Error: no public port"), None);
    }

    #[test]
    fn last_words_are_the_last() {
        assert_eq!(last_lines("a\n\n b \nc\n", 2), "b | c");
        assert_eq!(last_lines("", 2), "");
        let logged = r#"{"level":"error","msg":"PHP Fatal error:  x"}
            {"level":"error","msg":"failed","error":"no file"}"#;
        assert_eq!(last_lines(logged, 2), "PHP Fatal error:  x | failed: no file");
    }
}
