//! The cache mounts of a build: which of them the store holds, and the call that takes some out or
//! puts some back. Which ones is known when steps run; what is done with each is planned here.

pub(crate) mod dockerfile;
pub(crate) mod oci;
pub(crate) mod plan;
pub(crate) mod transfer;
mod transfer_call;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::Serialize;

use self::transfer::{Loopback, Part, Transfer};
use self::transfer_call::Target;
use crate::engine::disk_usage::Record;
use crate::project::dockerfile::mounts::Use;
use crate::project::mount::{MountIdentity, Sharing};
use crate::step::Command;
use crate::store::mount::MountEntry;

/// A cache mount of the build that may travel.
#[derive(Debug, Clone, Serialize)]
pub struct PlannedMount {
    /// Its folder in the store.
    pub dir: PathBuf,
    /// What it is.
    pub identity: MountIdentity,
    /// Its declared sharing, which every access repeats.
    pub sharing: Sharing,
    /// Where it is mounted.
    pub target: String,
    /// Whether it may leave this machine.
    pub is_shared: bool,
    /// What the store holds of it for the builder's platform.
    pub held: Option<MountEntry>,
    /// The steps that use it.
    #[serde(skip)]
    pub uses: Vec<Use>,
}

/// What every transfer of a build needs.
#[derive(Debug, Clone, Default)]
pub struct TransferTemplate {
    /// A call of bake without targets, with the declaration's files and nothing set.
    pub bake: Command,
    /// The builder.
    pub builder: String,
    /// Whether its RUNs may reach this machine's loopback interface.
    pub loopback: bool,
    /// The image whose tools pack and unpack, and the context that stands in for it where the
    /// builder does not see it.
    pub tools: (String, Option<String>),
    /// Owners of `from=` mounts: their Dockerfile and what else their build is told.
    pub owners: BTreeMap<String, Owner>,
    /// A folder of this build's own on the store's file system.
    pub scratch: PathBuf,
}

/// The owner of a `from=` mount, whose stages are needed to reach it.
#[derive(Debug, Clone, Default)]
pub struct Owner {
    /// Text of its Dockerfile.
    pub dockerfile: String,
    /// Text of the `.dockerignore` that goes with that very file.
    pub dockerignore: Option<String>,
    /// `--set`s of its build as (KEY, VALUE).
    pub sets: Vec<(String, String)>,
}

/// Which way.
#[derive(Debug, Clone, Copy, Serialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// From the builder to the store.
    Save,
    /// From the store to the builder.
    Restore,
    /// The same, where the mount is empty.
    Fill,
}

impl Direction {
    /// Whether it leads into the builder.
    pub fn is_in(self) -> bool {
        self != Self::Save
    }
}

/// How much garbage buildx may gather while it carries packs: by Go's own measure it spends a good
/// part of its time on counting it, and it stayed below 160 MB so (seen in three runs).
const GARBAGE: &str = "400";

/// A chain of packs this long is packed anew.
const MOST_PACKS: usize = 8;

impl PlannedMount {
    /// What a new pack adds to; nothing where the whole mount is packed anew: the packs are many,
    /// or the later ones as large as the first, so that about half of what is stored is out of
    /// date.
    pub fn previous(&self) -> Option<&MountEntry> {
        self.held.as_ref().filter(|held| {
            let sizes: Vec<u64> = held.packs.iter().map(|pack| pack.size).collect();
            let later: u64 = sizes.iter().skip(1).sum();
            sizes.len() < MOST_PACKS && later <= sizes.first().copied().unwrap_or(0).max(1 << 20)
        })
    }

    /// Whether its options can be written down again: BuildKit's syntax has no way for every
    /// character.
    pub fn is_writable(&self) -> bool {
        let odd = |text: &str| text.chars().any(|c| c.is_whitespace() || ",\"'$\\".contains(c));
        let identity = &self.identity;
        let optional = identity.from.iter().chain(&identity.source);
        !odd(&identity.id) && !odd(&self.target) && !optional.map(String::as_str).any(odd)
    }

    /// Whether BuildKit tells it from others by more than its id.
    fn has_options(&self) -> bool {
        let identity = &self.identity;
        identity.from.is_some() || identity.uid.is_some() || identity.gid.is_some() || identity.mode.is_some()
    }

    /// Whether a record of the builder may be this mount. Which options a mount has, a record does
    /// not tell.
    pub fn may_be(&self, record: &Record) -> bool {
        record.mount_id() == Some(&self.builder_id()) && record.has_parent == self.has_options()
    }

    /// Whether no record tells them apart.
    pub fn is_like(&self, other: &Self) -> bool {
        self.builder_id() == other.builder_id() && self.has_options() == other.has_options()
    }

    /// BuildKit's own key of it: namespace and id.
    pub fn builder_id(&self) -> String {
        format!("{}/{}", self.identity.namespace, self.identity.id)
    }
}

impl TransferTemplate {
    /// The call that moves these mounts but for those in `left`, which keep their numbers: what a
    /// call before did is cached then. Mounts that only another build's stages reach go by BuildKit
    /// alone: a network for all of them would make those stages run again.
    pub fn transfer(
        &self,
        (way, part): (Direction, Part),
        mounts: &[PlannedMount],
        left: &BTreeSet<usize>,
        nonce: &str,
        loopback: Option<&Loopback>,
    ) -> Transfer {
        let mut groups: BTreeMap<(Option<&str>, &str), Vec<usize>> = BTreeMap::new();
        for (number, mount) in mounts.iter().enumerate().filter(|(number, _)| !left.contains(number)) {
            let owner = mount.identity.from.as_deref().and_then(|from| Some(from.split_once('/')?.0));
            groups.entry((owner, &mount.identity.namespace)).or_default().push(number);
        }
        let is_plain = groups.len() == 1 && groups.keys().all(|(owner, _)| owner.is_none());
        let loopback = loopback.filter(|_| is_plain);
        let dir = self.scratch.join(format!("mounts-{nonce}"));
        let mut transfer = Transfer {
            way,
            part: if loopback.is_some() { Part::Whole } else { part },
            items: mounts.to_vec(),
            files: dockerfile::scripts(&dir.join("in")),
            targets: Vec::new(),
            command: Command::default(),
            nonce: nonce.to_owned(),
            dir,
            loopback: loopback.cloned(),
        };
        let groups = groups.into_iter().enumerate();
        let targets: Vec<Target<'_>> = groups
            .map(|(index, ((owner, namespace), numbers))| {
                let name = format!("durango-mounts-{index}");
                let owner = owner.and_then(|name| Some((name, self.owners.get(name)?)));
                transfer.files.extend(self.dockerfiles(&transfer, &name, owner, &numbers));
                Target { name, owner, namespace, stage: dockerfile::result(&numbers) }
            })
            .collect();
        transfer.targets = targets.iter().map(|target| target.name.clone()).collect();
        let command = match &targets[..] {
            [target] if transfer.loopback.is_some() => self.build(&transfer, target),
            _ => self.bake(&mut transfer, &targets),
        };
        transfer.command = command.env("GOGC", GARBAGE).env("BUILDX_GIT_INFO", "false");
        transfer
    }

    fn dockerfiles(
        &self,
        transfer: &Transfer,
        name: &str,
        owner: Option<(&str, &Owner)>,
        numbers: &[usize],
    ) -> Vec<(PathBuf, String)> {
        let path = transfer.dockerfile(name);
        let mut text = owner.map_or_else(String::new, |(_, owner)| format!("{}\n", owner.dockerfile));
        text.push_str(&dockerfile::stages(transfer, &self.tools.0, numbers));
        let ignore = owner.and_then(|(_, owner)| owner.dockerignore.clone());
        let ignore = ignore.map(|text| (path.with_extension("Dockerfile.dockerignore"), text));
        std::iter::once((path, text)).chain(ignore).collect()
    }
}

#[cfg(test)]
mod tests;
