//! The key of a Dockerfile's results. The key only selects caches for BuildKit, whose own keys
//! decide about reuse. So a wrong choice costs time and never gives a wrong result.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The format number of the store. It is part of every key.
pub const FORMAT: u32 = 2;

/// A SHA-256 in hex, displayed as its first 12 digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key(pub String);

impl Key {
    /// Returns the key of an image, without its tag, for a platform and the bytes of its
    /// Dockerfile. The frontend line (`# syntax=`) is part of these bytes. It is also hashed
    /// separately, so that its influence is visible here.
    pub fn new(image: &str, platform: &str, dockerfile: &[u8]) -> Self {
        let mut hash = Sha256::new();
        for part in [
            format!("{FORMAT}").as_bytes(),
            image.as_bytes(),
            platform.as_bytes(),
            frontend(dockerfile),
            dockerfile,
        ] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        Self(format!("{:x}", hash.finalize()))
    }

    /// Returns the displayed form.
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.short())
    }
}

/// Returns the `# syntax=` line at the start of a Dockerfile, or nothing.
fn frontend(dockerfile: &[u8]) -> &[u8] {
    let first = dockerfile.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let text = String::from_utf8_lossy(first).to_ascii_lowercase();
    let is_syntax = text.trim_start_matches('#').trim_start().starts_with("syntax=");
    if text.starts_with('#') && is_syntax { first } else { &[] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modification_to_key() {
        let base = || Key::new("img", "linux/amd64", b"FROM a\nRUN x\n");
        let table: &[(&str, Key, bool)] = &[
            ("nothing", Key::new("img", "linux/amd64", b"FROM a\nRUN x\n"), false),
            ("a comment in the Dockerfile", Key::new("img", "linux/amd64", b"FROM a\n# c\nRUN x\n"), true),
            ("another image", Key::new("img2", "linux/amd64", b"FROM a\nRUN x\n"), true),
            ("another platform", Key::new("img", "linux/arm64", b"FROM a\nRUN x\n"), true),
            ("a frontend line", Key::new("img", "linux/amd64", b"# syntax=f\nFROM a\nRUN x\n"), true),
            ("a letter moved between parts", Key::new("imgl", "inux/amd64", b"FROM a\nRUN x\n"), true),
        ];
        for (what, key, changes) in table {
            assert_eq!(*key != base(), *changes, "{what}");
        }
        assert_eq!(base().short().len(), 12);
    }
}
