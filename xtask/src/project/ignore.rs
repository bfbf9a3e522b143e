//! `.dockerignore`: which files of a context go into a build. Patterns as Docker documents them: `*`, `?` and `[...]` within one
//! folder, `**` across folders, `!` for exceptions, the last that matches decides.

/// The patterns of a file.
#[derive(Debug, Clone, Default)]
pub struct Ignore {
    /// Pattern by its parts, and whether it is an exception.
    patterns: Vec<(Vec<String>, bool)>,
}

impl Ignore {
    /// Reads the text of a `.dockerignore`.
    pub fn parse(text: &str) -> Self {
        let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
        let patterns = lines.filter(|line| !line.is_empty() && !line.starts_with('#')).filter_map(|line| {
            let (is_exception, pattern) =
                line.strip_prefix('!').map_or((false, line), |rest| (true, rest.trim()));
            let parts: Vec<String> = pattern
                .split('/')
                .filter(|part| !part.is_empty() && *part != ".")
                .map(str::to_owned)
                .collect();
            (!parts.is_empty() && !parts.iter().any(|part| part == "..")).then_some((parts, is_exception))
        });
        Self { patterns: patterns.collect() }
    }

    /// Whether a path, relative to the context, stays out. A pattern that matches a folder means all that is in it.
    pub fn excludes(&self, path: &str) -> bool {
        let parts: Vec<&str> = path.split('/').collect();
        let mut out = false;
        for (pattern, is_exception) in &self.patterns {
            if out == *is_exception && (1..=parts.len()).any(|end| matches(pattern, &parts[..end])) {
                out = !is_exception;
            }
        }
        out
    }

    /// Returns true if an exception names a path, or a directory above it, and nothing excludes it.
    pub(crate) fn readmits(&self, path: &str) -> bool {
        let parts: Vec<&str> = path.split('/').collect();
        let is_named = |pattern: &[String]| (1..=parts.len()).any(|end| matches(pattern, &parts[..end]));
        let mut exceptions = self.patterns.iter().filter(|(_, is_exception)| *is_exception);
        exceptions.any(|(pattern, _)| is_named(pattern)) && !self.excludes(path)
    }

    /// Whether something below an excluded folder may come back in.
    pub fn has_exceptions(&self) -> bool {
        self.patterns.iter().any(|(_, is_exception)| *is_exception)
    }
}

fn matches(pattern: &[String], path: &[&str]) -> bool {
    match (pattern.split_first(), path.split_first()) {
        (None, None) => true,
        (Some((first, rest)), _) if first == "**" => {
            matches(rest, path) || path.split_first().is_some_and(|(_, path)| matches(pattern, path))
        }
        (Some((first, rest)), Some((name, path))) => {
            let pattern: Vec<char> = first.chars().collect();
            let name: Vec<char> = name.chars().collect();
            fits(&pattern, &name) && matches(rest, path)
        }
        _ => false,
    }
}

/// One part of a pattern against one name.
fn fits(pattern: &[char], name: &[char]) -> bool {
    let Some((first, rest)) = pattern.split_first() else { return name.is_empty() };
    let next = |rest: &[char]| name.split_first().is_some_and(|(_, name)| fits(rest, name));
    match first {
        '*' => fits(rest, name) || next(pattern),
        '?' => next(rest),
        '\\' => rest.split_first().is_some_and(|(c, rest)| name.first() == Some(c) && next(rest)),
        '[' => match rest.iter().position(|c| *c == ']') {
            Some(end) if end > 0 => {
                name.first().is_some_and(|c| in_class(&rest[..end], *c)) && next(&rest[end + 1..])
            }
            _ => false,
        },
        c => name.first() == Some(c) && next(rest),
    }
}

fn in_class(class: &[char], c: char) -> bool {
    let (negated, class) = class.strip_prefix(&['^']).map_or((false, class), |rest| (true, rest));
    let mut found = false;
    let mut index = 0;
    while index < class.len() {
        if index + 2 < class.len() && class[index + 1] == '-' {
            found |= (class[index]..=class[index + 2]).contains(&c);
            index += 3;
        } else {
            found |= class[index] == c;
            index += 1;
        }
    }
    found != negated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_as_docker_documents_them() {
        let ignore = Ignore::parse(
            "# a comment\n/target\n*/temp*\n**/*.log\nsrc/**\n!src/main.c\ntemp?\n[a-c].txt\n./docs/\n*.md\n!README.md\n",
        );
        let table = [
            ("target", true),
            ("target/debug/x", true),
            ("sub/target", false),
            ("sub/temporary/x", true),
            ("sub/sub/temp", false),
            ("x.log", true),
            ("a/b/x.log", true),
            ("src/lib.c", true),
            ("src/main.c", false),
            ("tempa", true),
            ("temp", false),
            ("b.txt", true),
            ("d.txt", false),
            ("docs/x", true),
            ("a.md", true),
            ("README.md", false),
            ("# a comment", false),
        ];
        for (path, expected) in table {
            assert_eq!(ignore.excludes(path), expected, "{path}");
        }
        assert!(!Ignore::parse("").excludes("x") && Ignore::parse("**").excludes("a/b"));
    }
}
