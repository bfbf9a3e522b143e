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

/// Something on a server that can be asked for its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Server<'a> {
    /// A file.
    File(&'a str),
    /// A branch, a tag or `HEAD` of a Git repository.
    Git { repository: &'a str, reference: &'a str },
}

impl<'a> Server<'a> {
    /// Reads a URL as BuildKit does. Returns `None` for SSH, which may ask its user something, and
    /// for a Git repository whose branch is in a query.
    pub(crate) fn of(url: &'a str) -> Option<Self> {
        let (place, fragment) = url.split_once('#').unwrap_or((url, ""));
        let is_web = ["http://", "https://"].iter().any(|scheme| place.starts_with(scheme));
        if place.starts_with("git://") || (is_web && place.ends_with(".git")) {
            let name = fragment.split(':').next().unwrap_or_default();
            let is_plain = !place.contains('?') && !name.contains(['=', '&', '*', '?', '[', '^']);
            let reference = if name.is_empty() { "HEAD" } else { name };
            return (is_plain && !name.starts_with('-'))
                .then_some(Self::Git { repository: place, reference });
        }
        let is_file = is_web && !place.contains(".git?") && !url.contains('#');
        is_file.then_some(Self::File(url))
    }

    /// Returns whether its host is this machine by name.
    pub(crate) fn is_loopback(&self) -> bool {
        let (Self::File(url) | Self::Git { repository: url, .. }) = self;
        let place = url.split_once("://").map_or(*url, |(_, place)| place);
        let authority = place.split(['/', '?']).next().unwrap_or_default();
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        host.starts_with("127.") || host.starts_with("[::1]") || host.split(':').next() == Some("localhost")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_asked_for_a_file_or_a_name_in_a_repository() {
        let git = |repository, reference| Some(Server::Git { repository, reference });
        for (url, expected) in [
            ("https://x.example/y.tar?z=1", Some(Server::File("https://x.example/y.tar?z=1"))),
            ("http://x.example/y.git", git("http://x.example/y.git", "HEAD")),
            ("https://x.example/y.git#v1:sub", git("https://x.example/y.git", "v1")),
            ("git://x.example/y#main", git("git://x.example/y", "main")),
            ("https://x.example/y.git?branch=main", None),
            ("https://x.example/y.git#branch=main", None),
            ("https://x.example/y.git#--upload-pack=x", None),
            ("https://x.example/y.git#-x", None),
            ("https://x.example/y.tar#z", None),
            ("git@x.example:y.git", None),
            ("ssh://git@x.example/y.git", None),
            ("file:///etc/passwd", None),
        ] {
            assert_eq!(Server::of(url), expected, "{url}");
        }
    }

    #[test]
    fn a_server_on_this_machine_has_one_of_its_names() {
        for (url, expected) in [
            ("http://127.0.0.1:8000/y", true),
            ("http://me@localhost:80/y", true),
            ("git://localhost/y#main", true),
            ("https://[::1]:443/y", true),
            ("https://localhost.example/y", false),
            ("https://x.example/127.0.0.1", false),
            ("https://10.0.0.1/y", false),
        ] {
            assert_eq!(Server::of(url).map(|server| server.is_loopback()), Some(expected), "{url}");
        }
    }

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
