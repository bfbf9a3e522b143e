//! SHA-256 digests as text.

use sha2::{Digest, Sha256};

/// Returns the digest of bytes in hexadecimal digits.
pub(crate) fn hex(bytes: impl AsRef<[u8]>) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

/// Returns the name of these bytes in a registry: `sha256:` and the digits.
pub(crate) fn name(bytes: impl AsRef<[u8]>) -> String {
    format!("sha256:{}", hex(bytes))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_name_has_the_digits() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!((super::hex(""), super::name(b"")), (empty.to_owned(), format!("sha256:{empty}")));
    }
}
