//! How buildx is told of a transfer: by bake, which has the declaration's targets to inherit from,
//! or by a plain build, which every buildx can allow the loopback interface.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::dockerfile;
use super::transfer::Transfer;
use super::{Direction, Owner, TransferTemplate};
use crate::step::Command;

/// Where buildx finds what RUNs need to reach xtask.
const SECRET: &str = "DURANGO_LOOPBACK";

/// The mounts that one build reaches.
pub(super) struct Target<'a> {
    /// Its name, and its Dockerfile's.
    pub(super) name: String,
    /// Whose stages come first.
    pub(super) owner: Option<(&'a str, &'a Owner)>,
    /// BUILDKIT_CACHE_MOUNT_NS.
    pub(super) namespace: &'a str,
    /// What is built.
    pub(super) stage: String,
}

impl Target<'_> {
    fn args(&self) -> BTreeMap<&str, &str> {
        let namespace = Some(self.namespace).filter(|namespace| !namespace.is_empty());
        namespace.map(|namespace| ("BUILDKIT_CACHE_MOUNT_NS", namespace)).into_iter().collect()
    }
}

impl TransferTemplate {
    /// One call of bake for all of them.
    pub(super) fn bake(&self, transfer: &mut Transfer, targets: &[Target<'_>]) -> Command {
        let file = transfer.dir.join("bake.json");
        let mut command = self.bake.clone().args(["-f", &text(&file)]);
        let mut all = Map::new();
        for target in targets {
            all.insert(target.name.clone(), self.bake_target(transfer, target));
            let sets = target.owner.iter().flat_map(|(_, owner)| &owner.sets);
            let set = |(key, value): &(String, String)| format!("{}.{key}={value}", target.name);
            command = command.args(sets.flat_map(|pair| ["--set".to_owned(), set(pair)]));
        }
        transfer.files.push((file, format!("{:#}\n", json!({ "target": all }))));
        command.args(transfer.targets.iter().cloned())
    }

    /// All by itself, or as the owner's target has it.
    fn bake_target(&self, transfer: &Transfer, target: &Target<'_>) -> Value {
        let output = match transfer.way {
            Direction::Save => format!("type=local,dest={}", transfer.out().display()),
            Direction::Restore | Direction::Fill => "type=cacheonly".to_owned(),
        };
        let mut document = json!({
            "dockerfile": transfer.dockerfile(&target.name), "target": target.stage, "contexts": self.contexts(transfer),
            "args": target.args(), "output": [output], "tags": [], "cache-to": [],
        });
        match target.owner {
            Some((owner, _)) => document["inherits"] = json!([owner]),
            None => {
                document["context"] = text(&transfer.empty()).into();
            }
        }
        document
    }

    /// A plain build, whose RUNs leave nothing for BuildKit to carry.
    pub(super) fn build(&self, transfer: &Transfer, target: &Target<'_>) -> Command {
        let mut command = Command::new(["docker", "buildx", "--builder", &self.builder, "build"])
            .args(["--progress", "rawjson", "--provenance=false", "--allow", "network.host"])
            .args(["--output", "type=cacheonly", "--target", &target.stage])
            .args(["--file", &text(&transfer.dockerfile(&target.name))]);
        for (name, at) in self.contexts(transfer) {
            command = command.args(["--build-context", &format!("{name}={at}")]);
        }
        for (name, value) in target.args() {
            command = command.args(["--build-arg", &format!("{name}={value}")]);
        }
        command.env.clone_from(&self.bake.env);
        if let Some(at) = &transfer.loopback {
            // Neither in a file nor in the arguments: other users of this machine see both.
            let secret = format!("id={},env={SECRET}", dockerfile::LOOPBACK);
            command = command.args(["--secret".to_owned(), secret]);
            command.secret_env.insert(SECRET.into(), format!("{} {} {}\n", at.port, at.token, at.answer));
        }
        command.args([text(&transfer.empty())])
    }

    fn contexts(&self, transfer: &Transfer) -> BTreeMap<String, String> {
        let own = (format!("durango-in-{}", transfer.nonce), text(&transfer.dir.join("in")));
        let tools = self.tools.1.as_ref().map(|context| (self.tools.0.clone(), context.clone()));
        std::iter::once(own).chain(tools).collect()
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
