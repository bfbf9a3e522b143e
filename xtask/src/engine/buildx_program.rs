//! The program of buildx. `docker buildx` starts it after it asked it for its description.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::Driver;
use super::info::Info;
use crate::host::Host;

/// Variables that only docker reads and passes on, or that make buildx take itself for a plugin
/// that docker started.
const ONLY_DOCKERS: [&str; 4] =
    ["DOCKER_TLS", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND"];

/// Returns the program of buildx, if it does the same as `docker buildx`: on a socket of this
/// machine, and if `docker` is Docker's own client. A script in its place may do anything.
pub(super) fn find(host: &Host, info: &Info, driver: Driver, builder: &str) -> Option<PathBuf> {
    let is_here = host.var("DOCKER_HOST").is_none_or(|address| address.starts_with("unix://"));
    // A builder of another context has that context's name.
    let is_plain = is_here && driver == Driver::Docker && builder == "default";
    if !is_plain || ONLY_DOCKERS.iter().any(|name| host.var(name).is_some()) {
        return None;
    }
    let docker = host.which("docker").filter(|docker| is_client(docker));
    let program = docker.and_then(|_| Some(PathBuf::from(&info.plugin("buildx")?.path)))?;
    (program.is_absolute() && program.is_file()).then_some(program)
}

/// Returns whether this is a compiled program by that name, also behind links. The `docker` of a
/// snap is a link to another program, which runs it in a sandbox.
fn is_client(docker: &Path) -> bool {
    let mut start = [0; 2];
    let Ok(program) = docker.canonicalize() else { return false };
    let is_read = File::open(&program).and_then(|mut file| file.read_exact(&mut start)).is_ok();
    is_read && start != *b"#!" && program.file_name().is_some_and(|name| name == "docker")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    const PROGRAM: &[u8] = b"\x7fELF and so on";

    /// Looks for buildx with a `docker` of this content, with these variables.
    fn found(docker: &[u8], env: &[(&str, &str)], driver: Driver, builder: &str) -> bool {
        let dir = tempfile::tempdir().expect("a directory");
        let file = |name: &str| dir.path().join(name);
        fs::write(file("docker"), docker).expect("written");
        fs::write(file("docker-buildx"), PROGRAM).expect("written");
        let text = serde_json::json!({"ClientInfo": {"Plugins": [
            {"Name": "compose", "Path": file("docker")},
            {"Name": "buildx", "Path": file("docker-buildx")},
        ]}});
        let info: Info = serde_json::from_value(text).expect("as docker prints it");
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let host = Host { path: dir.path().into(), env, ..Host::read() };
        let found = find(&host, &info, driver, builder);
        assert!(found.as_ref().is_none_or(|found| *found == file("docker-buildx")), "{found:?}");
        found.is_some()
    }

    #[test]
    fn buildx_runs_without_docker_only_where_docker_adds_nothing() {
        assert!(found(PROGRAM, &[], Driver::Docker, "default"));
        assert!(found(PROGRAM, &[("DOCKER_HOST", "unix:///x.sock")], Driver::Docker, "default"));
        for host in ["tcp://10.0.0.1:2376", "ssh://me@there", "npipe:////./pipe/x"] {
            assert!(!found(PROGRAM, &[("DOCKER_HOST", host)], Driver::Docker, "default"), "{host}");
        }
        for name in ONLY_DOCKERS {
            assert!(!found(PROGRAM, &[(name, "1")], Driver::Docker, "default"), "{name}");
        }
        assert!(!found(PROGRAM, &[], Driver::Docker, "another-context"));
        assert!(!found(PROGRAM, &[], Driver::DockerContainer, "default"));
        assert!(!found(PROGRAM, &[], Driver::Remote, "team"));
        assert!(!found(b"#!/bin/sh\nexec sudo docker \"$@\"\n", &[], Driver::Docker, "default"));
        assert!(!found(b"", &[], Driver::Docker, "default"));
    }

    #[test]
    fn a_link_to_the_client_is_the_client_and_one_to_a_launcher_is_not() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = |name: &str| dir.path().join(name);
        fs::create_dir_all(file("real")).expect("made");
        fs::write(file("real/docker"), PROGRAM).expect("written");
        fs::write(file("real/snap"), PROGRAM).expect("written");
        symlink(file("real/docker"), file("docker")).expect("linked");
        assert!(is_client(&file("docker")));
        fs::remove_file(file("docker")).expect("removed");
        symlink(file("real/snap"), file("docker")).expect("linked");
        assert!(!is_client(&file("docker")));
        assert!(!is_client(&file("nothing")));
    }
}
