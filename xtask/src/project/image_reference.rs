//! References of images, as docker completes them and judges them.

/// The greatest length of a repository's path.
const MOST_PATH: usize = 255;
/// The greatest length of a tag.
const MOST_TAG: usize = 128;

/// Checks a reference by the grammar of docker (`distribution/reference`). The error is its fault.
pub fn check(reference: &str) -> Result<(), String> {
    if reference.is_empty() {
        return Err("is empty".to_owned());
    }
    if is_hex(reference) && reference.len() == 64 {
        return Err("is the id of an image".to_owned());
    }
    let (left, digest) = split(reference, '@');
    let start = left.rfind('/').map_or(0, |at| at + 1);
    let (last, tag) = split(&left[start..], ':');
    check_name(&[&left[..start], last].concat())?;
    if let Some(tag) = tag.filter(|tag| !is_tag(tag)) {
        return Err(format!(
            "has the tag `{tag}`, but a tag has up to {MOST_TAG} letters, digits, `_`, `.` and `-`, and begins \
             with none of the last two"
        ));
    }
    match digest.filter(|digest| !is_digest(digest)) {
        Some(digest) => Err(format!("has `{digest}`, which is not a digest")),
        None => Ok(()),
    }
}

/// Checks a name that a build gives an image: it has no digest.
pub(crate) fn check_tag(reference: &str) -> Result<(), String> {
    check(reference)?;
    match split(reference, '@').1 {
        Some(_) => Err("has a digest, which only a build decides".to_owned()),
        None => Ok(()),
    }
}

/// Checks the name of an image that exists: a reference or an id.
pub fn check_existing(image: &str) -> Result<(), String> {
    if is_digest(image) || (is_hex(image) && image.len() == 64) { Ok(()) } else { check(image) }
}

/// Checks a repository's name, with or without the registry.
fn check_name(name: &str) -> Result<(), String> {
    if !is_name(name) {
        let is_upper = is_name(&name.to_ascii_lowercase());
        return Err(if is_upper { "has upper case letters" } else { "is not valid" }.to_owned());
    }
    let (registry, path) = places(name);
    // A first part like `a_b.c` is none that a registry can have, so it belongs to the path.
    let length = if is_registry(registry) { path.len() } else { name.len() };
    if length > MOST_PATH {
        return Err(format!("is longer than {MOST_PATH} characters"));
    }
    Ok(())
}

fn is_name(name: &str) -> bool {
    let is_path = |path: &str| path.split('/').all(is_path_part);
    let has_registry = |(registry, path): (&str, &str)| is_registry(registry) && is_path(path);
    is_path(name) || name.split_once('/').is_some_and(has_registry)
}

/// Returns whether a part of a path is lower case words with a separator between two.
fn is_path_part(part: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends = |byte: Option<&u8>| byte.is_some_and(|byte| is_word(*byte));
    let is_separator = |text: &str| {
        text.is_empty() || matches!(text, "." | "_" | "__") || text.bytes().all(|byte| byte == b'-')
    };
    ends(part.as_bytes().first())
        && ends(part.as_bytes().last())
        && part.split(|c: char| c.is_ascii() && is_word(c as u8)).all(is_separator)
}

/// Returns whether a text is a host and, where there is one, a port.
fn is_registry(text: &str) -> bool {
    let is_label = |label: &str| {
        let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        ends(label.as_bytes().first())
            && ends(label.as_bytes().last())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    if let Some((address, port)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let is_address = |byte: u8| byte.is_ascii_hexdigit() || byte == b':';
        let has_port = || port.strip_prefix(':').is_some_and(is_port);
        return !address.is_empty() && address.bytes().all(is_address) && (port.is_empty() || has_port());
    }
    let (host, port) = split(text, ':');
    host.split('.').all(is_label) && port.is_none_or(is_port)
}

fn is_tag(tag: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    tag.len() <= MOST_TAG
        && tag.bytes().next().is_some_and(is_word)
        && tag.bytes().all(|byte| is_word(byte) || b".-".contains(&byte))
}

fn is_digest(digest: &str) -> bool {
    let (algorithm, hex) = split(digest, ':');
    let length = match algorithm {
        "sha256" => 64,
        "sha384" => 96,
        "sha512" => 128,
        _ => return false,
    };
    hex.is_some_and(|hex| hex.len() == length && is_hex(hex))
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

fn split(text: &str, at: char) -> (&str, Option<&str>) {
    text.split_once(at).map_or((text, None), |(left, right)| (left, Some(right)))
}

/// Returns the repository of an image: its name without tag and digest.
pub(crate) fn repository(image: &str) -> &str {
    let name = image.split('@').next().unwrap_or_default();
    let start = name.rfind('/').map_or(0, |at| at + 1);
    name[start..].find(':').map_or(name, |at| &name[..start + at])
}

/// Returns whether two references name one image: `b` is `docker.io/library/b:latest`.
pub(super) fn same_image(one: &str, other: &str) -> bool {
    full_reference(one) == full_reference(other)
}

/// Returns a reference with docker's default registry, directory, and tag.
fn full_reference(reference: &str) -> String {
    let (registry, path) = places(reference);
    let has_tag = path.rsplit('/').next().is_some_and(|name| name.contains([':', '@']));
    format!("{registry}/{path}{}", if has_tag { "" } else { ":latest" })
}

/// Returns the registry of a reference, and the rest with docker's default directory.
fn places(reference: &str) -> (&str, String) {
    const DEFAULT: &str = "docker.io";
    let has_upper = |part: &str| part.bytes().any(|byte| byte.is_ascii_uppercase());
    let is_registry = |part: &str| part.contains(['.', ':']) || part == "localhost" || has_upper(part);
    let (registry, path) =
        reference.split_once('/').filter(|(first, _)| is_registry(first)).unwrap_or((DEFAULT, reference));
    let registry = if registry == "index.docker.io" { DEFAULT } else { registry };
    let directory = if registry == DEFAULT && !path.contains('/') { "library/" } else { "" };
    (registry, format!("{directory}{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_or_a_digest_is_no_part_of_a_repository() {
        for (image, expected) in [
            ("app", "app"),
            ("app:1", "app"),
            ("t/web:${TAG}", "t/web"),
            ("r.example:5000/team/app", "r.example:5000/team/app"),
            ("r.example:5000/team/app:1.2", "r.example:5000/team/app"),
            ("app@sha256:00", "app"),
            ("r.example:5000/app:1@sha256:00", "r.example:5000/app"),
        ] {
            assert_eq!(repository(image), expected, "{image}");
        }
    }

    #[test]
    fn the_fault_of_a_reference_is_named() {
        let long = format!("a:{}", "t".repeat(129));
        for (reference, fault) in [
            ("UPPER:x", "has upper case letters"),
            ("r.example/Team/app", "has upper case letters"),
            ("", "is empty"),
            ("a:", "has the tag ``"),
            (":tag", "is not valid"),
            ("a:b:c", "has the tag `b:c`"),
            ("a:-x", "has the tag `-x`"),
            ("a:.x", "has the tag `.x`"),
            (long.as_str(), "letters, digits"),
            ("-a", "is not valid"),
            ("a b", "is not valid"),
            (" a", "is not valid"),
            ("\u{e9}", "is not valid"),
            ("a//b", "is not valid"),
            ("https://a/b", "is not valid"),
            ("a@sha256:00", "is not a digest"),
        ] {
            let error = check_tag(reference).expect_err(reference);
            assert!(error.contains(fault), "{reference}: {error}");
        }
        let digest = format!("sha256:{}", "0".repeat(64));
        for good in ["a", "a:1", "Foo/bar", "a_b.c/d", "[::1]:80/a", "localhost:5000/a__b/c--d:V_1.x-y"] {
            assert_eq!(check_tag(good), Ok(()), "{good}");
        }
        check_tag(&format!("a@{digest}")).expect_err("a name of its own");
        check(&"0".repeat(64)).expect_err("an id");
        for image in [format!("a:1@{digest}"), digest, "0".repeat(64), "0123456789ab".to_owned()] {
            assert_eq!(check_existing(&image), Ok(()), "{image}");
        }
    }

    #[test]
    fn references_are_compared_as_docker_completes_them() {
        for (one, other, same) in [
            ("x", "docker.io/library/x:latest", true),
            ("a/x:1", "index.docker.io/a/x:1", true),
            ("localhost/x", "localhost/x:latest", true),
            ("r.example:5000/x", "r.example:5000/x:latest", true),
            ("x", "a/x", false),
            ("x:1", "x", false),
            ("r.example/x", "x", false),
        ] {
            assert_eq!(same_image(one, other), same, "{one} and {other}");
        }
    }
}
