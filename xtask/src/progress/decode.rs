//! Decodes `--progress=rawjson`: a stream of JSON values, pretty-printed by buildx 0.13 and on one
//! line each by newer versions, with plain text (mainly the error) before and after.

use std::io::{BufRead, Read};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::Deserialize;

use crate::text::partial_line;

/// The most bytes of a value. BuildKit's messages have at most 16 MiB, and JSON takes about twice
/// as much.
const LONGEST_VALUE: usize = 64 << 20;

/// One value of the stream (BuildKit's `client.SolveStatus`).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Chunk {
    /// Steps that started, ended, or became known.
    pub vertexes: Vec<Vertex>,
    /// The progress of transfers.
    pub statuses: Vec<Status>,
    /// Output of steps.
    pub logs: Vec<Log>,
    /// Warnings of the frontend.
    pub warnings: Vec<Warning>,
}

/// A node of the build's graph.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Vertex {
    /// Its digest. After a local context it changes with every build.
    pub digest: String,
    /// Its name, such as `[app stage-0 2/3] RUN make`.
    pub name: String,
    /// The start time.
    pub started: Option<Timestamp>,
    /// The end time.
    pub completed: Option<Timestamp>,
    /// Whether its result existed.
    pub cached: bool,
    /// Why it failed.
    pub error: String,
    /// Digests of the vertices that it depends on.
    pub inputs: Vec<String>,
}

/// The progress of one transfer of a vertex: a layer, the context, an export.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Status {
    /// The transferred object: a digest, or words.
    pub id: String,
    /// The digest of the vertex.
    pub vertex: String,
    /// Bytes so far; 0 if bytes are not counted.
    pub current: i64,
    /// Total bytes; 0 if unknown.
    pub total: i64,
    /// The end time.
    pub completed: Option<Timestamp>,
}

/// A piece of output, not always a whole line.
#[derive(Debug, Deserialize)]
pub struct Log {
    /// The digest of the vertex.
    pub vertex: String,
    /// Base64.
    #[serde(default)]
    data: String,
}

impl Log {
    /// Returns the output. A character may be split over two pieces.
    pub fn bytes(&self) -> Vec<u8> {
        STANDARD.decode(&self.data).unwrap_or_default()
    }
}

/// A warning of the frontend.
#[derive(Debug, Deserialize)]
pub struct Warning {
    /// Base64.
    #[serde(default)]
    short: String,
}

impl Warning {
    /// Returns its one line.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&STANDARD.decode(&self.short).unwrap_or_default()).into_owned()
    }
}

/// An item of the stream.
#[derive(Debug)]
pub(crate) enum Item {
    /// A JSON value.
    Chunk(Chunk),
    /// A line of plain text.
    Text(String),
}

/// Reads a stream item by item and keeps one item at a time. Of a longer line of text only the
/// start is kept, and a longer value is text.
pub(crate) struct Decoder<R> {
    input: R,
    /// The lines so far of a value.
    value: String,
    /// The line that showed that the value before it has no end.
    ahead: Option<String>,
}

impl<R: BufRead> Decoder<R> {
    /// Decodes the data from `input`.
    pub(crate) fn new(input: R) -> Self {
        Self { input, value: String::new(), ahead: None }
    }

    /// Returns the next item with its raw text; `None` at the end.
    pub(crate) fn next_item(&mut self) -> std::io::Result<Option<(Item, String)>> {
        loop {
            let Some(line) = self.line()? else {
                let rest = std::mem::take(&mut self.value);
                return Ok((!rest.is_empty()).then(|| text(&rest)));
            };
            let (begins, ends) = (line.starts_with('{'), line.starts_with('}'));
            if self.value.is_empty() && !begins {
                return Ok(Some(text(line.trim_end())));
            }
            if !self.value.is_empty() && begins {
                self.ahead = Some(line);
                return Ok(Some(text(&std::mem::take(&mut self.value))));
            }
            self.value.push_str(&line);
            let is_too_long = self.value.len() > LONGEST_VALUE;
            if !begins && !ends && !is_too_long {
                continue;
            }
            if let Ok(chunk) = serde_json::from_str(&self.value) {
                return Ok(Some((Item::Chunk(chunk), std::mem::take(&mut self.value))));
            }
            // An invalid value is returned as text, not lost.
            if ends || is_too_long {
                return Ok(Some(text(&std::mem::take(&mut self.value))));
            }
        }
    }

    fn line(&mut self) -> std::io::Result<Option<String>> {
        if let Some(line) = self.ahead.take() {
            return Ok(Some(line));
        }
        let mut bytes = Vec::new();
        let longest = u64::try_from(LONGEST_VALUE).unwrap_or(u64::MAX);
        let count = (&mut self.input).take(longest).read_until(b'\n', &mut bytes)?;
        Ok((count > 0).then(|| String::from_utf8_lossy(&bytes).into_owned()))
    }
}

fn text(text: &str) -> (Item, String) {
    let text = partial_line::cut(text);
    (Item::Text(text.clone()), text)
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, repeat};

    use super::*;

    fn items(text: &str) -> Vec<Item> {
        let mut decoder = Decoder::new(text.as_bytes());
        std::iter::from_fn(|| decoder.next_item().expect("bytes in memory").map(|(item, _)| item)).collect()
    }

    /// Recorded with buildx 0.13.1, shortened.
    const PRETTY: &str = r#"{
  "vertexes": [
    {
      "digest": "sha256:57",
      "name": "[app stage-0 2/3] RUN ls /; exit 42",
      "started": "2026-11-22T12:21:04.091219074Z",
      "completed": "2026-11-22T12:21:04.366291343Z",
      "error": "process \"/bin/sh -c ls /; exit 42\" did not complete successfully: exit code: 42"
    }
  ]
}
{
  "logs": [
    {
      "vertex": "sha256:57",
      "stream": 1,
      "data": "YmluCg==",
      "timestamp": "2026-11-22T12:21:04.330379884Z"
    }
  ]
}
b.Dockerfile:3
ERROR: failed to solve
"#;

    #[test]
    fn values_over_several_lines_and_text_after_them() {
        let items = items(PRETTY);
        assert_eq!(items.len(), 4);
        let Item::Chunk(first) = &items[0] else { panic!("a value: {:?}", items[0]) };
        assert!(first.vertexes[0].error.ends_with("exit code: 42"));
        let Item::Chunk(second) = &items[1] else { panic!("a value: {:?}", items[1]) };
        assert_eq!(second.logs[0].bytes(), b"bin\n");
        assert!(matches!(&items[3], Item::Text(line) if line == "ERROR: failed to solve"));
    }

    #[test]
    fn values_on_one_line_each() {
        let items = items("{\"vertexes\":[{\"digest\":\"a\",\"name\":\"x\"}]}\n{\"logs\":[]}\nbye");
        assert!(matches!(items.as_slice(), [Item::Chunk(_), Item::Chunk(_), Item::Text(_)]));
    }

    #[test]
    fn a_stream_that_is_cut_keeps_its_rest() {
        assert!(matches!(items("{\n  \"vertexes\": [").as_slice(), [Item::Text(_)]));
        let cut = items("{\n  \"vertexes\": [\n{\"logs\":[]}\n{\n  \"logs\": []\n}\n");
        assert!(matches!(cut.as_slice(), [Item::Text(_), Item::Chunk(_), Item::Chunk(_)]), "{cut:?}");
    }

    #[test]
    fn an_item_without_an_end_takes_bounded_memory() {
        for endless in [b'x', b'{', b' '] {
            let mut decoder = Decoder::new(b"{\n".chain(BufReader::new(repeat(endless))));
            let (item, raw) = decoder.next_item().expect("bytes in memory").expect("an item");
            assert!(matches!(item, Item::Text(text) if text.len() < 100_000));
            assert!(raw.len() < 100_000 && decoder.value.len() <= LONGEST_VALUE, "{}", raw.len());
        }
    }
}
