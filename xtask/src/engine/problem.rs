//! The problems of an engine, in one place, so that a build and `doctor` use the same words.

use super::{OLDEST_BUILDX, Version};

/// A problem that prevents a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// `docker` is not on the PATH.
    NoDocker,
    /// `docker` has no buildx.
    NoBuildx,
    /// buildx is older than [`OLDEST_BUILDX`].
    OldBuildx(Version),
    /// The daemon doesn't answer; the engine's message.
    DaemonDown(String),
    /// The daemon's socket refuses this user; the engine's message.
    NoPermission(String),
    /// The builder doesn't exist.
    UnknownBuilder(String),
    /// A remote builder doesn't answer.
    BuilderDown {
        /// The builder.
        name: String,
        /// Its address.
        endpoint: String,
        /// The reason.
        words: String,
    },
    /// Another problem; the engine's message.
    Other(String),
}

impl Problem {
    /// Classifies the client's message about a daemon that doesn't answer.
    pub fn of_daemon(words: &str) -> Self {
        let words = words.trim().trim_start_matches("ERROR: ").to_owned();
        if words.contains("permission denied") { Self::NoPermission(words) } else { Self::DaemonDown(words) }
    }

    /// Returns whether `--provision` can fix it.
    pub fn can_provision(&self) -> bool {
        matches!(self, Self::NoDocker | Self::NoBuildx | Self::OldBuildx(_) | Self::DaemonDown(_))
    }

    /// Describes the problem on one line.
    pub fn what(&self) -> String {
        match self {
            Self::NoDocker => "`docker` is not on the PATH".into(),
            Self::NoBuildx => "`docker` has no buildx plugin".into(),
            Self::OldBuildx(found) => {
                format!("buildx {found} is too old: version {OLDEST_BUILDX} or newer is required")
            }
            Self::DaemonDown(words) => format!("the Docker daemon does not answer: {words}"),
            Self::NoPermission(words) => format!("no permission to reach the Docker daemon: {words}"),
            Self::UnknownBuilder(name) => format!("builder `{name}` not found"),
            Self::BuilderDown { name, endpoint, words } => {
                format!("no answer from `{endpoint}`, the address of the builder `{name}`: {words}")
            }
            Self::Other(words) => format!("failed to use the Docker engine: {words}"),
        }
    }

    /// Returns the advice.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::NoDocker | Self::NoBuildx | Self::OldBuildx(_) => {
                "run the same command with `--provision` to install the engine (Debian, Ubuntu), or install Docker Engine \
                 with buildx yourself"
            }
            Self::DaemonDown(_) => {
                "start it (`sudo systemctl start docker`), or run the same command with `--provision`; if \
                 DOCKER_HOST or the docker context names another machine, check that it is up"
            }
            Self::NoPermission(_) => {
                "join the socket's group (`sudo usermod -aG docker $USER`, then log in again) or run as root"
            }
            Self::UnknownBuilder(_) => {
                "`docker buildx ls` lists the builders; correct --builder or BUILDX_BUILDER, or create \
                 one with `cargo xtask builder up`"
            }
            Self::BuilderDown { .. } => {
                "check that BuildKit is running there, or use another builder: --builder default"
            }
            Self::Other(_) => "run `docker info` for details",
        }
    }

    /// Returns the error that ends a command.
    pub fn into_error(self) -> anyhow::Error {
        let text = format!("{}\n{}", self.what(), self.remedy());
        match self {
            Self::UnknownBuilder(_) => crate::error::usage(text),
            _ => anyhow::anyhow!(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Version;
    use crate::error::exit_code;

    #[test]
    fn each_problem_is_one_line_and_what_to_do_on_the_next() {
        let words = || "dial unix: x".to_owned();
        let all = [
            (Problem::NoDocker, true, 1),
            (Problem::NoBuildx, true, 1),
            (Problem::OldBuildx(Version(0, 12)), true, 1),
            (Problem::DaemonDown(words()), true, 1),
            (Problem::NoPermission(words()), false, 1),
            (Problem::UnknownBuilder("x".into()), false, 2),
            (
                Problem::BuilderDown { name: "x".into(), endpoint: "tcp://a:1".into(), words: words() },
                false,
                1,
            ),
            (Problem::Other(words()), false, 1),
        ];
        for (problem, can_provision, code) in all {
            assert_eq!(problem.can_provision(), can_provision, "{problem:?}");
            assert!(!problem.what().contains('\n') && !problem.remedy().contains('\n'), "{problem:?}");
            assert_eq!(problem.remedy().contains("--provision"), can_provision, "{problem:?}");
            let text = format!("{}\n{}", problem.what(), problem.remedy());
            let error = problem.into_error();
            assert_eq!((error.to_string(), exit_code(&error)), (text, code));
        }
    }
}
