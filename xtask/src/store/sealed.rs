//! Small files of the store. Each has a digest of its own content, so that damage that is still
//! valid JSON is found as well. Files of earlier versions have none.

use anyhow::{Result, ensure};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// The name of the digest in the document.
const DIGEST: &str = "sha256";

/// Returns the content of a file.
pub(crate) fn to_json(value: &impl Serialize) -> Result<Vec<u8>> {
    let mut document = serde_json::to_value(value)?;
    let digest = digest(&document);
    if let Some(fields) = document.as_object_mut() {
        fields.insert(DIGEST.into(), digest.into());
    }
    Ok(serde_json::to_vec_pretty(&document)?)
}

/// Reads the content of a file.
///
/// # Errors
///
/// Fails if the content is not the one that was written.
pub(crate) fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let mut document: Value = serde_json::from_slice(bytes)?;
    let written = document.as_object_mut().and_then(|fields| fields.remove(DIGEST));
    if let Some(written) = written {
        ensure!(written == digest(&document), "its content does not match its digest");
    }
    Ok(serde_json::from_value(document)?)
}

/// Line breaks and the order of fields don't count.
fn digest(document: &Value) -> String {
    format!("{:x}", Sha256::digest(document.to_string()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    type Map = BTreeMap<String, String>;

    #[test]
    fn no_flipped_bit_changes_what_is_read() {
        let value = Map::from([("image", "own/app"), ("key", "0123abcd")].map(|(a, b)| (a.into(), b.into())));
        let whole = to_json(&value).expect("JSON");
        assert_eq!(from_json::<Map>(&whole).expect("whole"), value);
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let Ok(mut read) = from_json::<Map>(&flipped) else { continue };
            // The name of the digest may be the one that is damaged.
            read.retain(|name, _| name.len() != DIGEST.len());
            assert_eq!(read, value, "{}", String::from_utf8_lossy(&flipped));
        }
    }

    #[test]
    fn a_file_of_an_earlier_version_has_no_digest() {
        assert_eq!(from_json::<Map>(br#"{"a":"b"}"#).expect("valid"), Map::from([("a".into(), "b".into())]));
        from_json::<Map>(br#"{"a":"b","sha256":"c"}"#).expect_err("another digest");
        from_json::<Vec<u8>>(b"[1]").expect("no object");
        from_json::<Map>(b"").expect_err("cut");
    }
}
