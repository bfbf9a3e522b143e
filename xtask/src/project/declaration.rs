//! The declaration: all targets of a Compose or bake file, as `docker buildx bake --print` resolves
//! them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::dockerfile::clean;
use super::image_reference::same_image;
use super::remote::is_remote;
use super::target::Target;
use super::whole::Whole;
use crate::error::usage;
use crate::project::overrides::is_match;
use crate::text::suggestion;

/// The targets of a declaration, and their files.
#[derive(Debug, Clone, Default)]
pub(crate) struct Declaration {
    /// The files, absolute.
    pub files: Vec<PathBuf>,
    /// The directory of the files. Relative paths in them start here, and bake runs here, because
    /// it resolves paths from its current directory.
    pub dir: PathBuf,
    /// The name that identifies this project on every machine, from
    /// [`project`](super::project_name::project).
    pub project: String,
    pub targets: BTreeMap<String, Target>,
    /// The targets of each group.
    pub groups: BTreeMap<String, Vec<String>>,
    /// Tags that no file declares: those of Compose services without `image:`, by target. They are
    /// included in the targets' tags.
    pub compose_names: BTreeMap<String, String>,
    /// All that bake printed, which [`Target`] has the part of that decisions need.
    pub whole: Whole,
}

pub(super) fn show(files: &[PathBuf]) -> String {
    files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join("`, `")
}

/// Returns the targets for a pattern: the one with this name, else all that match.
pub(super) fn matching(targets: &BTreeMap<String, Target>, pattern: &str) -> Vec<String> {
    if targets.contains_key(pattern) {
        return vec![pattern.to_owned()];
    }
    targets.keys().filter(|name| is_match(pattern, name)).cloned().collect()
}

impl Declaration {
    /// Returns the targets for the user's arguments, with groups resolved. An unknown one is an
    /// error that lists the known ones.
    ///
    /// As for bake, a group takes precedence over a target of the same name. Within such a group
    /// the name means the target.
    pub(crate) fn resolve(&self, requested: &[String]) -> Result<Vec<String>> {
        let mut names = self.expand(requested, &mut Vec::new())?;
        let mut seen = std::collections::BTreeSet::new();
        names.retain(|name| seen.insert(name.clone()));
        Ok(names)
    }

    fn expand<'a>(&'a self, words: &[String], groups: &mut Vec<&'a str>) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for word in words {
            // Like bake, takes a Compose service by its own name.
            let name = word.replace('.', "_");
            let group = self.groups.get_key_value(&name);
            if let Some((group, members)) = group.filter(|(group, _)| !groups.contains(&group.as_str())) {
                groups.push(group);
                names.extend(self.expand(members, groups)?);
                groups.pop();
            } else if self.targets.contains_key(&name) {
                names.push(name);
            } else {
                let matching = self.by_wildcard(&name);
                if matching.is_empty() {
                    return Err(self.unknown(word));
                }
                names.extend(self.expand(&matching, groups)?);
            }
        }
        Ok(names)
    }

    /// Returns the groups and targets that match a word with wildcards, as newer bakes do.
    fn by_wildcard(&self, word: &str) -> Vec<String> {
        if !word.contains(['*', '?', '[', ']']) {
            return Vec::new();
        }
        let names = self.groups.keys().chain(self.targets.keys());
        names.filter(|name| is_match(word, name)).cloned().collect()
    }

    fn unknown(&self, word: &str) -> anyhow::Error {
        let known: Vec<&str> = self.targets.keys().map(String::as_str).collect();
        let near = suggestion(word, known.iter().copied());
        usage(format!(
            "unknown target `{word}`{near}\n`{}` declares: {}",
            show(&self.files),
            known.join(", ")
        ))
    }

    /// Returns the targets for a pattern of `--set`.
    pub(crate) fn matching(&self, pattern: &str) -> Vec<String> {
        matching(&self.targets, pattern)
    }

    /// Returns the path of a target's Dockerfile, in lower case if buildx finds only that. Returns
    /// `None` for an inline or remote Dockerfile. Like buildx, takes `..` literally: it doesn't
    /// follow a link before it.
    pub(crate) fn dockerfile(&self, target: &Target) -> Option<PathBuf> {
        let context = target.context.as_deref().unwrap_or(".");
        let file = target.dockerfile.as_deref().unwrap_or("Dockerfile");
        let is_elsewhere = is_remote(file) || is_remote(context) && !Path::new(file).is_absolute();
        if target.dockerfile_inline.is_some() || is_elsewhere {
            return None;
        }
        let path =
            if Path::new(file).is_absolute() { clean(file) } else { clean(&format!("{context}/{file}")) };
        let path = self.dir.join(path);
        let lower = path.with_file_name("dockerfile");
        let is_lower =
            path.file_name().is_some_and(|name| name == "Dockerfile") && !path.is_file() && lower.is_file();
        Some(if is_lower { lower } else { path })
    }

    /// Returns contexts that name the image of another target, as (context, target). A build of
    /// both needs `target:` there: a tag would be looked up in a registry, or be the image of the
    /// previous build.
    pub(crate) fn links<'a>(&'a self, target: &'a Target) -> impl Iterator<Item = (&'a str, &'a str)> {
        target.contexts.iter().filter_map(|(context, source)| {
            if let Some(name) = source.strip_prefix("target:") {
                return Some((context.as_str(), self.targets.get_key_value(name)?.0.as_str()));
            }
            // bake resolves these since buildx 0.24. Earlier versions print them unchanged.
            if let Some(service) = source.strip_prefix("service:") {
                let name = self.targets.get_key_value(&service.replace('.', "_"))?.0;
                return Some((context.as_str(), name.as_str()));
            }
            let image = source.strip_prefix("docker-image://")?;
            let owner =
                self.targets.iter().find(|(_, other)| other.tags.iter().any(|tag| same_image(tag, image)));
            owner.map(|(name, _)| (context.as_str(), name.as_str()))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::project::declaration_query::Printed;

    fn declaration() -> Declaration {
        let json = r#"{"group":{"default":{"targets":["app","base"]}},"target":{
            "app":{"context":".","contexts":{"base":"docker-image://toy/base","src":"../app"},"dockerfile":"b.Dockerfile"},
            "base":{"context":"sub","tags":["toy/base:latest"],"secret":["id=ca,src=/dev/null"]}}}"#;
        let printed: Printed = serde_json::from_str(json).expect("it is what bake prints");
        let groups = printed.group.into_iter().map(|(name, group)| (name, group.targets.unwrap_or_default()));
        Declaration {
            files: vec!["/p/compose.yaml".into()],
            dir: "/p".into(),
            project: "toy".into(),
            targets: printed.target,
            groups: groups.collect(),
            ..Declaration::default()
        }
    }

    #[test]
    fn a_context_that_is_another_targets_image_is_a_link() {
        let declared = declaration();
        let links: Vec<_> = declared.links(&declared.targets["app"]).collect();
        assert_eq!(links, [("base", "base")]);
    }

    #[test]
    fn a_context_that_names_a_service_is_a_link() {
        let mut declared = declaration();
        declared.targets.insert("my_db".into(), Target::default());
        let contexts = &mut declared.targets.get_mut("app").expect("a target").contexts;
        contexts.insert("db".into(), "service:my.db".into());
        contexts.insert("gone".into(), "service:nobody".into());
        let links: Vec<_> = declared.links(&declared.targets["app"]).collect();
        assert_eq!(links, [("base", "base"), ("db", "my_db")]);
    }

    #[test]
    fn groups_are_resolved_and_unknown_names_get_a_suggestion() {
        let declared = declaration();
        assert_eq!(declared.resolve(&["default".into(), "app".into()]).expect("known"), ["app", "base"]);
        let error = declared.resolve(&["bas".into()]).expect_err("unknown").to_string();
        assert!(error.contains("did you mean `base`?") && error.contains("app, base"), "{error}");
    }

    #[test]
    fn targets_are_named_by_wildcards_and_services_by_their_own_names() {
        let mut declared = declaration();
        for name in ["app-a", "app-b", "my_web"] {
            declared.targets.insert(name.into(), Target::default());
        }
        declared.groups.insert("app-all".into(), vec!["base".into()]);
        let resolved = |word: &str| declared.resolve(&[word.to_owned()]).map(|names| names.join(" "));
        assert_eq!(resolved("app-[ab]").expect("known"), "app-a app-b");
        assert_eq!(resolved("app-*").expect("known"), "base app-a app-b");
        assert_eq!(resolved("my.web").expect("known"), "my_web");
        assert_eq!(resolved("my.*").expect("known"), "my_web");
        let error = resolved("x*").expect_err("unknown").to_string();
        assert!(error.starts_with("unknown target `x*`"), "{error}");
    }

    #[test]
    fn a_group_wins_over_a_target_of_its_name() {
        let mut declared = declaration();
        let members = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        declared.groups.insert("app".into(), members(&["app", "base"]));
        declared.groups.insert("outer".into(), members(&["app"]));
        declared.groups.insert("one".into(), members(&["two"]));
        declared.groups.insert("two".into(), members(&["one", "base"]));
        assert_eq!(declared.resolve(&["app".into()]).expect("known"), ["app", "base"]);
        assert_eq!(declared.resolve(&["outer".into()]).expect("known"), ["app", "base"]);
        assert_eq!(declared.resolve(&["base".into()]).expect("known"), ["base"]);
        declared.resolve(&["one".into()]).expect_err("a circle without a target of that name");
    }

    #[test]
    fn a_dockerfile_in_lower_case_stands_in_for_the_default_name_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        let declared = Declaration { dir: dir.path().into(), ..Declaration::default() };
        let of = |name: &str| Target { dockerfile: Some(name.into()), ..Target::default() };
        let path = |target: &Target| declared.dockerfile(target).expect("a path");
        fs::create_dir(dir.path().join("sub")).expect("made");
        for name in ["dockerfile", "sub/dockerfile", "x.dockerfile"] {
            fs::write(dir.path().join(name), "FROM scratch\n").expect("written");
        }
        assert_eq!(path(&Target::default()).file_name(), Some("dockerfile".as_ref()));
        assert!(path(&of("sub/Dockerfile")).ends_with("sub/dockerfile"));
        assert!(path(&of("x.Dockerfile")).ends_with("x.Dockerfile"));
        fs::write(dir.path().join("Dockerfile"), "FROM scratch\n").expect("written");
        assert_eq!(path(&Target::default()).file_name(), Some("Dockerfile".as_ref()));
    }

    #[test]
    fn a_dockerfile_is_found_below_its_context() {
        let declared = declaration();
        for (context, file, expected) in [
            ("https://x.example/y.git", "Dockerfile", None),
            ("git@x.example:y.git", "Dockerfile", None),
            ("https://x.example/y.git", "/p/Dockerfile", Some("/p/Dockerfile")),
            (".", "https://x.example/Dockerfile", None),
            // buildx takes `..` literally, also after a link.
            ("link", "../sub/Dockerfile", Some("/p/sub/Dockerfile")),
            ("/abs", "../Dockerfile", Some("/Dockerfile")),
        ] {
            let (context, dockerfile) = (Some(context.to_owned()), Some(file.to_owned()));
            let target = Target { context, dockerfile, ..Target::default() };
            assert_eq!(declared.dockerfile(&target), expected.map(PathBuf::from), "{target:?}");
        }
        assert_eq!(declared.dockerfile(&declared.targets["app"]), Some("/p/b.Dockerfile".into()));
        assert_eq!(declared.dockerfile(&declared.targets["base"]), Some("/p/sub/Dockerfile".into()));
    }
}
