//! Rust source as text: its modules, its code without comments and literals, its imports.

use std::collections::BTreeSet;
use std::path::Path;

use walkdir::WalkDir;

/// A file below `src`: its path from there, and its text.
pub(super) type Source = (String, String);

pub(super) fn sources() -> Vec<Source> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files =
        WalkDir::new(&src).sort_by_file_name().into_iter().map(|entry| entry.expect("a readable tree"));
    let is_source = |path: &Path| {
        let name = path.to_string_lossy();
        name.ends_with(".rs") && !name.ends_with("tests.rs")
    };
    let source = |path: &Path| {
        let name = path.strip_prefix(&src).expect("a file below src").to_string_lossy().into_owned();
        (name, std::fs::read_to_string(path).expect("a source file"))
    };
    files.filter(|file| is_source(file.path())).map(|file| source(file.path())).collect()
}

/// Returns the modules of a file: `store/contents.rs` is `store`, `contents`.
fn module(file: &str) -> Vec<&str> {
    let path = file.trim_end_matches(".rs").trim_end_matches("/mod");
    path.split('/').filter(|name| !["lib", "main"].contains(name)).collect()
}

pub(super) fn room(file: &str) -> &str {
    module(file).first().copied().unwrap_or("lib")
}

/// Returns the code without comments, content of literals, and test-only items.
pub(super) fn code(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let literal = literal(rest);
        if rest.starts_with("//") {
            rest = &rest[rest.find('\n').unwrap_or(rest.len())..];
        } else if rest.starts_with("/*") {
            rest = &rest[rest.find("*/").map_or(rest.len(), |end| end + 2)..];
        } else if literal > 0 {
            rest = &rest[literal..];
            code.push_str("\"\"");
        } else {
            code.push(next);
            rest = &rest[next.len_utf8()..];
        }
    }
    while let Some(start) = code.find("#[cfg(test)]") {
        let end = item_end(&code[start..]);
        code.replace_range(start..start + end, "");
    }
    code
}

/// Returns the length of the literal at the start of a text, or 0.
fn literal(text: &str) -> usize {
    let raw = text.strip_prefix('r').map_or(0, |rest| rest.len() - rest.trim_start_matches('#').len());
    if text.starts_with(&format!("r{}\"", "#".repeat(raw))) {
        let end = format!("\"{}", "#".repeat(raw));
        let begin = raw + 2;
        return text[begin..].find(&end).map_or(text.len(), |at| begin + at + end.len());
    }
    let quote = match text.chars().next() {
        Some('"') => '"',
        // A lifetime has no second quote this near.
        Some('\'') if text[1..].starts_with('\\') || text.chars().nth(2) == Some('\'') => '\'',
        _ => return 0,
    };
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Returns the length of the item at the start of a text: up to its `;`, or to its last brace.
fn item_end(text: &str) -> usize {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return at + 1,
            '}' => depth -= 1,
            ';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Returns the rooms that a file's paths lead to.
pub(super) fn imports(file: &str, code: &str) -> BTreeSet<String> {
    let depth = module(file).len();
    let mut rooms = BTreeSet::new();
    for (at, _) in code.match_indices("crate::").chain(code.match_indices("super::")) {
        let before = &code[..at];
        if before.ends_with(is_name) || before.ends_with("super::") {
            continue;
        }
        let mut path = &code[at..];
        let mut supers = 0;
        while let Some(rest) = path.strip_prefix("super::") {
            (supers, path) = (supers + 1, rest);
        }
        match path.strip_prefix("crate::") {
            Some(rest) => path = rest,
            None if supers < depth => continue,
            None => {}
        }
        rooms.extend(first_names(path));
    }
    rooms.remove(room(file));
    rooms
}

/// Returns the first name of a path, or of each path of a group.
fn first_names(path: &str) -> Vec<String> {
    let name = |text: &str| text.trim().chars().take_while(|c| is_name(*c)).collect::<String>();
    let Some(group) = path.strip_prefix('{') else { return vec![name(path)] };
    let mut depth = 0;
    let mut names = vec![String::new()];
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(String::new()),
            c if depth == 0 => names.last_mut().expect("never empty").push(c),
            _ => {}
        }
    }
    names.iter().map(|text| name(text)).filter(|name| !name.is_empty()).collect()
}
