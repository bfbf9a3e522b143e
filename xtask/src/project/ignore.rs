//! `.dockerignore`: the files of a context that are part of a build, as moby's pattern matcher
//! decides. The same matcher decides about `--exclude` and `COPY --parents`.

mod expression;
mod pattern;
mod program;

pub(crate) use pattern::BadPattern;
use pattern::Pattern;
use program::Program;

use super::dockerfile::clean;

/// A list of patterns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ignore {
    patterns: Vec<Pattern>,
}

/// The result of a list of patterns for a path, with the state for the paths below it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Matched {
    /// Whether the path matches.
    pub is_match: bool,
    /// For each pattern, whether it matches the path or a parent.
    by_pattern: Vec<bool>,
}

impl Ignore {
    /// Parses an ignore file. BuildKit refuses a build with a bad pattern, so nothing is ignored
    /// then.
    pub fn parse(text: &str) -> Self {
        Self::try_parse(text).unwrap_or_default()
    }

    /// Parses an ignore file.
    pub fn try_parse(text: &str) -> Result<Self, BadPattern> {
        let lines = text.strip_prefix('\u{feff}').unwrap_or(text).lines();
        let patterns = lines.filter(|line| !line.starts_with('#')).map(str::trim);
        Self::new(patterns.filter(|line| !line.is_empty()).map(|line| {
            let (mark, path) = line.strip_prefix('!').map_or(("", line), |rest| ("!", rest.trim()));
            if path.is_empty() {
                return mark.to_owned();
            }
            let path = clean(path);
            let relative = path.strip_prefix('/').filter(|rest| !rest.is_empty());
            format!("{mark}{}", relative.unwrap_or(&path))
        }))
    }

    /// Parses patterns of a flag: without comments, and with a significant leading slash.
    pub fn new(patterns: impl IntoIterator<Item = String>) -> Result<Self, BadPattern> {
        let patterns = patterns.into_iter().map(|text| text.trim().to_owned());
        let patterns = patterns.filter(|text| !text.is_empty()).map(|text| Pattern::new(&clean(&text)));
        Ok(Self { patterns: patterns.collect::<Result<_, _>>()? })
    }

    /// Returns whether there is no pattern.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Returns the patterns as text, which identifies the list.
    pub fn text(&self) -> String {
        let line =
            |pattern: &Pattern| format!("{}{}\n", if pattern.is_exception { "!" } else { "" }, pattern.text);
        self.patterns.iter().map(line).collect()
    }

    /// Returns whether a path matches, based on the result for its parent. Without it, checks all
    /// parents.
    pub fn matches(&self, path: &str, parent: &Matched) -> Result<Matched, BadPattern> {
        let mut found = Matched { is_match: false, by_pattern: vec![false; self.patterns.len()] };
        for (index, pattern) in self.patterns.iter().enumerate() {
            let mut is_match = parent.by_pattern.get(index).copied().unwrap_or_default();
            if !is_match {
                // A pattern that cannot change the result is skipped.
                if pattern.is_exception != found.is_match {
                    continue;
                }
                is_match = pattern.matches(path)?
                    || (parent.by_pattern.is_empty()
                        && parents(path).any(|parent| pattern.matches(parent) == Ok(true)));
            }
            found.by_pattern[index] = is_match;
            if is_match {
                found.is_match = !pattern.is_exception;
            }
        }
        Ok(found)
    }

    /// Returns whether an exception matches a path or a directory above it, and nothing excludes
    /// it.
    pub(crate) fn readmits(&self, path: &str) -> bool {
        let is_named = |pattern: &Pattern| {
            parents(path).chain([path]).any(|one| pattern.is_exception && pattern.matches(one) == Ok(true))
        };
        self.patterns.iter().any(is_named) && !self.excludes(path)
    }

    /// Returns whether a path or a directory above it matches.
    pub(crate) fn excludes(&self, path: &str) -> bool {
        self.matches(path, &Matched::default()).is_ok_and(|found| found.is_match)
    }

    /// Returns whether something below an excluded directory may be included. `false` saves reading
    /// the directory.
    pub fn may_bring_back_below(&self, directory: &str) -> bool {
        let mut exceptions = self.patterns.iter().filter(|pattern| pattern.is_exception).peekable();
        if exceptions.peek().is_none() {
            return false;
        }
        let below = format!("{directory}/");
        let has_wildcard = |pattern: &&Pattern| pattern.directory().contains(['*', '[', ']', '?', '^', '\\']);
        let all: Vec<&Pattern> = exceptions.collect();
        all.iter().any(has_wildcard)
            || all.iter().any(|pattern| format!("{}/", pattern.directory()).starts_with(&below))
    }
}

/// Returns the parents of a path, the top one first.
fn parents(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at])
}

/// A pattern of `COPY`, as in Go's `path.Match`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Glob(Program);

impl Glob {
    /// Returns `None` for a bad pattern, which BuildKit refuses.
    pub(crate) fn new(pattern: &str) -> Option<Self> {
        Program::glob(pattern).map(Self)
    }

    /// Returns whether the whole path matches.
    pub(crate) fn matches(&self, path: &str) -> bool {
        self.0.matches(path)
    }
}

#[cfg(test)]
#[path = "ignore_tests.rs"]
mod tests;
