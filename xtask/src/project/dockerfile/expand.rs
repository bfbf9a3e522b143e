//! Words of an instruction: flags and `NAME=value` lists.

/// Splits off the leading flags, such as `--mount=...`, without their dashes and quotes. Like
/// BuildKit, reads each byte as a character, and escapes in quotes of both kinds.
pub(super) fn flags(text: &str, escape: char) -> (Vec<(String, String)>, &str) {
    let is_space = |byte: u8| char::from(byte).is_whitespace();
    let (mut found, mut at) = (Vec::new(), 0);
    let bytes = text.as_bytes();
    loop {
        at += bytes[at..].iter().take_while(|byte| is_space(**byte)).count();
        if !bytes[at..].starts_with(b"--") {
            break;
        }
        let (mut word, mut quote) = (String::new(), None);
        while at < bytes.len() && (quote.is_some() || !is_space(bytes[at])) {
            let c = char::from(bytes[at]);
            match quote {
                Some(open) if c == open => quote = None,
                None if c == '\'' || c == '"' => quote = Some(c),
                _ if c == escape => {
                    at += 1;
                    word.extend(bytes.get(at).copied().map(char::from));
                }
                _ => word.push(c),
            }
            at += 1;
        }
        at = at.min(bytes.len());
        if word == "--" {
            break;
        }
        let (name, value) = word[2..].split_once('=').unwrap_or((&word[2..], ""));
        found.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    // A byte of a character may be a space.
    (found, text.get(at..).unwrap_or_default().trim())
}

/// The characters that separate words where quotes don't count.
const SPACES: [char; 5] = ['\t', '\u{b}', '\u{c}', '\r', ' '];

/// Returns words, split at every space, as COPY and ADD take them.
pub(super) fn fields(text: &str) -> Vec<&str> {
    text.split(SPACES).filter(|word| !word.is_empty()).collect()
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

/// Parses `NAME=value ...` as ENV does, with unexpanded values, or the old form
/// `NAME the rest of the line`.
pub(super) fn pairs(rest: &str, escape: char) -> Vec<(String, Option<String>)> {
    let words = split(rest, escape);
    if words.first().is_some_and(|word| !word.contains('=')) {
        let space = |c: char| SPACES.contains(&c);
        let (name, value) = rest.split_once(space).unwrap_or((rest, ""));
        return vec![(name.to_owned(), Some(value.trim_start_matches(space).to_owned()))];
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
    #[test]
    fn flags_as_buildkit_reads_them() {
        for (text, expected, rest) in [
            ("--from=a  b c", "from=a", "b c"),
            ("--A='x y' --b=\"p'q\" c", "a=x y b=p'q", "c"),
            ("--a='x\\'y' c", "a=x'y", "c"),
            ("--a=x\\ y c", "a=x y", "c"),
            ("--a -- --b c", "a=", "--b c"),
            ("--a=\u{e9} c", "a=\u{c3}\u{a9}", "c"),
            ("-a c", "", "-a c"),
            ("--a=x\\", "a=x", ""),
        ] {
            let (found, left) = flags(text, '\\');
            let found: Vec<String> = found.iter().map(|(name, value)| format!("{name}={value}")).collect();
            assert_eq!((found.join(" ").as_str(), left), (expected, rest), "{text}");
        }
    }
}
