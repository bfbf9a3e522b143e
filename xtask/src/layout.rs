//! Every path, derived from the workspace's root and the cache directory. No other module joins
//! directory names.

use std::path::{Path, PathBuf};

use anyhow::Result;
use sha2::{Digest, Sha256};

use crate::error::usage;
use crate::host::Host;

/// Files that bake reads by default, in its order: later ones override earlier ones.
const DECLARATIONS: [&str; 8] = [
    "compose.yaml",
    "compose.yml",
    "docker-compose.yml",
    "docker-compose.yaml",
    "docker-bake.json",
    "docker-bake.hcl",
    "docker-bake.override.json",
    "docker-bake.override.hcl",
];

/// Names that only the root of a workspace has.
const ROOT_MARKS: [&str; 2] = [".git", "Cargo.lock"];

/// The paths of a run.
#[derive(Debug, Clone)]
pub struct Layout {
    /// The workspace's root.
    pub root: PathBuf,
    /// The store: `--cache-dir`, `$DURANGO_CACHE_DIR`, `$XDG_CACHE_HOME/durango-builder` or
    /// `~/.cache/durango-builder`.
    pub store: PathBuf,
    /// The directory of a run in place of the store, if that is not writable.
    pub replacement: Option<PathBuf>,
}

impl Layout {
    /// Finds the workspace and the store. The workspace is the nearest directory at or above the
    /// current one that has the FrankenPHP images, else a declaration, else the marks of a root. In
    /// no workspace, it is the one where this crate was compiled.
    ///
    /// # Errors
    ///
    /// Fails where nothing names the store and the user has no home directory.
    pub fn find(host: &Host, cache_dir: Option<&str>) -> Result<Self> {
        let above = |is_root: fn(&Path) -> bool| host.cwd.ancestors().find(|dir| is_root(dir));
        let root = above(has_images).or_else(|| above(has_declaration)).or_else(|| above(has_mark));
        let compiled = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
        let store = cache_dir
            .or(host.var("DURANGO_CACHE_DIR"))
            .map(|dir| host.absolute(dir))
            .or_else(|| Some(host.absolute(host.var("XDG_CACHE_HOME")?).join("durango-builder")))
            .or_else(|| Some(host.home()?.join(".cache/durango-builder")));
        let store = store.ok_or_else(|| {
            usage("failed to find a directory for the store: HOME is not set\nset DURANGO_CACHE_DIR, or HOME")
        })?;
        // BuildKit's options would end at a line break.
        if store.to_string_lossy().contains(char::is_control) {
            let shown = store.to_string_lossy().escape_default().to_string();
            return Err(usage(format!(
                "the path of the store has control characters: `{shown}`\nname another directory with \
                 --cache-dir"
            )));
        }
        Ok(Self::new(root.unwrap_or(compiled), store))
    }

    /// Creates the layout of a workspace and a writable store.
    pub fn new(root: impl Into<PathBuf>, store: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), store: store.into(), replacement: None }
    }

    /// Returns the directory for a run's own files: the store or its replacement.
    fn own(&self) -> &Path {
        self.replacement.as_ref().unwrap_or(&self.store)
    }

    /// Returns whether the workspace has the FrankenPHP images.
    pub(crate) fn has_images(&self) -> bool {
        has_images(&self.root)
    }

    /// Checks that the workspace has the FrankenPHP images, for commands about them.
    pub(crate) fn require_images(&self) -> Result<()> {
        if self.has_images() {
            return Ok(());
        }
        Err(usage(format!(
            "failed to find the FrankenPHP images: there is no `{}`\n\
             `cargo xtask build TARGET` builds the targets of this workspace",
            self.compose().display()
        )))
    }

    /// Returns the default files of the declaration: that of the images, else the ones that bake
    /// reads, which its variable may name.
    pub(crate) fn declaration(&self, host: &Host) -> Result<Vec<PathBuf>> {
        if self.has_images() {
            return Ok(vec![self.compose()]);
        }
        let named = named_declarations(host);
        if !named.is_empty() {
            return Ok(named);
        }
        let files: Vec<PathBuf> = declarations(&self.root).collect();
        if files.is_empty() {
            return Err(usage(format!(
                "failed to find a Compose or bake file in `{}`\nname one with --file",
                self.root.display()
            )));
        }
        Ok(files)
    }

    /// Returns the declaration of both images.
    pub fn compose(&self) -> PathBuf {
        self.root.join("builder/compose.yaml")
    }

    /// Returns the directories that the images are built from.
    pub fn image_rooms() -> [&'static str; 2] {
        ["builder", "docker"]
    }

    /// Returns the file of the pinned versions.
    pub fn pins(&self) -> PathBuf {
        self.root.join("builder/pins.env")
    }

    /// Returns our own Go module, which pins FrankenPHP and Caddy.
    pub fn go_mod(&self) -> PathBuf {
        self.root.join("builder/frankenphp/go.mod")
    }

    /// Returns the directory of programs for tests, unpacked from packages.
    pub fn test_tools(&self) -> PathBuf {
        self.root.join("target/test-tools")
    }

    /// Returns the file with the format number of the store.
    pub fn version_file(&self) -> PathBuf {
        self.store.join("VERSION")
    }

    /// Returns the store's lock file.
    pub fn lock_file(&self) -> PathBuf {
        self.store.join("lock")
    }

    /// The file that is locked while a save reserves space.
    pub fn reservations_lock(&self) -> PathBuf {
        self.store.join("reservations")
    }

    /// Returns the results of one image, a directory per key; `/` and `:` in its name become `_`.
    pub fn layers(&self, image: &str) -> PathBuf {
        self.store.join("layers").join(plain(image))
    }

    /// Returns the records of steps that were run again, one file per image.
    pub fn all_fresh(&self) -> PathBuf {
        self.store.join("fresh")
    }

    /// Returns the record of one image's steps that were run again.
    pub fn fresh(&self, image: &str) -> PathBuf {
        self.all_fresh().join(format!("{}.json", plain(image)))
    }

    /// Returns all results, one directory per image.
    pub fn all_layers(&self) -> PathBuf {
        self.store.join("layers")
    }

    /// Returns the results of one key, a numbered directory each: an OCI layout and `entry.json`.
    pub fn results(&self, image: &str, key: &str) -> PathBuf {
        self.layers(image).join(key)
    }

    /// Returns the saved cache mounts, one directory per mount.
    pub fn all_mounts(&self) -> PathBuf {
        self.store.join("mounts")
    }

    /// Returns the persistent builders of `builder up`, one directory each, with the default one.
    pub fn builders(&self) -> PathBuf {
        self.store.join("builders")
    }

    /// Returns the settings of a builder as JSON.
    pub fn builder_spec(&self, name: &str) -> PathBuf {
        self.builders().join(name).join("builder.json")
    }

    /// Returns the configuration of a builder's BuildKit.
    pub fn builder_config(&self, name: &str) -> PathBuf {
        self.builders().join(name).join("buildkitd.toml")
    }

    /// Returns the file with the name of the default builder.
    pub fn chosen_builder(&self) -> PathBuf {
        self.builders().join("chosen.txt")
    }

    /// Base images laid out for builders that do not see the daemon's images.
    pub fn bases(&self) -> PathBuf {
        self.own().join("bases")
    }

    /// The layout of one base image, by its id.
    pub fn base(&self, id: &str) -> PathBuf {
        self.bases().join(plain(id))
    }

    /// Returns the quarantine: damaged entries, one directory each with the reason next to it.
    pub fn quarantine(&self) -> PathBuf {
        self.store.join("quarantine")
    }

    /// Returns the directory of recorded builds.
    pub fn builds(&self) -> PathBuf {
        self.own().join("builds")
    }

    /// Returns the plan, log and outcome of one build.
    pub fn build(&self, id: &str) -> PathBuf {
        self.builds().join(id)
    }

    /// Returns the scratch directory on the store's own file system, so that a rename can move out
    /// of it.
    pub fn tmp(&self) -> PathBuf {
        self.own().join("tmp")
    }

    /// Returns a cached answer of the engine, valid as long as the files that it depends on.
    pub fn memo(&self, name: &str) -> PathBuf {
        self.tmp().join("facts").join(name)
    }
}

fn has_images(dir: &Path) -> bool {
    let files = ["builder/compose.yaml", "builder/base-build.Dockerfile"];
    files.iter().all(|file| dir.join(file).is_file())
}

fn declarations(dir: &Path) -> impl Iterator<Item = PathBuf> {
    DECLARATIONS.map(|name| dir.join(name)).into_iter().filter(|file| file.is_file())
}

/// Returns the files that bake's variable names, relative to the current directory.
fn named_declarations(host: &Host) -> Vec<PathBuf> {
    let separator = host.var("BUILDX_BAKE_PATH_SEPARATOR").unwrap_or(":");
    let names = host.var("BUILDX_BAKE_FILE").unwrap_or_default().split(separator);
    let names = names.map(str::trim).filter(|name| !name.is_empty());
    names.map(|name| host.absolute(name.strip_prefix("cwd://").unwrap_or(name))).collect()
}

fn has_declaration(dir: &Path) -> bool {
    declarations(dir).next().is_some()
}

fn has_mark(dir: &Path) -> bool {
    ROOT_MARKS.iter().any(|name| dir.join(name).exists())
}

/// The maximum length in bytes of a file name made from an image's name: file systems allow 255.
const LONGEST_NAME: usize = 150;

/// Returns an image's name as a file name. One that is too long ends in its digest.
fn plain(image: &str) -> String {
    let plain = image.replace(['/', ':', '@'], "_");
    if plain.len() <= LONGEST_NAME {
        return plain;
    }
    let start: String = plain.chars().take_while(char::is_ascii).take(LONGEST_NAME - 20).collect();
    format!("{start}-{}", &format!("{:x}", Sha256::digest(image))[..16])
}

#[cfg(test)]
#[path = "layout_tests.rs"]
mod tests;
