//! References of images, as docker completes them.

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
    let is_registry = |part: &str| part.contains(['.', ':']) || part == "localhost";
    let (registry, path) =
        reference.split_once('/').filter(|(first, _)| is_registry(first)).unwrap_or(("docker.io", reference));
    let registry = if registry == "index.docker.io" { "docker.io" } else { registry };
    let directory = if registry == "docker.io" && !path.contains('/') { "library/" } else { "" };
    let has_tag = path.rsplit('/').next().is_some_and(|name| name.contains([':', '@']));
    format!("{registry}/{directory}{path}{}", if has_tag { "" } else { ":latest" })
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
