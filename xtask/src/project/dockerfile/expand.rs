//! Words of an instruction: flags and `NAME=value` lists.

/// Splits off the leading flags, such as `--mount=...`, without their dashes and quotes.
pub(super) fn flags(text: &str, escape: char) -> (Vec<(String, String)>, &str) {
    let (mut found, mut rest) = (Vec::new(), text);
    while rest.starts_with("--") {
        let (word, after) = first_word(rest, escape);
        let bare = unquote(word, escape);
        rest = after.trim_start();
        if bare == "--" {
            break;
        }
        let (name, value) = bare[2..].split_once('=').unwrap_or((&bare[2..], ""));
        found.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    (found, rest)
}

/// Returns words, split at every space, as COPY and ADD take them.
pub(super) fn fields(text: &str) -> Vec<&str> {
    text.split(['\t', '\u{b}', '\u{c}', '\r', ' ']).filter(|word| !word.is_empty()).collect()
}

/// Returns words, split at spaces outside quotes. Keeps the quotes.
pub(super) fn split(text: &str, escape: char) -> Vec<&str> {
    let (mut words, mut rest) = (Vec::new(), text.trim_start());
    while !rest.is_empty() {
        let (word, after) = first_word(rest, escape);
        words.push(word);
        rest = after.trim_start();
    }
    words
}

fn first_word(text: &str, escape: char) -> (&str, &str) {
    let (mut quote, mut escaped) = (None, false);
    for (at, c) in text.char_indices() {
        match quote {
            _ if escaped => escaped = false,
            _ if c == escape && quote != Some('\'') => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '\'' || c == '"' => quote = Some(c),
            None if c.is_whitespace() => return text.split_at(at),
            None => {}
        }
    }
    (text, "")
}

/// Removes quotes and escapes, and keeps variables.
fn unquote(text: &str, escape: char) -> String {
    let (mut out, mut quote, mut chars) = (String::new(), None, text.chars());
    while let Some(c) = chars.next() {
        match quote {
            _ if c == escape && quote != Some('\'') => out.extend(chars.next()),
            Some(open) if c == open => quote = None,
            None if c == '\'' || c == '"' => quote = Some(c),
            _ => out.push(c),
        }
    }
    out
}

/// Parses `NAME=value ...` as ENV does, with unexpanded values, or the old form
/// `NAME the rest of the line`.
pub(super) fn pairs(rest: &str, escape: char) -> Vec<(String, Option<String>)> {
    let words = split(rest, escape);
    if words.len() > 1 && !words[0].contains('=') {
        return vec![(words[0].to_owned(), Some(rest[words[0].len()..].trim().to_owned()))];
    }
    names(&words)
}

/// Parses `NAME` and `NAME=value` in any order, as ARG does.
pub(super) fn arguments(rest: &str, escape: char) -> Vec<(String, Option<String>)> {
    names(&split(rest, escape))
}

fn names(words: &[&str]) -> Vec<(String, Option<String>)> {
    let pair = |word: &&str| match word.split_once('=') {
        Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
        None => ((*word).to_owned(), None),
    };
    words.iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values() {
        let shown = |pairs: Vec<(String, Option<String>)>| {
            let one =
                |(name, value): (String, Option<String>)| format!("{name}={}", value.unwrap_or("-".into()));
            pairs.into_iter().map(one).collect::<Vec<_>>().join(" | ")
        };
        assert_eq!(shown(pairs("A=1 B=\"2 3\"", '\\')), "A=1 | B=\"2 3\"");
        assert_eq!(shown(pairs("A the rest", '\\')), "A=the rest");
        assert_eq!(shown(arguments("A B=1", '\\')), "A=- | B=1");
    }
}
