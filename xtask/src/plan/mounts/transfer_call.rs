//! The buildx calls of a transfer: with bake, which can inherit from the declaration's targets, or
//! with a plain build, for which every buildx can allow the loopback interface.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::dockerfile;
use super::transfer::Transfer;
use super::{Direction, Owner, TransferTemplate};
use crate::plan::bake_args::local_setting;
use crate::step::Command;

/// The variable with the address of xtask.
const SECRET: &str = "DURANGO_LOOPBACK";

/// The mounts that one build reaches.
pub(super) struct Target<'a> {
    /// The name of the target and its Dockerfile.
    pub(super) name: String,
    /// The owner whose stages come first.
    pub(super) owner: Option<(&'a str, &'a Owner)>,
    /// BUILDKIT_CACHE_MOUNT_NS.
    pub(super) namespace: &'a str,
    /// The stage to build.
    pub(super) stage: String,
}

impl Target<'_> {
    fn args(&self) -> BTreeMap<&str, &str> {
        let namespace = Some(self.namespace).filter(|namespace| !namespace.is_empty());
        namespace.map(|namespace| ("BUILDKIT_CACHE_MOUNT_NS", namespace)).into_iter().collect()
    }
}

impl TransferTemplate {
    /// Makes one call of bake for all of them.
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

    /// Returns a target, either independent or based on the owner's target.
    fn bake_target(&self, transfer: &Transfer, target: &Target<'_>) -> Value {
        let output = match transfer.direction {
            Direction::Save => local_setting("dest", &transfer.out()),
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

    /// Makes a plain build, whose RUNs have no output for BuildKit.
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
