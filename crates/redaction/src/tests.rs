use super::*;

fn redact(text: &str) -> String {
    Finder::default().redact(text).into_owned()
}

#[test]
fn what_looks_like_a_secret_is_redacted_and_nothing_else() {
    let table = [
        ("GET https://user:word@proxy.example/x", "GET https://***@proxy.example/x"),
        ("https://a:b@one,https://c@two|direct", "https://***@one,https://***@two|direct"),
        ("https://example/a@b", "https://example/a@b"),
        ("x?access_token=abc&y=1", "x?access_token=***&y=1"),
        (
            "RUN DB_PASSWORD='a b' make API_KEY=k CACHE_KEY=k",
            "RUN DB_PASSWORD=*** make API_KEY=*** CACHE_KEY=k",
        ),
        ("RUN login --password=$PASSWORD -x=${PASSWORD}", "RUN login --password=$PASSWORD -x=${PASSWORD}"),
        ("RUN --mount=type=secret,id=token cat", "RUN --mount=type=secret,id=token cat"),
        ("--secret id=npm_token,src=a --secret=id=b", "--secret id=npm_token,src=a --secret=id=b"),
        ("clone with ghp_0123456789abcdef!", "clone with ghp_***!"),
        ("the bearer of news; TOKEN= \u{e9}=\u{fc}", "the bearer of news; TOKEN= \u{e9}=\u{fc}"),
        ("PGPASSWORD=hunter22 psql", "PGPASSWORD=*** psql"),
        ("dbPassword=\"x y\" authToken=z", "dbPassword=*** authToken=***"),
        ("ENV DB_PASSWORD hunter2 x", "ENV DB_PASSWORD ***"),
        ("[app 2/3] ENV TOKEN t", "[app 2/3] ENV TOKEN ***"),
    ];
    for (text, expected) in table {
        assert_eq!(redact(text), expected, "{text}");
    }
}

#[test]
fn fields_options_and_headers_are_redacted() {
    let table = [
        (
            r#"{"secret": true, "auth": {"a": null}, "token": [1]}"#,
            r#"{"secret": true, "auth": {"a": null}, "token": [1]}"#,
        ),
        (r#"{"token":"x","name":"y"}"#, r#"{"token":"***","name":"y"}"#),
        (r#"{"a": {"dbPassword" : "x \" y"}}"#, r#"{"a": {"dbPassword" : "***"}}"#),
        (r#"echo {\"token\":\"abc\",\"b\":1}"#, r#"echo {\"token\":\"***\",\"b\":1}"#),
        ("password: hunter22", "password: ***"),
        ("  - api_key: 'x y'", "  - api_key: '***'"),
        ("password:hunter22 token:latest", "password:*** token:latest"),
        ("Authorization: Bearer abcdefghij.k", "Authorization: Bearer ***"),
        ("> authorization: Basic dXNlcjpwYXNz", "> authorization: Basic ***"),
        (
            "curl -H 'X-Api-Key: x' -H \"Authorization: tok a b\" u",
            "curl -H 'X-Api-Key: ***' -H \"Authorization: ***\" u",
        ),
        ("Set-Cookie: id=abc; Path=/", "Set-Cookie: ***"),
        ("login --password hunter22 --user me", "login --password *** --user me"),
        ("docker login --password-stdin r.example", "docker login --password-stdin r.example"),
        (r#"["mysql", "--password", "x y"]"#, r#"["mysql", "--password", "***"]"#),
        ("curl -u me:hunter22 --user you:hunter23 x", "curl -u me:*** --user you:*** x"),
        ("aws_secret_access_key = abc/def", "aws_secret_access_key = ***"),
        ("$password = 'a b'; 'password' => 'c d',", "$password = ***; 'password' => ***,"),
        ("[ \"$TOKEN\" = x ] && [ $PASSWORD == y ]", "[ \"$TOKEN\" = x ] && [ $PASSWORD == y ]"),
        ("echo ${SECRET:-default-word}", "echo ${SECRET:-***}"),
        ("postgres://u:pass/word@h/db http://h:80/a@b", "postgres://***@h/db http://h:80/a@b"),
        ("docker login -u me -p hunter22 r; mkdir -p a", "docker login -u me -p *** r; mkdir -p ***"),
        (
            "cookie_httponly = 1; NETRC=/run/secrets/netrc ${X_TOKEN:-/dev/null}",
            "cookie_httponly = 1; NETRC=/run/secrets/netrc ${X_TOKEN:-/dev/null}",
        ),
        ("mkdir -p a && mysql -phunter22 -u root", "mkdir -p a && mysql -p*** -u root"),
        ("x?sv=1&sig=abc%3D", "x?sv=1&sig=***"),
        ("--secret SPEC  as buildx's", "--secret SPEC  as buildx's"),
        ("curl -u 'me:two words' --user \"a:b c d\" x", "curl -u 'me:***' --user \"a:***\" x"),
        ("mysql --password='a b' --password \"c d\"", "mysql --password=*** --password \"***\""),
        ("docker run -u 1000:1000 --user 0:0", "docker run -u 1000:1000 --user 0:0"),
        ("failed to fetch oauth token: Post x", "failed to fetch oauth token: Post x"),
        ("secret foo: not found; auth: see the docs", "secret foo: not found; auth: see the docs"),
        (
            "SecretsUsedInArgOrEnv: Do not use ARG (ARG \"TOKEN\")",
            "SecretsUsedInArgOrEnv: Do not use ARG (ARG \"TOKEN\")",
        ),
        ("DEPLOY_TOKEN: changed value", "DEPLOY_TOKEN: changed value"),
        ("{token: abc, b: 1}", "{token: ***, b: 1}"),
        ("define('DB_PASSWORD', \"a b\");", "define('DB_PASSWORD', \"***\");"),
        (
            "f(\"password\", \"$PASSWORD\"); g(\"a\", \"b\")",
            "f(\"password\", \"$PASSWORD\"); g(\"a\", \"b\")",
        ),
        ("[\"password\", \"token\"]", "[\"password\", \"token\"]"),
        ("machine h login u password abc", "machine h login u password ***"),
        ("machine h\n  login u\n  password abc12345\n", "machine h\n  login u\n  password ***\n"),
        ("password required; password is 12345678", "password required; password is 12345678"),
        ("sshpass -p abc ssh h", "sshpass -p *** ssh h"),
        (
            "{\"github-oauth\": {\"github.com\": \"60e62a63b257c01d196cc53c664ce4d08e6827dd\"}}",
            "{\"github-oauth\": {\"github.com\": \"***\"}}",
        ),
        (
            "{\"golang.org\": \"v0.0.0-20230101000000-abcdef012345\", \"a.b\": \"short\"}",
            "{\"golang.org\": \"v0.0.0-20230101000000-abcdef012345\", \"a.b\": \"short\"}",
        ),
        ("api_key: abc # the key", "api_key: *** # the key"),
        ("the password: abc123def was wrong", "the password: *** was wrong"),
        (
            "from registry.example/auth:1.2 and http://x:80/",
            "from registry.example/auth:1.2 and http://x:80/",
        ),
    ];
    for (text, expected) in table {
        assert_eq!(redact(text), expected, "{text}");
    }
}

#[test]
fn private_keys_are_redacted_in_one_text_and_in_lines() {
    let key = "  -----BEGIN OPENSSH PRIVATE KEY-----\n  b3BlbnNzaC1rZXk\n  AAAA\n  -----END OPENSSH PRIVATE KEY-----\nx";
    assert_eq!(redact(key), "  -----BEGIN OPENSSH PRIVATE KEY-----***-----END OPENSSH PRIVATE KEY-----\nx");
    assert_eq!(redact("-----BEGIN PRIVATE KEY-----\\nMII"), "-----BEGIN PRIVATE KEY-----***");
    let certificate = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----";
    assert_eq!(redact(certificate), certificate);
    let (finder, mut in_key) = (Finder::default(), false);
    let lines: Vec<_> = key.lines().map(|line| finder.redact_line(line, &mut in_key).into_owned()).collect();
    assert_eq!(lines[1..3], ["***", "***"]);
    assert!(!lines.concat().contains("b3Blb") && lines[4] == "x", "{lines:?}");
}

/// Every secret that a text may hold is gone from it, however often it is redacted.
#[test]
fn redacting_again_changes_nothing() {
    let mut finder = Finder::default();
    finder.learn("hunter22".into());
    for text in [
        "a TOKEN=hunter22 b",
        "https://u:p@h/x",
        "password: x y",
        "--password x",
        "Authorization: Bearer abcdefghij",
        "{\"token\": \"a\"}",
        "sk-0123456789ABCDEFGH",
        "-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----",
        "curl -u a:hunter23 x",
    ] {
        let once = finder.redact(text).into_owned();
        assert_ne!(once, text);
        assert_eq!(finder.redact(&once), once, "{text}");
    }
}

/// The rate of a log in which nothing is a secret; `cargo test -- --nocapture` shows it.
#[test]
fn a_long_log_is_read_once() {
    let mut finder = Finder::default();
    (0..200).for_each(|number| finder.learn(format!("secret-value-{number}")));
    let line = "checking for sys/types.h... yes: 0x1234 --with-ssl=/usr path=/a/b:c/d  http://deb.example/pool/x.deb\n";
    let text = line.repeat(20_000);
    let begun = std::time::Instant::now();
    assert!(matches!(finder.redact(&text), Cow::Borrowed(_)));
    let rate = text.len() as f64 / 1e6 / begun.elapsed().as_secs_f64();
    println!("{rate:.1} MB/s");
}
