//! Settings of the host that a build gets without leaving a trace in it: its CA bundle, the
//! configuration of Go modules, `.netrc`. They are secrets, which are not part of a cache key
//! (measured), and are passed through variables that `builder/compose.yaml` reads.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::files;
use crate::host::Host;

/// Paths of the CA bundle in distributions (the list of Go's crypto/x509).
const CA_BUNDLES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/ssl/cert.pem",
];

/// Variables that configure the download of modules. Variables that change the binary are build
/// arguments instead, because they must be in the key.
const GO_VARIABLES: &[&str] =
    &["GOPROXY", "GOPRIVATE", "GONOPROXY", "GONOSUMDB", "GOSUMDB", "GOAUTH", "GOINSECURE"];

/// Variables of docker and buildx that name a file or a directory.
const CLIENT_PATHS: &[&str] = &["BUILDX_CONFIG", "DOCKER_CERT_PATH", "DOCKER_CONFIG", "SSL_CERT_FILE"];

/// BuildKit refuses larger secrets (500 KiB, `MaxSecretSize` in its session/secrets).
const MAX_SECRET: u64 = 500 * 1024;

/// The host's settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Secrets {
    pub ca_bundle: Option<PathBuf>,
    /// Content of a GOENV file; `None` if the host sets nothing.
    pub goenv: Option<String>,
    /// The user's `.netrc`.
    pub netrc: Option<PathBuf>,
    /// Variables of the client whose relative paths start in the current directory. bake runs in
    /// the declaration's.
    pub client: BTreeMap<String, String>,
    /// The skipped settings, with the reasons.
    pub warnings: Vec<String>,
}

impl Secrets {
    /// Returns the paths that `builder/compose.yaml` and the client read from variables.
    pub fn paths(&self) -> BTreeMap<String, String> {
        let paths = [("DURANGO_CA_BUNDLE", &self.ca_bundle), ("DURANGO_NETRC", &self.netrc)];
        let set = paths
            .into_iter()
            .filter_map(|(name, path)| Some((name.to_owned(), path.as_ref()?.display().to_string())));
        set.chain(self.client.clone()).collect()
    }

    /// Returns the variables whose values are secrets: the configuration of modules may contain a
    /// password.
    pub fn contents(&self) -> BTreeMap<String, String> {
        self.goenv.iter().map(|content| ("DURANGO_GOENV".to_owned(), content.clone())).collect()
    }
}

/// Reads the host's settings.
pub fn read(host: &Host) -> Secrets {
    let mut warnings = Vec::new();
    let named = host.var("DURANGO_CA_BUNDLE").or(host.var("SSL_CERT_FILE")).map(|path| host.absolute(path));
    let bundles = named.into_iter().chain(CA_BUNDLES.iter().map(PathBuf::from));
    let ca_bundle = bundles.into_iter().find(|path| path.is_file()).filter(|path| fits(path, &mut warnings));
    let named = host.var("NETRC").map(|path| host.absolute(path));
    let netrc = named.or_else(|| Some(host.home()?.join(".netrc")));
    let netrc = netrc.filter(|path| path.is_file()).filter(|path| fits(path, &mut warnings));
    Secrets { ca_bundle, goenv: goenv(host, &go_env_file(host)), netrc, client: client(host), warnings }
}

fn client(host: &Host) -> BTreeMap<String, String> {
    let relative = |name: &&str| host.var(name).filter(|path| !Path::new(path).is_absolute());
    let absolute = |name: &&str| {
        relative(name).map(|path| ((*name).to_owned(), host.absolute(path).display().to_string()))
    };
    CLIENT_PATHS.iter().filter_map(absolute).collect()
}

fn fits(path: &Path, warnings: &mut Vec<String>) -> bool {
    let size = fs::metadata(path).map_or(0, |meta| meta.len());
    if size > MAX_SECRET {
        warnings
            .push(format!("skipped `{}`: it is larger than 500 KiB, the limit for a secret", path.display()));
    }
    size <= MAX_SECRET
}

/// Reads Go's own configuration file: `$GOENV`, else `~/.config/go/env`. Empty if GOENV is `off`.
fn go_env_file(host: &Host) -> BTreeMap<String, String> {
    let config =
        host.var("XDG_CONFIG_HOME").map(PathBuf::from).or_else(|| Some(host.home()?.join(".config")));
    let path = host.var("GOENV").map(PathBuf::from).or_else(|| Some(config?.join("go/env")));
    let text = path.and_then(|path| files::read_text(&path).ok()).unwrap_or_default();
    text.lines()
        .filter_map(|line| line.trim().split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Returns the content for GOENV. The environment takes precedence over Go's file, as in Go.
fn goenv(host: &Host, file: &BTreeMap<String, String>) -> Option<String> {
    let value = |name: &str| host.var(name).or(file.get(name).map(String::as_str));
    let lines: String =
        GO_VARIABLES.iter().filter_map(|name| Some(format!("{name}={}\n", value(name)?))).collect();
    (!lines.is_empty()).then_some(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(home: &Path, vars: &[(&str, &str)]) -> Host {
        let mut host = Host::read();
        host.env = vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        host.env.insert("HOME".into(), home.display().to_string());
        host
    }

    #[test]
    fn the_environment_wins_over_gos_own_file() {
        let home = tempfile::tempdir().expect("a directory");
        fs::create_dir_all(home.path().join(".config/go")).expect("made");
        fs::write(
            home.path().join(".config/go/env"),
            "GOPROXY=https://file.example\nGOFLAGS=-x\nGOSUMDB=off\n",
        )
        .expect("written");
        let secrets = read(&host(home.path(), &[("GOPROXY", "https://env.example")]));
        assert_eq!(secrets.goenv.as_deref(), Some("GOPROXY=https://env.example\nGOSUMDB=off\n"));
        assert_eq!(secrets.netrc, None);
    }

    #[test]
    fn relative_paths_start_in_the_current_directory() {
        let dir = tempfile::tempdir().expect("a directory");
        let vars = [
            ("DOCKER_CONFIG", "config"),
            ("BUILDX_CONFIG", "/absolute"),
            ("SSL_CERT_FILE", "ca.pem"),
            ("NETRC", "netrc"),
        ];
        let mut host = host(dir.path(), &vars);
        host.cwd = dir.path().into();
        for name in ["ca.pem", "netrc"] {
            fs::write(dir.path().join(name), "x").expect("written");
        }
        let paths = read(&host).paths();
        let path = |name: &str| Some(dir.path().join(name).display().to_string());
        assert_eq!(paths.get("DOCKER_CONFIG").cloned(), path("config"));
        assert_eq!(paths.get("BUILDX_CONFIG"), None, "it is the same everywhere");
        assert_eq!(paths.get("DURANGO_CA_BUNDLE").cloned(), path("ca.pem"));
        assert_eq!(paths.get("SSL_CERT_FILE").cloned(), path("ca.pem"));
        assert_eq!(paths.get("DURANGO_NETRC").cloned(), path("netrc"));
    }

    #[test]
    fn nothing_set_lends_nothing() {
        let home = tempfile::tempdir().expect("a directory");
        assert_eq!(read(&host(home.path(), &[])).goenv, None);
    }

    #[test]
    fn a_bundle_too_large_for_a_secret_is_left_out_with_a_warning() {
        let home = tempfile::tempdir().expect("a directory");
        let bundle = home.path().join("ca.pem");
        fs::write(&bundle, vec![b'x'; 501 * 1024]).expect("written");
        let secrets = read(&host(home.path(), &[("SSL_CERT_FILE", &bundle.display().to_string())]));
        assert_eq!(secrets.ca_bundle, None);
        assert_eq!(secrets.warnings.len(), 1);
    }
}
