//! The next step after a failure with a registry, by the text that buildx or BuildKit gives.

/// Returns what helps xtask to reach a registry, if the reason shows it.
pub(crate) fn of_read(reason: &str) -> Option<&'static str> {
    if is_certificate(reason) {
        return Some(
            "set SSL_CERT_FILE to a file with the CAs of this system and that of the registry: buildx reads \
             no certificates of the engine or the builder",
        );
    }
    reason.contains("server gave HTTP response to HTTPS client").then_some(
        "the registry has no TLS, and buildx reads no settings of the engine: use a builder whose \
         configuration has `http = true` for this registry",
    )
}

/// Returns the next step after a failed push.
pub(crate) fn of_push(reason: &str) -> &'static str {
    if is_certificate(reason) {
        return "the builder does not trust the registry: give it the registry's CA, in \
                `/etc/docker/certs.d/REGISTRY/ca.crt` of the engine or as `ca` in the builder's configuration";
    }
    if is_denied(reason) {
        return "run `docker login` with an account that may push, or only read with \
                `--cache registry=REPOSITORY,ro`";
    }
    if is_refused_manifest(reason) {
        return "the registry may not accept the manifests of a cache: use another one, or the store";
    }
    "the image is complete; if the registry works again, the next build with a change pushes its layers"
}

/// Returns the next step after layers could not be added to a pushed cache. buildx before 0.15 adds
/// them `as_index` only.
pub(crate) fn of_completion(reason: &str, as_index: bool) -> &'static str {
    if as_index && is_refused_manifest(reason) {
        return "the registry does not accept an index of layers: update buildx to 0.15 or newer, which \
                pushes another form";
    }
    "the image is complete; another machine may run the steps of these layers again, and its push adds \
     them"
}

/// Returns whether a registry refuses access to this account.
pub(super) fn is_denied(text: &str) -> bool {
    let words = [
        "401 Unauthorized",
        "403 Forbidden",
        "authorization failed",
        "insufficient_scope",
        "denied",
        "no basic auth",
    ];
    words.iter().any(|word| text.contains(word))
}

/// Returns whether a registry refuses a manifest because of its form.
fn is_refused_manifest(text: &str) -> bool {
    let statuses = ["400 Bad Request", "405 Method Not Allowed", "415 Unsupported Media Type"];
    let words = ["MANIFEST_INVALID", "manifest invalid", "UNSUPPORTED"];
    let is_put = text.contains("PUT request") && text.contains("/manifests/");
    words.iter().any(|word| text.contains(word)) || is_put && statuses.iter().any(|word| text.contains(word))
}

fn is_certificate(text: &str) -> bool {
    text.contains("x509: ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_next_step() {
        let read = [
            (
                "failed to do request: Head \"https://10.0.0.1/v2/c/manifests/x\": tls: failed to verify \
                 certificate: x509: certificate signed by unknown authority",
                Some("SSL_CERT_FILE"),
            ),
            (
                "Head \"https://10.0.0.1/v2/\": http: server gave HTTP response to HTTPS client",
                Some("http = true"),
            ),
            ("dial tcp 127.0.0.1:1: connect: connection refused", None),
        ];
        for (reason, words) in read {
            let advice = of_read(reason);
            assert_eq!(advice.is_some(), words.is_some(), "{reason}");
            assert!(words.is_none_or(|words| advice.is_some_and(|text| text.contains(words))), "{advice:?}");
        }
        let at = "unexpected status from PUT request to http://r.example/v2/c/manifests/x";
        let push = [
            (
                "Head \"https://10.0.0.1/\": tls: x509: certificate signed by unknown authority".into(),
                "certs.d",
            ),
            ("error writing layer blob: unexpected status from POST: 403 Forbidden".into(), ",ro"),
            ("unexpected status from POST request: 401 Unauthorized".into(), "docker login"),
            (format!("{at}: 400 Bad Request"), "manifests of a cache"),
            (format!("{at}: 405 Method Not Allowed"), "manifests of a cache"),
            (format!("{at}: 500 Internal Server Error"), "image is complete"),
            ("unexpected status from POST request: 400 Bad Request".into(), "image is complete"),
            ("the registry stopped answering".into(), "image is complete"),
        ];
        for (reason, words) in push {
            assert!(of_push(&reason).contains(words), "{reason}: {}", of_push(&reason));
        }
        let refused = format!("{at}: 400 Bad Request");
        assert!(of_completion(&refused, true).contains("update buildx"));
        for (reason, as_index) in [(refused.as_str(), false), ("EOF", true)] {
            assert!(of_completion(reason, as_index).contains("run the steps"), "{reason}");
        }
    }
}
