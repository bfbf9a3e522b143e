use crate::project::ignore::*;

#[test]
fn patterns_as_docker_documents_them() {
    let ignore = Ignore::parse(
        "# a comment\n/target\n*/temp*\n**/*.log\nsrc/**\n!src/main.c\ntemp?\n[a-c].txt\n./docs/\n*.md\n!README.md\n",
    );
    for (path, expected) in [
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
    ] {
        assert_eq!(ignore.excludes(path), expected, "{path}");
    }
    assert!(!Ignore::parse("").excludes("x") && Ignore::parse("**").excludes("a/b"));
}

#[test]
fn corners_of_mobys_matcher() {
    for (patterns, path, expected) in [
        ("a/../b", "b", true),
        (" # x", "# x", true),
        ("!a\n!b", "a", false),
        ("**/foo", "afoo", false),
        ("**foo", "a/b-foo", true),
        ("a**", "ab/c", true),
        ("a/**/c", "a/c", true),
        ("a/**/c", "a/b/b/c", true),
        ("a/**b", "a/x/b", true),
        ("a/**b", "a/xb", false),
        ("a^b", "a^b", true),
        ("a^*", "a^b", false),
        ("[^a]", "b", true),
        ("[^a]", "a", false),
        ("a[b-d]e", "ace", true),
        ("a.b+(c)|{d}$", "a.b+(c)|{d}$", true),
        // Alternatives and repetitions stay in the expression.
        ("a*|b", "xxb", true),
        ("a*|b", "xbx", false),
        ("?{2}", "ab", true),
        ("?{2}", "abc", false),
        ("[ab]{1,2}c", "abc", true),
        ("?{a}", "x{a}", true),
        (r"a\*", "a*", true),
        (r"a\*", "ab", false),
        (r"a\d", "a7", true),
        (r"[\dx]y", "7y", true),
        // Go's matcher also replaces a star within brackets.
        ("[*]", "*", false),
        ("[*]", "^]", true),
        ("..", "..", true),
        ("/", "a", false),
        (".", "a", false),
        ("\u{e9}?", "\u{e9}\u{e8}", true),
    ] {
        assert_eq!(Ignore::parse(patterns).excludes(path), expected, "{patterns} {path}");
    }
    for bad in ["[a", "a[]", "[]", "[a-]", r"[\d-]", "[-a]", r"a\", "!", "a\n[", "[a]b["] {
        assert_eq!(Ignore::try_parse(bad), Err(BadPattern), "{bad}");
    }
    // Go reads only as much of a pattern as it needs.
    assert!(Ignore::try_parse("a*[").is_ok());
    for bad in ["[b-a]", "*{2}", "?{2}{2}", "a*["] {
        assert_eq!(Ignore::parse(bad).matches("a", &Matched::default()), Err(BadPattern), "{bad}");
    }
}

#[test]
fn a_flags_patterns_have_no_comments_and_keep_their_slash() {
    let of = |pattern: &str| Ignore::new([pattern.to_owned()]).expect("a good pattern");
    assert!(of("#a").excludes("#a"));
    assert!(!of("/a").excludes("a"));
    assert!(Ignore::new(["!".to_owned()]).is_err());
}

#[test]
fn a_parents_result_decides_below_it() {
    let ignore = Ignore::parse("a\n!a/b\n*\n");
    let top = ignore.matches("a", &Matched::default()).expect("good patterns");
    assert!(top.is_match && !ignore.matches("a/b", &top).expect("good patterns").is_match);
    // Without the parent's result the last pattern finds the parent.
    assert!(ignore.excludes("a/b"));
}

#[test]
fn a_directory_is_read_only_if_an_exception_may_be_below_it() {
    for (patterns, directory, expected) in [
        ("node_modules", "node_modules", false),
        ("node_modules\n!node_modules/a/b", "node_modules", true),
        ("node_modules\n!node_modules/a/b", "node_modules/a", true),
        ("node_modules\n!node_modules/a/b", "node_modules/c", false),
        ("node_modules\n!other/**", "node_modules", false),
        ("node_modules\n!**/keep", "node_modules/c", true),
    ] {
        assert_eq!(
            Ignore::parse(patterns).may_bring_back_below(directory),
            expected,
            "{patterns} {directory}"
        );
    }
}

#[test]
fn a_long_row_of_stars_takes_no_longer() {
    let (pattern, path) = ("a*".repeat(300) + "b", "a".repeat(3_000));
    assert!(!Ignore::parse(&pattern).excludes(&path));
    assert!(Glob::new(&pattern).is_some_and(|glob| !glob.matches(&path)));
}

#[test]
fn globs_as_copy_takes_them() {
    for (glob, path, expected) in [
        ("/a*", "/ab", true),
        ("/*", "/a/b", false),
        ("/a?c", "/abc", true),
        ("/[^a]", "/b", true),
        ("/a[^x]c", "/a/c", true),
        (r"/\*", "/*", true),
        (r"/[\]]", "/]", true),
    ] {
        assert_eq!(Glob::new(glob).expect("a good glob").matches(path), expected, "{glob} {path}");
    }
    assert!(Glob::new("/[a").is_none());
}
