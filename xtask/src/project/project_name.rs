//! The name of a project, as Compose defines it. It separates targets without an image name of
//! different projects.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::Target;
use super::declaration::Declaration;
use super::image_reference::repository;
use crate::files;

const VARIABLE: &str = "COMPOSE_PROJECT_NAME";

/// Returns the name under which the results of a target are saved: the repository of its image,
/// without the tag. For a target without an image, the names of the project and the target, as
/// Compose names such an image.
pub(crate) fn store_name(declaration: &Declaration, target: &str, variable: Option<&str>) -> String {
    let tag = declaration.targets.get(target).and_then(|target| target.tags.first());
    match tag.map(|tag| repository(tag)).filter(|repository| !repository.is_empty()) {
        Some(repository) => repository.to_owned(),
        None => service_image(&project_name(declaration, variable), target),
    }
}

/// Joins the name of an image as Compose does for a service without `image:`.
pub(super) fn service_image(project: &str, service: &str) -> String {
    format!("{project}-{service}")
}

/// Returns the name that Compose gives the project: from the environment (`variable`), from the
/// file, else from its directory.
fn project_name(declaration: &Declaration, variable: Option<&str>) -> String {
    let of_files = || declaration.files.iter().rev().find_map(|file| of_file(file));
    let of_dir = || {
        let dir = fs::canonicalize(&declaration.dir).unwrap_or_else(|_| declaration.dir.clone());
        dir.file_name().map(|name| name.to_string_lossy().into_owned())
    };
    let name = variable.map(str::to_owned).or_else(|| of_env_file(&declaration.dir)).or_else(of_files);
    let name = plain(&name.or_else(of_dir).unwrap_or_default());
    if name.is_empty() { "project".to_owned() } else { name }
}

/// Returns the top-level `name:` of a Compose file. Only Compose can resolve one with variables.
fn of_file(file: &Path) -> Option<String> {
    if !file.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
        return None;
    }
    let text = files::read_text(file).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix("name:"))?;
    let value = value.split(" #").next().unwrap_or_default().trim().trim_matches(['"', '\'']);
    (!value.is_empty() && !value.contains('$')).then(|| value.to_owned())
}

fn of_env_file(dir: &Path) -> Option<String> {
    let text = files::read_text(&dir.join(".env")).ok()?;
    // The last one counts.
    let value = text.lines().rev().find_map(|line| {
        let line = line.trim();
        let (name, value) = line.strip_prefix("export ").unwrap_or(line).split_once(['=', ':'])?;
        (name.trim() == VARIABLE).then_some(value.trim())
    })?;
    let quoted = |quote: char| value.strip_prefix(quote)?.split(quote).next();
    let unquoted = || value.split(" #").next().unwrap_or_default().trim_end();
    let value = quoted('"').or_else(|| quoted('\'')).unwrap_or_else(unquoted);
    (!value.is_empty() && !value.contains('$')).then(|| value.to_owned())
}

/// Names a project: by the `name:` of its Compose file, else by the repository of its first image,
/// else by its directory, which differs on other machines.
pub(super) fn project(files: &[PathBuf], dir: &Path, targets: &BTreeMap<String, Target>) -> String {
    let named = files.iter().rev().find_map(|file| of_file(file));
    let tags = targets.values().flat_map(|target| &target.tags);
    let repositories = tags.map(|tag| repository(tag).to_owned());
    named.or_else(|| repositories.min()).unwrap_or_else(|| {
        let digest = format!("{:x}", Sha256::digest(dir.as_os_str().as_encoded_bytes()));
        format!("directory-{}", &digest[..12])
    })
}

/// Normalizes a name as Compose does: lower-case letters, digits, dashes and underscores, without a
/// leading dash.
fn plain(name: &str) -> String {
    let name = name.to_lowercase();
    let kept: String =
        name.chars().filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(*c)).collect();
    kept.trim_start_matches(['-', '_']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declaration(dir: &Path, tags: &[&str]) -> Declaration {
        let target = Target { tags: tags.iter().map(ToString::to_string).collect(), ..Target::default() };
        Declaration {
            project: String::new(),
            files: vec![dir.join("compose.yaml")],
            dir: dir.to_path_buf(),
            targets: [("web".to_owned(), target)].into(),
            groups: std::collections::BTreeMap::new(),
            ..Declaration::default()
        }
    }

    #[test]
    fn a_project_has_the_same_name_on_every_machine() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("compose.yaml");
        let tagged = |tags: &[&str]| {
            let tags = tags.iter().map(ToString::to_string).collect();
            BTreeMap::from([("app".to_owned(), Target { tags, ..Target::default() })])
        };
        let named = |text: &str, tags: &[&str]| {
            fs::write(&file, text).expect("written");
            project(std::slice::from_ref(&file), dir.path(), &tagged(tags))
        };
        for text in ["name: shop\n", "services: {}\nname: 'shop' # ours\n", "name: \"shop\"\r\n"] {
            assert_eq!(named(text, &["r.example:5000/team/app:1"]), "shop", "{text}");
        }
        let tags = ["r.example:5000/team/web:1", "r.example:5000/team/app:2@sha256:0"];
        for text in ["services: {}\n", "name: ${NAME}\n", "x:\n  name: shop\n", "name:\n"] {
            assert_eq!(named(text, &tags), "r.example:5000/team/app", "{text}");
        }
        assert!(named("services: {}\n", &[]).starts_with("directory-"));
        assert_ne!(named("", &[]), project(&[], Path::new("/other"), &tagged(&[])));
    }

    #[test]
    fn targets_without_an_image_are_distinguished_by_their_project() {
        let dir = tempfile::tempdir().expect("a directory");
        let project = |name: &str| {
            let place = dir.path().join(name);
            fs::create_dir_all(&place).expect("made");
            declaration(&place, &[])
        };
        let (one, other) = (project("My Shop.v2"), project("_blog"));
        assert_eq!(store_name(&one, "web", None), "myshopv2-web");
        assert_eq!(store_name(&other, "web", None), "blog-web");
        assert_eq!(store_name(&one, "web", Some("ci")), "ci-web");
        fs::write(&one.files[0], "# c\nname: \"shop\" # c\nservices:\n  name: x\n").expect("written");
        assert_eq!(store_name(&one, "web", None), "shop-web");
        fs::write(&one.files[0], "name: ${X}\n").expect("written");
        assert_eq!(store_name(&one, "web", None), "myshopv2-web");
        fs::write(one.dir.join(".env"), "A=1\nCOMPOSE_PROJECT_NAME=dot\n").expect("written");
        assert_eq!(store_name(&one, "web", None), "dot-web");
        for line in [
            "export COMPOSE_PROJECT_NAME=dot",
            "COMPOSE_PROJECT_NAME = dot # a comment",
            "COMPOSE_PROJECT_NAME=\"dot\" # a comment",
            "COMPOSE_PROJECT_NAME='dot'",
            "COMPOSE_PROJECT_NAME: dot",
            "COMPOSE_PROJECT_NAME=first\nCOMPOSE_PROJECT_NAME=dot",
        ] {
            fs::write(one.dir.join(".env"), format!("{line}\nCOMPOSE_PROJECT_NAMES=x\n")).expect("written");
            assert_eq!(store_name(&one, "web", None), "dot-web", "{line}");
        }
        let named = declaration(&one.dir, &["t/web:1", "t/web:2"]);
        assert_eq!(store_name(&named, "web", Some("ci")), "t/web");
    }
}
