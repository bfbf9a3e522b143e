use crate::redact::*;

#[test]
fn known_values_are_redacted_wherever_they_stand_and_however_they_are_written() {
    let redactor = Redactor::default();
    redactor.learn_content("machine x login me\npassword hunter22\nURL=https://u:pass-word@proxy\n");
    redactor.learn_content("short");
    redactor.learn("p@ss w\"rd+1");
    let shown = |text: &str| redactor.text(text).into_owned();
    assert_eq!(shown("echo hunter22, pass-word short"), "echo ***, *** short");
    assert_eq!(shown("xhunter22hunter22y"), "x***y");
    assert_eq!(shown("a=p%40ss%20w%22rd%2B1&b"), "a=***&b");
    assert_eq!(shown(r#"{"x":"p@ss w\"rd+1"}"#), r#"{"x":"***"}"#);
    for before in ["", "a", "ab"] {
        use base64::Engine as _;
        let text = base64::engine::general_purpose::STANDARD.encode(format!("{before}hunter22\n"));
        assert_eq!(shown(&format!("x {text} y")), "x *** y");
    }
    let copy = redactor.clone();
    copy.learn("learned-later");
    assert_eq!(shown("learned-later"), "***");
}

#[test]
fn documents_are_redacted_in_every_field() {
    let redactor = Redactor::default();
    redactor.learn("hunter22");
    let mut plan = serde_json::json!({
        "argv": ["--set", "app.args.API_TOKEN=a b&c", "app.args.X=hunter22"], "key": "0123456789ab",
        "env": {"NPM_TOKEN": "abc", "HOME": "/h"},
        "parts": {"arg dbPassword": "abc", "env A_TOKEN": "(hidden ab12)", "arg COLOR": "red"},
        "secret": true, "n": 1,
    });
    redactor.json(&mut plan);
    assert_eq!(plan["argv"], serde_json::json!(["--set", "app.args.API_TOKEN=***", "app.args.X=***"]));
    assert_eq!(plan["env"], serde_json::json!({"NPM_TOKEN": "***", "HOME": "/h"}));
    let parts =
        serde_json::json!({"arg dbPassword": "***", "env A_TOKEN": "(hidden ab12)", "arg COLOR": "red"});
    assert_eq!((&plan["parts"], &plan["key"]), (&parts, &"0123456789ab".into()));
    let mut names = serde_json::json!({"a hunter22": 1, "https://u:some-word@host": {"hunter22": "x"}});
    redactor.json(&mut names);
    assert_eq!(names, serde_json::json!({"a ***": 1, "https://***@host": {"***": "x"}}));
}
