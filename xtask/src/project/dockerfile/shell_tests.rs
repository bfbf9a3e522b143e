use crate::project::dockerfile::shell::*;

fn value(name: &str) -> Value {
    match name {
        "X" => Value::Set("x".into()),
        "E" => Value::Set(String::new()),
        "A" => Value::Set("abc/amd64/abc.tar.gz".into()),
        "P" => Value::Set("a".into()),
        "B" => Value::Unknown,
        _ => Value::Unset,
    }
}

#[test]
fn variables_as_buildkit_expands_them() {
    for (text, expected) in [
        ("a-$X-b", "a-x-b"),
        ("${X}y", "xy"),
        ("$Xy", ""),
        ("$U", ""),
        ("${U:-d}", "d"),
        ("${E:-d}", "d"),
        ("${E-d}", ""),
        ("${X:-d}", "x"),
        ("${X:+p}", "p"),
        ("${U:+p}", ""),
        ("${E+p}", "p"),
        ("${E:+p}", ""),
        ("${X:?no}", "x"),
        ("${E?no}", ""),
        ("${U:-${X}/y}", "x/y"),
        ("${U:-\"}\"}", "}"),
        ("'$X'", "$X"),
        ("\"$X\"", "x"),
        ("\\$X", "$X"),
        ("\"a\\b\"", "a\\b"),
        ("\"a\\\"b\"", "a\"b"),
        ("$", "$"),
        ("$$X", "X"),
        ("$1a", "a"),
        ("100%", "100%"),
        ("${A#abc}", "/amd64/abc.tar.gz"),
        ("${A#*/}", "amd64/abc.tar.gz"),
        ("${A##*/}", "abc.tar.gz"),
        ("${A%.*}", "abc/amd64/abc.tar"),
        ("${A%%.*}", "abc/amd64/abc"),
        ("${A%c}", "abc/amd64/abc.tar.gz"),
        ("${A#${P}?}", "c/amd64/abc.tar.gz"),
        ("${A/amd64/x86_64}", "abc/x86_64/abc.tar.gz"),
        ("${A/abc/$X}", "x/amd64/abc.tar.gz"),
        ("${A//abc/-}", "-/amd64/-.tar.gz"),
        ("${A//a*c/-}", "-.tar.gz"),
        ("${A/\\//:}", "abc:amd64/abc.tar.gz"),
        ("${U/a/b}", ""),
        ("${X/x/${U:-${P/a/z}}}", "z"),
    ] {
        let found = expand(text, '\\', &value);
        assert_eq!((found.text.as_str(), found.unknown.len()), (expected, 0), "{text}");
    }
}

#[test]
fn an_unknown_value_is_named_and_stays_in_the_text() {
    for (text, expected, unknown) in [
        ("$B/x", "${B}/x", 1),
        ("${B:-d}", "${B:-d}", 1),
        ("${X:-$B}", "x", 0),
        ("${U:+$B}", "", 0),
        ("${U:-$B}", "${B}", 1),
        ("${B#p}", "${B#p}", 1),
        ("${B/a/b}", "${B/a/b}", 1),
    ] {
        let found = expand(text, '\\', &value);
        assert_eq!((found.text.as_str(), found.unknown.len()), (expected, unknown), "{text}");
    }
}

#[test]
fn what_buildkit_refuses_is_left_as_it_is() {
    for text in ["${X", "${}", "${:-a}", "${X:#a}", "${X^}", "'a", "\"a", "${U?no}", "${X#\\a}"] {
        assert_eq!(Lexer::new('\\').process(text, &value), None, "{text}");
    }
}

#[test]
fn a_heredoc_keeps_its_quotes() {
    let found = Lexer::heredoc().process("'$X' \"${X}\" \\$X", &value).expect("it is good");
    assert_eq!(found.text, "'x' \"x\" $X");
}

#[test]
fn quotes_and_unset_variables_stay_where_they_are_asked_to() {
    let lexer = Lexer { keeps_quotes: true, keeps_unset: true, ..Lexer::new('\\') };
    let text = |text: &str| lexer.process(text, &value).map(|found| found.text);
    assert_eq!(text("echo \"$X\" '$X' $U ${U:-a}").as_deref(), Some("echo \"x\" '$X' $U ${U:-a}"));
}
