//! Names of platforms, as BuildKit normalizes them.

/// Returns the architecture and the variant with these names of a kernel, a distribution or OCI.
fn architecture(name: &str, variant: &str) -> (String, String) {
    let (name, variant) = (name.to_ascii_lowercase(), variant.to_ascii_lowercase());
    let (name, variant) = match (name.as_str(), variant.as_str()) {
        ("i386" | "i686", _) => ("386", ""),
        ("x86_64" | "x86-64" | "amd64", "v1") => ("amd64", ""),
        ("x86_64" | "x86-64" | "amd64", variant) => ("amd64", variant),
        ("aarch64" | "arm64", "8" | "v8" | "v8.0") => ("arm64", ""),
        ("aarch64" | "arm64", "9" | "9.0" | "v9.0") => ("arm64", "v9"),
        ("aarch64" | "arm64", variant) => ("arm64", variant),
        ("armhf" | "armv7l", _) | ("arm", "" | "7") => ("arm", "v7"),
        ("armel" | "armv6l", _) | ("arm", "6") => ("arm", "v6"),
        ("arm", "5") => ("arm", "v5"),
        ("arm", "8") => ("arm", "v8"),
        other => other,
    };
    (name.to_owned(), variant.to_owned())
}

/// Returns a platform in BuildKit's spelling: `linux/x86_64` is `linux/amd64`. An operating system
/// or an architecture alone is completed with this machine's other half.
pub(crate) fn normalized(platform: &str) -> String {
    let parts: Vec<&str> = platform.split('/').collect();
    let (system, name, variant) = match parts.as_slice() {
        ["local"] => return native(),
        [system] if SYSTEMS.contains(&system.to_ascii_lowercase().as_str()) => {
            (*system, std::env::consts::ARCH, "")
        }
        [name] => ("linux", *name, ""),
        [system, name] => (*system, *name, ""),
        [system, name, variant] => (*system, *name, *variant),
        // BuildKit refuses it.
        _ => return platform.to_owned(),
    };
    let system = system.to_ascii_lowercase();
    let system = if system == "macos" { "darwin" } else { &system };
    let (name, variant) = architecture(name, variant);
    let parts = [system, &name, &variant];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
}

/// The operating systems that may stand alone.
const SYSTEMS: [&str; 5] = ["linux", "windows", "darwin", "macos", "freebsd"];

/// Returns the platform of this machine, if no engine reports its own.
pub(crate) fn native() -> String {
    normalized(&format!("linux/{}", std::env::consts::ARCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_has_one_spelling() {
        for (names, expected) in [
            (&["linux/amd64", "linux/x86_64", "Linux/X86-64", "linux/amd64/v1", "amd64"][..], "linux/amd64"),
            (&["linux/amd64/v2", "linux/x86_64/V2"], "linux/amd64/v2"),
            (&["linux/arm64", "linux/aarch64", "linux/arm64/v8", "linux/arm64/8", "arm64"], "linux/arm64"),
            (&["linux/arm", "linux/armhf", "linux/arm/v7", "linux/arm/7", "linux/armv7l"], "linux/arm/v7"),
            (&["linux/armel", "linux/arm/6", "linux/arm/v6"], "linux/arm/v6"),
            (&["linux/386", "linux/i386", "linux/i686"], "linux/386"),
            (&["darwin/arm64", "macos/aarch64"], "darwin/arm64"),
            (&["linux/riscv64", "riscv64"], "linux/riscv64"),
            (&["a/b/c/d"], "a/b/c/d"),
        ] {
            for name in names {
                assert_eq!(normalized(name), expected, "{name}");
            }
        }
        assert_eq!((normalized("local"), normalized("linux")), (native(), native()));
    }
}
