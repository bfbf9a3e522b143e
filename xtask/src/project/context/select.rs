//! Selects the files of COPY, ADD and bind mounts from a context, and computes the digest by which
//! BuildKit compares them. In this content hash, only the names below the source count, and of
//! files that patterns select only the last part of their names and their order.

use sha2::{Digest, Sha256};

use super::state::{self, short};
use super::tree::{Entry, Tree};
use super::{Digests, Input};
use crate::project::dockerfile::steps::Selector;
use crate::project::dockerfile::{clean, escaped};
use crate::project::ignore::{Glob, Ignore, Matched};

/// A selected entry.
pub(super) struct Taken {
    /// The entry as a record of a build shows it.
    pub(super) input: Input,
    pub(super) bytes: u64,
}

/// The two digests of selected files: of everything that BuildKit may compare, and of what it
/// certainly notices. A builder that already has the context sees neither a changed mode of a
/// directory nor a change of only extended attributes (measured).
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(in crate::project) struct ContentDigest {
    /// The digest of everything.
    pub(in crate::project) full: String,
    /// The digest of what BuildKit certainly notices.
    pub(in crate::project) plain: String,
    /// All of it but the modes that a checkout has by its umask.
    pub(in crate::project) any_mode: String,
}

pub(super) struct Selection<'a> {
    pub(super) tree: &'a mut Tree,
    pub(super) digests: &'a mut Digests,
    pub(super) taken: Vec<Taken>,
}

/// A parent directory of an entry.
struct Above {
    name: String,
    entry: Entry,
    include: Matched,
    exclude: Matched,
    is_taken: bool,
}

/// Entries by their names in the hash, and whether a link is followed.
type Found = Vec<(String, Entry, bool)>;

impl Selection<'_> {
    /// Selects the files of a selector. An empty selection adds nothing: BuildKit refuses it or
    /// copies nothing.
    pub(super) fn select(&mut self, selector: &Selector, excludes: &[String]) -> ContentDigest {
        let path = clean(&format!("/{}", selector.path));
        let has_wildcards = selector.is_pattern && has_wildcards(&path);
        if !has_wildcards && selector.include.is_none() && excludes.is_empty() {
            return self.whole(&path);
        }
        let include = selector.include.as_ref().map(|pattern| Ignore::new([pattern.clone()]));
        let include = include.map(Result::unwrap_or_default);
        let exclude = Some(excludes).filter(|list| !list.is_empty());
        let exclude = exclude.map(|list| Ignore::new(list.iter().cloned()).unwrap_or_default());
        let filters = Filters { include, exclude };
        let mut found = Found::new();
        let prefix = if has_wildcards {
            let (fixed, rest) = split_wildcards(&path);
            let start = self.tree.resolve(&fixed, true);
            let glob = Glob::new(&path);
            if let (Some(start), Some(glob)) = (start, glob) {
                let tops = self.tops(&glob, &start, &fixed, &rest);
                for (name, top) in tops {
                    self.filter(&filters, &top, &name, "", &mut Vec::new(), &mut found);
                }
            }
            fixed
        } else {
            let path = if path == "/" { String::new() } else { path.clone() };
            let start = self.tree.resolve(&path, false);
            match start {
                Some(start) if path.is_empty() => {
                    // The context itself is no entry: links at its top are followed.
                    for child in self.tree.children(&start).iter() {
                        let base = child.name();
                        let name = format!("/{base}");
                        self.filter(&filters, child, &name, base, &mut Vec::new(), &mut found);
                    }
                }
                Some(start) => self.filter(&filters, &start, &path, "", &mut Vec::new(), &mut found),
                None => {}
            }
            path
        };
        self.digest(path_base(&path), &prefix, found)
    }

    /// Selects a path with everything below it, and follows a link to it.
    fn whole(&mut self, path: &str) -> ContentDigest {
        let Some(start) = self.tree.resolve(path, true) else { return ContentDigest::default() };
        let mut hashes = Hashes::default();
        self.below(&start, "", &mut hashes);
        hashes.digest()
    }

    fn below(&mut self, entry: &Entry, name: &str, hashes: &mut Hashes) {
        let state = self.take(entry);
        hashes.add(name, &state);
        for child in self.tree.children(entry).iter() {
            self.below(child, child.name(), hashes);
        }
        // The end of a directory.
        hashes.add("/", "");
    }

    /// Adds an entry and returns its state. The context's own mode does not count.
    fn take(&mut self, entry: &Entry) -> String {
        if entry.path.is_empty() {
            return String::new();
        }
        let state = state::of(entry, self.digests);
        let bytes = if entry.meta.is_file() { entry.meta.len() } else { 0 };
        let input = Input { path: escaped(&entry.path), state: state.clone() };
        self.taken.push(Taken { input, bytes });
        state
    }

    /// Returns the entries that match a pattern directly, with their names.
    fn tops(&mut self, glob: &Glob, directory: &Entry, name: &str, rest: &str) -> Vec<(String, Entry)> {
        let (part, after) = rest.split_once('/').unwrap_or((rest, ""));
        // Brackets may contain a slash, so no directory can be excluded by its name then.
        let part = (!rest.contains('[')).then(|| Glob::new(part)).flatten();
        let mut found = Vec::new();
        for child in self.tree.children(directory).iter() {
            let base = child.name();
            let name = format!("{}/{base}", name.trim_end_matches('/'));
            if glob.matches(&name) {
                found.push((name, child.clone()));
            } else if part.as_ref().is_none_or(|part| !after.is_empty() && part.matches(base)) {
                let rest = if part.is_some() { after } else { rest };
                found.extend(self.tops(glob, child, &name, rest));
            }
        }
        found
    }

    /// Adds an entry and everything below it that passes the filters. `below` is its path below the
    /// source.
    fn filter(
        &mut self,
        filters: &Filters,
        entry: &Entry,
        name: &str,
        below: &str,
        above: &mut Vec<Above>,
        found: &mut Found,
    ) {
        let (is_in, include, exclude) = filters.look(below, above.last());
        let is_top = above.is_empty();
        if is_in {
            for parent in above.iter_mut().filter(|parent| !parent.is_taken) {
                parent.is_taken = true;
                found.push((parent.name.clone(), parent.entry.clone(), false));
            }
            found.push((name.to_owned(), entry.clone(), is_top && entry.meta.is_symlink()));
        }
        if !entry.meta.is_dir() {
            return;
        }
        let one = Above { name: name.to_owned(), entry: entry.clone(), include, exclude, is_taken: is_in };
        above.push(one);
        for child in self.tree.children(entry).iter() {
            let base = child.name();
            let below = if below.is_empty() { base.to_owned() } else { format!("{below}/{base}") };
            self.filter(filters, child, &format!("{name}/{base}"), &below, above, found);
        }
        above.pop();
    }

    fn digest(&mut self, base: &str, prefix: &str, found: Found) -> ContentDigest {
        let mut hashes = Hashes::default();
        let is_one = found.len() == 1;
        for (name, entry, is_followed) in found {
            let is_itself = name == prefix || (is_one && path_base(&name) == base);
            let counted = if is_itself { String::new() } else { format!("/{}", path_base(&name)) };
            if is_followed {
                // BuildKit compares the target alone, but a person removes or adds the link.
                self.take(&entry);
                let target = self.whole(&name);
                hashes.add_each(&counted, [&target.full, &target.plain, &target.any_mode]);
            } else {
                let state = self.take(&entry);
                hashes.add(&counted, &state);
            }
        }
        hashes.digest()
    }
}

struct Filters {
    include: Option<Ignore>,
    exclude: Option<Ignore>,
}

impl Filters {
    /// Returns whether a path is included, and the result of each list.
    fn look(&self, below: &str, parent: Option<&Above>) -> (bool, Matched, Matched) {
        let none = Matched::default();
        let mut include = none.clone();
        if let Some(list) = &self.include {
            include = list.matches(below, parent.map_or(&none, |one| &one.include)).unwrap_or_default();
            if !include.is_match {
                return (false, include, none);
            }
        }
        let Some(list) = &self.exclude else { return (true, include, none) };
        let exclude = list.matches(below, parent.map_or(&none, |one| &one.exclude)).unwrap_or_default();
        (!exclude.is_match, include, exclude)
    }
}

#[derive(Default)]
struct Hashes {
    full: Sha256,
    plain: Sha256,
    any_mode: Sha256,
}

impl Hashes {
    fn add(&mut self, name: &str, state: &str) {
        self.add_each(name, [state, state::noticed(state), &state::any_mode(state)]);
    }

    fn add_each(&mut self, name: &str, states: [&str; 3]) {
        for (hash, state) in [&mut self.full, &mut self.plain, &mut self.any_mode].into_iter().zip(states) {
            hash.update(format!("{name}\0{state}\0"));
        }
    }

    fn digest(self) -> ContentDigest {
        ContentDigest { full: short(self.full), plain: short(self.plain), any_mode: short(self.any_mode) }
    }
}

fn path_base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

fn has_wildcards(path: &str) -> bool {
    let mut chars = path.chars();
    while let Some(c) = chars.next() {
        match c {
            '*' | '?' | '[' => return true,
            '\\' => {
                chars.next();
            }
            _ => {}
        }
    }
    false
}

/// Splits a path before the first component with a wildcard.
fn split_wildcards(path: &str) -> (String, String) {
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let at = parts.iter().position(|part| has_wildcards(part)).unwrap_or(parts.len());
    (format!("/{}", parts[..at].join("/")), parts[at..].join("/"))
}
