//! Names that Compose gives to images: `docker compose up` looks for them for a service without
//! `image:`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use xshell::cmd;

use super::Target;
use super::project_name::service_image;
use crate::process::query::query;
use crate::session::Session;

/// Compose answers in a tenth of a second (measured, 2.26 and 2.40).
const QUERY_TIMEOUT: Duration = Duration::from_secs(20);

#[derive(Deserialize)]
struct Project {
    name: String,
    services: BTreeMap<String, serde::de::IgnoredAny>,
}

/// Returns the image name of each target that is a Compose service without `image:`. Empty if
/// Compose is not installed or does not read the files, because then nobody runs their services
/// with it either.
pub(super) fn image_names(
    session: &Session,
    files: &[PathBuf],
    dir: &Path,
    targets: &BTreeMap<String, Target>,
) -> BTreeMap<String, String> {
    let unnamed: Vec<&String> =
        targets.iter().filter(|(_, target)| target.tags.is_empty()).map(|(name, _)| name).collect();
    if unnamed.is_empty() {
        return BTreeMap::new();
    }
    let files = files.iter().flat_map(|file| ["-f".into(), file.clone().into_os_string()]);
    let sh = &session.sh;
    let _dir = sh.push_dir(dir);
    let command = cmd!(sh, "docker compose {files...} --profile * config --format json").quiet();
    let answer = query(command, QUERY_TIMEOUT).ok().filter(|answer| answer.success);
    let project = answer.and_then(|answer| serde_json::from_str(&answer.stdout).ok());
    project.map_or_else(BTreeMap::new, |project: Project| names(&project, &unnamed))
}

/// Joins names as Compose does: project, hyphen, service. Bake writes an underscore for a dot in a
/// service's name.
fn names(project: &Project, unnamed: &[&String]) -> BTreeMap<String, String> {
    let name = |service: &String| {
        let target = service.replace('.', "_");
        unnamed.contains(&&target).then(|| (target, service_image(&project.name, service)))
    };
    project.services.keys().filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_without_an_image_is_named_after_its_project() {
        let json =
            r#"{"name": "shop", "services": {"my.web": {"build": {}}, "db": {"image": "x"}, "job": {}}}"#;
        let project: Project = serde_json::from_str(json).expect("a project");
        let unnamed = ["my_web".to_owned(), "job".to_owned()];
        let names = names(&project, &unnamed.iter().collect::<Vec<_>>());
        let names: Vec<_> = names.iter().map(|(target, name)| (target.as_str(), name.as_str())).collect();
        assert_eq!(names, [("job", "shop-job"), ("my_web", "shop-my.web")]);
    }
}
