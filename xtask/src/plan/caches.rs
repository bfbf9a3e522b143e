//! The caches of a build: the local store and registries, as `--cache` and `DURANGO_CACHE` name
//! them. The store is always first, because it is the nearest. `none` excludes it.

use anyhow::Result;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::error::usage;
use crate::project::image_reference;
use crate::store::key::Key;

/// The caches that a build reads and writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caches {
    /// Whether the store is used.
    pub local: bool,
    /// Registries in their order of precedence.
    pub registries: Vec<Registry>,
}

/// A repository in a registry with layers and cache mounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Registry {
    /// Its name without a tag, such as `registry.example/team/cache`.
    pub reference: String,
    /// Whether it is never written.
    pub read_only: bool,
    /// The layers that are pushed.
    pub mode: Mode,
    /// Whether cache mounts are pushed and pulled, in addition to layers.
    pub has_mounts: bool,
}

/// The layers of an export, as in BuildKit's `mode=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The layers of every stage.
    Max,
    /// The layers of the result.
    Min,
}

impl Default for Caches {
    fn default() -> Self {
        Self { local: true, registries: Vec::new() }
    }
}

impl Caches {
    /// Parses the options. Without an option uses `variable`, whose caches are separated by spaces.
    pub fn parse(options: &[String], variable: Option<&str>) -> Result<Self> {
        let (name, specs): (_, Vec<&str>) = if options.is_empty() {
            ("DURANGO_CACHE=", variable.unwrap_or_default().split_whitespace().collect())
        } else {
            ("--cache ", options.iter().map(|option| option.trim()).collect())
        };
        let mut caches = Self::default();
        for spec in specs {
            if let Some(rest) = after_login(spec) {
                let why = "has a login\nrun `docker login` for it, and name the registry without it";
                return Err(usage(format!("`{name}registry=...@{rest}` {why}")));
            }
            caches.add(spec, &|why| usage(format!("`{name}{spec}` {why}")))?;
        }
        Ok(caches)
    }

    fn add(&mut self, spec: &str, wrong: &dyn Fn(String) -> anyhow::Error) -> Result<()> {
        match spec.split_once('=') {
            None if spec == "local" => self.local = true,
            None if spec == "none" => self.local = false,
            Some(("registry", rest)) => {
                let registry = registry(rest).map_err(wrong)?;
                if self.registries.iter().any(|known| known.reference == registry.reference) {
                    return Err(wrong("is a duplicate\ngive it once".into()));
                }
                self.registries.push(registry);
            }
            _ => {
                return Err(wrong(
                    "is not a kind of cache\nuse local, none or registry=REF[,ro][,layers][,mode=max|min]"
                        .into(),
                ));
            }
        }
        Ok(())
    }
}

/// Returns the rest of a cache that begins with a login, as `USER:PASSWORD@registry.example/cache`.
/// The login is not shown.
fn after_login(spec: &str) -> Option<&str> {
    let (_, rest) = spec.strip_prefix("registry=")?.split_once('@')?;
    rest.contains('/').then_some(rest)
}

/// Parses `REF[,ro][,layers][,mode=max|min]`. The error describes the fault.
fn registry(text: &str) -> Result<Registry, String> {
    let mut parts = text.split(',');
    let reference = parts.next().unwrap_or_default().trim_end_matches('/').to_owned();
    check(&reference)?;
    let mut registry = Registry { reference, read_only: false, mode: Mode::Max, has_mounts: true };
    for part in parts {
        match part {
            "ro" => registry.read_only = true,
            "layers" => registry.has_mounts = false,
            "mode=max" => registry.mode = Mode::Max,
            "mode=min" => registry.mode = Mode::Min,
            _ => {
                return Err(format!("has the unknown part `{part}`\nuse ro, layers, mode=max or mode=min"));
            }
        }
    }
    Ok(registry)
}

/// Checks a repository's name, which has no tag and digest.
fn check(reference: &str) -> Result<(), String> {
    let example = "for example: registry=registry.example/team/cache";
    let Some((_, path)) = reference.split_once('/') else {
        return Err(format!("names no registry\n{example}"));
    };
    if path.contains(['@', ':']) {
        return Err(format!("has a tag or a digest, but xtask chooses the tag of each image\n{example}"));
    }
    image_reference::check(reference).map_err(|fault| format!("{fault}\n{example}"))
}

impl Registry {
    /// Returns the reference of the layers of exactly this Dockerfile.
    pub fn exact(&self, image: &str, key: &Key) -> String {
        self.tag(&[&plain(image, 80), key.short()])
    }

    /// Returns the reference of the last pushed layers of this image and platform, with any key.
    pub fn newest(&self, image: &str, platform: &str) -> String {
        self.tag(&[&plain(image, 80), &plain(platform, 40)])
    }

    /// Returns the reference of a cache mount. `slug` is
    /// [`crate::project::mount::MountIdentity::slug`].
    pub fn mount(&self, slug: &str, platform: &str) -> String {
        self.tag(&["mounts", &plain(slug, 64), &plain(platform, 40)])
    }

    fn tag(&self, parts: &[&str]) -> String {
        format!("{}:{}", self.reference, parts.join("-"))
    }

    /// Returns the value of `cache-to` for one of its tags. Most registries accept an image
    /// manifest; some refuse an index of layers.
    pub fn cache_to(&self, reference: &str) -> String {
        let mode = match self.mode {
            Mode::Max => "max",
            Mode::Min => "min",
        };
        format!(
            "type=registry,ref={reference},mode={mode},compression=zstd,oci-mediatypes=true,image-manifest=true"
        )
    }
}

/// Returns a text in the form of a tag: 128 letters, digits, `_`, `.` and `-`, not starting with
/// `.` or `-`. A text that is too long ends in its digest.
fn plain(text: &str, width: usize) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || "_.-".contains(c) { c } else { '_' };
    let plain: String = text.chars().map(allowed).collect();
    let plain = plain.trim_start_matches(['.', '-']);
    if plain.len() <= width {
        return plain.to_owned();
    }
    let digest = format!("{:x}", Sha256::digest(text));
    format!("{}-{}", &plain[..width - 9], &digest[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(options: &[&str], variable: Option<&str>) -> Result<Caches> {
        Caches::parse(&options.iter().map(ToString::to_string).collect::<Vec<_>>(), variable)
    }

    fn names(caches: &Caches) -> Vec<(&str, bool)> {
        caches.registries.iter().map(|registry| (registry.reference.as_str(), registry.read_only)).collect()
    }

    #[test]
    fn the_store_is_implied_and_options_stand_in_for_the_variable() {
        assert_eq!(parse(&[], None).expect("nothing"), Caches::default());
        let both = parse(&["registry=a.example/x", "registry=b.example:5000/y/z,ro"], Some("none"));
        let both = both.expect("two");
        assert!(both.local, "the variable's `none` is not the option's");
        assert_eq!(names(&both), [("a.example/x", false), ("b.example:5000/y/z", true)]);
        let ci = parse(&[], Some(" none  registry=127.0.0.1:5000/c,mode=min,ro\n")).expect("CI's");
        assert!(!ci.local && ci.registries[0].has_mounts);
        let layers = parse(&["registry=a.example/x,layers"], None).expect("one");
        assert!(!layers.registries[0].has_mounts);
        assert_eq!(ci.registries[0].mode, Mode::Min);
    }

    #[test]
    fn an_invalid_cache_is_reported_with_its_place() {
        for (spec, words) in [
            ("registery=a/b", "is not a kind"),
            ("gha", "is not a kind"),
            ("registry=", "names no registry"),
            ("registry=cache", "names no registry"),
            ("registry=a.example/Upper", "upper case"),
            ("registry=a.example/x y", "is not valid"),
            ("registry=https://a.example/x", "is not valid"),
            ("registry=a.example/x:tag", "tag or a digest"),
            ("registry=a.example/x@sha256:0", "tag or a digest"),
            ("registry=a.example/x,rw", "unknown part `rw`"),
        ] {
            let error = format!("{:#}", parse(&[spec], None).expect_err(spec));
            assert!(error.contains(words) && error.contains(&format!("`--cache {spec}`")), "{error}");
        }
        for spec in ["registry=me:word@a.example/x", "registry=https://me:word@a.example/x,ro"] {
            let error = format!("{:#}", parse(&[spec], None).expect_err(spec));
            assert!(error.contains("registry=...@a.example/x") && error.contains("docker login"), "{error}");
            assert!(!error.contains("word"), "{error}");
        }
        let error = parse(&[], Some("registry=a.example/x registry=a.example/x,ro")).expect_err("twice");
        assert!(error.to_string().contains("DURANGO_CACHE="), "{error}");
    }

    #[test]
    fn tags_are_ones_that_a_registry_takes() {
        let registry = registry("r.example/c").expect("a registry");
        let key = Key::new("i", "p", b"FROM x");
        let long = "registry.example/".to_owned() + &"deep/".repeat(40) + "name:latest";
        let tags = [
            registry.exact("own/base:latest", &key),
            registry.exact(&long, &key),
            registry.newest(&long, &"linux/amd64,".repeat(9)),
            registry.mount(&"m".repeat(200), "linux/arm64"),
        ];
        assert!(tags[0].starts_with("r.example/c:own_base_latest-"), "{}", tags[0]);
        for tag in &tags {
            let tag = tag.strip_prefix("r.example/c:").expect("its repository");
            assert!(tag.len() <= 128 && !tag.contains(['/', ':', ',']), "{tag}");
        }
        assert_ne!(plain(&long, 80), plain(&(long.clone() + "2"), 80));
    }
}
