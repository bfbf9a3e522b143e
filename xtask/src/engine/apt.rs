//! The package sources of apt on this machine, in both formats: one-line `.list` and deb822
//! `.sources`. New packages come from the mirror that already works here.

use std::fs;
use std::path::Path;

use super::os::Distribution;

/// One binary source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    /// Its first address.
    pub uri: String,
    /// Its suites, such as `trixie`, `trixie-updates`.
    pub suites: Vec<String>,
    /// Its components, such as `main`.
    pub components: Vec<String>,
    /// The path of a keyring, or a whole key on several lines.
    pub signed_by: Option<String>,
}

/// Reads all enabled sources below a directory with the layout of `/etc/apt`.
pub(crate) fn read(etc_apt: &Path) -> Vec<Source> {
    let mut paths = vec![etc_apt.join("sources.list")];
    let parts = fs::read_dir(etc_apt.join("sources.list.d")).into_iter().flatten().flatten();
    paths.extend(parts.map(|entry| entry.path()));
    paths[1..].sort();
    let parse = |path: &Path| match path.extension()?.to_str()? {
        "list" => Some(parse_list(&fs::read_to_string(path).ok()?)),
        "sources" => Some(parse_sources(&fs::read_to_string(path).ok()?)),
        _ => None,
    };
    paths.iter().filter_map(|path| parse(path)).flatten().collect()
}

/// Parses the one-line format.
pub(crate) fn parse_list(text: &str) -> Vec<Source> {
    text.lines().filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<Source> {
    let rest = line.split('#').next()?.trim().strip_prefix("deb")?.strip_prefix([' ', '\t'])?.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => ("", rest),
    };
    let signed_by = options.split_whitespace().find_map(|option| option.strip_prefix("signed-by="));
    let mut words = rest.split_whitespace().map(str::to_owned);
    Some(Source {
        uri: words.next()?,
        suites: vec![words.next()?],
        components: words.collect(),
        signed_by: signed_by.map(|path| path.trim_matches('"').to_owned()),
    })
}

/// Parses deb822 paragraphs.
pub(crate) fn parse_sources(text: &str) -> Vec<Source> {
    let mut paragraphs = vec![String::new()];
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        match paragraphs.last_mut() {
            Some(last) if !line.trim().is_empty() => last.extend([line, "\n"]),
            _ => paragraphs.push(String::new()),
        }
    }
    paragraphs.iter().filter_map(|text| parse_paragraph(text)).collect()
}

fn parse_paragraph(text: &str) -> Option<Source> {
    let words =
        |name| field(text, name).map(|value| value.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    let is_off = field(text, "Enabled").is_some_and(|value| value.eq_ignore_ascii_case("no"));
    if is_off || !words("Types")?.iter().any(|kind| kind == "deb") {
        return None;
    }
    Some(Source {
        uri: words("URIs")?.into_iter().next()?,
        suites: words("Suites")?,
        components: words("Components").unwrap_or_default(),
        signed_by: field(text, "Signed-By"),
    })
}

/// Returns a field's value with its continuation lines.
fn field(text: &str, name: &str) -> Option<String> {
    let mut lines = text
        .lines()
        .skip_while(|line| !line.split_once(':').is_some_and(|(found, _)| found.eq_ignore_ascii_case(name)));
    let first = lines.next()?.split_once(':')?.1.trim().to_owned();
    let more = lines.take_while(|line| line.starts_with([' ', '\t']));
    Some(more.fold(first, |value, line| value + "\n" + line).trim().to_owned())
}

/// Returns the source of Debian's own packages on this machine: on Debian, the one with this
/// release's main suite.
pub(crate) fn debian_main<'a>(sources: &'a [Source], distribution: &Distribution) -> Option<&'a Source> {
    find(sources, distribution, &|codename| vec![codename.to_owned()])
}

/// Returns the source of Debian's security updates on this machine.
pub(crate) fn debian_security<'a>(sources: &'a [Source], distribution: &Distribution) -> Option<&'a Source> {
    find(sources, distribution, &|codename| vec![format!("{codename}-security"), "stable-security".into()])
}

fn find<'a>(
    sources: &'a [Source],
    distribution: &Distribution,
    suites: &dyn Fn(&str) -> Vec<String>,
) -> Option<&'a Source> {
    let Distribution::Debian { codename, .. } = distribution else { return None };
    let wanted = suites(codename);
    sources.iter().find(|source| {
        let is_main = source.components.iter().any(|component| component == "main");
        is_main && source.suites.iter().any(|suite| wanted.contains(suite))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEB822: &str = "Types: deb deb-src\n# a comment\nURIs: http://mirror.test/debian\nSuites: bookworm bookworm-updates\n\
        Components: main contrib\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n\n\n\
        Enabled: no\nTypes: deb\nURIs: http://off.test/\nSuites: x\n\n\
        Types: deb\nURIs: http://mirror.test/debian-security\nSuites: bookworm-security\nComponents: main\nSigned-By: /k.gpg\n";

    fn bookworm() -> Distribution {
        Distribution::Debian { version: Some(12), codename: "bookworm".into() }
    }

    #[test]
    fn deb822_is_read_with_keys_on_several_lines() {
        let sources = parse_sources(DEB822);
        assert_eq!(sources.len(), 2);
        assert_eq!(debian_main(&sources, &bookworm()).unwrap().uri, "http://mirror.test/debian");
        assert_eq!(sources[0].signed_by.as_deref(), Some("-----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc"));
        assert_eq!(debian_security(&sources, &bookworm()).unwrap().signed_by.as_deref(), Some("/k.gpg"));
    }

    #[test]
    fn one_line_entries_are_read_with_and_without_options() {
        let text = "# deb http://no.test x main\ndeb-src http://no.test bookworm main\n\
            deb [arch=amd64 signed-by=/usr/share/k.gpg] https://mirror.test/debian bookworm main non-free # tail\n\
            deb http://mirror.test/debian-security bookworm-security main\ndeb cdrom:\n";
        let sources = parse_list(text);
        assert_eq!(sources.len(), 2);
        assert_eq!(
            debian_main(&sources, &bookworm()).unwrap().signed_by.as_deref(),
            Some("/usr/share/k.gpg")
        );
        assert_eq!(sources[1].signed_by, None);
    }

    #[test]
    fn another_distribution_has_no_debian_mirror() {
        let sources = parse_list("deb http://archive.test/ubuntu noble main universe\n");
        assert_eq!(debian_main(&sources, &Distribution::Ubuntu(super::super::Version(24, 4))), None);
    }
}
