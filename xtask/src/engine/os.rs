//! The distribution of this machine, from `os-release`. It decides whether and how an engine can be
//! installed.

use std::path::Path;

use super::Version;

/// The distribution, as far as the installation of an engine depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Distribution {
    /// Debian; testing and unstable have no version.
    Debian {
        /// `12`, `13`.
        version: Option<u32>,
        /// `bookworm`, `trixie`.
        codename: String,
    },
    Ubuntu(Version),
    /// Another one, with its own name.
    Other(String),
}

impl Distribution {
    /// Reads this machine's `os-release`.
    pub(crate) fn read() -> Self {
        let text = ["/etc/os-release", "/usr/lib/os-release"]
            .iter()
            .find_map(|path| std::fs::read_to_string(Path::new(path)).ok());
        Self::parse(&text.unwrap_or_default())
    }

    /// Parses an `os-release` file.
    pub(crate) fn parse(text: &str) -> Self {
        let field = |name: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            value.unwrap_or_default().trim().trim_matches(['"', '\'']).to_owned()
        };
        let version = field("VERSION_ID");
        match field("ID").as_str() {
            "debian" => Self::Debian { version: version.parse().ok(), codename: field("VERSION_CODENAME") },
            "ubuntu" => Self::Ubuntu(Version::parse(&version).unwrap_or(Version(0, 0))),
            other => {
                let names = [field("PRETTY_NAME"), other.to_owned(), "this system".to_owned()];
                Self::Other(names.into_iter().find(|name| !name.is_empty()).unwrap_or_default())
            }
        }
    }
}

impl std::fmt::Display for Distribution {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Debian { version: Some(version), .. } => write!(f, "Debian {version}"),
            Self::Debian { version: None, codename } => write!(f, "Debian {codename}"),
            Self::Ubuntu(Version(year, month)) => write!(f, "Ubuntu {year}.{month:02}"),
            Self::Other(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distributions_are_distinguished() {
        let cases = [
            ("ID=debian\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\n", "Debian 12"),
            (
                "PRETTY_NAME=\"Debian GNU/Linux forky/sid\"\nID=debian\nVERSION_CODENAME=forky\n",
                "Debian forky",
            ),
            (
                "PRETTY_NAME=\"Ubuntu 24.04.4 LTS\"\nID=ubuntu\nID_LIKE=debian\nVERSION_ID=\"24.04\"\n",
                "Ubuntu 24.04",
            ),
            ("PRETTY_NAME=\"Fedora Linux 44\"\nID=fedora\nVERSION_ID=44\n", "Fedora Linux 44"),
            ("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", "linuxmint"),
            ("", "this system"),
        ];
        for (text, name) in cases {
            assert_eq!(Distribution::parse(text).to_string(), name);
        }
    }
}
