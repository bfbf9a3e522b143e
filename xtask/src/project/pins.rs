//! `builder/pins.env`: the pinned versions, `NAME=VALUE` a line, `#` before a comment.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

/// The pinned versions by name.
pub type Pins = BTreeMap<String, String>;

/// Reads the pins.
pub fn read(path: &Path) -> Result<Pins> {
    let text = fs::read_to_string(path).with_context(|| format!("failed to read `{}`", path.display()))?;
    parse(&text).with_context(|| format!("`{}`", path.display()))
}

/// Parses the text of a pins file.
pub fn parse(text: &str) -> Result<Pins> {
    let mut pins = Pins::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((name, value)) = line.split_once('=') else {
            bail!("line {} is not NAME=VALUE: `{line}`", number + 1);
        };
        pins.insert(name.trim().to_owned(), value.trim().trim_matches('"').to_owned());
    }
    Ok(pins)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_quotes_are_no_part_of_a_pin() {
        let pins =
            parse("# why\nPHP_VERSION=8.4.24-1\n\nBASE_IMAGE=\"debian:13-slim\"\n").expect("well formed");
        assert_eq!(pins["PHP_VERSION"], "8.4.24-1");
        assert_eq!(pins["BASE_IMAGE"], "debian:13-slim");
        assert!(parse("PHP").is_err());
    }
}
