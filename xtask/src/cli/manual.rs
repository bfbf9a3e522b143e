//! Facts that the man page and the reference share with nothing else of the table: exit codes,
//! environment variables and which commands take the options of a build.

use super::options::{FILE, PLAN, TARGETS};
use super::table::Command;
use crate::args::Opt;
use crate::error;

/// Exit codes with their meanings.
pub(super) const EXIT_CODES: &[(u8, &str)] = &[
    (0, "done"),
    (
        1,
        "xtask itself failed; a check of `doctor`, `smoke`, `test` or `bench` failed; `outdated` found security updates",
    ),
    (error::USAGE, "usage error: an unknown command, option, target or file"),
    (error::BUILD_FAILED, "a build failed; the exit code of its step is in the message and in the JSON"),
    (error::INTERRUPTED, "interrupted"),
];

/// Environment variables, several names separated by spaces.
pub(super) const ENVIRONMENT: &[(&str, &str)] = &[
    (
        "PHP_EXTENSIONS",
        "`gd intl zip`: only these. `+tidy -xsl`: changes the default set. Commas separate as well. An unknown name is an error that lists the known names",
    ),
    (
        "LINK",
        "`static` builds a static binary, and names the extensions that cannot be in it, with the reason",
    ),
    (
        "BASE_IMAGE",
        "the image used in `FROM` [debian:13-slim]. If no registry answers, xtask makes a Debian image with `mmdebstrap`",
    ),
    (
        "DURANGO_CACHE_DIR DURANGO_BUILDER",
        "as `--cache-dir` and `--builder`. Without either builder: `BUILDX_BUILDER`, then the builder of `builder up`, then buildx's current one",
    ),
    ("DURANGO_CACHE_BUDGET", "the store's maximum size, as `500M`, `10GB` or `1GiB` [10GB]"),
    ("DURANGO_MOUNTS", "as `--mounts`"),
    (
        "DURANGO_CACHE",
        "as `--cache`: a space-separated list. `--cache` on the command line replaces the whole list",
    ),
    ("DURANGO_REGISTRY_TIMEOUT", "how many seconds a registry may take for an answer [4]"),
    (
        "DURANGO_ADDRESS DURANGO_HTTP_PORT DURANGO_HTTPS_PORT SERVER_NAME",
        "for `docker compose up` [127.0.0.1, 80, 443, localhost]",
    ),
    ("DURANGO_CA_BUNDLE SSL_CERT_FILE", "the CA bundle that builds trust; the first one that is set"),
    (
        "GOPROXY GOPRIVATE GONOPROXY GONOSUMDB GOSUMDB GOAUTH GOINSECURE GOENV NETRC",
        "how Go modules are fetched, as Go reads them",
    ),
    ("GOFLAGS GO111MODULE", "build arguments, since they change the binary"),
    ("DOCKER_HOST DOCKER_CONTEXT DOCKER_CONFIG BUILDX_BUILDER NO_COLOR", "as everywhere"),
];

/// The options that all commands that build share.
pub(super) fn build_options() -> impl Iterator<Item = &'static Opt> {
    [FILE, TARGETS, PLAN].into_iter().flatten()
}

/// Returns whether a command takes the options of a build.
pub(super) fn builds(command: &Command) -> bool {
    PLAN.iter().all(|opt| command.own_options().any(|own| own.name == opt.name))
}

/// The options of a command without those that its manual shows elsewhere.
pub(super) fn listed_options(command: &Command) -> Vec<&'static Opt> {
    let is_shared = |opt: &&Opt| builds(command) && build_options().any(|shared| shared.name == opt.name);
    command.own_options().filter(|opt| !is_shared(opt)).collect()
}
