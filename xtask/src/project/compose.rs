//! Facts about services that Compose knows and bake does not print: the names of images without
//! `image:`, for which `docker compose up` looks, and, before buildx 0.17, the network of RUNs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use xshell::cmd;

use super::Target;
use super::project_name::service_image;
use super::whole::draws_on_others;
use crate::files;
use crate::process::query::query;
use crate::session::Session;

/// Compose answers in a tenth of a second (measured, 2.26 and 2.40).
const QUERY_TIMEOUT: Duration = Duration::from_secs(20);

#[derive(Deserialize)]
struct Project {
    name: String,
    services: BTreeMap<String, Service>,
}

#[derive(Deserialize)]
struct Service {
    build: Option<Build>,
}

#[derive(Deserialize)]
struct Build {
    network: Option<String>,
}

/// Returns the image name of each target that is a Compose service without `image:`, and sets the
/// networks that bake did not print. Does nothing if Compose is not installed or does not read the
/// files, because then nobody runs their services with it either.
pub(super) fn complete(
    session: &Session,
    files: &[PathBuf],
    (dir, env): (&Path, &BTreeMap<String, String>),
    targets: &mut BTreeMap<String, Target>,
) -> BTreeMap<String, String> {
    let unnamed: Vec<&String> =
        targets.iter().filter(|(_, target)| target.tags.is_empty()).map(|(name, _)| name).collect();
    let lacks_networks = targets.values().all(|target| target.network.is_none()) && may_have_networks(files);
    if unnamed.is_empty() && !lacks_networks {
        return BTreeMap::new();
    }
    let files = files.iter().flat_map(|file| ["-f".into(), file.clone().into_os_string()]);
    let sh = &session.sh;
    let _dir = sh.push_dir(dir);
    let command = cmd!(sh, "docker compose {files...} --profile * config --format json").quiet().envs(env);
    let answer = query(command, QUERY_TIMEOUT).ok().filter(|answer| answer.success);
    let project = answer.and_then(|answer| serde_json::from_str::<Project>(&answer.stdout).ok());
    let Some(project) = project else { return BTreeMap::new() };
    let names = names(&project, &unnamed);
    set_networks(&project, targets);
    names
}

/// Returns whether one of the files may set the network of a build, itself or by a file that it
/// includes.
fn may_have_networks(files: &[PathBuf]) -> bool {
    let is_set = |text: &str| ["network:", "network\":", "network':"].iter().any(|key| text.contains(key));
    let texts = || files.iter().filter_map(|file| files::read_text(file).ok());
    texts().any(|text| is_set(&text) || draws_on_others(&text))
}

/// The target of a service: bake writes an underscore for a dot.
fn target_of(service: &str) -> String {
    service.replace('.', "_")
}

fn set_networks(project: &Project, targets: &mut BTreeMap<String, Target>) {
    for (service, declared) in &project.services {
        let network = declared.build.as_ref().and_then(|build| build.network.clone());
        if let Some(target) = targets.get_mut(&target_of(service)) {
            target.network = target.network.take().or(network);
        }
    }
}

/// Joins names as Compose does: project, hyphen, service.
fn names(project: &Project, unnamed: &[&String]) -> BTreeMap<String, String> {
    let name = |service: &String| {
        let target = target_of(service);
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

    #[test]
    fn a_network_that_bake_does_not_print_is_taken_from_compose() {
        let json = r#"{"name": "shop", "services": {
            "my.web": {"build": {"network": "none"}}, "db": {"image": "x"}, "job": {"build": {}}}}"#;
        let project: Project = serde_json::from_str(json).expect("a project");
        let printed = Target { network: Some("host".into()), ..Target::default() };
        let named = |name: &str| (name.to_owned(), Target::default());
        let mut targets = BTreeMap::from([named("my_web"), named("job")]);
        set_networks(&project, &mut targets);
        let network = |targets: &BTreeMap<String, Target>, name: &str| targets[name].network.clone();
        assert_eq!((network(&targets, "my_web"), network(&targets, "job")), (Some("none".into()), None));
        targets.insert("my_web".into(), printed);
        set_networks(&project, &mut targets);
        assert_eq!(network(&targets, "my_web").as_deref(), Some("host"), "bake's own word counts");
    }
}
