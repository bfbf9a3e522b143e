//! The cache mounts of a build: those in the store, and the call that saves or restores some. The
//! mounts are known when steps run; the work for each is planned here.

pub(crate) mod dockerfile;
#[cfg(any(test, fuzzing))]
pub(crate) mod fixtures;
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

/// A cache mount of the build that may be saved.
#[derive(Debug, Clone, Serialize)]
pub struct PlannedMount {
    /// Its directory in the store.
    pub dir: PathBuf,
    /// Its identity in BuildKit.
    pub identity: MountIdentity,
    /// Its declared sharing, which every access repeats.
    pub sharing: Sharing,
    /// Its target.
    pub target: String,
    /// Whether it may leave this machine.
    pub is_shared: bool,
    /// Its entry in the store for the builder's platform.
    pub held: Option<MountEntry>,
    /// The steps that use it.
    #[serde(skip)]
    pub uses: Vec<Use>,
}

/// The common data of a build's transfers.
#[derive(Debug, Clone, Default)]
pub struct TransferTemplate {
    /// A call of bake with the declaration's files, without targets and settings.
    pub bake: Command,
    /// The builder.
    pub builder: String,
    /// Whether its RUNs may use this machine's loopback interface.
    pub loopback: bool,
    /// The image with the tools, and the context that replaces it if the builder doesn't see it.
    pub tools: (String, Option<String>),
    /// Owners of `from=` mounts: their Dockerfile and the settings of their build.
    pub owners: BTreeMap<String, Owner>,
    /// A temporary directory of this build on the store's file system.
    pub scratch: PathBuf,
}

/// The owner of a `from=` mount, whose stages are needed to reach it.
#[derive(Debug, Clone, Default)]
pub struct Owner {
    /// The text of its Dockerfile.
    pub dockerfile: String,
    /// The text of the `.dockerignore` for this Dockerfile.
    pub dockerignore: Option<String>,
    /// The `--set`s of its build as (KEY, VALUE).
    pub sets: Vec<(String, String)>,
}

/// The direction of a transfer.
#[derive(Debug, Clone, Copy, Serialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// From the builder to the store.
    Save,
    /// From the store to the builder.
    Restore,
    /// From the store to the builder, if the mount is empty.
    Fill,
}

impl Direction {
    /// Returns whether it leads to the builder.
    pub fn is_restore(self) -> bool {
        self != Self::Save
    }
}

/// Go's GC setting for buildx during transfers. With Go's default it spends much of its time on
/// garbage collection. With this value it stayed below 160 MB (seen in three runs).
const GARBAGE: &str = "400";

/// A chain of this many packs is replaced by a single one.
const MOST_PACKS: usize = 8;

impl PlannedMount {
    /// Returns the entry that a new pack extends. Returns `None` if the whole mount is packed
    /// again: there are many packs, or the later ones are as large as the first, so about half of
    /// the stored data is outdated.
    pub fn previous(&self) -> Option<&MountEntry> {
        self.held.as_ref().filter(|held| {
            let sizes: Vec<u64> = held.packs.iter().map(|pack| pack.size).collect();
            let later: u64 = sizes.iter().skip(1).sum();
            sizes.len() < MOST_PACKS && later <= sizes.first().copied().unwrap_or(0).max(1 << 20)
        })
    }

    /// Returns whether its options can be written: BuildKit's syntax doesn't support every
    /// character.
    pub fn is_writable(&self) -> bool {
        let odd = |text: &str| text.chars().any(|c| c.is_whitespace() || ",\"'$\\".contains(c));
        let identity = &self.identity;
        let optional = identity.from.iter().chain(&identity.source);
        !odd(&identity.id) && !odd(&self.target) && !optional.map(String::as_str).any(odd)
    }

    /// Returns whether its identity has more than the id.
    fn has_options(&self) -> bool {
        let identity = &self.identity;
        identity.from.is_some() || identity.uid.is_some() || identity.gid.is_some() || identity.mode.is_some()
    }

    /// Returns whether a record of the builder may be this mount. A record doesn't show the options
    /// of a mount.
    pub fn may_be(&self, record: &Record) -> bool {
        record.mount_id() == Some(&self.builder_id()) && record.has_parent == self.has_options()
    }

    /// Returns whether records can't distinguish them.
    pub fn is_like(&self, other: &Self) -> bool {
        self.builder_id() == other.builder_id() && self.has_options() == other.has_options()
    }

    /// Returns BuildKit's own key of it: namespace and id.
    pub fn builder_id(&self) -> String {
        format!("{}/{}", self.identity.namespace, self.identity.id)
    }
}

impl TransferTemplate {
    /// Returns the call that transfers these mounts except those in `left`. They keep their
    /// numbers, so the work of an earlier call is cached. Mounts that need stages of another build
    /// are transferred by BuildKit only: a network for all of them would make those stages run
    /// again.
    pub fn transfer(
        &self,
        (direction, part): (Direction, Part),
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
            direction,
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
