//! The image's configuration, read from the engine, and whether it follows the conventions of a
//! FrankenPHP image.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;

use super::docker::{DOCKER_TIMEOUT, Docker};
use crate::engine::problem::Problem;

/// The relevant fields of `docker image inspect`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Image {
    /// Its digest in the engine.
    pub id: String,
    pub config: Config,
}

/// The configuration of an image.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Config {
    labels: Option<BTreeMap<String, String>>,
    exposed_ports: Option<BTreeMap<String, serde_json::Value>>,
    env: Option<Vec<String>>,
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    working_dir: String,
    user: String,
    healthcheck: Option<Healthcheck>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Healthcheck {
    test: Vec<String>,
}

/// Ports of the convention: HTTP, HTTPS over TCP and QUIC.
const PORTS: [&str; 3] = ["80/tcp", "443/tcp", "443/udp"];
/// The port of the admin API, which is not for other containers.
const ADMIN: &str = "2019/tcp";
/// The label of an image's title.
const TITLE: &str = "org.opencontainers.image.title";
/// Required labels after `org.opencontainers.image.`.
const LABELS: [&str; 3] = ["title", "description", "licenses"];

impl Image {
    /// Asks the engine.
    pub(crate) fn read(docker: &Docker<'_>, name: &str) -> Result<Self> {
        let answer = docker.ask(&["image", "inspect", "--format", "{{json .}}", name], DOCKER_TIMEOUT)?;
        if answer.success {
            return serde_json::from_str(&answer.stdout).context("failed to read the image's configuration");
        }
        let words = answer.stderr.trim();
        if words.contains("No such image") {
            bail!(
                "image `{name}` not found in this engine\nbuild one with `cargo xtask frankenphp`, or \
                 name another one: cargo xtask smoke IMAGE; `docker image ls` lists them"
            );
        }
        Err(Problem::of_daemon(words).into_error())
    }
}

impl Config {
    /// Returns whether the image runs FrankenPHP: its title, its command or its health check names
    /// it. A faulty image still counts, so that its checks fail.
    pub(crate) fn is_frankenphp(&self) -> bool {
        let title = self.labels.iter().flatten().find(|(name, _)| *name == TITLE).map(|(_, title)| title);
        let health = self.healthcheck.iter().flat_map(|check| &check.test);
        let words = self.entrypoint.iter().chain(&self.cmd).flatten().chain(health).chain(title);
        words.into_iter().any(|word| word.to_lowercase().contains("frankenphp"))
    }

    /// Checks the labels.
    pub(crate) fn labels(&self) -> Result<String> {
        let prefix = "org.opencontainers.image.";
        let all = self
            .labels
            .iter()
            .flatten()
            .filter_map(|(name, value)| Some((name.strip_prefix(prefix)?, value)));
        let found: BTreeMap<&str, &String> = all.filter(|(_, value)| !value.is_empty()).collect();
        let missing: Vec<&str> = LABELS.into_iter().filter(|name| !found.contains_key(name)).collect();
        if !missing.is_empty() {
            bail!("expected labels {prefix}*, without a value: {}", missing.join(", "));
        }
        Ok(found.keys().copied().collect::<Vec<_>>().join(", "))
    }

    /// Checks the ports.
    pub(crate) fn ports(&self) -> Result<String> {
        let found: BTreeSet<&str> =
            self.exposed_ports.iter().flatten().map(|(port, _)| port.as_str()).collect();
        let missing: Vec<&str> = PORTS.into_iter().filter(|port| !found.contains(port)).collect();
        if !missing.is_empty() {
            bail!("expected EXPOSE {}, missing: {}", PORTS.join(" "), missing.join(" "));
        }
        if found.contains(ADMIN) {
            bail!("expected the admin API inside the container only, got EXPOSE {ADMIN}");
        }
        Ok(found.into_iter().collect::<Vec<_>>().join(" "))
    }

    /// Checks the user: a number, so that Kubernetes can tell that it isn't root without starting
    /// it.
    pub(crate) fn user(&self) -> Result<String> {
        let uid = self.user.split(':').next().unwrap_or_default();
        match uid.parse::<u32>() {
            Ok(uid) if uid > 0 => Ok(self.user.clone()),
            _ => bail!("expected USER with the number of an unprivileged user, got `{}`", self.user),
        }
    }

    /// Checks directories: that of applications and those of Caddy's state.
    pub(crate) fn directories(&self) -> Result<String> {
        let variable = |name: &str| {
            let line = self.env.iter().flatten().find_map(|line| line.strip_prefix(&format!("{name}=")));
            line.unwrap_or("unset").to_owned()
        };
        let seen = [self.working_dir.clone(), variable("XDG_CONFIG_HOME"), variable("XDG_DATA_HOME")];
        if seen != ["/app", "/config", "/data"] {
            bail!(
                "expected WORKDIR /app, XDG_CONFIG_HOME=/config, XDG_DATA_HOME=/data, got {}",
                seen.join(", ")
            );
        }
        Ok(seen.join(", "))
    }

    /// Returns the arguments of the health check, with or without a shell.
    pub(crate) fn health_command(&self) -> Result<Vec<String>> {
        let test = self.healthcheck.as_ref().map(|check| check.test.as_slice()).unwrap_or_default();
        match test.split_first() {
            Some((kind, argv)) if kind == "CMD" && !argv.is_empty() => Ok(argv.to_vec()),
            Some((kind, [line])) if kind == "CMD-SHELL" => {
                Ok(["/bin/sh", "-c", line].map(str::to_owned).to_vec())
            }
            _ => Err(anyhow!("expected a HEALTHCHECK, got none")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(config: &str) -> Config {
        serde_json::from_str::<Image>(&format!(r#"{{"Id":"sha256:1","Config":{config}}}"#)).unwrap().config
    }

    #[test]
    fn a_good_declaration_passes() {
        let config = image(
            r#"{"Labels":{"org.opencontainers.image.title":"a","org.opencontainers.image.description":"b",
                "org.opencontainers.image.licenses":"1","other":"c"},
                "ExposedPorts":{"80/tcp":{},"443/tcp":{},"443/udp":{}},"User":"33:33",
                "Env":["PATH=/bin","XDG_CONFIG_HOME=/config","XDG_DATA_HOME=/data"],"WorkingDir":"/app",
                "Healthcheck":{"Test":["CMD","frankenphp","php-cli"],"Interval":1}}"#,
        );
        assert_eq!(config.labels().unwrap(), "description, licenses, title");
        assert_eq!(config.ports().unwrap(), "443/tcp 443/udp 80/tcp");
        assert_eq!(config.user().unwrap(), "33:33");
        assert_eq!(config.directories().unwrap(), "/app, /config, /data");
        assert_eq!(config.health_command().unwrap(), ["frankenphp", "php-cli"]);
    }

    #[test]
    fn an_image_is_frankenphps_if_anything_of_it_says_so() {
        for config in [
            r#"{"Labels":{"org.opencontainers.image.title":"FrankenPHP"},"Entrypoint":["/nowhere"]}"#,
            r#"{"Entrypoint":["/usr/local/bin/frankenphp"]}"#,
            r#"{"Cmd":["frankenphp","run"]}"#,
            r#"{"Healthcheck":{"Test":["CMD","frankenphp","healthcheck"]}}"#,
        ] {
            assert!(image(config).is_frankenphp(), "{config}");
        }
        for config in [
            "{}",
            r#"{"Labels":null,"Cmd":["nginx"],"Env":["APP=frankenphp"]}"#,
            r#"{"Healthcheck":{"Test":["NONE"]}}"#,
        ] {
            assert!(!image(config).is_frankenphp(), "{config}");
        }
    }

    #[test]
    fn an_empty_declaration_fails_each_judge() {
        let config = image(r#"{"Labels":null,"ExposedPorts":{"80/tcp":{}},"Env":null,"WorkingDir":""}"#);
        assert!(config.labels().unwrap_err().to_string().contains("title"));
        assert!(config.ports().unwrap_err().to_string().ends_with("missing: 443/tcp 443/udp"));
        assert!(config.user().is_err());
        assert!(config.directories().unwrap_err().to_string().contains("unset"));
        assert!(config.health_command().is_err());
    }

    #[test]
    fn root_and_the_admin_api_for_all_are_refused() {
        for user in ["root", "0", "0:33", "www-data"] {
            let config = image(&format!(r#"{{"User":"{user}"}}"#));
            assert!(config.user().is_err(), "{user}");
        }
        let ports = r#"{"ExposedPorts":{"80/tcp":{},"443/tcp":{},"443/udp":{},"2019/tcp":{}}}"#;
        assert!(image(ports).ports().unwrap_err().to_string().ends_with("got EXPOSE 2019/tcp"));
    }

    #[test]
    fn a_health_check_by_shell_is_run_by_the_shell() {
        let config = image(r#"{"Healthcheck":{"Test":["CMD-SHELL","curl -f localhost"]}}"#);
        assert_eq!(config.health_command().unwrap(), ["/bin/sh", "-c", "curl -f localhost"]);
        assert!(image(r#"{"Healthcheck":{"Test":["NONE"]}}"#).health_command().is_err());
    }
}
