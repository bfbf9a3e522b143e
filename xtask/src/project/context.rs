//! The files of a build context as BuildKit compares them: path, kind, mode and content; no times and no owners. Digests are
//! remembered by what the file system says of a file, so that a large context is read once.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use walkdir::WalkDir;

use super::ignore::Ignore;

/// One file, folder or link of a context, and what of it counts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Input {
    /// Its path below the context, without a slash in front.
    pub path: String,
    /// `mode:digest` of a file, `mode/` of a folder, `->target` of a link.
    pub state: String,
}

/// What a COPY takes.
#[derive(Debug, Default)]
pub struct Selected {
    /// Files, folders and links, sorted; of more than [`MOST`] just their folders, each with a digest of what is in it.
    pub files: Vec<Input>,
    /// Bytes of the files.
    pub bytes: u64,
    /// What of the context's top has most of them, with its bytes.
    pub largest: Option<(String, u64)>,
}

/// As many are told one by one: a record of a build is small.
pub const MOST: usize = 500;

/// Digests of files by their stamps: size, inode, times.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Digests {
    /// Stamp and digest by path.
    files: BTreeMap<String, (String, String)>,
    /// Whether anything was added.
    #[serde(skip)]
    pub is_new: bool,
}

/// A context of which parts are asked for.
pub struct Context<'a> {
    root: PathBuf,
    ignore: Ignore,
    digests: &'a mut Digests,
}

impl<'a> Context<'a> {
    /// The context in a folder; `digests` are those remembered of it.
    pub fn new(root: &Path, ignore: Ignore, digests: &'a mut Digests) -> Self {
        Self { root: root.canonicalize().unwrap_or_else(|_| root.to_path_buf()), ignore, digests }
    }

    /// What COPY of these paths takes. What is not there is left out: BuildKit says so.
    pub fn select(&mut self, paths: &[String], excludes: &[String]) -> Selected {
        let excludes = Ignore::parse(&excludes.join("\n"));
        let mut found = BTreeMap::new();
        for path in paths {
            let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
            if parts.contains(&"..") {
                continue;
            }
            for top in self.matching(&parts) {
                self.take(&top, &excludes, &mut found);
            }
        }
        let mut tops: BTreeMap<String, u64> = BTreeMap::new();
        for (path, (_, bytes)) in &found {
            *tops.entry(path.split('/').next().unwrap_or_default().to_owned()).or_default() += bytes;
        }
        let files = found.into_iter().map(|(path, (state, _))| Input { path, state }).collect();
        let bytes = tops.values().sum();
        Selected { files: bounded(files), bytes, largest: tops.into_iter().max_by_key(|(_, bytes)| *bytes) }
    }

    /// Paths below the root that a pattern matches, part by part.
    fn matching(&self, parts: &[&str]) -> Vec<PathBuf> {
        let mut found = vec![PathBuf::new()];
        for part in parts {
            if !part.contains(['*', '?', '[', '\\']) {
                found.iter_mut().for_each(|path| path.push(part));
                continue;
            }
            let pattern = Ignore::parse(part);
            let names = |path: &PathBuf| {
                let entries = fs::read_dir(self.root.join(path)).into_iter().flatten().flatten();
                let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
                let fitting = names.filter(|name| pattern.excludes(name));
                fitting.map(|name| path.join(name)).collect::<Vec<_>>()
            };
            found = found.iter().flat_map(names).collect();
        }
        found
    }

    /// A file, or a folder with what is in it. A link that is named is followed, those within folders are kept.
    fn take(&mut self, top: &Path, excludes: &Ignore, found: &mut BTreeMap<String, (String, u64)>) {
        let start = self.root.join(top);
        let Ok(real) = start.canonicalize() else { return };
        let is_link = real != start && top.components().next().is_some() && real.starts_with(&self.root);
        if let Some(target) = fs::read_link(&start).ok().filter(|_| is_link) {
            found.insert(top.to_string_lossy().into_owned(), (format!("->{}", target.display()), 0));
        }
        let relative =
            |path: &Path| path.strip_prefix(&self.root).unwrap_or(path).to_string_lossy().into_owned();
        let goes_in =
            |path: &str| path.is_empty() || !(self.ignore.excludes(path) || excludes.excludes(path));
        let keeps = self.ignore.has_exceptions() || excludes.has_exceptions();
        let walk = WalkDir::new(&real).into_iter();
        let walk = walk.filter_entry(|entry| keeps || goes_in(&relative(entry.path())));
        let mut files = Vec::new();
        for entry in walk.flatten() {
            let path = relative(entry.path());
            if path.is_empty() || !goes_in(&path) {
                continue;
            }
            let Ok(meta) = entry.path().symlink_metadata() else { continue };
            files.push((path, entry.path().to_path_buf(), meta));
        }
        for (path, full, meta) in files {
            let mode = meta.mode() & 0o7777;
            let state = if meta.is_symlink() {
                format!("->{}", fs::read_link(&full).unwrap_or_default().display())
            } else if meta.is_dir() {
                format!("{mode:o}/")
            } else {
                format!("{mode:o}:{}", self.digests.of(&full, &meta))
            };
            let bytes = if meta.is_file() { meta.len() } else { 0 };
            found.insert(path, (state, bytes));
        }
    }
}

/// Of too many files just their folders; of too many of those, the folders at the top.
fn bounded(files: Vec<Input>) -> Vec<Input> {
    if files.len() <= MOST {
        return files;
    }
    let parent = |path: &str| path.rsplit_once('/').map_or(String::new(), |(dir, _)| dir.to_owned());
    let folders = folded(&files, &parent);
    if folders.len() <= MOST {
        return folders;
    }
    folded(&files, &|path| path.split('/').next().unwrap_or_default().to_owned())
}

fn folded(files: &[Input], folder: &dyn Fn(&str) -> String) -> Vec<Input> {
    let mut hashes: BTreeMap<String, (usize, Sha256)> = BTreeMap::new();
    for file in files {
        let (count, hash) = hashes.entry(folder(&file.path)).or_default();
        *count += 1;
        hash.update(format!("{}\0{}\0", file.path, file.state));
    }
    let state = |(count, hash): (usize, Sha256)| {
        format!("{count} inside:{}", &format!("{:x}", hash.finalize())[..16])
    };
    hashes.into_iter().map(|(path, inside)| Input { path: path + "/", state: state(inside) }).collect()
}

impl Digests {
    fn of(&mut self, path: &Path, meta: &fs::Metadata) -> String {
        let stamp = format!(
            "{}.{}.{}.{}.{}.{}",
            meta.size(),
            meta.ino(),
            meta.mtime(),
            meta.mtime_nsec(),
            meta.ctime(),
            meta.ctime_nsec()
        );
        let name = path.to_string_lossy();
        if let Some((known, digest)) = self.files.get(name.as_ref())
            && *known == stamp
        {
            return digest.clone();
        }
        let digest = digest(path);
        // A file that was written this very instant may be written again without another time.
        let is_settled =
            meta.modified().ok().and_then(|time| time.elapsed().ok()).is_some_and(|age| age.as_secs() >= 2);
        if is_settled {
            self.files.insert(name.into_owned(), (stamp, digest.clone()));
            self.is_new = true;
        }
        digest
    }
}

/// The first 16 hex digits of a file's SHA-256; a file that cannot be read has none.
fn digest(path: &Path) -> String {
    let mut hash = Sha256::new();
    match fs::File::open(path).and_then(|mut file| std::io::copy(&mut file, &mut hash)) {
        Ok(_) => format!("{:x}", hash.finalize())[..16].to_owned(),
        Err(_) => "unreadable".into(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn select(dir: &Path, ignore: &str, paths: &[&str], excludes: &[&str]) -> Vec<(String, String)> {
        let mut digests = Digests::default();
        let words = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let mut context = Context::new(dir, Ignore::parse(ignore), &mut digests);
        let found = context.select(&words(paths), &words(excludes)).files;
        found.into_iter().map(|input| (input.path, input.state)).collect()
    }

    #[test]
    fn what_a_copy_takes() {
        let dir = tempfile::tempdir().expect("a folder");
        for file in ["a.txt", "b.log", "sub/c.txt", "sub/d.log"] {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(path, file).expect("written");
        }
        std::os::unix::fs::symlink("a.txt", dir.path().join("link")).expect("linked");
        let names = |ignore: &str, paths: &[&str], excludes: &[&str]| {
            let found = select(dir.path(), ignore, paths, excludes);
            found.into_iter().map(|(path, _)| path).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names("", &["."], &[]), "a.txt b.log link sub sub/c.txt sub/d.log");
        assert_eq!(names("*.log\n**/*.log", &["."], &[]), "a.txt link sub sub/c.txt");
        assert_eq!(names("", &["."], &["*.log", "sub"]), "a.txt link");
        assert_eq!(names("", &["*.txt", "su?/c*"], &[]), "a.txt sub/c.txt");
        assert_eq!(names("", &["link"], &[]), "a.txt link");
        assert_eq!(names("", &["gone", "../x"], &[]), "");
    }

    #[test]
    fn many_files_are_told_by_their_folders() {
        let input = |number: usize, state: &str| Input {
            path: format!("d{}/f{number}", number % 3),
            state: state.into(),
        };
        let few: Vec<Input> = (0..MOST).map(|number| input(number, "644:a")).collect();
        assert_eq!(bounded(few.clone()), few);
        let many = |state: &str| {
            bounded(
                (0..=MOST).map(|number| input(number, if number == 7 { state } else { "644:a" })).collect(),
            )
        };
        let (one, other) = (many("644:a"), many("644:b"));
        assert_eq!(one.iter().map(|input| input.path.as_str()).collect::<Vec<_>>(), ["d0/", "d1/", "d2/"]);
        assert!(one[0] == other[0] && one[1] != other[1]);
    }

    #[test]
    fn modes_and_content_count_and_times_do_not() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("a");
        fs::write(&file, "one").expect("written");
        let state = || select(dir.path(), "", &["a"], &[])[0].1.clone();
        let first = state();
        fs::File::open(&file).expect("there").set_modified(std::time::SystemTime::UNIX_EPOCH).expect("set");
        assert_eq!(state(), first);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("set");
        assert_ne!(state(), first);
        assert_eq!(state()[4..], first[4..]);
    }
}
