//! Sources of files that are not on this machine.

/// Returns whether buildx takes the source of a context, and BuildKit that of an ADD, for a URL or
/// the address of a Git repository: `deploy@git.example:x.git` is one.
pub(crate) fn is_remote(source: &str) -> bool {
    let is_image = ["docker-image://", "oci-layout://"].iter().any(|scheme| source.starts_with(scheme));
    let is_url = source.contains("://") || source.starts_with("github.com/");
    !is_image && (is_url || is_scp_style(source))
}

/// Returns whether a text is `USER@HOST:PATH`, as BuildKit's `gitSSHRegex` has it.
fn is_scp_style(source: &str) -> bool {
    let is_word = |text: &str, more: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
    };
    let parts = source.split_once('@').and_then(|(user, rest)| Some((user, rest.split_once(':')?.0)));
    parts.is_some_and(|(user, host)| is_word(user, "-_") && is_word(host, "-."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_and_git_addresses_are_remote() {
        for (source, expected) in [
            ("https://x.example/y.tar", true),
            ("git@x.example:y.git#main", true),
            ("deploy@10.0.0.1:y/z.git", true),
            ("github.com/x/y", true),
            ("docker-image://x/y", false),
            ("oci-layout://dir:tag", false),
            ("target:base", false),
            ("service:base", false),
            ("a/github.com/x", false),
            ("dir@2:x/y", true),
            ("dir/user@x:y", false),
            ("@x:y", false),
            ("user@x", false),
            (".", false),
        ] {
            assert_eq!(is_remote(source), expected, "{source}");
        }
    }
}
