use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;

use crate::project::context::*;

/// Returns the files that COPY of these paths reads, with the digest that BuildKit compares.
fn selected(dir: &Path, ignore: &str, paths: &[&str], excludes: &[&str], parents: bool) -> Selected {
    let selector = |path: &&str| {
        let (root, include) = match path.split_once("/./") {
            _ if !parents => (*path, None),
            Some((root, pattern)) => (root, Some(pattern.to_owned())),
            None => ("/", Some((*path).to_owned())),
        };
        Selector { path: root.to_owned(), is_pattern: true, include }
    };
    let selectors: Vec<Selector> = paths.iter().map(selector).collect();
    let excludes: Vec<String> = excludes.iter().map(|pattern| (*pattern).to_owned()).collect();
    let ignore = Ignore::parse(ignore);
    Contexts::default().select((dir, &ignore), &selectors, &excludes, &mut Digests::default())
}

fn digest(dir: &Path, ignore: &str, paths: &[&str], excludes: &[&str]) -> String {
    selected(dir, ignore, paths, excludes, false).digest.full
}

fn names(dir: &Path, ignore: &str, paths: &[&str], excludes: &[&str]) -> String {
    joined(&selected(dir, ignore, paths, excludes, false))
}

fn parents(dir: &Path, paths: &[&str]) -> String {
    joined(&selected(dir, "", paths, &[], true))
}

fn joined(selected: &Selected) -> String {
    selected.files.iter().map(|input| input.path.as_str()).collect::<Vec<_>>().join(" ")
}

/// Returns a context with these files. The content of each is its name.
fn context(files: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    for file in files {
        write(dir.path(), file, file);
    }
    dir
}

fn write(dir: &Path, file: &str, content: &str) {
    let path = dir.join(file);
    fs::create_dir_all(path.parent().expect("a directory")).expect("made");
    fs::write(path, content).expect("written");
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set");
}

#[test]
fn what_a_copy_takes() {
    let dir = context(&["a.txt", "b.log", "sub/c.txt", "sub/d.log"]);
    let dir = dir.path();
    symlink("a.txt", dir.join("link")).expect("linked");
    assert_eq!(names(dir, "", &["."], &[]), "a.txt b.log link sub sub/c.txt sub/d.log");
    assert_eq!(names(dir, "*.log\n**/*.log", &["."], &[]), "a.txt link sub sub/c.txt");
    assert_eq!(names(dir, "", &["*.txt", "su?/c*"], &[]), "a.txt sub/c.txt");
    assert_eq!(names(dir, "", &["*"], &[]), "a.txt b.log link sub sub/c.txt sub/d.log");
    assert_eq!(names(dir, "", &["link"], &[]), "a.txt");
    assert_eq!(names(dir, "", &["gone", "../x"], &[]), "");
    assert_eq!(names(dir, "", &["../a.txt", "/sub/../b.log"], &[]), "a.txt b.log", "the context is the root");
}

#[test]
fn excludes_are_relative_to_each_source() {
    let dir = context(&["src/README.md", "src/x", "src/sub/x.md", "app/sub/x", "app/y", "a", "#a", "b.md"]);
    let dir = dir.path();
    for (paths, excludes, expected) in [
        (&["src/"][..], &["*.md"][..], "src src/sub src/sub/x.md src/x"),
        (&["src"], &["**/*.md"], "src src/sub src/x"),
        (&["app/"], &["sub/x"], "app app/sub app/y"),
        (&["app"], &["app/sub/x"], "app app/sub app/sub/x app/y"),
        (&["."], &["#a", "src", "app", "b.md"], "a"),
        // A file that is itself a source is not excluded by its name.
        (
            &["*"],
            &["a"],
            "#a a app app/sub app/sub/x app/y b.md src src/README.md src/sub src/sub/x.md src/x",
        ),
        (&["b.md"], &["*.md"], "b.md"),
        (&["src"], &["**", "!sub/x.md"], "src src/sub src/sub/x.md"),
    ] {
        assert_eq!(names(dir, "", paths, excludes), expected, "{paths:?} without {excludes:?}");
    }
}

#[test]
fn the_modes_of_a_umask_differ_from_other_changes() {
    let dir = context(&["a.txt", "sub/b.txt"]);
    let dir = dir.path();
    let any_mode = || selected(dir, "", &["."], &[], false).digest.any_mode;
    for file in ["a.txt", "sub/b.txt"] {
        set_mode(&dir.join(file), 0o644);
    }
    let before = (digest(dir, "", &["."], &[]), any_mode());
    set_mode(&dir.join("a.txt"), 0o664);
    set_mode(&dir.join("sub/b.txt"), 0o664);
    set_mode(&dir.join("sub"), 0o775);
    assert_ne!(digest(dir, "", &["."], &[]), before.0);
    assert_eq!(any_mode(), before.1);
    set_mode(&dir.join("a.txt"), 0o775);
    assert_ne!(any_mode(), before.1, "executable now");
    set_mode(&dir.join("a.txt"), 0o664);
    write(dir, "a.txt", "another");
    assert_ne!(any_mode(), before.1);
}

/// BuildKit compares a link at the context's top by the content that it leads to, excludes or not.
#[test]
fn a_link_at_the_top_of_a_filtered_context_is_followed() {
    let dir = context(&["a.txt", "sub/deep/c.txt"]);
    let dir = dir.path();
    let filtered = || digest(dir, "", &["."], &["**/deep/*"]);
    let included = || selected(dir, "", &["*-link"], &[], true).digest.full;
    let without = filtered();
    write(dir, "sub/deep/c.txt", "excluded");
    assert_eq!(filtered(), without);
    symlink("/sub/deep", dir.join("deep-link")).expect("linked");
    assert!(names(dir, "", &["."], &["**/deep/*"]).starts_with("a.txt deep-link "), "a reason names it");
    let before = (filtered(), included());
    write(dir, "sub/deep/c.txt", "behind the link");
    assert_ne!(filtered(), before.0);
    assert_ne!(included(), before.1);
}

#[test]
fn parents_take_what_a_pattern_includes() {
    let files = ["package.json", "a/package.json", "a/b/package.json", "a/b/other", "x/y/z/package.json"];
    let dir = context(&files);
    let dir = dir.path();
    let all = "a a/b a/b/package.json a/package.json package.json x x/y x/y/z x/y/z/package.json";
    assert_eq!(parents(dir, &["**/package.json"]), all);
    assert_eq!(parents(dir, &["a/*/package.json"]), "a a/b a/b/package.json");
    assert_eq!(parents(dir, &["x/./y/**/package.json"]), "x x/y x/y/z x/y/z/package.json");
    assert_eq!(parents(dir, &["a/b"]), "a a/b a/b/other a/b/package.json");
    assert_eq!(parents(dir, &["*/./b/other"]), "a a/b a/b/other", "the pivot may be a pattern");
    let digest = || selected(dir, "", &["**/package.json"], &[], true).digest.full;
    for file in &files[..3] {
        let before = digest();
        write(dir, file, "another");
        assert_ne!(digest(), before, "{file}");
    }
    let before = digest();
    write(dir, "a/b/other", "another");
    assert_eq!(digest(), before);
}

#[test]
fn special_files_count_and_are_never_opened() {
    let dir = context(&["a"]);
    let dir = dir.path();
    let plain = digest(dir, "", &["."], &[]);
    rustix::fs::mknodat(rustix::fs::CWD, dir.join("pipe"), rustix::fs::FileType::Fifo, 0o644.into(), 0)
        .expect("a pipe");
    assert_eq!(selected(dir, "", &["."], &[], false).files[1].state, "644|pipe");
    assert_ne!(digest(dir, "", &["."], &[]), plain);
    assert_eq!(digest(dir, "pipe", &["."], &[]), plain);
    fs::remove_file(dir.join("pipe")).expect("gone");
    // BuildKit sends a socket as an empty file (measured).
    let socket = UnixListener::bind(dir.join("s")).expect("a socket");
    set_mode(&dir.join("s"), 0o755);
    let with_socket = digest(dir, "", &["."], &[]);
    drop(socket);
    fs::remove_file(dir.join("s")).expect("gone");
    write(dir, "s", "");
    set_mode(&dir.join("s"), 0o755);
    assert_eq!(digest(dir, "", &["."], &[]), with_socket);
}

#[test]
fn modes_links_and_content_count_and_times_do_not() {
    let dir = context(&["a", "b", "sub/c"]);
    let dir = dir.path();
    symlink("b", dir.join("sub/link")).expect("linked");
    let first = digest(dir, "", &["."], &[]);
    fs::File::open(dir.join("a")).expect("there").set_modified(SystemTime::UNIX_EPOCH).expect("set");
    assert_eq!(digest(dir, "", &["."], &[]), first);
    for (file, mode, back) in [("a", 0o755, 0o644), ("sub", 0o700, 0o755)] {
        set_mode(&dir.join(file), mode);
        assert_ne!(digest(dir, "", &["."], &[]), first, "{file}");
        set_mode(&dir.join(file), back);
        assert_eq!(digest(dir, "", &["."], &[]), first, "{file}");
    }
    // A builder that has the context sees no changed mode of a directory.
    let plain = || selected(dir, "", &["."], &[], false).digest.plain;
    let before = plain();
    set_mode(&dir.join("sub"), 0o700);
    assert_eq!(plain(), before);
    set_mode(&dir.join("sub"), 0o755);
    fs::remove_file(dir.join("sub/link")).expect("gone");
    symlink("a", dir.join("sub/link")).expect("linked");
    assert_ne!(digest(dir, "", &["."], &[]), first);
    // The mode of the context itself is not sent.
    let before = digest(dir, "", &["."], &[]);
    set_mode(dir, 0o700);
    assert_eq!(digest(dir, "", &["."], &[]), before);
}

#[test]
fn a_source_counts_by_its_content_and_not_by_its_place() {
    let dir = context(&["one/a", "one/sub/b"]);
    let dir = dir.path();
    fs::create_dir_all(dir.join("two/sub")).expect("made");
    for file in ["a", "sub/b"] {
        fs::copy(dir.join("one").join(file), dir.join("two").join(file)).expect("copied");
    }
    symlink("one/a", dir.join("link")).expect("linked");
    symlink("/two", dir.join("absolute")).expect("linked");
    assert_eq!(digest(dir, "", &["one"], &[]), digest(dir, "", &["two"], &[]));
    assert_eq!(digest(dir, "", &["one/a"], &[]), digest(dir, "", &["link"], &[]));
    assert_eq!(digest(dir, "", &["two/sub"], &[]), digest(dir, "", &["absolute/sub"], &[]));
    assert_ne!(digest(dir, "", &["one/*"], &[]), digest(dir, "", &["one/a"], &[]));
    assert_eq!(digest(dir, "", &["one/*"], &[]), digest(dir, "", &["two/*"], &[]));
}

#[test]
fn of_what_patterns_select_only_last_names_and_their_order_count() {
    let dir = context(&["sub/deep/c", "sub/deep/e", "other/x"]);
    let rename =
        |from: &str, to: &str| fs::rename(dir.path().join(from), dir.path().join(to)).expect("renamed");
    let all = || {
        let of = |paths: &[&str], excludes: &[&str]| digest(dir.path(), "", paths, excludes);
        [
            of(&["s*/deep"], &[]),
            of(&["s*/*"], &[]),
            of(&["s*"], &[]),
            of(&["."], &["x"]),
            of(&["sub*/deep/c*"], &[]),
        ]
    };
    let before = all();
    let same = |now: &[String; 5]| now.iter().zip(&before).map(|(now, old)| now == old).collect::<Vec<_>>();
    rename("sub", "sub2");
    assert_eq!(same(&all()), [true, true, false, false, true]);
    rename("sub2", "sub");
    rename("sub/deep", "sub/deep2");
    assert_eq!(same(&all()), [false, false, false, false, false]);
    rename("sub/deep2", "sub/deep");
    rename("sub/deep/e", "sub/e");
    assert_eq!(same(&all()), [false, true, true, true, true], "BuildKit sees no file that moves up");
}

#[test]
fn ignored_directories_are_not_entered() {
    let dir = context(&["kept", "out/a", "part/in/x", "part/out/y", "empty/z"]);
    let dir = dir.path();
    let tree = |ignore: &str| {
        let mut tree = Tree::new(dir, Ignore::parse(ignore));
        let root = tree.root().expect("a context");
        let top: Vec<String> = tree.children(&root).iter().map(|entry| entry.path.clone()).collect();
        (top.join(" "), tree.read_directories())
    };
    assert_eq!(tree("out\npart\nempty\n!part/in/x"), ("kept part".into(), ["", "part", "part/in"].join(" ")));
    assert_eq!(tree("out\npart\nempty").1, "");
    // The mode of an ignored directory counts if an exception includes something below it.
    let digest = || digest(dir, "part\n!part/in/x", &["."], &[]);
    let before = digest();
    set_mode(&dir.join("part"), 0o700);
    assert_ne!(digest(), before);
}

#[test]
fn many_files_are_recorded_by_their_directories() {
    let input = |number: usize, state: &str| Input {
        path: format!("d{}/f{number}", number % 3),
        state: state.into(),
    };
    let few: Vec<Input> = (0..MAX_FILES).map(|number| input(number, "644:a")).collect();
    assert_eq!(bounded(few.clone()), few);
    let many = |state: &str| {
        bounded(
            (0..=MAX_FILES).map(|number| input(number, if number == 7 { state } else { "644:a" })).collect(),
        )
    };
    let (one, other) = (many("644:a"), many("644:b"));
    assert_eq!(one.iter().map(|input| input.path.as_str()).collect::<Vec<_>>(), ["d0/", "d1/", "d2/"]);
    assert!(one[0] == other[0] && one[1] != other[1]);
}
