//! Names of platforms, as Go and OCI write them.

/// Returns the architecture with this kernel name.
pub(crate) fn go_architecture(kernel: &str) -> &str {
    match kernel {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Returns the platform of this machine, if no engine reports its own.
pub(crate) fn native() -> String {
    format!("linux/{}", go_architecture(std::env::consts::ARCH))
}
