//! The table of checks: name, start of the image, and test. The checks of extensions come from the
//! image's own list ([`super::extensions`]).

use std::borrow::Cow;
use std::time::Duration;

use anyhow::Result;

use super::docker::Container;
use super::http::{self, Request, Response};
use super::image::Image;
use super::stage::NOBODY;
use super::stage::Scenario::{self, AnyUser, Busy, Declared, Hardened, Root, Shipped, Web};
use super::{command_line, extensions, requests, runtime};

/// The timeout of one request or command.
pub(crate) const CHECK_TIMEOUT: Duration = Duration::from_secs(30);

/// The result of a check that did not fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Passed, with details.
    Ok(String),
    /// Skipped for this image, with the reason.
    Skip(String),
}

/// The input of a check.
pub(crate) struct Scene<'a> {
    pub name: &'a str,
    /// The image's configuration in the engine.
    pub image: &'a Image,
    /// The container, started for the check's stage; `None` for [`Scenario::Declared`].
    pub container: Option<&'a Container<'a>>,
    /// The loaded extensions of PHP, when known.
    pub facts: &'a extensions::ExtensionFacts,
}

impl Scene<'_> {
    pub(crate) fn container(&self) -> Result<&Container<'_>> {
        self.container.ok_or_else(|| anyhow::anyhow!("no container was started"))
    }

    /// Sends a request. If the server has died, its last output is the error.
    pub(crate) fn send(&self, request: &Request<'_>) -> Result<Response> {
        let container = self.container()?;
        http::send(&container.http, request, CHECK_TIMEOUT).map_err(|error| {
            if container.is_running() {
                error.context(format!("GET {}", request.path))
            } else {
                container.exit_reason()
            }
        })
    }
}

/// The function of a check.
pub(crate) type Run = Box<dyn Fn(&Scene<'_>) -> Result<Verdict>>;

pub(crate) struct Check {
    /// Its name, for `--only` and the output.
    pub name: Cow<'static, str>,
    /// The start of the image for it.
    pub stage: Scenario,
    pub run: Run,
}

impl Check {
    /// Creates a check at run time.
    pub(crate) fn owned(name: String, stage: Scenario, run: Run) -> Self {
        Self { name: name.into(), stage, run }
    }
}

type CheckRow = (&'static str, Scenario, Proof);
/// The test of a row, which returns details.
type Proof = fn(&Scene<'_>) -> Result<String>;

/// The table, in the order of a run. `stop` ends the shipped image, so it is the last of that
/// stage.
const TABLE: &[CheckRow] = &[
    ("labels", Declared, |scene| scene.image.config.labels()),
    ("ports", Declared, |scene| scene.image.config.ports()),
    ("user", Declared, |scene| scene.image.config.user()),
    ("directories", Declared, |scene| scene.image.config.directories()),
    ("healthy", Shipped, runtime::healthy),
    ("health-command", Shipped, runtime::health_command),
    ("version", Shipped, runtime::version),
    ("build-info", Shipped, runtime::build_info),
    ("list-modules", Shipped, runtime::list_modules),
    ("php-cli", Shipped, runtime::php_cli),
    ("php", Shipped, runtime::php),
    ("own-page", Shipped, runtime::own_page),
    ("stop", Shipped, runtime::stop),
    ("page", Web, requests::page),
    ("serving-php", Web, requests::php),
    ("production", Web, requests::production),
    ("admin", Web, requests::admin),
    ("hidden-files", Web, requests::hidden_files),
    ("server-fields", Web, requests::server_fields),
    ("large-body", Web, requests::large_body),
    ("sessions", Web, requests::sessions),
    ("upload", Web, requests::upload),
    ("early-hints", Web, requests::early_hints),
    ("worker", Web, requests::worker),
    ("worker-restart", Web, requests::worker_restart),
    ("names", Web, |scene| extensions::call(scene, "ext-system.php", "names")),
    ("any-user-page", AnyUser, requests::page),
    ("any-user", AnyUser, |scene| requests::user(scene, NOBODY)),
    ("any-user-sessions", AnyUser, requests::sessions),
    ("any-user-upload", AnyUser, requests::upload),
    ("any-user-health", AnyUser, runtime::health_command),
    ("root-page", Root, requests::page),
    ("root-user", Root, |scene| requests::user(scene, 0)),
    ("root-health", Root, runtime::health_command),
    ("hardened-page", Hardened, requests::page),
    ("hardened-php", Hardened, runtime::php),
    ("hardened-health", Hardened, runtime::health_command),
    ("busy", Busy, requests::busy),
];

/// Rows that need an extension: name, extension, check.
const NEED: &[(&str, &str, Proof)] = &[
    ("https", "openssl", |scene| extensions::call(scene, "tls.php", "stream")),
    ("https-curl", "curl", |scene| extensions::call(scene, "tls.php", "curl")),
    ("authorities", "openssl", |scene| extensions::call(scene, "tls.php", "roots")),
];

/// Returns every check that is known before PHP lists its extensions.
pub(crate) fn all() -> Vec<Check> {
    let table = TABLE.iter().map(|&(name, stage, run)| Check {
        name: name.into(),
        stage,
        run: Box::new(move |scene| run(scene).map(Verdict::Ok)),
    });
    let need = NEED.iter().map(|&(name, extension, run)| Check {
        name: name.into(),
        stage: Web,
        run: Box::new(move |scene| {
            if scene.facts.has(extension) {
                run(scene).map(Verdict::Ok)
            } else {
                Ok(Verdict::Skip(format!("it needs {extension}, which is not in this image")))
            }
        }),
    });
    table.chain(need).chain(command_line::checks()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_no_extension_s() {
        let loaded = serde_json::json!({"extensions": []});
        let extensions = extensions::checks(&extensions::ExtensionFacts::read("yaml", "", &loaded));
        let mut names: Vec<String> =
            all().iter().chain(&extensions).map(|check| check.name.to_string()).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn the_shipped_image_is_stopped_last() {
        let shipped: Vec<_> = all().into_iter().filter(|check| check.stage == Shipped).collect();
        assert_eq!(shipped.last().unwrap().name, "stop");
    }
}
