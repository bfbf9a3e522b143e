//! From a Dockerfile's bytes to its instructions, by BuildKit's own rules: directives, continued lines with comments between,
//! heredocs. Our own since two things are needed that parsers do not give: the text by which BuildKit names a step, and flags
//! as BuildKit takes quotes out of them. What BuildKit would refuse is passed on as it is: it says so itself.

use super::Instruction;
use super::words::{flags, split};

/// A document that starts inside an instruction.
struct Heredoc {
    /// The line that ends it.
    name: String,
    /// `<<-`: tabs before that line do not count.
    chomp: bool,
}

/// The character that `# escape=` names, else `\`.
pub(super) fn escape(text: &str) -> char {
    for line in text.trim_start_matches('\u{feff}').lines() {
        let Some((key, value)) = line.trim().strip_prefix('#').and_then(|rest| rest.split_once('=')) else {
            break;
        };
        let key = key.trim().to_ascii_lowercase();
        if key.is_empty() || !key.chars().all(|c| c.is_ascii_alphanumeric()) {
            break;
        }
        if key == "escape" {
            return value.trim().chars().next().filter(|c| "`\\".contains(*c)).unwrap_or('\\');
        }
    }
    '\\'
}

/// Every instruction in order.
pub(super) fn instructions(text: &str) -> Vec<Instruction> {
    let escape = escape(text);
    let mut lines = text.trim_start_matches('\u{feff}').lines().enumerate();
    let mut found = Vec::new();
    while let Some((number, line)) = lines.next() {
        if is_comment(line) || line.trim().is_empty() {
            continue;
        }
        let (mut logical, mut more) = continued(line.trim_start(), escape);
        while more {
            let Some((_, line)) = lines.next() else { break };
            if is_comment(line) || line.trim().is_empty() {
                continue;
            }
            let (part, again) = continued(line, escape);
            logical.push_str(&part);
            more = again;
        }
        let Some(mut instruction) = instruction(logical.trim(), number, escape) else { continue };
        for document in heredocs(&instruction, escape) {
            let mut first = true;
            for (_, line) in lines.by_ref() {
                let end = if document.chomp { line.trim_start_matches('\t') } else { line };
                instruction.documents.push_str(end);
                instruction.documents.push('\n');
                if end == document.name {
                    break;
                }
                if std::mem::take(&mut first) && instruction.document.is_none() {
                    instruction.document = Some(line.to_owned());
                }
            }
            instruction.document.get_or_insert_default();
        }
        if let Some(inner) = &mut instruction.inner {
            inner.documents.clone_from(&instruction.documents);
        }
        found.push(instruction);
    }
    found
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

/// The line without its continuation, and whether there was one: an escape at its end that is not itself escaped.
fn continued(line: &str, escape: char) -> (String, bool) {
    let bare = line.trim_end_matches([' ', '\t', '\r']);
    match bare.strip_suffix(escape) {
        Some(before) if !before.ends_with(escape) => (before.to_owned(), true),
        _ => (line.trim_end_matches('\r').to_owned(), false),
    }
}

/// Takes an instruction apart; that of an ONBUILD is inside it.
fn instruction(text: &str, line: usize, escape: char) -> Option<Instruction> {
    let (keyword, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    if keyword.is_empty() {
        return None;
    }
    let keyword = keyword.to_ascii_uppercase();
    let (flags, rest) = flags(rest.trim(), escape);
    let inner = (keyword == "ONBUILD").then(|| instruction(rest, line, escape)).flatten().map(Box::new);
    Some(Instruction {
        keyword,
        text: text.to_owned(),
        flags,
        rest: rest.to_owned(),
        line,
        document: None,
        documents: String::new(),
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

/// `<<NAME`, `3<<-"NAME"`: a word of its own.
fn heredoc(word: &str) -> Option<Heredoc> {
    let word = word.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix("<<")?;
    let (chomp, name) = word.strip_prefix('-').map_or((false, word), |name| (true, name));
    let bare: String = name.chars().filter(|c| !"'\"".contains(*c)).collect();
    (!bare.is_empty() && !bare.contains('<')).then_some(Heredoc { name: bare, chomp })
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
