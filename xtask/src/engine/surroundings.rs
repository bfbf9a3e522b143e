//! Files of the host that a build leans on: the CA bundle, docker's own configuration, how Go fetches modules.

use std::path::{Path, PathBuf};

use crate::host::Host;

/// Where distributions keep the bundle of CA certificates.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Names of the settings that say how Go fetches modules.
pub const GO_SETTINGS: [&str; 6] = ["GOPROXY", "GOPRIVATE", "GONOPROXY", "GONOSUMDB", "GOSUMDB", "GOAUTH"];

/// The host's CA bundle: SSL_CERT_FILE, else the well-known places.
pub fn ca_bundle(host: &Host) -> Option<PathBuf> {
    let named = host.var("SSL_CERT_FILE").map(|path| host.absolute(path));
    named.into_iter().chain(BUNDLES.map(PathBuf::from)).find(|path| path.is_file())
}

/// The folder of docker's client configuration.
pub fn docker_config(host: &Host) -> PathBuf {
    host.var("DOCKER_CONFIG").map_or_else(|| host.home().join(".docker"), |dir| host.absolute(dir))
}

/// Names, never values, of the settings for fetching Go modules that the host has, and where they come from.
pub fn go_settings(host: &Host) -> Vec<String> {
    let mut found: Vec<String> =
        GO_SETTINGS.iter().filter(|name| host.var(name).is_some()).map(|name| (*name).to_owned()).collect();
    let goenv =
        host.var("GOENV").map_or_else(|| host.home().join(".config/go/env"), |path| host.absolute(path));
    let netrc = host.var("NETRC").map_or_else(|| host.home().join(".netrc"), |path| host.absolute(path));
    let files = [("the GOENV file", goenv), (".netrc", netrc)];
    found.extend(files.iter().filter(|(_, path)| is_used(path)).map(|(name, _)| (*name).to_owned()));
    found
}

fn is_used(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.len() > 0)
}
