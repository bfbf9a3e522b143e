//! Finds files of an application that must not get into an image, unless its `.dockerignore` allows
//! it.
//!
//! BuildKit copies the whole `app` context. A build is refused, not filtered: a `.dockerignore`
//! also protects plain `docker compose build`, and a file that is missing from an image is missing
//! on purpose.

use std::path::Path;

use anyhow::Result;
use walkdir::{DirEntry, WalkDir};

use super::ignore::Ignore;
use crate::error::usage;
use crate::files;

/// Version control: the history, and tokens in a remote's address.
const HISTORY: &[&str] = &[".git", ".hg", ".svn"];
/// Files that contain credentials by convention, of Composer, npm, Git, Docker, cloud and SSH
/// clients.
const CREDENTIALS: &[&str] = &[
    "auth.json",
    ".aws",
    ".azure",
    ".git-credentials",
    ".gnupg",
    ".htpasswd",
    ".kube",
    ".my.cnf",
    ".netrc",
    ".npmrc",
    ".pgpass",
    ".pypirc",
    ".ssh",
    "id_dsa",
    "id_ecdsa",
    "id_ed25519",
    "id_rsa",
];
/// Outputs without a `CACHEDIR.TAG`.
const OUTPUTS: &[&str] = &["node_modules", ".cargo-home", ".durango-cache"];
/// Suffixes of `.env` files that are templates.
const TEMPLATES: &[&str] = &["example", "dist", "sample", "template"];
/// The number of findings in a message.
const SHOWN: usize = 8;

/// Refuses an application whose directory has files that no image should have.
pub(crate) fn check(dir: &Path, store: &Path) -> Result<()> {
    let found = findings(dir, store);
    if found.is_empty() {
        return Ok(());
    }
    let mut lines: Vec<String> =
        found.iter().take(SHOWN).map(|(path, why)| format!("  {path}  ({why})")).collect();
    if found.len() > SHOWN {
        lines.push(format!("  and {} more", found.len() - SHOWN));
    }
    let file = dir.join(".dockerignore");
    let names = found.iter().map(|(path, _)| pattern(path));
    let command = format!(
        "printf '%s\\n' {} >>{}",
        shell_words::join(names),
        shell_words::quote(&file.to_string_lossy())
    );
    Err(usage(format!(
        "the application `{}` would add these files to the image:\n{}\nexclude them: {command}\nor, to \
         include one on purpose, add `!NAME` to that file",
        dir.display(),
        lines.join("\n")
    )))
}

/// Returns a line of a `.dockerignore` that matches exactly this path.
fn pattern(path: &str) -> String {
    let special = |c| "*?[\\".contains(c);
    path.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect()
}

/// Returns the paths, relative to the application, with the reasons, in order.
fn findings(dir: &Path, store: &Path) -> Vec<(String, &'static str)> {
    let text = files::read_text(&dir.join(".dockerignore")).unwrap_or_default();
    let ignore = Ignore::parse(&text);
    let store = store.canonicalize().ok();
    let mut found = Vec::new();
    let mut walk = WalkDir::new(dir).min_depth(1).sort_by_file_name().into_iter();
    while let Some(entry) = walk.next() {
        // BuildKit reports unreadable files.
        let Ok(entry) = entry else { continue };
        let Some(path) = entry.path().strip_prefix(dir).ok().and_then(Path::to_str) else { continue };
        let is_dir = entry.file_type().is_dir();
        let reason = reason(&entry, store.as_deref());
        if ignore.excludes(path) {
            // An exception may include something below. Nothing below a finding is searched.
            if is_dir && (reason.is_some() || !ignore.may_bring_back_below(path)) {
                walk.skip_current_dir();
            }
        } else if let Some(why) = reason {
            if !ignore.readmits(path) {
                found.push((path.to_owned(), why));
            }
            if is_dir {
                walk.skip_current_dir();
            }
        } else if is_dir && entry.file_name() == "vendor" {
            // Composer's packages are published, and have test fixtures that look like credentials.
            walk.skip_current_dir();
        }
    }
    found
}

fn reason(entry: &DirEntry, store: Option<&Path>) -> Option<&'static str> {
    let name = entry.file_name().to_str()?;
    let is_dir = entry.file_type().is_dir();
    if is_dir && store.is_some_and(|store| entry.path().canonicalize().is_ok_and(|path| path == store)) {
        Some("the cache store")
    } else if HISTORY.contains(&name) {
        Some("version control")
    } else if is_environment(name) {
        Some("environment file")
    } else if CREDENTIALS.contains(&name) {
        Some("credentials")
    } else if is_dir && (OUTPUTS.contains(&name) || entry.path().join("CACHEDIR.TAG").is_file()) {
        Some("build output")
    } else {
        None
    }
}

/// Returns true for `.env` and `.env.local`, but not for `.env.example`.
fn is_environment(name: &str) -> bool {
    match name.strip_prefix(".env") {
        Some("") => true,
        Some(rest) => rest.strip_prefix('.').is_some_and(|rest| !TEMPLATES.contains(&rest)),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Returns an application with these files. A name that ends in `/` is a directory.
    fn app(files: &[&str], ignore: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a directory");
        for name in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            if name.ends_with('/') {
                fs::create_dir_all(&path).expect("made");
            } else {
                fs::write(&path, "x").expect("written");
            }
        }
        if !ignore.is_empty() {
            fs::write(dir.path().join(".dockerignore"), ignore).expect("written");
        }
        dir
    }

    fn found(files: &[&str], ignore: &str) -> Vec<String> {
        let dir = app(files, ignore);
        findings(dir.path(), &dir.path().join("kept")).into_iter().map(|(path, _)| path).collect()
    }

    #[test]
    fn what_never_belongs_into_an_image_is_found_at_any_depth() {
        let files = [
            ".git/config",
            ".env",
            ".env.local",
            ".env.example",
            "auth.json",
            "build/CACHEDIR.TAG",
            "kept/layers/",
            "packages/one/.env",
            "packages/one/.git",
            "public/index.php",
            "vendor/one/tests/auth.json",
        ];
        let all = [
            ".env",
            ".env.local",
            ".git",
            "auth.json",
            "build",
            "kept",
            "packages/one/.env",
            "packages/one/.git",
        ];
        assert_eq!(found(&files, ""), all);
        assert_eq!(found(&["public/index.php", "env", ".environment"], ""), [""; 0]);
    }

    #[test]
    fn an_ignore_file_decides() {
        let files = [".git/config", ".env", "sub/.env", "kept/x"];
        assert_eq!(found(&files, ".git\nkept\n"), [".env", "sub/.env"]);
        assert_eq!(found(&files, "*\n!public\n"), [""; 0]);
        assert_eq!(found(&files, "**/.env\n.git\nkept\n"), [""; 0]);
        assert_eq!(found(&files, ".git\nkept\n!.env\n"), ["sub/.env"], "an exception is consent");
        assert_eq!(found(&files, ".git\nkept\nsub\n!sub/.env\n!.env\n"), [""; 0], "also below what is out");
        assert_eq!(found(&[".git/config"], ".git\n!.git/config\n"), [""; 0], "asked for by name");
    }

    #[test]
    fn the_remedy_names_every_finding_and_works() {
        let dir = app(&[".git/config", "a b/.env", "x*/.env", "kept/x"], "");
        let store = dir.path().join("kept");
        let error = check(dir.path(), &store).expect_err("refused").to_string();
        assert!(error.contains("kept  (the cache store)"), "{error}");
        let command = error.lines().find_map(|line| line.strip_prefix("exclude them: ")).expect("a remedy");
        let status = std::process::Command::new("sh").args(["-c", command]).status().expect("a shell");
        assert!(status.success());
        check(dir.path(), &store).expect("nothing is left");
    }
}
