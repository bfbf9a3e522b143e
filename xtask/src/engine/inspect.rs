//! Parses `docker buildx inspect`, which buildx prints only as text.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::process::query::unreadable;

/// A builder of buildx.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Instance {
    #[serde(skip)]
    pub name: String,
    /// Its driver, as buildx writes it.
    pub driver: String,
    /// The address of its first node.
    pub endpoint: String,
    /// Options of its driver, such as `image=...`.
    pub options: BTreeMap<String, String>,
    /// Its `buildkitd.toml`, as buildx rewrote it.
    #[serde(skip)]
    pub config: Option<String>,
    /// Whether BuildKit answers.
    pub is_up: bool,
    /// The status from buildx: `running`, `stopped`, `inactive`.
    pub status: String,
    /// The version of BuildKit, if it runs.
    pub version: Option<String>,
    /// The rules of its garbage collection, one line each, if it runs.
    pub policy: Vec<String>,
}

/// Parses buildx's output about one builder, and its first node if it has several.
///
/// # Errors
///
/// Fails if the name, the driver or the node is missing. The error shows the start of the answer.
pub(crate) fn parse(text: &str) -> Result<Instance> {
    let (head, nodes) =
        text.split_once("\nNodes:\n").with_context(|| unreadable("docker buildx inspect", text))?;
    let required = |name: &str| field(head, name).with_context(|| unreadable("docker buildx inspect", text));
    // A node's part ends where the next node's name follows an empty line.
    let node = nodes.split("\n\nName:").next().unwrap_or(nodes);
    let status = field(node, "Status").unwrap_or_default();
    Ok(Instance {
        name: required("Name")?,
        driver: required("Driver")?,
        endpoint: field(node, "Endpoint").with_context(|| unreadable("docker buildx inspect", text))?,
        is_up: status == "running",
        // Its spelling differs between versions of buildx.
        version: ["BuildKit version", "Buildkit version", "Buildkit"]
            .iter()
            .find_map(|name| field(node, name)),
        policy: policy(node),
        status,
        ..Instance::default()
    })
}

/// Returns the value of the first line `Name: value`.
fn field(text: &str, name: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

/// Joins `GC Policy rule#0:` and the indented lines below it to one line per rule.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::gc_limits::GcLimits;

    /// Recorded on each leg.
    const FLOOR: &str = include_str!("recorded/inspect-floor-docker.txt");
    const CURRENT: &str = include_str!("recorded/inspect-current-docker.txt");
    const NEWEST: &str = include_str!("recorded/inspect-newest-remote.txt");

    #[test]
    fn each_version_s_answer_is_read() {
        let read = |text| {
            let one = parse(text).expect("read");
            let limits = GcLimits::of(&one.policy);
            (one.name, one.driver, one.endpoint, one.is_up, one.policy.len(), limits.idle_mounts)
        };
        let docker = |rules, idle| ("default".into(), "docker".into(), "default".into(), true, rules, idle);
        // Docker 26 has no rules: it keeps everything.
        assert_eq!(read(FLOOR), docker(0, None));
        assert_eq!(read(CURRENT), docker(4, crate::text::size::parse("3.346GiB")));
        let address = "tcp://127.0.0.1:17171".into();
        let idle = crate::text::size::parse("488.3MiB");
        assert_eq!(read(NEWEST), ("team".into(), "remote".into(), address, true, 4, idle));
    }

    #[test]
    fn a_builder_of_several_nodes_is_read_by_its_first_and_one_that_is_down_has_no_version() {
        let text = "Name:   t1\nDriver: docker-container\n\nNodes:\nName:     t10\nEndpoint: default\nStatus:   inactive\n\n\
                    Name:             t11\nEndpoint:         other\nStatus:           running\nBuildKit version: v0.34.2\n\
                    GC Policy rule#0:\n All: true\n";
        let one = parse(text).expect("read");
        assert_eq!(
            (one.endpoint.as_str(), one.is_up, one.version, one.policy.len()),
            ("default", false, None, 0)
        );
    }

    #[test]
    fn rules_are_lines_and_a_file_s_lines_are_none() {
        let text = FLOOR.to_owned()
            + "GC Policy rule#0:\n All:        false\n Filters:    type!=exec.cachemount\n Keep Bytes: 27.94GiB\n\
               File#buildkitd.toml:\n > [worker.oci]\n >   a: b\n";
        let one = parse(&text).expect("read");
        assert_eq!(one.policy, ["all false, filters type!=exec.cachemount, keep bytes 27.94GiB"]);
    }

    #[test]
    fn an_unknown_form_is_an_error_that_shows_it() {
        for text in [
            "",
            "{\"Name\":\"x\"}\n",
            "Name: x\n\nNodes:\nEndpoint: y\n",
            &FLOOR.replace("Endpoint:", "Address:"),
        ] {
            let error = parse(text).expect_err("no builder").to_string();
            let first = text.lines().next().unwrap_or_default();
            assert!(error.contains("failed to read") && error.contains(first), "{error}");
        }
    }
}
