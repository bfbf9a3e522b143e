//! Patterns of `${X#p}`, `${X%p}` and `${X/p/r}`: `*` and `?`, as in BuildKit, without brackets.

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ShellPattern(Vec<Token>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Any,
    One,
    Char(char),
}

impl ShellPattern {
    /// Parses a pattern. Returns `None` for an escape that BuildKit refuses.
    pub(super) fn new(pattern: &str) -> Option<Self> {
        let (mut tokens, mut rest) = (Vec::new(), pattern.chars().peekable());
        while let Some(c) = rest.next() {
            tokens.push(match c {
                '*' => Token::Any,
                '?' => Token::One,
                // These are escaped for the braces, not for the pattern.
                '\\' if rest.peek().is_some_and(|next| ['}', '/'].contains(next)) => continue,
                '\\' => Token::Char(rest.next().filter(|next| ['*', '?', '\\'].contains(next))?),
                c => Token::Char(c),
            });
        }
        Some(Self(tokens))
    }

    /// Returns a text without the shortest or longest matching prefix.
    pub(super) fn without_prefix<'a>(&self, text: &'a str, is_longest: bool) -> &'a str {
        let mut fitting = self.fitting(text).into_iter();
        let end = if is_longest { fitting.next_back() } else { fitting.next() };
        &text[end.unwrap_or_default()..]
    }

    /// Returns a text without the shortest or longest matching suffix.
    pub(super) fn without_suffix<'a>(&self, text: &'a str, is_longest: bool) -> &'a str {
        let reversed = Self(self.0.iter().rev().copied().collect());
        let mut fitting = reversed.fitting(&text.chars().rev().collect::<String>()).into_iter();
        let length = if is_longest { fitting.next_back() } else { fitting.next() };
        &text[..text.len() - length.unwrap_or_default()]
    }

    /// Replaces the first match or all matches in a text. Matches are the longest ones.
    pub(super) fn replace(&self, text: &str, replacement: &str, is_all: bool) -> String {
        let (mut out, mut at, mut copied, mut last) = (String::new(), 0, 0, None);
        while at <= text.len() {
            let rest = &text[at..];
            let step = rest.chars().next().map_or(1, char::len_utf8);
            let found = self.fitting(rest).pop();
            // An empty match right after another match does not count.
            let Some(length) = found.filter(|length| *length > 0 || last != Some(at)) else {
                at += step;
                continue;
            };
            out.push_str(&text[copied..at]);
            if is_all {
                expand(replacement, &rest[..length], &mut out);
            } else {
                out.push_str(replacement);
            }
            copied = at + length;
            last = Some(copied);
            if !is_all {
                break;
            }
            at = if length == 0 { at + step } else { copied };
        }
        out.push_str(text.get(copied..).unwrap_or_default());
        out
    }

    /// The lengths of the beginnings of a text that fit, the shortest first. Takes time linear in
    /// the pattern and in the part of the text that may still fit.
    fn fitting(&self, text: &str) -> Vec<usize> {
        let mut at = vec![false; self.0.len() + 1];
        at[0] = true;
        self.skip_any(&mut at);
        let (mut found, mut next) = (Vec::new(), at.clone());
        for (start, c) in text.char_indices() {
            found.extend(at[self.0.len()].then_some(start));
            next.fill(false);
            for (index, token) in self.0.iter().enumerate().filter(|(index, _)| at[*index]) {
                match token {
                    Token::Any if c != '\n' => next[index] = true,
                    Token::One if c != '\n' => next[index + 1] = true,
                    Token::Char(wanted) if *wanted == c => next[index + 1] = true,
                    _ => {}
                }
            }
            if !next.contains(&true) {
                return found;
            }
            std::mem::swap(&mut at, &mut next);
            self.skip_any(&mut at);
        }
        found.extend(at[self.0.len()].then_some(text.len()));
        found
    }

    fn skip_any(&self, at: &mut [bool]) {
        for (index, _) in self.0.iter().enumerate().filter(|(_, token)| **token == Token::Any) {
            at[index + 1] |= at[index];
        }
    }
}

/// Appends a replacement as a template of Go's `Regexp.Expand`, as BuildKit does where it replaces
/// all matches: `$$` is a dollar sign, `$0` and `${0}` are the match. No pattern has groups, so all
/// other numbers and names are empty.
fn expand(replacement: &str, matched: &str, out: &mut String) {
    let mut rest = replacement;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let word = rest.strip_prefix('{').unwrap_or(rest);
        let end = word.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(word.len());
        let (name, after) = word.split_at(end);
        let after = if word.len() == rest.len() { Some(after) } else { after.strip_prefix('}') };
        match after.filter(|_| !name.is_empty()) {
            Some(after) => {
                out.push_str(if name == "0" { matched } else { "" });
                rest = after;
            }
            None => out.push('$'),
        }
    }
    out.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_matches_are_replaced_by_a_template() {
        let all = |replacement| ShellPattern::new("a").expect("a pattern").replace("xa", replacement, true);
        for (replacement, result) in [
            ("[$0]", "x[a]"),
            ("[${0}]", "x[a]"),
            ("$A/", "x/"),
            ("$1a-", "x-"),
            ("$$A", "x$A"),
            ("$", "x$"),
            ("$/", "x$/"),
            ("${", "x${"),
            ("${A", "x${A"),
            ("${}b", "x${}b"),
        ] {
            assert_eq!(all(replacement), result, "{replacement}");
        }
        let first = ShellPattern::new("a").expect("a pattern").replace("aa", "$0", false);
        assert_eq!(first, "$0a");
    }
}
