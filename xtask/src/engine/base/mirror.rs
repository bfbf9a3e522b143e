//! The Debian mirror that an image can be made from and later install packages from: the one this machine uses, where a
//! container could use it too.

use std::path::Path;

use crate::engine::apt::{self, Source};
use crate::engine::os::Distribution;

const MAIN: &str = "http://deb.debian.org/debian";
const SECURITY: &str = "http://deb.debian.org/debian-security";

/// Addresses of Debian's archives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// The release and its updates.
    pub main: String,
    /// Security updates.
    pub security: String,
}

impl Mirror {
    /// Derives it from this machine's sources. `read` gives the text of a file, for lists of mirrors.
    pub fn derive(
        sources: &[Source],
        distribution: &Distribution,
        read: &dyn Fn(&Path) -> Option<String>,
    ) -> Self {
        let usable = |source: Option<&Source>| source.and_then(|source| usable(&source.uri, read));
        let main = usable(apt::debian_main(sources, distribution));
        let security = usable(apt::debian_security(sources, distribution));
        Self {
            main: main.unwrap_or_else(|| MAIN.into()),
            security: security.unwrap_or_else(|| SECURITY.into()),
        }
    }

    /// Suites of Debian 13, each with its archive.
    pub fn suites(&self) -> [(&str, &str); 3] {
        [
            (self.main.as_str(), "trixie"),
            (self.main.as_str(), "trixie-updates"),
            (self.security.as_str(), "trixie-security"),
        ]
    }
}

/// An address that works in a container, without a password that would stay in the image.
fn usable(uri: &str, read: &dyn Fn(&Path) -> Option<String>) -> Option<String> {
    if let Some(list) = uri.strip_prefix("mirror+file:") {
        let text = read(Path::new(&format!("/{}", list.trim_start_matches('/'))))?;
        let line = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'))?;
        return usable(line.split_whitespace().next()?, &|_| None);
    }
    let rest = uri.strip_prefix("http://").or_else(|| uri.strip_prefix("https://"))?;
    let host = rest.split('/').next()?;
    let is_local = host.starts_with("localhost") || host.starts_with("127.") || host.starts_with("[::1]");
    (!is_local && !host.contains('@')).then(|| uri.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn derived(list: &str) -> (String, String) {
        let debian = Distribution::Debian { version: Some(12), codename: "bookworm".into() };
        let read = |path: &Path| {
            (path == Path::new("/etc/apt/mirrors/debian.list"))
                .then(|| "# near\nhttps://near.test/debian/ prio:1\n".into())
        };
        let mirror = Mirror::derive(&apt::parse_list(list), &debian, &read);
        (mirror.main, mirror.security)
    }

    #[test]
    fn the_machine_s_own_mirror_is_taken_where_a_container_can_use_it() {
        let own = |uri: &str| derived(&format!("deb {uri} bookworm main\n")).0;
        assert_eq!(own("http://mirror.test/debian/"), "http://mirror.test/debian");
        assert_eq!(own("mirror+file:/etc/apt/mirrors/debian.list"), "https://near.test/debian");
        for unusable in
            ["http://me:secret@mirror.test/debian", "file:/srv/debian", "http://localhost:3142/debian"]
        {
            assert_eq!(own(unusable), MAIN);
        }
    }

    #[test]
    fn security_updates_have_an_archive_of_their_own() {
        let list = "deb http://m.test/debian bookworm main\ndeb http://m.test/sec bookworm-security main\n";
        assert_eq!(derived(list), ("http://m.test/debian".into(), "http://m.test/sec".into()));
        assert_eq!(derived(""), (MAIN.into(), SECURITY.into()));
    }
}
