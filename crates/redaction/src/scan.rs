//! Secrets that stand where secrets stand: users in URLs, values of names, options and headers,
//! private keys. Every function looks at one place of a text and names what is to be redacted.

use std::ops::Range;

use super::names::{is_header, is_password, is_secret};
use super::value::{is_random, is_reference, quoted, value};

/// A part of a text, in bytes.
pub(super) type Span = Range<usize>;

/// User and password of the URL whose `://` is at `at`.
pub(super) fn user(text: &str, at: usize) -> Option<Span> {
    let begin = at + 3;
    let rest = text.get(begin..)?;
    let ends = |c: char| c.is_whitespace() || "?#\"'<>,|;`\\".contains(c);
    let rest = &rest[..rest.find(ends).unwrap_or(rest.len())];
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if let Some(length) = host.rfind('@') {
        return (length > 0).then(|| begin..begin + length);
    }
    // A password with a `/` in it, which is no port.
    let (_, port) = host.split_once(':')?;
    let length = host.len() + path.rfind('@')?;
    (!port.bytes().all(|b| b.is_ascii_digit())).then(|| begin..begin + length)
}

/// The value of `NAME=VALUE`, whose `=` is at `at`.
pub(super) fn assigned(text: &str, at: usize) -> Option<Span> {
    let name = name_before(text, at).filter(|name| is_secret(name))?;
    let after = &text[at + 1..];
    // `name = value` and `'name' => value`, as configuration files and programs have them.
    let is_spaced = text[..at].ends_with(' ') || after.starts_with('>');
    let rest = if is_spaced { after.trim_start_matches(['>', ' ']) } else { after };
    let begin = text.len() - rest.len();
    // `[ "$NAME" = x ]` compares.
    let is_compared = is_spaced && text[..at].contains(&format!("${name}\""));
    if after.starts_with('=') || is_compared {
        return None;
    }
    // Fields of a secret's own declaration say where it is, not what.
    let is_declared = ["id=", "type=", "src=", "source="].iter().any(|field| rest.starts_with(field));
    if is_declared {
        return None;
    }
    value(rest).map(|length| begin..begin + length)
}

/// The value of `name: value`, `"name": "value"` and a header, whose `:` is at `at`.
pub(super) fn field(text: &str, at: usize) -> Option<Span> {
    let (name, begin) = key_before(text, at)?;
    if !is_secret(name) {
        return if is_host(name) { host_token(text, at + 1) } else { None };
    }
    let rest = &text[at + 1..];
    if text[..begin].ends_with("${") && rest.starts_with(['-', '=']) {
        let length = rest.find('}').unwrap_or(rest.len());
        let is_secret = length > 1 && !is_reference(&rest[1..length]);
        return is_secret.then(|| at + 2..at + 1 + length);
    }
    let gap = rest.len() - rest.trim_start_matches([' ', '\t']).len();
    let begins = at + 1 + gap;
    let rest = &text[begins..];
    let is_key = is_key_place(&text[..begin]);
    let mark = rest.trim_start_matches('\\').chars().next()?;
    if mark == '"' || mark == '\'' {
        let quote = rest.find(mark).map_or(0, |quote| quote + 1);
        let length = quoted(&rest[quote..], mark, rest.starts_with('\\'));
        return (length > 0).then(|| begins + quote..begins + quote + length);
    }
    if is_header(name) && is_key {
        return header(text, begins);
    }
    if gap == 0 && !is_password(name) {
        return None;
    }
    let length = rest.find(|c: char| c.is_whitespace() || ",}]\"'".contains(c)).unwrap_or(rest.len());
    let word = &rest[..length];
    // In prose, `token: not found` is no token: more words follow.
    let after = rest[length..].trim_start_matches([' ', '\t']);
    let is_last = after.is_empty() || after.starts_with(['\n', ',', '}', ']', '"', '\'', '#', '\\']);
    let is_key = is_key && (is_last || is_password(name));
    let is_open = word.starts_with(['{', '[', '(']);
    let is_meant = if is_key { !is_reference(word) && !is_open } else { is_random(word) };
    (length > 0 && is_meant).then(|| begins..begins + length)
}

/// Returns whether a key names a host.
fn is_host(name: &str) -> bool {
    name.split_once('.').is_some_and(|(first, last)| !first.is_empty() && last.len() > 1)
}

/// The token of `"github.com": "TOKEN"`, as Composer's `auth.json` has it.
fn host_token(text: &str, at: usize) -> Option<Span> {
    let begin = text.len() - text[at..].trim_start_matches(' ').strip_prefix('"')?.len();
    let length = quoted(&text[begin..], '"', false);
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let token = &text[begin..begin + length];
    (length >= 20 && token.chars().all(is_part) && is_random(token)).then_some(begin..begin + length)
}

/// The value of `define("NAME", "VALUE")`, whose first comma is behind the quote at `at`.
pub(super) fn argument(text: &str, at: usize) -> Option<Span> {
    let quote = text[at..].chars().next()?;
    let name = name_before(text, at).filter(|name| is_secret(name))?;
    let is_first = text[..at - name.len()].strip_suffix(quote)?.ends_with('(');
    let rest = text[at + 2..].trim_start_matches(' ');
    let mark = rest.chars().next().filter(|mark| is_first && (*mark == '"' || *mark == '\''))?;
    let begin = text.len() - rest.len() + 1;
    let length = quoted(&text[begin..], mark, false);
    (length > 0 && !is_reference(&text[begin..begin + length])).then_some(begin..begin + length)
}

/// The password of `machine HOST login NAME password PASSWORD`, as `.netrc` has it in one line or
/// several.
pub(super) fn netrc(text: &str, at: usize) -> Option<Span> {
    let rest = text[at..].strip_prefix("password ")?;
    let line = text[..at].rfind('\n').map_or(0, |end| end + 1);
    let before = text[line..at].trim_start();
    let length = rest.find(char::is_whitespace).unwrap_or(rest.len());
    let ends = rest[length..].split('\n').next().is_some_and(|rest| rest.trim().is_empty());
    // In prose, a word follows that is in a language.
    let is_entry = before.contains("login ") || (before.is_empty() && ends && is_random(&rest[..length]));
    let begin = at + "password ".len();
    (length > 0 && is_entry).then_some(begin..begin + length)
}

/// The value of `--password VALUE`, whose dashes are at `at`; of `--user NAME:VALUE`, the value.
pub(super) fn option(text: &str, at: usize) -> Option<Span> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let rest = &text[at + 2..];
    let name = &rest[..rest.find(|c| !is_name(c)).unwrap_or(rest.len())];
    let next = next_word(text, at + 2 + name.len())?;
    let is_user = name == "user" || name == "proxy-user";
    let is_off = name.ends_with("stdin") || name.starts_with("no-") || name.ends_with("file");
    let word = &text[next.clone()];
    let is_placeholder = word.len() < 12 && word.bytes().all(|b| b.is_ascii_uppercase());
    let is_other =
        ["-", "id=", "type=", "src=", "<"].iter().any(|field| word.starts_with(field)) || is_placeholder;
    if is_user {
        return credentials(text, next);
    }
    (is_secret(name) && !is_off && !is_other && !is_reference(word)).then_some(next)
}

/// The password of `-u NAME:PASSWORD`, as curl has it.
pub(super) fn short_user(text: &str, at: usize) -> Option<Span> {
    let is_option = at == 0 || text[..at].ends_with([' ', '"', '\'']);
    if is_option { credentials(text, next_word(text, at + 2)?) } else { None }
}

/// The word after an option that ends at `at`, in a shell's line or a list of JSON, without quotes.
fn next_word(text: &str, at: usize) -> Option<Span> {
    let rest = text.get(at..)?;
    let gap = rest.len() - rest.trim_start_matches(['"', '\'', ',', ' ', '\t']).len();
    let (between, word) = rest.split_at(gap);
    let quote = between.chars().next_back().filter(|c| *c == '"' || *c == '\'');
    let length = match quote {
        Some(quote) => quoted(word, quote, false),
        None => word.find(|c: char| c.is_whitespace() || "\"'&;)`".contains(c)).unwrap_or(word.len()),
    };
    (between.contains([' ', '"']) && length > 0).then(|| at + gap..at + gap + length)
}

/// The password of `login -p PASSWORD`, `sshpass -p PASSWORD` and of `mysql -pPASSWORD`.
pub(super) fn short_password(text: &str, at: usize) -> Option<Span> {
    let before = &text[..at];
    if before.contains("login ") || before.ends_with("sshpass ") {
        return next_word(text, at + 2).filter(|word| !is_reference(&text[word.clone()]));
    }
    let is_mysql = before.ends_with(' ') && (before.contains("mysql") || before.contains("mariadb"));
    let length = if is_mysql { value(&text[at + 2..])? } else { return None };
    Some(at + 2..at + 2 + length)
}

fn credentials(text: &str, word: Span) -> Option<Span> {
    let begin = word.start + text[word.clone()].find(':')? + 1;
    let password = &text[begin..word.end];
    // A user and a group by number, as of `--user 1000:1000`, are no secret.
    let is_group = password.bytes().all(|b| b.is_ascii_digit()) || password.len() < 4;
    (!is_group && !is_reference(password)).then_some(begin..word.end)
}

/// Returns the text after the `Bearer ` or `Basic ` at `at`.
pub(super) fn bearer(text: &str, at: usize) -> Option<Span> {
    let rest = &text[at..];
    let scheme =
        ["Bearer ", "bearer ", "Basic ", "basic "].into_iter().find(|word| rest.starts_with(word))?;
    let begin = at + scheme.len();
    let is_part = |c: char| c.is_ascii_alphanumeric() || "_-.~+/=".contains(c);
    let rest = &text[begin..];
    let length = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
    let is_word = scheme.starts_with(['B', 'b']) && scheme.contains("asic") && !is_random(&rest[..length]);
    (length >= 8 && !is_word).then(|| begin..begin + length)
}

/// The inside of a private key whose `-----BEGIN` is at `at`, up to its end or the end of the text.
pub(super) fn private_key(text: &str, at: usize) -> Option<Span> {
    let rest = text[at..].strip_prefix("-----BEGIN ")?;
    let label = &rest[..rest.find("-----")?];
    let is_label = label.len() < 60 && !label.contains('\n');
    if !is_label || !label.contains("PRIVATE KEY") {
        return None;
    }
    let begin = text.len() - rest.len() + label.len() + 5;
    let end = text[begin..].find("-----END ").map_or(text.len(), |end| begin + end);
    Some(begin..end)
}

/// The value of `ENV NAME VALUE`, an old form.
pub(super) fn old_env(text: &str) -> Option<Span> {
    let at = if text.starts_with("ENV ") { 0 } else { text.find("] ENV ")? + 2 };
    let rest = &text[at + 4..];
    let (name, value) = rest.trim_start().split_once(' ')?;
    (!name.contains('=') && is_secret(name) && !value.trim().is_empty())
        .then(|| text.len() - value.len()..text.len())
}

/// The name that ends at `at`.
fn name_before(text: &str, at: usize) -> Option<&str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    let before = text[..at].trim_end_matches(['+', ' ']).trim_end_matches(['"', '\'']);
    let begin = before
        .rfind(|c| !is_name(c))
        .map_or(0, |last| last + before[last..].chars().next().map_or(1, char::len_utf8));
    let name = &before[begin..];
    // In `app.args.NAME`, only the last word counts: a target may be called `auth`.
    let name =
        [".args.", ".labels."].iter().find_map(|field| Some(name.split_once(field)?.1)).unwrap_or(name);
    (!name.is_empty()).then_some(name)
}

/// The key that ends at `at`, with or without quotes, and where it begins with them.
fn key_before(text: &str, at: usize) -> Option<(&str, usize)> {
    let before = text[..at].trim_end_matches(' ');
    let quote = before.chars().next_back().filter(|c| *c == '"' || *c == '\'');
    let inside = before.trim_end_matches(['"', '\'', '\\']);
    let name = name_before(inside, inside.len())?;
    let begin = inside.len() - name.len();
    match quote {
        None => Some((name, begin)),
        Some(quote) => {
            let open = text[..begin].trim_end_matches('\\');
            let is_open = text[..begin].ends_with(quote);
            is_open.then(|| (name, open.len().min(begin) - quote.len_utf8()))
        }
    }
}

/// Returns whether a key may begin here: at the start of a line or an item, behind a bracket or a
/// quote.
fn is_key_place(before: &str) -> bool {
    let before = before.trim_end_matches([' ', '\t']);
    let last = before.chars().next_back();
    last.is_none_or(|c| "\n{,[(<>-|'\"`=".contains(c) || c == '\\')
}

/// All of a header's value; what says how to read it stays.
fn header(text: &str, begin: usize) -> Option<Span> {
    let rest = &text[begin..];
    let end = rest.find(['\n', '"', '\'']).unwrap_or(rest.len());
    let schemes = ["Bearer ", "Basic ", "Token ", "token ", "Digest ", "Negotiate ", "bearer ", "basic "];
    let scheme = schemes.into_iter().find(|scheme| rest.starts_with(scheme)).map_or(0, str::len);
    let value = rest[scheme..end.max(scheme)].trim_end();
    (!value.is_empty() && !is_reference(value)).then(|| begin + scheme..begin + scheme + value.len())
}
