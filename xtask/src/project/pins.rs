//! `builder/pins.env`: the pinned versions, one `NAME=VALUE` per line, with comments after `#`. A
//! comment `# hold: REASON` right above a pin excludes it from updates.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::files;

/// The pinned versions by name.
pub(crate) type Pins = BTreeMap<String, String>;

/// The start of a comment that excludes the pin below it from updates.
const HOLD: &str = "hold:";

/// One pin of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pin {
    pub name: String,
    pub value: String,
    /// The reason that excludes it from updates.
    pub hold: Option<String>,
}

/// Reads the pins.
pub fn read(path: &Path) -> Result<Pins> {
    Ok(list(path)?.into_iter().map(|pin| (pin.name, pin.value)).collect())
}

/// Reads the pins in their file's order.
pub(crate) fn list(path: &Path) -> Result<Vec<Pin>> {
    let text = files::read_text(path).with_context(|| format!("failed to read `{}`", path.display()))?;
    parse_list(&text).with_context(|| format!("`{}`", path.display()))
}

/// Parses the text of a pins file.
pub fn parse(text: &str) -> Result<Pins> {
    Ok(parse_list(text)?.into_iter().map(|pin| (pin.name, pin.value)).collect())
}

/// Parses the text of a pins file in order.
pub(crate) fn parse_list(text: &str) -> Result<Vec<Pin>> {
    let mut pins: Vec<Pin> = Vec::new();
    let mut hold = None;
    for (number, line) in text.lines().enumerate() {
        if let Some(comment) = line.trim().strip_prefix('#') {
            let reason = comment.trim().strip_prefix(HOLD).map(|reason| reason.trim().to_owned());
            hold = reason.or(hold);
        } else if let Some((name, value)) = assignment(line) {
            pins.push(Pin { name: name.to_owned(), value: value.to_owned(), hold: hold.take() });
        } else if line.trim().is_empty() {
            hold = None;
        } else {
            bail!("line {} is not NAME=VALUE: `{line}`", number + 1);
        }
    }
    Ok(pins)
}

/// Returns the text with these values. Keeps comments, order, quotes and every other line.
pub(crate) fn with_values(text: &str, values: &Pins) -> String {
    let mut new = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let change = assignment(line).and_then(|(name, old)| Some((line.find('=')?, old, values.get(name)?)));
        match change {
            Some((equals, old, value)) if !old.is_empty() => {
                let (head, tail) = line.split_at(equals);
                new.push_str(head);
                new.push_str(&tail.replacen(old, value, 1));
            }
            _ => new.push_str(line),
        }
    }
    new
}

/// Returns the name and value of a line with a pin.
fn assignment(line: &str) -> Option<(&str, &str)> {
    let line = line.trim();
    let (name, value) = line.split_once('=').filter(|_| !line.starts_with('#'))?;
    Some((name.trim(), value.trim().trim_matches('"')))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "# why\n\nPHP_VERSION=8.4.24-1\n# hold: it crashes\n# in worker mode\nX_VERSION=\"v1.2\"\r\nY = v1\n";

    fn values(list: &[(&str, &str)]) -> Pins {
        list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn comments_and_quotes_are_no_part_of_a_pin() {
        let pins = parse(TEXT).expect("well formed");
        assert_eq!(pins["PHP_VERSION"], "8.4.24-1");
        assert_eq!(pins["X_VERSION"], "v1.2");
        assert!(parse("PHP").is_err());
    }

    #[test]
    fn a_hold_is_for_the_pin_right_below_it() {
        let pins = parse_list(TEXT).expect("well formed");
        let holds: Vec<_> = pins.iter().map(|pin| pin.hold.as_deref()).collect();
        assert_eq!(holds, [None, Some("it crashes"), None]);
        let far = parse_list("# hold: x\n\nA=1\n").expect("well formed");
        assert_eq!(far[0].hold, None, "an empty line ends the comment");
    }

    #[test]
    fn new_values_leave_every_other_byte() {
        let new = with_values(TEXT, &values(&[("PHP_VERSION", "8.4.25-1"), ("X_VERSION", "v2"), ("Z", "9")]));
        assert_eq!(new, TEXT.replace("8.4.24-1", "8.4.25-1").replace("\"v1.2\"", "\"v2\""));
        assert_eq!(with_values(TEXT, &Pins::new()), TEXT);
        assert_eq!(with_values("A=A", &values(&[("A", "B")])), "A=B", "the name is not the value");
    }
}
