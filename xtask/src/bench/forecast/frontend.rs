//! The flags that the engine's frontend knows. Another flag is an error there, and a file with it
//! does not build.

use anyhow::Result;

use super::dockerfile::StageModel;
use super::project::Project;
use super::repository::Repository;
use super::server::Server;
use super::target::Form;
use crate::bench::random::Random;

/// Flags and forms that not every frontend knows.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Frontend {
    pub(super) exclude: bool,
    pub(super) parents: bool,
    pub(super) symbolic_mode: bool,
    pub(super) unpack: bool,
    pub(super) secret_variable: bool,
    pub(super) security: bool,
    /// Whether bake files have `network` and `extra-hosts`.
    pub(super) settings: bool,
    /// Whether the builder reaches this machine's server, on its port.
    pub(super) port: Option<u16>,
    /// Whether the builder fetches from this machine's Git repository, on its port.
    pub(super) git: Option<u16>,
    /// A commit of that repository.
    pub(super) commit: Option<&'static str>,
    /// The image that stages are based on.
    pub(super) image: Option<&'static str>,
}

/// The instruction of the target whose settings are tried.
const SETTINGS: &str = "COPY a* /settings/";

impl Frontend {
    /// Asks by building a file with each.
    pub(super) fn of(base: &str, server: &Server, git: Option<&Repository>) -> Result<Self> {
        let knows = |from: &str, line: &str| -> Result<bool> {
            let mut project = Project::new(base, 1, Self::default(), &mut Random::new(1))?;
            let stage = StageModel { from: from.to_owned(), lines: vec![line.to_owned()], has_shell: false };
            let target = &mut project.targets[0];
            target.model.stages = vec![stage];
            target.contexts.clear();
            if line == SETTINGS {
                target.run = [("network", "default"), ("extra-hosts", "a=10.0.0.1")].into();
                project.form = Form::Hcl;
            }
            project.write()?;
            // Results of an earlier run are cached.
            Ok(project.xtask("build")?["result"] != "failed")
        };
        let add = format!("ADD http://127.0.0.1:{}/stays /u/", server.port);
        Ok(Self {
            exclude: knows("FROM scratch", "COPY --exclude=x a* /x/")?,
            parents: knows("FROM scratch", "COPY --parents a* /x/")?,
            symbolic_mode: knows("FROM scratch", "COPY --chmod=u+x a* /x/")?,
            unpack: knows("FROM scratch", "ADD --unpack=false arch.tar /x/")?,
            secret_variable: knows("FROM $BASE", "RUN --mount=type=secret,id=none,env=NONE :")?,
            security: knows("FROM $BASE", "RUN --security=sandbox :")?,
            settings: knows("FROM scratch", SETTINGS)?,
            port: knows("FROM scratch", &add)?.then_some(server.port),
            // Each is there until the process ends.
            commit: git.map(|git| &*git.first.clone().leak()),
            image: Some(base.to_owned().leak()),
            git: match git {
                Some(git) if knows("FROM scratch", &format!("ADD {} /g/", source(git.port, "main")))? => {
                    Some(git.port)
                }
                _ => None,
            },
        })
    }
}

/// The repository at a branch, a tag or a commit.
pub(super) fn source(port: u16, at: &str) -> String {
    format!("git://127.0.0.1:{port}/.git#{at}")
}
