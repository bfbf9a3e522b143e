//! What looks like a secret, wherever it stands: users in URLs, values of names that say so, tokens that tell by how they begin.

/// What stands in for what is hidden.
pub const HIDDEN: &str = "***";
/// Parts of a name whose value is a secret.
const SECRET: &[&str] = &[
    "token",
    "auth",
    "pass",
    "password",
    "passwd",
    "passphrase",
    "secret",
    "apikey",
    "credential",
    "credentials",
    "signature",
];
/// What a key must be of to be one.
const KEYS: &[&str] = &["api", "access", "private", "secret", "signing", "encryption"];
/// How tokens of well-known places begin.
const TOKENS: &[&str] =
    &["ghp_", "gho_", "ghs_", "ghr_", "github_pat_", "glpat-", "xoxb-", "xoxp-", "dckr_pat_"];

/// A text without what looks like a secret.
pub fn hide(text: &str) -> String {
    tokens(&assignments(&users(text)))
}

/// `TARGET.args.NAME=VALUE` is one argument to its end, whatever its value has in it.
pub fn whole_argument(text: &str) -> Option<String> {
    let (field, _) = text.split_once('=')?;
    let (_, name) = field.split_once(".args.")?;
    is_secret(name).then(|| format!("{field}={HIDDEN}"))
}

/// Whether the value of what is named like this is a secret.
pub fn is_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    let parts: Vec<&str> = name.split(['_', '-', '.']).collect();
    let is_key = |pair: &[&str]| KEYS.contains(&pair[0]) && pair[1] == "key";
    parts.iter().any(|part| SECRET.contains(part)) || parts.windows(2).any(is_key)
}

/// User and password of the URL that a word has in it, and where they stand.
pub fn user_of(word: &str) -> Option<(&str, std::ops::Range<usize>)> {
    let begin = word.find("://")? + 3;
    let rest = &word[begin..];
    let end = rest.find(['/', '?', '#', '"', '\'', '<', '>']).unwrap_or(rest.len());
    let at = rest[..end].rfind('@')?;
    Some((&rest[..at], begin..begin + at))
}

/// `https://user:word@host` without user and word.
fn users(text: &str) -> String {
    let hide = |word: &str| match user_of(word) {
        Some((user, at)) if !user.is_empty() => format!("{}{HIDDEN}{}", &word[..at.start], &word[at.end..]),
        _ => word.to_owned(),
    };
    // Several URLs may stand in one word, as GOPROXY has them.
    let parts = text.split_inclusive([' ', ',', '\t', '\n', '|', ';']);
    parts.map(hide).collect()
}

/// `PASSWORD=word` without the word, in a command, a URL's query or an instruction.
fn assignments(text: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(at) = rest.find('=') {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let name = &rest[rest[..at]
            .rfind(|c| !is_name(c))
            .map_or(0, |i| i + rest[i..].chars().next().map_or(1, char::len_utf8))
            ..at];
        let hides = is_secret(name);
        out.push_str(&rest[..=at]);
        rest = &rest[at + 1..];
        if hides && !rest.starts_with('$') {
            let length = value_length(rest);
            out.push_str(if length > 0 { HIDDEN } else { "" });
            rest = &rest[length..];
        }
    }
    out + rest
}

/// How long the value is that a text begins with, its quotes included.
fn value_length(text: &str) -> usize {
    let quote = text.chars().next().filter(|c| *c == '"' || *c == '\'');
    match quote {
        Some(quote) => text[1..].find(quote).map_or(text.len(), |end| end + 2),
        None => text.find(|c: char| c.is_whitespace() || "\"'&;)".contains(c)).unwrap_or(text.len()),
    }
}

/// Tokens that tell by how they begin, and what follows `Bearer`.
fn tokens(text: &str) -> String {
    let is_word = |c: char| c.is_ascii_alphanumeric() || "_-.~+/=".contains(c);
    let mut text = text.to_owned();
    for mark in TOKENS.iter().chain(&["Bearer ", "bearer "]) {
        let mut from = 0;
        while let Some(at) = text[from..].find(mark).map(|at| from + at) {
            let begin = at + mark.len();
            let end = text[begin..].find(|c| !is_word(c)).map_or(text.len(), |length| begin + length);
            if end - begin >= 8 {
                text.replace_range(begin..end, HIDDEN);
            }
            from = begin;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_secret_is_hidden_and_nothing_else() {
        let table = [
            ("GET https://user:word@proxy.example/x", "GET https://***@proxy.example/x"),
            ("https://a:b@one,https://c@two|direct", "https://***@one,https://***@two|direct"),
            ("https://example/a@b", "https://example/a@b"),
            ("x?access_token=abc&y=1", "x?access_token=***&y=1"),
            (
                "RUN DB_PASSWORD='a b' make API_KEY=k CACHE_KEY=k",
                "RUN DB_PASSWORD=*** make API_KEY=*** CACHE_KEY=k",
            ),
            ("RUN login --password=$PASSWORD", "RUN login --password=$PASSWORD"),
            ("RUN --mount=type=secret,id=token cat", "RUN --mount=type=secret,id=token cat"),
            ("Authorization: Bearer abcdefghij.k", "Authorization: Bearer ***"),
            ("clone with ghp_0123456789abcdef!", "clone with ghp_***!"),
            ("the bearer of news; TOKEN= é=ü", "the bearer of news; TOKEN= é=ü"),
        ];
        for (text, expected) in table {
            assert_eq!(hide(text), expected);
        }
    }
}
