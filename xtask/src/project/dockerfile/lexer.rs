//! Splits a Dockerfile into instructions by BuildKit's own rules: directives, continued lines with
//! comments between them, heredocs. This is own code because parsers don't give two results: the
//! text by which BuildKit names a step, and flags unquoted as BuildKit does it. Text that BuildKit
//! would refuse is passed on, because BuildKit reports it.

use super::encoding::shown;
use super::expand::{flags, split};
use super::shell::{Lexer, Value};
use super::{Heredoc, Instruction};

/// The directives that BuildKit knows. The first line that is none of them ends them.
const DIRECTIVES: [&str; 3] = ["syntax", "escape", "check"];

/// Returns the character of the directive `# escape=`, else `\`.
pub(super) fn escape(text: &str) -> char {
    for line in text.trim_start_matches('\u{feff}').lines() {
        let Some((key, value)) = line.trim().strip_prefix('#').and_then(|rest| rest.split_once('=')) else {
            break;
        };
        let (key, value) = (key.trim().to_ascii_lowercase(), value.trim());
        if value.is_empty() || !DIRECTIVES.contains(&key.as_str()) {
            break;
        }
        if key == "escape" {
            return value.chars().next().filter(|c| "`\\".contains(*c)).unwrap_or('\\');
        }
    }
    '\\'
}

/// Returns every instruction in order.
pub(super) fn instructions(text: &str) -> Vec<Instruction> {
    let escape = escape(text);
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = text.split_inclusive('\n').enumerate();
    let mut found = Vec::new();
    while let Some((number, line)) = lines.next() {
        let line = without_end(line);
        if is_comment(line) || line.trim().is_empty() {
            continue;
        }
        let (mut logical, mut more) = continued(line.trim_start(), escape);
        while more {
            let Some((_, line)) = lines.next() else { break };
            let line = without_end(line);
            if is_comment(line) || line.trim().is_empty() {
                continue;
            }
            let (part, again) = continued(line, escape);
            logical.push_str(&part);
            more = again;
        }
        let Some(mut instruction) = instruction(logical.trim(), (number, false), escape) else { continue };
        for mut document in heredocs(&instruction, escape) {
            for (_, line) in lines.by_ref() {
                let bare = without_end(line);
                if document.is_end(bare) {
                    break;
                }
                document.content.push_str(line);
            }
            instruction.heredocs.push(document);
        }
        if let Some(inner) = &mut instruction.inner {
            inner.heredocs.clone_from(&instruction.heredocs);
        }
        found.push(instruction);
    }
    found
}

/// Returns a line without its line break.
fn without_end(line: &str) -> &str {
    line.trim_end_matches(['\r', '\n'])
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

/// Returns the line without its continuation, and whether there was one: a trailing escape that is
/// not itself escaped.
fn continued(line: &str, escape: char) -> (String, bool) {
    let bare = line.trim_end_matches([' ', '\t', '\r']);
    match bare.strip_suffix(escape) {
        Some(before) if !before.ends_with(escape) => (before.to_owned(), true),
        _ => (line.trim_end_matches('\r').to_owned(), false),
    }
}

/// Parses an instruction, and the inner instruction of an ONBUILD.
fn instruction(text: &str, (line, is_inner): (usize, bool), escape: char) -> Option<Instruction> {
    let (keyword, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    if keyword.is_empty() {
        return None;
    }
    let keyword = keyword.to_ascii_uppercase();
    let (flags, rest) = flags(rest.trim(), escape);
    // BuildKit refuses an ONBUILD of an ONBUILD.
    let has_inner = keyword == "ONBUILD" && !is_inner;
    let inner = has_inner.then(|| instruction(rest, (line, true), escape)).flatten().map(Box::new);
    Some(Instruction {
        keyword,
        text: shown(text),
        flags,
        rest: rest.to_owned(),
        line,
        heredocs: Vec::new(),
        inner,
    })
}

fn heredocs(instruction: &Instruction, escape: char) -> Vec<Heredoc> {
    let instruction = instruction.inner.as_deref().unwrap_or(instruction);
    let is_json = serde_json::from_str::<Vec<String>>(&instruction.rest).is_ok();
    if !["RUN", "COPY", "ADD"].contains(&instruction.keyword.as_str()) || is_json {
        return Vec::new();
    }
    split(&instruction.rest, escape).iter().filter_map(|word| heredoc(word)).collect()
}

/// Parses `<<NAME` or `3<<-"NAME"`, a separate word. Quotes around any part of the name keep
/// variables in the content.
pub(super) fn heredoc(word: &str) -> Option<Heredoc> {
    let word = word.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix("<<")?;
    let (chomp, name) = word.strip_prefix('-').map_or((false, word), |name| (true, name));
    let name = name.trim_start();
    if name.is_empty() || name.contains('<') {
        return None;
    }
    let plain = Lexer { keeps_unset: true, ..Lexer::new('\\') };
    let quoted = Lexer { keeps_quotes: true, ..plain };
    let text = |lexer: Lexer| lexer.process(name, &|_| Value::Unset).map(|found| found.text);
    let (name, raw) = (text(plain)?, text(quoted)?);
    let quotes = |text: &str| text.chars().filter(|c| "'\"".contains(*c)).count();
    let expands = quotes(&name) == quotes(&raw);
    let is_word = !name.is_empty() && !name.contains(char::is_whitespace);
    is_word.then_some(Heredoc { name, chomp, expands, content: String::new() })
}

impl Heredoc {
    fn is_end(&self, line: &str) -> bool {
        let line = if self.chomp { line.trim_start_matches('\t') } else { line };
        line == self.name
    }

    /// Returns the content as BuildKit uses it: without leading tabs if the name follows a `-`.
    pub(super) fn text(&self) -> String {
        if !self.chomp {
            return self.content.clone();
        }
        self.content.split_inclusive('\n').map(|line| line.trim_start_matches('\t')).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(file: &str) -> Vec<String> {
        instructions(file).into_iter().map(|found| found.text).collect()
    }

    #[test]
    fn instructions_as_buildkit_reads_them() {
        let table: &[(&str, &str, &[&str])] = &[
            ("plain", "FROM a\n\n# c\n  RUN x\n", &["FROM a", "RUN x"]),
            ("continued", "RUN a \\\n  && b\nRUN c", &["RUN a   && b", "RUN c"]),
            ("spaces after the escape", "RUN a \\ \t\n b\n", &["RUN a  b"]),
            ("an escaped escape", "RUN a \\\\\nRUN b\n", &["RUN a \\\\", "RUN b"]),
            ("a comment and an empty line inside", "RUN a \\\n# c\n\n  b\n", &["RUN a   b"]),
            ("another escape", "# escape=`\nRUN a `\n b \\\nRUN c\n", &["RUN a  b \\", "RUN c"]),
            ("a directive too late", "FROM a\n# escape=`\nRUN a \\\n b\n", &["FROM a", "RUN a  b"]),
            ("after others", "# syntax=x\n#CHECK = skip=all\n# escape=`\nRUN a `\n b\n", &["RUN a  b"]),
            ("after an unknown directive", "# made=by\n# escape=`\nRUN a \\\n b\n", &["RUN a  b"]),
            ("after an empty directive", "# syntax=\n# escape=`\nRUN a \\\n b\n", &["RUN a  b"]),
            ("a heredoc", "RUN <<EOF\nRUN no\nEOF\nRUN b\n", &["RUN <<EOF", "RUN b"]),
            ("chomped", "RUN <<-EOF\n\tx\n\tEOF\nRUN b\n", &["RUN <<-EOF", "RUN b"]),
            ("several", "COPY <<A <<'B' /d/\nx\nA\ny\nB\nRUN b\n", &["COPY <<A <<'B' /d/", "RUN b"]),
            (
                "in flags' company",
                "RUN --mount=type=tmpfs,target=/t <<E\nx\nE\nRUN b\n",
                &["RUN --mount=type=tmpfs,target=/t <<E", "RUN b"],
            ),
            ("of an ONBUILD", "ONBUILD RUN <<E\nx\nE\nRUN b\n", &["ONBUILD RUN <<E", "RUN b"]),
            ("no heredoc: a shift", "RUN echo $((1<<2))\nRUN b\n", &["RUN echo $((1<<2))", "RUN b"]),
            ("no heredoc: quoted", "RUN echo \"a <<E\"\nRUN b\n", &["RUN echo \"a <<E\"", "RUN b"]),
            ("no heredoc: JSON", "RUN [\"a\", \"<<E\"]\nRUN b\n", &["RUN [\"a\", \"<<E\"]", "RUN b"]),
            ("no heredoc: another instruction", "CMD x <<E\nRUN b\n", &["CMD x <<E", "RUN b"]),
            ("carriage returns", "RUN a \\\r\n b\r\nRUN c\r\n", &["RUN a  b", "RUN c"]),
            ("a byte order mark", "\u{feff}FROM a\n", &["FROM a"]),
        ];
        for (what, file, expected) in table {
            assert_eq!(texts(file), *expected, "{what}");
        }
    }

    #[test]
    fn heredocs_keep_their_lines_and_know_whether_they_expand() {
        let found = instructions("COPY <<A <<\"B\" <<-'C' /d\n a\r\nA\n\n\tb\nB\n\tc\n\tC\n");
        let all: Vec<_> = found[0].heredocs.iter().map(|one| (one.expands, one.text())).collect();
        assert_eq!(all, [(true, " a\r\n".into()), (false, "\n\tb\n".into()), (false, "c\n".into())]);
    }

    #[test]
    fn lines_flags_and_what_follows() {
        let found = instructions(
            "FROM a\nRUN --mount=type=cache,target=\"/a b\" --network=none \\\n  make\nonbuild run x\n",
        );
        let flags: Vec<_> = found[1].flags.iter().map(|(n, v)| format!("{n}={v}")).collect();
        assert_eq!(flags, ["mount=type=cache,target=/a b", "network=none"]);
        assert_eq!((found[1].line, found[1].rest.as_str()), (1, "make"));
        let inner = found[2].inner.as_deref().expect("an ONBUILD");
        assert_eq!((found[2].line, inner.keyword.as_str(), inner.rest.as_str()), (3, "RUN", "x"));
    }
}
