//! The mounts of a RUN as BuildKit compares them: each option in one spelling, defaults left out.

use std::collections::BTreeMap;

use super::scope::clean;
use super::steps::{DockerfileStep, From, Read, Reader, Selector};
use crate::text::size;

/// The argument with the namespace of cache mounts.
const NAMESPACE: &str = "BUILDKIT_CACHE_MOUNT_NS";

/// The other names of options.
const ALIASES: &[(&str, &str)] =
    &[("src", "source"), ("dst", "target"), ("destination", "target"), ("ro", "readonly")];

/// The expanded options of a mount, by name.
struct MountOptions {
    values: BTreeMap<String, String>,
    /// Whether a value is unknown.
    is_open: bool,
}

/// Adds a mount to the step and returns its part of the key. Like BuildKit, ignores the source of a
/// bound path, whose content counts.
pub(super) fn add(
    reader: &Reader<'_>,
    written: &[(String, Option<String>)],
    step: &mut DockerfileStep,
) -> String {
    let options = MountOptions::expand(reader, written);
    let kind = options.get("type").unwrap_or("bind").to_ascii_lowercase();
    let target = options.mounted_at(&kind, reader);
    let source = clean(&format!("/{}", options.get("source").unwrap_or_default()));
    // A cache mount without `from=` starts empty.
    let from = options.get("from").filter(|from| kind != "cache" || *from != "scratch");
    if kind == "bind" || (kind == "cache" && from.is_some()) {
        let from = from.map_or(From::Context, |name| reader.from(name));
        let selector = Selector { path: source.clone(), ..Selector::default() };
        let (selectors, is_open) = (vec![selector], options.is_open);
        step.reads.push(Read { from, selectors, excludes: Vec::new(), is_open });
    }
    let settings = match kind.as_str() {
        "bind" => Vec::from_iter((!options.is_true("readonly", true)).then(|| "rw".to_owned())),
        "cache" => options.of_cache(&source, &target, reader),
        "tmpfs" => options.of_tmpfs(),
        "secret" => options.of_secret(&target),
        _ => options.of_ssh(),
    };
    let path = if kind == "bind" { format!(" of {source}") } else { String::new() };
    let from = match from {
        Some(from) if kind == "bind" || kind == "cache" => format!(" from {from}"),
        None if kind == "bind" => " from the context".to_owned(),
        _ => String::new(),
    };
    let shown = [vec![format!("{kind}{path}{from}")], settings.clone()].concat().join(", ");
    step.parts.insert(format!("mount {kind} {target}"), shown);
    format!("{target} {kind} {}", settings.join(","))
}

impl MountOptions {
    fn expand(reader: &Reader<'_>, written: &[(String, Option<String>)]) -> Self {
        let mut options = Self { values: BTreeMap::new(), is_open: false };
        for (key, value) in written {
            let expanded = reader.expand(value.as_deref().unwrap_or("true"));
            options.is_open |= !expanded.unknown.is_empty();
            let name = ALIASES.iter().find(|(alias, _)| alias == key).map_or(key.as_str(), |(_, name)| name);
            let (name, value) = match name {
                "rw" | "readwrite" => ("readonly", (!is_true(&expanded.text)).to_string()),
                name => (name, expanded.text),
            };
            options.values.insert(name.to_owned(), value);
        }
        options
    }

    /// Returns an option that is not empty.
    fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    fn is_true(&self, name: &str, default: bool) -> bool {
        self.get(name).map_or(default, is_true)
    }

    /// Returns the place of the mount, which for a secret may be a variable alone.
    fn mounted_at(&self, kind: &str, reader: &Reader<'_>) -> String {
        let target = self.get("target").unwrap_or_default();
        match kind {
            "secret" if target.is_empty() && self.get("env").is_none() => {
                format!("/run/secrets/{}", last_part(self.secret_id()))
            }
            "secret" | "ssh" => target.to_owned(),
            _ => reader.scope.directory(target).unwrap_or_else(|| target.to_owned()),
        }
    }

    fn secret_id(&self) -> &str {
        let target = || last_part(self.get("target").unwrap_or_default());
        self.get("source").or(self.get("id")).unwrap_or_else(target)
    }

    /// Returns the settings of a cache mount. BuildKit ignores its id and sharing, unless it is a
    /// shared one with the id that its target gives it (`checkShouldClearCacheOpts`).
    fn of_cache(&self, source: &str, target: &str, reader: &Reader<'_>) -> Vec<String> {
        let mut settings = Vec::from_iter(self.is_true("readonly", false).then(|| "ro".to_owned()));
        if source == "/" && ["uid", "gid", "mode"].iter().any(|name| self.get(name).is_some()) {
            // Even the default ones are those of a directory that is made for it.
            settings
                .push(Some(self.owner(0o755)).filter(|own| !own.is_empty()).unwrap_or("mode=0755".into()));
        }
        let namespace = reader.inputs.args.get(NAMESPACE).map_or("", String::as_str);
        let own = self.get("id").map_or_else(|| clean(self.get("target").unwrap_or_default()), str::to_owned);
        let id = format!("{namespace}/{own}");
        let is_shared = self.get("sharing").is_none_or(|sharing| sharing.eq_ignore_ascii_case("shared"));
        let is_default = id == target || id.split_once('/').is_some_and(|(_, id)| id == target);
        if is_shared && is_default {
            let of = if namespace.is_empty() { String::new() } else { format!(" in {namespace}") };
            // `id=c` at `/c` counts as a default one, and is another than none at `/c`.
            settings.push(if id == target { format!("id={own}") } else { format!("default id{of}") });
        }
        settings
    }

    fn of_tmpfs(&self) -> Vec<String> {
        let bytes = self.get("size").and_then(size::parse_memory);
        let size = bytes.map(|bytes| format!("size={}", size::binary(bytes)));
        size.into_iter().chain(self.is_true("readonly", false).then(|| "ro".to_owned())).collect()
    }

    fn of_secret(&self, target: &str) -> Vec<String> {
        let env = self.get("env").map(|name| format!("env={name}"));
        let owner = Some(self.owner(0o400)).filter(|owner| !target.is_empty() && !owner.is_empty());
        let id = Some(format!("id={}", self.secret_id()));
        env.into_iter().chain(owner).chain(id).chain(self.required()).collect()
    }

    fn of_ssh(&self) -> Vec<String> {
        let owner = Some(self.owner(0o600)).filter(|owner| !owner.is_empty());
        let id = self.get("id").map(|id| format!("id={id}"));
        owner.into_iter().chain(id).chain(self.required()).collect()
    }

    fn required(&self) -> Option<String> {
        self.is_true("required", false).then(|| "required".to_owned())
    }

    /// Returns owner, group and mode of a file that are not the default.
    fn owner(&self, mode: u32) -> String {
        let number = |name: &str, radix: u32, default: u32| {
            self.get(name).and_then(|text| u32::from_str_radix(text, radix).ok()).unwrap_or(default)
        };
        let found = [("uid", number("uid", 10, 0)), ("gid", number("gid", 10, 0))];
        let found = found.into_iter().filter(|(_, id)| *id != 0).map(|(name, id)| format!("{name}={id}"));
        let own = Some(number("mode", 8, mode)).filter(|own| *own != mode);
        found.chain(own.map(|own| format!("mode=0{own:o}"))).collect::<Vec<_>>().join(", ")
    }
}

/// Returns whether a value means yes, as Go's `strconv.ParseBool` reads it.
pub(in crate::project) fn is_true(value: &str) -> bool {
    ["1", "t", "T", "TRUE", "true", "True"].contains(&value)
}

/// Returns the last part of a path.
fn last_part(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use crate::project::dockerfile::{Dockerfile, Inputs};

    /// Returns the key of a RUN with these mounts.
    fn key(mounts: &str, namespace: &str) -> Vec<String> {
        let file = format!("FROM scratch\nWORKDIR /w\nRUN {mounts} x\n");
        let args = [("BUILDKIT_CACHE_MOUNT_NS".to_owned(), namespace.to_owned())].into();
        let inputs = Inputs { args, ..Inputs::default() };
        Dockerfile::parse(file.as_bytes()).steps(0, &inputs).pop().expect("a step").operation
    }

    #[test]
    fn options_count_as_buildkit_compares_them() {
        for (one, other, is_same) in [
            // A secret.
            ("secret,id=s", "secret,id=s,required", false),
            ("secret,id=s,required=1", "secret,id=s,required", true),
            ("secret,id=s,required=false", "secret,id=s", true),
            ("secret,id=s,mode=0400,uid=0", "secret,id=s", true),
            ("secret,id=s,mode=0600", "secret,id=s", false),
            ("secret,id=s,uid=1", "secret,id=s,gid=1", false),
            ("secret,id=s,env=S,mode=0600", "secret,id=s,env=S", true),
            // An SSH agent.
            ("ssh", "ssh,id=default", false),
            ("ssh,required", "ssh", false),
            ("ssh,mode=0600,gid=0", "ssh", true),
            ("ssh,mode=0666", "ssh", false),
            // A tmpfs.
            ("tmpfs,target=/t,size=1m", "tmpfs,target=/t,size=1048576", true),
            ("tmpfs,target=/t,size=1m", "tmpfs,target=/t", false),
            ("tmpfs,target=/t,ro", "tmpfs,target=/t", false),
            ("tmpfs,dst=/t,rw", "tmpfs,destination=/t", true),
            // A cache mount.
            ("cache,target=/t", "cache,target=/t,id=x", false),
            ("cache,target=/t", "cache,target=/t,id=/t", true),
            ("cache,target=/t", "cache,target=/t,sharing=shared", true),
            ("cache,target=/t", "cache,target=/t,sharing=locked", false),
            ("cache,target=/t,id=x", "cache,target=/t,sharing=private", true),
            ("cache,target=/t,id=x", "cache,target=/t,id=y,sharing=locked", true),
            ("cache,target=/t,id=t", "cache,target=/t,id=x", false),
            ("cache,target=/t,id=t", "cache,target=/t", false),
            ("cache,target=t", "cache,target=t,id=x", true),
            ("cache,target=/t/", "cache,target=/t/,id=x", true),
            ("cache,target=/t,id=x,uid=0", "cache,target=/t,id=x,mode=755", true),
            ("cache,target=/t,id=x,from=scratch", "cache,target=/t,id=x", true),
            ("cache,target=/t,ro=false", "cache,target=/t", true),
            ("cache,target=/t,rw,ro", "cache,target=/t,ro,rw", false),
            // A bind.
            ("bind,target=/t,rw=T", "bind,target=/t,readonly=F", true),
            ("bind,target=/t,rw=F", "bind,target=/t", true),
            ("bind,target=/t,from=", "bind,target=/t", true),
        ] {
            let key = |options: &str| key(&format!("--mount=type={options}"), "");
            assert_eq!(key(one) == key(other), is_same, "{one} | {other}");
        }
    }

    #[test]
    fn a_namespace_counts_for_default_ids_alone() {
        let counts = |mount: &str| key(mount, "one") != key(mount, "two");
        assert!(counts("--mount=type=cache,target=/t"));
        assert!(!counts("--mount=type=cache,target=/t,id=x"));
    }
}
