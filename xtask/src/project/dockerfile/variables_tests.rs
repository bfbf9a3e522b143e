use crate::project::dockerfile::variables::*;

/// Returns the value of `$X` before the last instruction of the last stage.
fn last(file: &str, args: &[(&str, &str)]) -> String {
    let file = Dockerfile::parse(file.as_bytes());
    let inputs = Inputs {
        args: args.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        platform: "linux/arm64".into(),
        ..Inputs::default()
    };
    let mut found = Value::Unset;
    file.walk(file.stages.len() - 1, &inputs, &mut |_, scope| found = scope.value("X"));
    match found {
        Value::Set(text) => text,
        other => format!("{other:?}"),
    }
}

#[test]
fn scopes_of_arguments_and_variables() {
    let given: &[(&str, &str)] = &[("X", "given")];
    for (what, file, args, expected) in [
        ("not declared", "FROM scratch\nRUN a", given, "Unset"),
        ("declared", "FROM scratch\nARG X\nRUN a", given, "given"),
        ("declared later", "FROM scratch\nRUN a\nARG X", given, "Unset"),
        ("a default", "FROM scratch\nARG X=d\nRUN a", &[], "d"),
        ("a default, given", "FROM scratch\nARG X=d\nRUN a", given, "given"),
        ("global only", "ARG X=g\nFROM scratch\nRUN a", &[], "Unset"),
        ("global, declared", "ARG X=g\nFROM scratch\nARG X\nRUN a", &[], "g"),
        ("global, a default again", "ARG X=g\nFROM scratch\nARG X=d\nRUN a", &[], "d"),
        ("of another argument", "FROM scratch\nARG A=1\nARG X=${A}2\nRUN a", &[], "12"),
        ("an ENV after an ARG", "FROM scratch\nARG X=d\nENV X=e\nRUN a", given, "e"),
        ("an ARG after an ENV", "FROM scratch\nENV X=e\nARG X=d\nRUN a", given, "given"),
        ("an ARG of no value after an ENV", "FROM scratch\nENV X=e\nARG X\nRUN a", &[], "e"),
        ("that ENV is what is inherited", "FROM scratch AS a\nENV X=e\nARG X=d\nFROM a\nRUN a", &[], "e"),
        ("old ENV", "FROM scratch\nENV X the rest\nRUN a", &[], "the rest"),
        ("old ENV, spaces", "FROM scratch\nENV X \t the  rest\nRUN a", &[], "the  rest"),
        ("ENV of a name with variables", "FROM scratch\nARG N=X\nENV $N=e\nRUN a", &[], "e"),
        ("ENV of a name in quotes", "FROM scratch\nENV 'X'=e\nRUN a", &[], "e"),
        ("ENV sees what was", "FROM scratch\nENV X=1\nENV X=2 Y=$X\nENV X=$Y\nRUN a", &[], "1"),
        ("ENV is inherited", "FROM scratch AS a\nENV X=e\nFROM a\nRUN a", &[], "e"),
        ("ARG is, too", "FROM scratch AS a\nARG X=d\nFROM a\nRUN a", given, "given"),
        (
            "ENV goes before the ARG that hid it",
            "FROM scratch AS a\nENV X=e\nARG X=d\nFROM a\nRUN a",
            given,
            "e",
        ),
        ("ENV of an ARG is", "FROM scratch AS a\nARG Y=d\nENV X=$Y\nFROM a\nRUN a", &[], "d"),
        ("an ONBUILD's", "FROM scratch AS a\nONBUILD ENV X=e\nFROM a\nRUN a", &[], "e"),
        ("an ONBUILD's, not for itself", "FROM scratch AS a\nONBUILD ENV X=e\nRUN a", &[], "Unset"),
        ("a foreign base", "FROM debian\nRUN a", &[], "Unknown"),
        ("of a foreign base's", "FROM debian\nENV X=$PATH:/x\nRUN a", &[], "Unknown"),
        ("the platform", "FROM debian\nARG TARGETARCH\nENV X=$TARGETARCH\nRUN a", &[], "arm64"),
    ] {
        assert_eq!(last(file, args), expected, "{what}");
    }
}
