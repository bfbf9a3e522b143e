//! Redacts BuildKit's progress stream while it is passed on. The output of a step is passed on in
//! whole lines: a secret may be split over two items, and a private key has several lines.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::partial_line::PartialLine;
use super::terminal;
use crate::redact::Redactor;

/// The redactor of one stream.
#[derive(Debug, Default)]
pub(crate) struct StreamRedactor {
    redactor: Redactor,
    outputs: BTreeMap<String, Output>,
    /// Whether the stream's plain text is within a private key.
    in_key: bool,
}

/// The output of one step.
#[derive(Debug, Default)]
struct Output {
    partial: PartialLine,
    in_key: bool,
    /// The last item of its log, for the rest.
    log: Value,
}

impl Output {
    /// Returns the redacted lines that a piece of output ends.
    fn lines(&mut self, redactor: &Redactor, piece: &[u8]) -> String {
        let lines = self.partial.push_raw(piece);
        lines.iter().map(|line| self.redacted(redactor, line) + "\n").collect()
    }

    fn redacted(&mut self, redactor: &Redactor, line: &str) -> String {
        let text = line.trim_end_matches('\r');
        redactor.line(text, &mut self.in_key).into_owned() + &line[text.len()..]
    }
}

impl StreamRedactor {
    pub(crate) fn new(redactor: &Redactor) -> Self {
        Self { redactor: redactor.clone(), ..Self::default() }
    }

    /// Redacts one item: a document or a line of text.
    pub(crate) fn item(&mut self, raw: &str) -> String {
        let text = terminal::lines(raw.trim_end());
        // A line may be a document only without its control characters.
        let document = serde_json::from_str(raw).or_else(|_| serde_json::from_str(&text));
        let Ok(mut value): serde_json::Result<Value> = document else {
            let lines = text.split('\n').map(|line| self.redactor.line(line, &mut self.in_key));
            return lines.collect::<Vec<_>>().join("\n");
        };
        for log in value.get_mut("logs").and_then(Value::as_array_mut).into_iter().flatten() {
            self.log(log);
        }
        let warnings = value.get_mut("warnings").and_then(Value::as_array_mut);
        for warning in warnings.into_iter().flatten().filter_map(Value::as_object_mut) {
            let texts = warning.iter_mut().filter(|(name, _)| ["short", "detail"].contains(&name.as_str()));
            texts.for_each(|(_, text)| clear(text, &self.redactor));
        }
        self.shown(value)
    }

    fn log(&mut self, log: &mut Value) {
        let vertex = log["vertex"].as_str().unwrap_or_default().to_owned();
        let Some(data) = log.get_mut("data") else { return };
        let piece = STANDARD.decode(data.as_str().unwrap_or_default()).unwrap_or_default();
        let output = self.outputs.entry(vertex).or_default();
        *data = STANDARD.encode(output.lines(&self.redactor, &piece)).into();
        output.log = log.clone();
    }

    /// Returns the output without a line break at its end, if there is any. Steps may print after
    /// they have ended, so only the end of the stream ends a line.
    pub(crate) fn rest(&mut self) -> Option<String> {
        let mut logs = Vec::new();
        for mut output in std::mem::take(&mut self.outputs).into_values() {
            if let Some(partial) = output.partial.rest_raw() {
                let text = output.redacted(&self.redactor, &partial);
                output.log["data"] = STANDARD.encode(text).into();
                logs.push(output.log);
            }
        }
        (!logs.is_empty()).then(|| self.shown(json!({ "logs": logs })))
    }

    fn shown(&self, mut value: Value) -> String {
        self.redactor.json(&mut value);
        terminal::json(&value.to_string())
    }
}

/// Redacts Base64 content.
fn clear(value: &mut Value, redactor: &Redactor) {
    match value {
        Value::String(data) => {
            let bytes = STANDARD.decode(&*data).unwrap_or_default();
            if let Cow::Owned(text) = redactor.text(&String::from_utf8_lossy(&bytes)) {
                *data = STANDARD.encode(text);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| clear(item, redactor)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> StreamRedactor {
        let redactor = Redactor::default();
        redactor.learn("hunter22");
        StreamRedactor::new(&redactor)
    }

    fn read(value: &Value) -> String {
        String::from_utf8(STANDARD.decode(value.as_str().expect("text")).expect("Base64")).expect("text")
    }

    /// Passes pieces of output of the step `v` on, and returns the output that comes out.
    fn passed(pieces: &[&[u8]]) -> String {
        let mut stream = stream();
        let item = |piece: &&[u8]| {
            let log = json!({"vertex": "v", "stream": 1, "data": STANDARD.encode(piece)});
            stream.item(&json!({ "logs": [log] }).to_string())
        };
        let mut items: Vec<String> = pieces.iter().map(item).collect();
        items.extend(stream.rest());
        assert_eq!(stream.rest(), None);
        let items = items.iter().map(|item| serde_json::from_str::<Value>(item).expect("JSON"));
        items.map(|item| read(&item["logs"][0]["data"])).collect()
    }

    #[test]
    fn an_item_of_the_stream_has_no_secret_in_base64() {
        let data = STANDARD.encode("the word is hunter22\n");
        let raw = json!({"logs": [{"vertex": "v", "data": data}],
            "warnings": [{"short": STANDARD.encode("TOKEN=x"), "detail": [STANDARD.encode("hunter22")]}],
            "vertexes": [{"name": "RUN hunter22 \u{9b}2J"}]});
        let item: Value = serde_json::from_str(&stream().item(&raw.to_string())).expect("JSON");
        assert_eq!(read(&item["logs"][0]["data"]), "the word is ***\n");
        assert_eq!(read(&item["warnings"][0]["short"]), "TOKEN=***");
        assert_eq!(read(&item["warnings"][0]["detail"][0]), "***");
        assert_eq!(item["vertexes"][0]["name"], "RUN *** \u{9b}2J");
        assert_eq!(stream().item("{\n{hunt\0er22\n"), "{\n{***");
    }

    #[test]
    fn a_secret_that_is_split_over_items_is_redacted() {
        let text = "a ünit\nhunter22 and more\nthe last hunter22".as_bytes();
        for first in 0..text.len() {
            for second in [first, (first + text.len()) / 2] {
                let pieces = [&text[..first], &text[first..second], &text[second..]];
                assert_eq!(passed(&pieces), "a ünit\n*** and more\nthe last ***", "{first} {second}");
            }
        }
    }

    #[test]
    fn a_private_key_that_is_split_over_items_is_redacted() {
        let key = ["-----BEGIN RSA PRIVATE KEY-----\r\n", "b3Blbn", "NzaC1rZXk\r\n", "-----END RSA PRIVATE"];
        let pieces = [&key[..], &[" KEY-----\r\nafter\n"]].concat();
        let shown = passed(&pieces.iter().map(|piece| piece.as_bytes()).collect::<Vec<_>>());
        assert!(!shown.contains("b3Blbn") && !shown.contains("NzaC1"), "{shown}");
        assert!(shown.ends_with("-----END PRIVATE KEY-----\r\nafter\n"), "{shown}");
        let mut stream = stream();
        let text: Vec<String> = pieces.concat().lines().map(|line| stream.item(line)).collect();
        assert!(!text.concat().contains("b3Blbn") && text.ends_with(&["after".into()]), "{text:?}");
    }

    #[test]
    fn an_endless_line_is_passed_on_in_part_and_without_its_secret() {
        let (mut pieces, piece) = (vec![&b"first hunter22 "[..]], b"words ".repeat(200));
        pieces.extend(std::iter::repeat_n(&piece[..], 1000));
        let shown = passed(&[&pieces[..], &[b"\nnext hunter22"]].concat());
        let (line, next) = shown.split_once('\n').expect("two lines");
        assert!(line.starts_with("first *** words ") && line.ends_with("words ..."), "{}", line.len());
        assert!(line.len() < 100_000, "{}", line.len());
        assert_eq!(next, "next ***");
    }

    #[test]
    fn a_document_with_control_characters_is_a_document() {
        let mut stream = stream();
        let raw = |text: &str| {
            format!("{{\"logs\":[{{\"ver\0tex\":\"v\",\"data\":\"{}\"}}]}}", STANDARD.encode(text))
        };
        let items = [stream.item(&raw("hunt")), stream.item(&raw("er22")), stream.rest().expect("a rest")];
        let items = items.map(|item| serde_json::from_str::<Value>(&item).expect("JSON"));
        assert_eq!(items.map(|item| read(&item["logs"][0]["data"])), ["", "", "***"]);
    }

    #[test]
    fn steps_do_not_mix() {
        let mut stream = stream();
        let log = |vertex: &str, text: &str| json!({"vertex": vertex, "data": STANDARD.encode(text)});
        let raw = json!({"logs": [log("v", "hunt"), log("w", "er22\n"), log("v", "ing\nx")]});
        let item: Value = serde_json::from_str(&stream.item(&raw.to_string())).expect("JSON");
        let texts: Vec<String> =
            item["logs"].as_array().expect("logs").iter().map(|log| read(&log["data"])).collect();
        assert_eq!(texts, ["", "er22\n", "hunting\n"]);
        let rest: Value = serde_json::from_str(&stream.rest().expect("a rest")).expect("JSON");
        assert_eq!(
            (&rest["logs"][0]["vertex"], read(&rest["logs"][0]["data"])),
            (&json!("v"), "x".to_owned())
        );
    }
}
