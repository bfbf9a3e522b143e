//! Lines of comma-separated values, in which buildx and BuildKit take settings:
//! `type=local,"dest=a,b"`.

use serde_json::Value;

/// Splits a line into fields. A field that begins with a quote ends with one, and `""` in it stands
/// for one quote.
pub(crate) fn fields(line: &str) -> Vec<String> {
    let (mut fields, mut field, mut is_quoted) = (Vec::new(), String::new(), false);
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if is_quoted && chars.peek() == Some(&'"') => field.extend(chars.next()),
            '"' if is_quoted || field.is_empty() => is_quoted = !is_quoted,
            ',' if !is_quoted => fields.push(std::mem::take(&mut field)),
            _ => field.push(c),
        }
    }
    fields.push(field);
    fields
}

/// Returns the fields of the form NAME=VALUE. Like buildx, takes names in any case, with spaces
/// around them.
pub(crate) fn pairs(line: &str) -> Vec<(String, String)> {
    let pair = |field: String| {
        let (name, value) = field.split_once('=')?;
        Some((name.trim().to_ascii_lowercase(), value.to_owned()))
    };
    fields(line).into_iter().filter_map(pair).collect()
}

/// Returns one field of a line, quoted if needed.
pub(crate) fn quoted(field: &str) -> String {
    let is_plain = !field.contains([',', '"', '\r', '\n']);
    if is_plain { field.to_owned() } else { format!("\"{}\"", field.replace('"', "\"\"")) }
}

/// Returns a setting as a line. Newer versions of bake print it as an object.
pub(crate) fn line(setting: &Value) -> String {
    match setting {
        Value::String(text) => text.clone(),
        Value::Object(fields) => {
            let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let field = |(name, value)| quoted(&format!("{name}={}", text(value)));
            fields.iter().map(field).collect::<Vec<_>>().join(",")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_split_as_csv() {
        for (line, expected) in [
            ("a=1,b", vec!["a=1", "b"]),
            ("type=cache,\"target=/a,b\",ro", vec!["type=cache", "target=/a,b", "ro"]),
            ("\"x=say \"\"hi\"\"\"", vec!["x=say \"hi\""]),
            ("a,,b", vec!["a", "", "b"]),
        ] {
            assert_eq!(fields(line), expected, "{line}");
        }
        let known = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            pairs("TYPE=local, \"Dest\"=x, dest=y,z,\" src=a,b\""),
            [known("type", "local"), known("\"dest\"", "x"), known("dest", "y"), known("src", "a,b"),]
        );
    }

    #[test]
    fn an_object_is_the_line_that_has_its_fields() {
        let object = serde_json::json!({"type": "local", "dest": "a,\"b\"", "tar": false});
        let line = line(&object);
        let found = pairs(&line);
        let value = |name: &str| found.iter().find(|(known, _)| known == name).map(|(_, at)| at.as_str());
        assert_eq!((value("dest"), value("tar")), (Some("a,\"b\""), Some("false")), "{line}");
        assert_eq!(super::line(&"x=1,y".into()), "x=1,y");
    }
}
