//! Names of platforms, as Go and OCI write them.

/// The architecture that a kernel calls so.
pub(crate) fn go_architecture(kernel: &str) -> &str {
    match kernel {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The platform of this machine, for where no engine says its own.
pub(crate) fn native() -> String {
    format!("linux/{}", go_architecture(std::env::consts::ARCH))
}
