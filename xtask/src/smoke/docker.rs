//! The engine as the checks use it: short commands with a time limit, containers that are gone at the end, and where their
//! ports are reached.

use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use xshell::{Shell, cmd};

use crate::engine::problem::Problem;
use crate::process::query::{self, QueryOutput};
use crate::process::signals;
use crate::process::stdio::errln;

/// Longer than any of these commands takes on a busy machine.
pub const DOCKER_TIMEOUT: Duration = Duration::from_secs(30);

/// The command line of the engine.
pub struct Docker<'a> {
    /// Runs it.
    pub sh: &'a Shell,
    /// Whether each command is shown.
    pub verbose: bool,
}

impl Docker<'_> {
    /// Runs a command, whatever it answers; what Ctrl-C has ended is no answer.
    pub fn ask(&self, args: &[&str], limit: Duration) -> Result<QueryOutput> {
        let answer = self.ask_even_interrupted(args, limit);
        signals::check()?;
        answer
    }

    fn ask_even_interrupted(&self, args: &[&str], limit: Duration) -> Result<QueryOutput> {
        if self.verbose {
            errln!("$ docker {}", shell_words::join(args));
        }
        let Self { sh, .. } = self;
        query::query(cmd!(sh, "docker {args...}"), limit)
    }

    /// Runs a command that must succeed and gives its stdout.
    pub fn must(&self, args: &[&str], limit: Duration) -> Result<String> {
        let answer = self.ask(args, limit)?;
        if !answer.success {
            bail!("`docker {}` failed: {}", shell_words::join(args), answer.stderr.trim());
        }
        Ok(answer.stdout.trim().to_owned())
    }
}

/// What an engine's words of refusal mean.
pub fn problem(words: &str) -> Problem {
    let words = words.trim().trim_start_matches("ERROR: ").to_owned();
    if words.contains("permission denied") {
        Problem::NoPermission(words)
    } else {
        Problem::DaemonDown(words)
    }
}

/// Where published ports are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostAddress {
    /// The address that ports are published on.
    pub publish: &'static str,
    /// The host that they are reached at.
    pub host: String,
}

impl HostAddress {
    /// Finds it from the engine's endpoint. An engine behind TCP, as CI has it, is reached at its own host; behind SSH its
    /// ports cannot be reached.
    pub fn of(endpoint: &str) -> Result<Self> {
        let local = Self { publish: "127.0.0.1", host: "127.0.0.1".into() };
        let (scheme, rest) = endpoint.split_once("://").unwrap_or(("unix", endpoint));
        match scheme {
            "unix" | "npipe" | "fd" => Ok(local),
            "tcp" | "http" | "https" => {
                let authority = rest.split('/').next().unwrap_or(rest);
                let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
                match host {
                    "localhost" | "127.0.0.1" | "[::1]" => Ok(local),
                    "" => Err(anyhow!("the engine's address `{endpoint}` names no host")),
                    host => Ok(Self { publish: "0.0.0.0", host: host.into() }),
                }
            }
            _ => Err(anyhow!(
                "smoke needs an engine on this machine or behind TCP, and the engine is at `{endpoint}`: its ports cannot be \
                 reached from here\nrun smoke on that machine, or unset DOCKER_HOST / choose another `docker context`"
            )),
        }
    }
}

/// A container that is removed, with its volumes, when this value goes.
pub struct Container<'a> {
    docker: &'a Docker<'a>,
    /// Its name, random and ours.
    pub name: String,
    /// `HOST:PORT` of its port 80.
    pub http: String,
    keep: bool,
}

/// What a container is made with.
pub struct Start<'a> {
    /// Its name.
    pub name: String,
    /// The image.
    pub image: &'a str,
    /// Arguments of `docker create` before the image.
    pub args: &'a [&'a str],
    /// A folder on this machine and where its content goes.
    pub pages: Option<(&'a str, &'a str)>,
    /// Whether it stays at the end.
    pub keep: bool,
}

impl<'a> Container<'a> {
    /// Creates a container, puts its pages in, starts it, and finds its port.
    pub fn start(docker: &'a Docker<'a>, reach: &HostAddress, start: &Start<'_>) -> Result<Self> {
        let mut container = Self { docker, name: start.name.clone(), http: String::new(), keep: start.keep };
        let publish = format!("{}::80", reach.publish);
        let mut create = vec!["create", "--name", &start.name, "--publish", &publish];
        create.extend(start.args);
        create.push(start.image);
        docker.must(&create, DOCKER_TIMEOUT)?;
        if let Some((from, to)) = start.pages {
            // Copied, not mounted: the engine need not see this machine's folders.
            docker.must(&["cp", &format!("{from}/."), &format!("{}:{to}", start.name)], DOCKER_TIMEOUT)?;
        }
        docker.must(&["start", &start.name], DOCKER_TIMEOUT)?;
        // A container that ended at once has no port; what it said tells why.
        let port = docker.ask(&["port", &start.name, "80/tcp"], DOCKER_TIMEOUT)?;
        let port = port.stdout.lines().find_map(port_of);
        container.http =
            port.map(|port| format!("{}:{port}", reach.host)).ok_or_else(|| container.exit_reason())?;
        Ok(container)
    }

    /// Runs a command inside.
    pub fn exec(&self, args: &[&str], limit: Duration) -> Result<QueryOutput> {
        let all: Vec<&str> = ["exec", &self.name].into_iter().chain(args.iter().copied()).collect();
        self.docker.ask(&all, limit)
    }

    /// A command of the binary, which must succeed; gives its stdout.
    pub fn frankenphp(&self, args: &[&str], limit: Duration) -> Result<String> {
        let all: Vec<&str> = ["frankenphp"].into_iter().chain(args.iter().copied()).collect();
        let answer = self.exec(&all, limit)?;
        if answer.success {
            return Ok(answer.stdout);
        }
        let words = last_lines(&format!("{}\n{}", answer.stdout, answer.stderr), 3);
        bail!("`frankenphp {}` failed: {words}", shell_words::join(args))
    }

    /// One field of `docker inspect`.
    pub fn inspect(&self, format: &str) -> Result<String> {
        self.docker.must(&["container", "inspect", "--format", format, &self.name], DOCKER_TIMEOUT)
    }

    /// Stops it as `docker stop` does.
    pub fn stop(&self) -> Result<()> {
        self.docker.must(&["stop", "-t", "10", &self.name], DOCKER_TIMEOUT).map(drop)
    }

    /// Whether it runs.
    pub fn is_running(&self) -> bool {
        self.inspect("{{.State.Running}}").is_ok_and(|running| running == "true")
    }

    /// Why it does not run: its exit code and its last words.
    pub fn exit_reason(&self) -> anyhow::Error {
        let code = self.inspect("{{.State.ExitCode}}").unwrap_or_else(|_| "unknown".into());
        let logs = self.docker.ask(&["logs", "--tail", "5", &self.name], DOCKER_TIMEOUT);
        let words =
            logs.map_or_else(|error| error.to_string(), |logs| format!("{}\n{}", logs.stdout, logs.stderr));
        anyhow!("the container ended with exit code {code}: {}", last_lines(&words, 5))
    }
}

impl Container<'_> {
    /// Removes it; whether there was one.
    fn removed(&self) -> bool {
        match self.docker.ask_even_interrupted(&["rm", "--force", "--volumes", &self.name], DOCKER_TIMEOUT) {
            // With --force that is no failure to every version of the engine's command line.
            Ok(answer) if answer.stderr.contains("No such container") => {}
            Ok(answer) if answer.success => return true,
            _ => errln!("warning: failed to remove the container {0}\n`docker rm -f -v {0}` does", self.name),
        }
        false
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        if self.keep {
            errln!("kept {} at http://{}/; docker rm -f -v {}", self.name, self.http, self.name);
            return;
        }
        if !self.removed() && signals::interrupted() {
            // Ctrl-C ends a `docker create` as well, but what it asked for may still come about.
            std::thread::sleep(Duration::from_millis(500));
            self.removed();
        }
    }
}

/// The port in a line of `docker port`, as `127.0.0.1:32768`.
fn port_of(line: &str) -> Option<u16> {
    line.trim().rsplit_once(':')?.1.parse().ok()
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(count)..].join(" | ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_reached_where_the_engine_is() {
        let here = HostAddress { publish: "127.0.0.1", host: "127.0.0.1".into() };
        assert_eq!(HostAddress::of("unix:///var/run/docker.sock").unwrap(), here);
        assert_eq!(HostAddress::of("tcp://localhost:2375").unwrap(), here);
        assert_eq!(
            HostAddress::of("tcp://docker:2376").unwrap(),
            HostAddress { publish: "0.0.0.0", host: "docker".into() }
        );
        let refusal = HostAddress::of("ssh://me@far").unwrap_err().to_string();
        assert!(refusal.contains("smoke needs an engine on this machine"), "{refusal}");
        assert!(HostAddress::of("tcp://").is_err());
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
    }
}
