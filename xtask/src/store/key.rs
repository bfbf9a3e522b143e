//! The key of a Dockerfile's results. It only chooses where BuildKit looks: reuse is decided by BuildKit's own keys, so a
//! wrong choice costs time and never a wrong result.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Format number of the store; part of every key.
pub const FORMAT: u32 = 2;

/// SHA-256 in hex; shown as its first 12 digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key(pub String);

impl Key {
    /// The key of an image, without its tag, for a platform, built from a Dockerfile with these bytes. The frontend line
    /// (`# syntax=`) is among them, and also stands alone, so that the frontend's part is visible here.
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

    /// The form that people see.
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.short())
    }
}

/// The `# syntax=` line at a Dockerfile's top, or nothing.
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
