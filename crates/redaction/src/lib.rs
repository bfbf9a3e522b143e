//! Finds secrets in texts: known values, and what looks like a secret. It has no dependencies and
//! is optimized in every profile, since every line that a build prints goes through it.

mod names;
mod scan;
mod tokens;
mod value;

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

pub use names::is_secret;
use scan::Span;

/// The replacement of redacted text.
pub const REDACTED: &str = "***";
/// A shorter value than this is no secret worth the name, and redacting it would tear holes into
/// words. So many bytes of a value find it.
pub const SHORTEST: usize = 6;

/// Values, found by their first bytes, and what looks like a secret.
#[derive(Debug, Clone)]
pub struct Finder {
    values: BTreeSet<String>,
    by_head: HashMap<[u8; SHORTEST], Vec<Value>>,
    /// For each pair of bytes, what begins with it.
    pairs: Box<[u8]>,
}

/// A known value, and whether it is a part of a text in Base64.
type Value = (String, bool);

/// A known value may begin with the pair,
const VALUE: u8 = 1;
/// a pattern.
const PATTERN: u8 = 2;

impl Default for Finder {
    fn default() -> Self {
        let pairs = vec![0; 1 << 16].into_boxed_slice();
        let mut finder = Self { values: BTreeSet::new(), by_head: HashMap::new(), pairs };
        tokens::starts().for_each(|pair| finder.mark(pair, PATTERN));
        [b"--", b"-u", b"-p", b"Be", b"be", b"Ba", b"ba", b"pa", b"\",", b"',"]
            .iter()
            .for_each(|pair| finder.mark(**pair, PATTERN));
        for second in 0..=u8::MAX {
            finder.mark([b'=', second], PATTERN);
            finder.mark([b':', second], PATTERN);
        }
        finder
    }
}

impl Finder {
    /// Learns a value. One shorter than [`SHORTEST`] is ignored.
    pub fn learn(&mut self, value: String) {
        self.add(value, false);
    }

    /// Learns what a value is within Base64. All of the Base64 around it is redacted with it.
    pub fn learn_base64(&mut self, value: String) {
        self.add(value, true);
    }

    fn add(&mut self, value: String, is_base64: bool) {
        let bytes = value.as_bytes();
        let Some(head) = bytes.first_chunk::<SHORTEST>().copied() else { return };
        if self.values.insert(value.clone()) {
            self.mark([head[0], head[1]], VALUE);
            let values = self.by_head.entry(head).or_default();
            values.push((value, is_base64));
            // The longest first: one may be the beginning of another.
            values.sort_by_key(|(value, _)| std::cmp::Reverse(value.len()));
        }
    }

    /// A text without secrets.
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let bytes = text.as_bytes();
        let mut spans: Vec<Span> = scan::old_env(text).into_iter().collect();
        for (at, pair) in bytes.windows(2).enumerate() {
            let what = self.pairs[pair_index([pair[0], pair[1]])];
            if what != 0 && text.is_char_boundary(at) {
                if what & VALUE != 0 {
                    spans.extend(self.value(text, at));
                }
                if what & PATTERN != 0 {
                    spans.extend(pattern(text, at));
                }
            }
        }
        cut(text, spans)
    }

    /// A line of a stream of lines. `in_key` says whether a private key has begun and not ended.
    pub fn redact_line<'a>(&self, line: &'a str, in_key: &mut bool) -> Cow<'a, str> {
        if *in_key {
            *in_key = !line.contains("-----END ");
            return Cow::Borrowed(if *in_key { REDACTED } else { "-----END PRIVATE KEY-----" });
        }
        let key = line.find("-----BEGIN ").and_then(|at| scan::private_key(line, at));
        *in_key = key.is_some_and(|span| span.end == line.len());
        self.redact(line)
    }

    fn mark(&mut self, pair: [u8; 2], what: u8) {
        self.pairs[pair_index(pair)] |= what;
    }

    fn value(&self, text: &str, at: usize) -> Option<Span> {
        let head = text.as_bytes()[at..].first_chunk::<SHORTEST>()?;
        let is_here = |(value, _): &&Value| text[at..].starts_with(value.as_str());
        let (value, is_base64) = self.by_head.get(head)?.iter().find(is_here)?;
        let end = at + value.len();
        if !is_base64 {
            return Some(at..end);
        }
        let is_part = |c: char| c.is_ascii_alphanumeric() || "+/_-".contains(c);
        let before = text[..at].trim_end_matches(is_part).len();
        let rest = text[end..].trim_start_matches(is_part).trim_start_matches('=');
        Some(before..text.len() - rest.len())
    }
}

fn pair_index([first, second]: [u8; 2]) -> usize {
    usize::from(first) << 8 | usize::from(second)
}

/// User and password of each URL in a text.
pub fn users(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices("://").filter_map(|(at, _)| Some(&text[scan::user(text, at)?]))
}

/// Returns text that looks like a secret and begins at one place.
fn pattern(text: &str, at: usize) -> Option<Span> {
    let bytes = text.as_bytes();
    match bytes[at] {
        b'=' => return scan::assigned(text, at),
        b':' if text[at..].starts_with("://") => return scan::user(text, at),
        b':' => return scan::field(text, at),
        b'"' | b'\'' => return scan::argument(text, at),
        b'-' if bytes[at + 1] == b'u' => return scan::short_user(text, at),
        b'-' if bytes[at + 1] == b'p' => return scan::short_password(text, at),
        b'-' => return scan::private_key(text, at).or_else(|| scan::option(text, at)),
        b'p' if bytes[at + 1] == b'a' => {
            if let Some(span) = scan::netrc(text, at) {
                return Some(span);
            }
        }
        b'B' | b'b' => {
            if let Some(span) = scan::bearer(text, at) {
                return Some(span);
            }
        }
        _ => {}
    }
    tokens::find(text, at).map(|(begin, end)| begin..end)
}

/// A text with its spans redacted; spans may overlap.
fn cut(text: &str, mut spans: Vec<Span>) -> Cow<'_, str> {
    if spans.is_empty() {
        return Cow::Borrowed(text);
    }
    spans.sort_by_key(|span| (span.start, span.end));
    let (mut out, mut done) = (String::with_capacity(text.len()), 0);
    for span in spans {
        // Text that touches redacted text is redacted with it.
        if span.start > done || done == 0 && span.start == 0 {
            out.push_str(&text[done..span.start]);
            out.push_str(REDACTED);
        }
        done = done.max(span.end);
    }
    out.push_str(&text[done..]);
    Cow::Owned(out)
}

#[cfg(test)]
mod tests;
