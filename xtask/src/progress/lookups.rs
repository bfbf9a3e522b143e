//! Finds the lookups of a build in BuildKit's progress: images, frontends, addresses.

use std::collections::BTreeMap;

use super::step_name::step_name;
use super::trace::Trace;

/// BuildKit's own steps in a build that needs only this machine's files and images, without the
/// target's name. Any other step may be a lookup: a frontend (`resolve image config for`), a token
/// of a registry (`[auth]`), an address.
const KNOWN: &[&str] = &[
    "[internal] load local bake definitions",
    "[internal] load build definition from ",
    "[internal] load .dockerignore",
    "[internal] load build context",
    "[internal] preparing inline document",
    "[internal] settings cache mount permissions",
    "exporting to image",
    "resolving provenance for metadata file",
    "importing cache manifest from local:",
    "LINK ",
];
/// The text before a reference that BuildKit looks up.
const LOOKUP: &str = "load metadata for ";
/// Parts of the source of an ADD that is fetched from elsewhere.
const ADDRESSES: &[&str] = &["://", "git@", "github.com/", ".git"];

/// The images that a build started from or read, by reference, each with the digest that BuildKit
/// found. Gives what it looked up that cannot be compared with this machine, where there is any.
pub(crate) fn images(trace: &Trace, targets: &[String]) -> Result<BTreeMap<String, String>, String> {
    let (mut wanted, mut found) = (Vec::new(), BTreeMap::new());
    for state in trace.vertices.values() {
        let name = plain(&state.name, targets);
        let rest = name.split_once("] ").map_or(name.as_str(), |(_, rest)| rest);
        if let Some((reference, digest)) =
            rest.strip_prefix("FROM ").and_then(|image| image.split_once("@sha256:"))
        {
            found.insert(reference.to_owned(), format!("sha256:{digest}"));
            continue;
        }
        if let Some(reference) = rest.strip_prefix(LOOKUP) {
            wanted.push(reference.to_owned());
            continue;
        }
        let is_known = match step_name(&state.name, targets) {
            Some(step) => !is_fetched(&step.instruction),
            None => {
                let is_contexts = name.starts_with("[context ");
                KNOWN.iter().any(|known| name.starts_with(known))
                    || is_contexts && ["load .dockerignore", "load from client"].contains(&rest)
            }
        };
        if !is_known {
            return Err(name);
        }
    }
    // An image that another build reads at the same time may come under that build's name for it.
    found.retain(|reference, _| wanted.contains(reference));
    match wanted.iter().find(|reference| !found.contains_key(*reference)) {
        Some(unknown) => Err(format!("{LOOKUP}{unknown}")),
        None => Ok(found),
    }
}

/// A vertex's name without the target's: `[app internal] load` is `[internal] load`, `[app]
/// exporting` is `exporting`.
fn plain(name: &str, targets: &[String]) -> String {
    let inside = name.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let Some((inside, rest)) = inside else { return name.to_owned() };
    let (first, others) = inside.split_once(' ').unwrap_or((inside, ""));
    match targets.iter().any(|target| target == first) {
        true if others.is_empty() => rest.trim_start().to_owned(),
        true => format!("[{others}]{rest}"),
        false => name.to_owned(),
    }
}

/// Returns whether a step gets something from an address.
fn is_fetched(instruction: &str) -> bool {
    let instruction = instruction.strip_prefix("ONBUILD ").unwrap_or(instruction);
    instruction.starts_with("ADD ") && ADDRESSES.iter().any(|part| instruction.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looked_up(names: &[&str], targets: &[&str]) -> Result<Vec<String>, String> {
        let targets: Vec<String> = targets.iter().map(ToString::to_string).collect();
        let mut trace = Trace::new(&targets);
        let vertexes: Vec<_> = (0..)
            .zip(names)
            .map(|(at, name)| serde_json::json!({"digest": format!("{at}"), "name": name}))
            .collect();
        let chunk = serde_json::json!({ "vertexes": vertexes });
        trace.apply(&serde_json::from_value(chunk).expect("well formed"));
        images(&trace, &targets)
            .map(|found| found.into_iter().map(|(name, digest)| format!("{name} {digest}")).collect())
    }

    /// Names that Docker 26.1.5 and 28.5.2 gave.
    #[test]
    fn images_of_this_machine_are_found_by_what_buildkit_says() {
        let several = [
            "[internal] load local bake definitions",
            "[app internal] load build definition from Dockerfile",
            "[other internal] load metadata for docker.io/own/base:1",
            "[app internal] load metadata for docker.io/own/base:1",
            "[app context extra] load .dockerignore",
            "[app context extra] load from client",
            "[app internal] load .dockerignore",
            "[app three 3/5] ADD --link f /g",
            "[app three 3/5] LINK ADD --link f /g",
            "[app internal] preparing inline document",
            "[app internal] load build context",
            "[app one 1/4] FROM docker.io/own/base:1@sha256:5fd0",
            "[other] FROM docker.io/own/base:1@sha256:5fd0",
            "[app] exporting to image",
            "[app] resolving provenance for metadata file",
            "importing cache manifest from local:12345",
        ];
        let found = Ok(vec!["docker.io/own/base:1 sha256:5fd0".to_owned()]);
        assert_eq!(looked_up(&several, &["app", "other"]), found);
        let one = [
            "[internal] load build definition from Dockerfile",
            "[internal] load metadata for docker.io/own/base:1",
            "[1/2] FROM docker.io/own/base:1@sha256:5fd0",
            "[2/2] RUN true",
            "exporting to image",
        ];
        assert_eq!(looked_up(&one, &["app"]), found);
        assert_eq!(looked_up(&[], &["app"]), Ok(vec![]));
        let shared = [&one[..], &["[1/2] FROM docker.io/other/base:2@sha256:5fd0"]].concat();
        assert_eq!(looked_up(&shared, &["app"]), found, "another build's name for it");
    }

    #[test]
    fn a_look_elsewhere_is_reported() {
        for name in [
            "[auth] library/debian:pull token for registry-1.docker.io",
            "resolve image config for docker-image://docker.io/docker/dockerfile:1",
            "docker-image://docker.io/docker/dockerfile:1@sha256:0",
            "[2/3] ADD https://x.example/y /y",
            "[2/3] ONBUILD ADD https://x.example/y /y",
            "[2/3] ADD git@x.example:y.git /y",
            "https://x.example/y",
            "[internal] load remote build context",
            "[internal] load git source https://x.example/y.git",
            "[context base] own/base:1",
            "[context base] load metadata for own/base:1",
            "importing cache manifest from r.example/cache",
            "[app] unheard of",
        ] {
            assert!(looked_up(&[name], &["app"]).is_err(), "{name}");
        }
    }
}
