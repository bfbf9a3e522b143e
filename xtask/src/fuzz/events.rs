//! The progress stream of a build, whose output has a secret in it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::progress::decode::{Decoder, Item};
use crate::progress::event::Event;
use crate::progress::trace::Trace;
use crate::progress::vertex::TAIL;
use crate::redact::Redactor;
use crate::text::progress_stream::StreamRedactor;
use crate::text::terminal;

const SECRET: &str = "hunter22hunter";

pub(super) fn run(input: &[u8]) {
    let redactor = Redactor::default();
    redactor.learn(SECRET);
    let mut trace = Trace::new(&["app".to_owned(), "web".to_owned()]).redacted_by(&redactor);
    let mut decoder = Decoder::new(input);
    let (mut stream, mut outputs) = (StreamRedactor::new(&redactor), BTreeMap::new());
    let (mut items, mut bytes) = (0, 0);
    while let Some((item, raw)) = decoder.next_item().expect("bytes in memory") {
        items += 1;
        bytes += raw.len();
        let passed = stream.item(&raw);
        hidden(&passed);
        add_output(&mut outputs, &passed);
        let Item::Chunk(chunk) = item else { continue };
        for event in trace.apply(&chunk) {
            if let Event::Line(_, line) | Event::Warning(line) = event {
                hidden(&line);
                let shown = terminal::no_command(terminal::plain(&line));
                assert!(!shown.contains(|c: char| c.is_control() && c != '\t'), "{shown:?}");
            }
        }
    }
    if let Some(rest) = stream.rest() {
        hidden(&rest);
        add_output(&mut outputs, &rest);
    }
    // However the output of a step is cut into pieces.
    outputs.values().for_each(|output| hidden(&String::from_utf8_lossy(output)));
    let lines = input.split(|byte| *byte == b'\n').count();
    assert!(items <= lines, "an item has a line of its own");
    // A byte that is no part of a character becomes three.
    assert!(bytes <= 3 * input.len(), "nothing is given twice");
    trace.mark_replayed_as_cached();
    for (state, name) in trace.steps() {
        [&state.name, &state.shown, &state.error].into_iter().for_each(|text| hidden(text));
        state.tail.iter().for_each(|line| hidden(line));
        assert!(state.tail.len() <= TAIL + 1 && state.seconds() >= 0.0);
        let _ = (state.exit_code(), state.is_internal(), state.transfers.bytes(), name.is_run());
    }
    trace.warnings.iter().for_each(|warning| hidden(warning));
    assert!(trace.warnings.len() <= 20, "warnings are bounded");
    let _ = (trace.failed(), trace.origin(), trace.unread().count());
    let mut later = Trace::new(&["app".to_owned()]);
    later.merge_previous(&trace);
}

/// Adds the output in an item of the stream to that of its steps.
fn add_output(outputs: &mut BTreeMap<String, Vec<u8>>, item: &str) {
    let item: Value = serde_json::from_str(item).unwrap_or_default();
    for log in item["logs"].as_array().into_iter().flatten() {
        let vertex = log["vertex"].as_str().unwrap_or_default();
        let data = STANDARD.decode(log["data"].as_str().unwrap_or_default()).unwrap_or_default();
        outputs.entry(vertex.to_owned()).or_default().extend(data);
    }
}

fn hidden(text: &str) {
    assert!(!text.contains(SECRET), "the secret is shown: {text:?}");
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let data = |text: &str| STANDARD.encode(text);
    let one = format!(
        "{{\"vertexes\":[{{\"digest\":\"a\",\"name\":\"[app stage-0 2/3] RUN {SECRET}\",\"inputs\":[\"b\"],\
         \"started\":\"2026-11-22T12:21:04Z\",\"completed\":\"2026-11-22T12:21:05Z\",\"cached\":false,\
         \"error\":\"exit code: 42\"}}]}}\n{{\"logs\":[{{\"vertex\":\"a\",\"data\":\"{}\"}}]}}\n\
         {{\"statuses\":[{{\"id\":\"sha256:x\",\"vertex\":\"a\",\"current\":5,\"total\":9}}],\
         \"warnings\":[{{\"short\":\"{}\"}}]}}\nERROR: {SECRET}\n",
        data(&format!("WARNING: {SECRET}\r\n\u{1b}[2Jx")),
        data(SECRET),
    );
    let pretty = one.replace("{\"logs\"", "{\n  \"logs\"").replace("]}\n", "]\n}\n");
    let (first, second) = SECRET.split_at(7);
    let split = format!(
        "{{\"logs\":[{{\"vertex\":\"a\",\"data\":\"{}\"}}]}}\n{{\"logs\":[{{\"vertex\":\"a\",\"data\":\"{}\"}}]}}\n",
        data(first),
        data(second),
    );
    vec![one.into_bytes(), pretty.into_bytes(), split.into_bytes()]
}
