//! The Release files of a package mirror that an answer depends on. By convention a stage
//! `packages` may have a file `/release-files` with the SHA-256 and the URL of each. They come out
//! of a build, so nothing about them is trusted.

use serde::{Deserialize, Serialize};

/// The file in the stage.
pub(crate) const FILE: &str = "release-files";

/// The maximum number of files: twice as many as a machine with several repositories has.
const MOST: usize = 16;
/// The maximum length of a URL.
const LONGEST_URL: usize = 300;

/// The index of a suite. It contains the digests of all its lists of packages.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ReleaseFile {
    pub url: String,
    pub sha256: String,
}

/// A place on a server, for a request without TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place<'a> {
    /// The name and the port, as the URL has them.
    pub authority: &'a str,
    pub host: &'a str,
    pub port: u16,
    pub path: &'a str,
}

impl ReleaseFile {
    /// Returns its place, or `None` if it is not one that an unencrypted request without a password
    /// may ask for.
    pub(crate) fn place(&self) -> Option<Place<'_>> {
        let rest = self.url.strip_prefix("http://").filter(|_| self.url.len() <= LONGEST_URL)?;
        let (authority, path) = rest.split_at(rest.find('/')?);
        let (host, port) = match authority.split_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
                (host, port.parse().ok()?)
            }
            Some(_) => return None,
            None => (authority, 80),
        };
        let has_only =
            |text: &str, others: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || others.contains(c));
        let is_release = path.ends_with("/InRelease") || path.ends_with("/Release");
        let is_plain = has_only(host, ".-") && has_only(path, "/._-~+%:=");
        (is_plain && is_release && !host.is_empty()).then_some(Place { authority, host, port, path })
    }

    fn is_valid(&self) -> bool {
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        self.place().is_some() && self.sha256.len() == 64 && self.sha256.bytes().all(is_hex)
    }
}

/// Returns whether each of these files can be asked for, and whether there is one.
pub(crate) fn are_valid(files: &[ReleaseFile]) -> bool {
    (1..=MOST).contains(&files.len()) && files.iter().all(ReleaseFile::is_valid)
}

/// Parses the stage's file. Returns `None` if it is empty, or if one line of it is not usable: the
/// answer depends on all of them.
pub(crate) fn parse(text: &str) -> Option<Vec<ReleaseFile>> {
    let file = |line: &str| {
        let (sha256, url) = line.split_once("  ")?;
        Some(ReleaseFile { url: url.to_owned(), sha256: sha256.to_owned() })
    };
    text.lines().map(file).collect::<Option<Vec<_>>>().filter(|files| are_valid(files))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(url: &str) -> Option<Vec<ReleaseFile>> {
        parse(&format!("{}  {url}\n", "0a".repeat(32)))
    }

    #[test]
    fn a_file_s_place_is_read_from_its_url() {
        let files = of("http://deb.test:3142/debian/dists/trixie/InRelease").unwrap();
        let place = files[0].place().unwrap();
        assert_eq!((place.authority, place.host, place.port), ("deb.test:3142", "deb.test", 3142));
        assert_eq!(place.path, "/debian/dists/trixie/InRelease");
        let flat = of("http://10.0.0.1/stable/./Release").unwrap();
        assert_eq!((flat[0].place().unwrap().port, flat[0].place().unwrap().path), (80, "/stable/./Release"));
    }

    #[test]
    fn whatever_is_not_a_plain_release_file_leaves_no_list() {
        for url in [
            "https://deb.test/InRelease",
            "file:///etc/InRelease",
            "http:///InRelease",
            "http://deb.test",
            "http://deb.test/",
            "http://deb.test/admin",
            "http://deb.test/xInRelease",
            "http://me:word@deb.test/InRelease",
            "http://deb.test:/InRelease",
            "http://deb.test:+80/InRelease",
            "http://deb.test:99999/InRelease",
            "http://[::1]/InRelease",
            "http://deb.test/a?b=/InRelease",
            "http://deb.test/a#/InRelease",
            "http://deb.test/a b/InRelease",
            "http://deb.test/\u{1b}[2J/InRelease",
            "http://deb.test/\rX: y/InRelease",
            &format!("http://deb.test/{}/InRelease", "a".repeat(LONGEST_URL)),
        ] {
            assert_eq!(of(url), None, "{url:?}");
        }
        let line = |digest: &str| format!("{digest}  http://deb.test/InRelease\n");
        let good = line(&"0a".repeat(32));
        assert!(parse(&good).is_some() && parse(&good.repeat(MOST)).is_some());
        for text in [
            String::new(),
            good.repeat(MOST + 1),
            line(""),
            line(&"0A".repeat(32)),
            line(&"0a".repeat(31)),
            good.replace("  ", " "),
            format!("{good}\n"),
            format!("{good}x"),
        ] {
            assert_eq!(parse(&text), None, "{text:?}");
        }
    }
}
