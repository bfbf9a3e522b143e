use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

/// A project of one target whose context has a file.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        let files = Self(tempfile::tempdir().expect("a directory"));
        for (name, text) in
            [("compose.yaml", ""), ("c/Dockerfile", "FROM scratch\n"), ("c/a", "a"), ("c/sub/b", "b")]
        {
            files.write(name, text);
        }
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.path(name).parent().expect("a directory")).expect("made");
        fs::write(self.path(name), text).expect("written");
    }

    fn look(&self) -> Result<InputFiles> {
        let declaration = Declaration {
            files: vec![self.path("compose.yaml")],
            dir: self.0.path().into(),
            ..Declaration::default()
        };
        let target = Target { context: Some("c".into()), ..Target::default() };
        InputFiles::look(&declaration, &[("app".to_owned(), target)].into(), &BTreeSet::new())
    }

    fn digest(&self) -> String {
        self.look().expect("looked at").digest(&mut Digests::default()).expect("read")
    }
}

#[test]
fn all_that_buildkit_may_compare_is_in_the_digest() {
    let files = Files::new();
    let edits: [(&str, &dyn Fn()); 12] = [
        ("content", &|| files.write("c/a", "x")),
        ("content of the same size and time", &|| {
            let time = fs::metadata(files.path("c/a")).and_then(|meta| meta.modified()).expect("a time");
            files.write("c/a", "y");
            fs::File::open(files.path("c/a")).and_then(|file| file.set_modified(time)).expect("set");
        }),
        ("mode", &|| {
            fs::set_permissions(files.path("c/a"), fs::Permissions::from_mode(0o600)).expect("set");
        }),
        ("a directory's mode", &|| {
            fs::set_permissions(files.path("c/sub"), fs::Permissions::from_mode(0o700)).expect("set");
        }),
        ("name", &|| fs::rename(files.path("c/a"), files.path("c/z")).expect("renamed")),
        ("an empty directory", &|| fs::create_dir(files.path("c/empty")).expect("made")),
        ("a link", &|| symlink("z", files.path("c/link")).expect("linked")),
        ("where it leads", &|| {
            fs::remove_file(files.path("c/link")).expect("removed");
            symlink("sub", files.path("c/link")).expect("linked");
        }),
        ("a second name", &|| fs::hard_link(files.path("c/z"), files.path("c/zz")).expect("linked")),
        ("the Dockerfile", &|| files.write("c/Dockerfile", "FROM scratch\n# x\n")),
        ("variables", &|| files.write(".env", "A=1\n")),
        ("an ignore file", &|| files.write("c/.dockerignore", "sub\n")),
    ];
    let mut before = files.digest();
    assert_eq!(before, files.digest());
    for (what, edit) in edits {
        edit();
        let after = files.digest();
        assert_ne!(before, after, "{what}");
        before = after;
    }
    let time = std::time::SystemTime::UNIX_EPOCH;
    fs::File::open(files.path("c/z")).and_then(|file| file.set_modified(time)).expect("set");
    files.write("c/sub/ignored", "x");
    assert_eq!(before, files.digest(), "times do not count, nor does what is ignored");
}

type Edit<'a> = &'a dyn Fn(&Files);

#[test]
fn what_is_in_doubt_is_an_error() {
    let edits: [(&str, Edit<'_>); 5] = [
        ("no Dockerfile", &|files| {
            fs::remove_dir_all(files.path("c")).expect("removed");
        }),
        ("a Dockerfile that is a link", &|files| {
            fs::rename(files.path("c/Dockerfile"), files.path("D")).expect("renamed");
            symlink("../D", files.path("c/Dockerfile")).expect("linked");
        }),
        ("a bad pattern", &|files| files.write("c/.dockerignore", "[\n")),
        ("a name that is no text", &|files| {
            use std::os::unix::ffi::OsStrExt;
            fs::write(files.path("c").join(std::ffi::OsStr::from_bytes(b"\xff")), "").expect("written");
        }),
        ("no declaration", &|files| {
            fs::remove_file(files.path("compose.yaml")).expect("removed");
            fs::create_dir(files.path("compose.yaml")).expect("made");
        }),
    ];
    for (what, edit) in edits {
        let files = Files::new();
        edit(&files);
        assert!(files.look().is_err(), "{what}");
    }
}

#[test]
fn a_write_shows_in_the_stamp_also_where_it_is_taken_back() {
    let files = Files::new();
    let stamp = || files.look().expect("looked at").stamp();
    let before = stamp();
    assert_eq!(before, stamp());
    // The clock of a file system ticks some hundred times a second.
    let tick = |changed: &dyn Fn()| {
        let old = stamp();
        let begun = std::time::Instant::now();
        while old == stamp() && begun.elapsed() < Duration::from_secs(10) {
            changed();
        }
        assert_ne!(old, stamp());
    };
    tick(&|| files.write("c/a", "a"));
    tick(&|| {
        files.write("c/gone", "");
        fs::remove_file(files.path("c/gone")).expect("removed");
    });
}

#[test]
fn a_build_begins_a_tick_after_the_newest_change() {
    let files = Files::new();
    let looked = files.look().expect("looked at");
    let newest = looked.files.iter().filter_map(|file| file.meta.as_ref());
    let newest = newest.map(|meta| (meta.ctime(), meta.ctime_nsec())).max().expect("a file");
    let at = |after: Duration| {
        let changed = Duration::new(newest.0.unsigned_abs(), u32::try_from(newest.1).expect("below 1 s"));
        looked.settles_in(SystemTime::UNIX_EPOCH + changed + after)
    };
    assert_eq!(at(Duration::from_secs(9)), Some(Duration::ZERO));
    if newest.1 % 1_000_000 != 0 {
        assert_eq!(at(TICK), Some(Duration::ZERO));
        assert_eq!(at(TICK / 2), Some(TICK / 2));
        assert_eq!(looked.settles_in(SystemTime::UNIX_EPOCH), None, "a clock that was set back");
    }
}
