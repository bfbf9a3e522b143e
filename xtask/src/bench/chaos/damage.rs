//! Damage to the files of a store: each file in turn is cut, emptied, flipped, removed, replaced by
//! a directory, or made unreadable. A new machine then builds from that store.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use walkdir::WalkDir;

use super::report::Report;
use super::running::Running;
use super::site::{KEPT, Site};
use super::{Amount, Fault, Round};
use crate::bench::random::Random;

/// A kind of damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Damage {
    Cut,
    Emptied,
    Flipped,
    Removed,
    Directory,
    Unreadable,
}

const KINDS: [Damage; 6] =
    [Damage::Cut, Damage::Emptied, Damage::Flipped, Damage::Removed, Damage::Directory, Damage::Unreadable];

/// The fault; the damage that is still to be done.
#[derive(Default)]
pub(super) struct Damages {
    /// The site that the list is of.
    site: PathBuf,
    left: Vec<(usize, Damage)>,
    is_listed: bool,
}

impl Damages {
    /// Builds a store, keeps a copy of it, and lists all damage in random order.
    fn set_up(&mut self, site: &mut Site, random: &mut Random) -> Result<()> {
        let store = site.store();
        site.replace(&store, None)?;
        for _ in 0..2 {
            site.edit("s0", random)?;
            site.build(&store, &["s0", KEPT], &[])?;
        }
        site.replace(&template(site), Some(&store))?;
        self.site = site.path("");
        if self.is_listed {
            return Ok(());
        }
        self.is_listed = true;
        // Names differ from site to site; the position in the sorted list does not.
        for index in 0..files(&store)?.len() {
            self.left.extend(KINDS.map(|kind| (index, kind)));
        }
        for at in (1..self.left.len()).rev() {
            self.left.swap(at, random.below(at + 1));
        }
        Ok(())
    }
}

fn template(site: &Site) -> PathBuf {
    site.path("template")
}

/// The files of a store, relative to it, sorted.
fn files(store: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in WalkDir::new(store).sort_by_file_name() {
        let entry = entry?;
        if entry.file_type().is_file() {
            files.push(entry.path().strip_prefix(store)?.to_path_buf());
        }
    }
    Ok(files)
}

impl Damage {
    /// Damages a file that has no other name.
    fn apply(self, path: &Path, random: &mut Random) -> Result<()> {
        let mut bytes = fs::read(path)?;
        // Other results may have the same blob as a hard link.
        fs::remove_file(path)?;
        match self {
            Self::Cut => bytes.truncate(random.below(bytes.len())),
            Self::Emptied => bytes.clear(),
            Self::Flipped => {
                let at = random.below(bytes.len());
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
            Self::Removed => return Ok(()),
            Self::Directory => return Ok(fs::create_dir(path)?),
            Self::Unreadable => {}
        }
        fs::write(path, &bytes)?;
        let mode = if self == Self::Unreadable { 0 } else { 0o600 };
        Ok(fs::set_permissions(path, fs::Permissions::from_mode(mode))?)
    }

    /// Returns whether the damage is still there.
    fn is_at(self, path: &Path, whole: &[u8]) -> bool {
        let Ok(meta) = fs::metadata(path) else { return self == Self::Removed };
        match self {
            Self::Removed => false,
            Self::Directory => meta.is_dir(),
            Self::Unreadable => meta.permissions().mode() & 0o777 == 0,
            _ => meta.is_file() && fs::read(path).is_ok_and(|bytes| bytes != whole),
        }
    }
}

/// The saved result or cache mount that a file is part of.
fn entry_of(file: &Path) -> Option<PathBuf> {
    let depth = match file.iter().next()?.to_str()? {
        "layers" => 4,
        "mounts" => 2,
        _ => return None,
    };
    Some(file.iter().take(depth).collect())
}

/// Files whose damage changes nothing: a lock, and the time of the last use.
fn is_a_mark(file: &Path) -> bool {
    file.file_name().is_some_and(|name| ["held", "used"].iter().any(|mark| name == *mark))
}

impl Fault for Damages {
    fn name(&self) -> String {
        "damage".to_owned()
    }

    fn amount(&self) -> Amount {
        Amount::All
    }

    fn round(&mut self, site: &mut Site, random: &mut Random) -> Result<Round> {
        if self.site != site.path("") {
            self.set_up(site, random)?;
        }
        let Some((index, damage)) = self.left.pop() else { return Ok(Round::Done) };
        let list = files(&template(site))?;
        let Some(file) = list.get(index) else { return Ok(Round::TooLate) };
        one(site, file, damage, random).with_context(|| format!("{damage:?}: `{}`", file.display()))?;
        Ok(Round::Held)
    }
}

/// One file, damaged in one way.
fn one(site: &Site, file: &Path, damage: Damage, random: &mut Random) -> Result<()> {
    let store = site.store();
    site.replace(&store, Some(&template(site)))?;
    let whole = fs::read(store.join(file))?;
    damage.apply(&store.join(file), random)?;
    site.forget()?;
    // Root can read every file.
    let is_root = rustix::process::geteuid().is_root();
    let run = |args: &[&str]| match damage {
        Damage::Unreadable if is_root => Running::start(site.xtask_as_nobody(&store, args)?)?.wait(),
        _ => Running::start(site.xtask(&store, args)?)?.wait(),
    };
    let report = Report::of(&run(&["build", "--json", "--file", "compose.yaml", "s0", KEPT])?)?;
    ["s0", KEPT].iter().try_for_each(|service| site.check_image(service))?;
    rest_is_used(file, &report)?;
    let was_there = damage.is_at(&store.join(file), &whole);
    let named = report.warnings().join("\n");
    let verified = String::from_utf8_lossy(&run(&["cache", "verify", "--json"])?.stdout).into_owned();
    if is_root {
        site.give_to(0)?;
    }
    if let Some(entry) = entry_of(file).filter(|_| was_there && !is_a_mark(file)) {
        let entry = store.join(entry).display().to_string();
        let is_named = [&named, &verified].iter().any(|text| text.contains(&entry));
        ensure!(is_named, "the damage is not named\nwarnings: {named}\nverify: {verified}");
    }
    for args in [&["history", "--json"][..], &["cache", "ls", "--json"], &["cache", "gc"]] {
        site.run(&store, args)?;
    }
    let again = site.json(&store, &["cache", "verify", "--json"])?;
    ensure!(again["damaged"].as_array().is_some_and(Vec::is_empty), "it does not heal: {again}");
    site.build(&store, &["s0", KEPT], &[])?.quiet().context("the build after it")?;
    Ok(())
}

/// Fails if an image whose entries are whole was built again.
fn rest_is_used(file: &Path, report: &Report) -> Result<()> {
    let is_of = |service: &str| {
        let path = file.to_string_lossy();
        path.starts_with("layers/") && path.contains(&format!("_{service}/"))
    };
    for service in ["s0", KEPT] {
        let ran = report.ran(service);
        if !is_of(service) && !ran.is_empty() {
            bail!("`{service}` was built again although its entries are whole: {}", ran.join("\n"));
        }
    }
    Ok(())
}
