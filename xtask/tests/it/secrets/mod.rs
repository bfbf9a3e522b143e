//! A secret of each kind is used in a build that succeeds and in one that fails. Then all output
//! and all files are searched for it.

mod sequences;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::common::{Project, Run, files, unique};

/// A Compose file with secrets in arguments: from the environment, as a literal, with names of
/// several kinds.
const COMPOSE: &str = "
services:
  app:
    image: durango-test/@NAME@
    build:
      context: .
      args:
        BASE_IMAGE: debian:13-slim
        PGPASSWORD: ${DB_WORD}
        dbPassword: literal-word-4711
        APP_KEY: 'base64:key-word-4711'
        COLOR: green-word
";

/// Returns each word that must be nowhere, with its description.
fn words() -> Vec<(&'static str, String)> {
    // Joined here, so that no file contains a complete token.
    let token = |prefix: &str, rest: &str| format!("{prefix}{rest}");
    let words = [
        ("an argument's value", "arg-word-4711".to_owned()),
        ("an argument from the environment", "env-word-4711".into()),
        ("an argument in the declaration", "literal-word-4711".into()),
        ("a key", "key-word-4711".into()),
        ("a secret from a variable", "var-word/4711".into()),
        ("a word of JSON", "json-word-4711".into()),
        ("a word of YAML", "yaml word 4711".into()),
        ("a secret URL", "url-word-4711".into()),
        ("a variable of a CI", "ci-word-4711".into()),
        ("a proxy's password", "proxy-word-4711".into()),
        ("a password nobody knew", "unknown-word-4711".into()),
        ("AWS", token("AKIA", "IOSFODNN7EXAMPLE")),
        ("npm", token("npm_", "0123456789abcdefghijABCDEFGHIJ012345")),
        ("GitHub", token("ghu_", "0123456789abcdefghijABCDEFGHIJ")),
        ("a JWT", format!("{}{}.{}", "eyJ", "hbGciOiJIUzI1NiJ9", "eyJzdWIiOiIxMjM0In0")),
        ("a private key", "b3BlbnNzaC1rZXktdjEAAAAA".into()),
        ("Base64 of a word", STANDARD.encode("me:json-word-4711").trim_end_matches('=').to_owned()),
        ("Base64 of a value", STANDARD.encode("var-word/4711")[..14].to_owned()),
        ("a value in a URL", "var-word%2F4711".into()),
    ];
    words.into()
}

/// Returns steps that print all of the words, each in its own way, and end with `code`.
fn project(name: &str, code: u8) -> Project {
    let salt = unique("secrets");
    let all = words();
    let word = |what: &str| &all.iter().find(|(known, _)| *known == what).expect("a word").1;
    let script = format!(
        "# {salt}\ncat /run/secrets/json /run/secrets/yaml /run/secrets/url /run/secrets/var; echo\n\
         echo the argument $DEPLOY_TOKEN and $PGPASSWORD, $dbPassword, $APP_KEY\n\
         echo WARNING: this is $PGPASSWORD\necho \"password: unknown-word-4711\"\n\
         echo login --password unknown-word-4711\necho '{{\"token\": \"unknown-word-4711\"}}'\n\
         echo https://me:unknown-word-4711@git.example/x\necho Authorization: Basic {}\n\
         echo {} {} {} {}\nprintf '  -----BEGIN OPENSSH PRIVATE KEY-----\\n  {}\\n  -----END OPENSSH PRIVATE KEY-----\\n'\n\
         printf env-; sleep 1; echo word-4711\n\
         base64 -w0 /run/secrets/var; echo\necho x=var-word%2F4711\nbase64 -w0 /run/secrets/json; echo\nexit {code}\n",
        word("Base64 of a word"),
        word("AWS"),
        word("npm"),
        word("GitHub"),
        word("a JWT"),
        word("a private key"),
    );
    let mounts: String =
        ["json", "yaml", "url", "var"].map(|id| format!("--mount=type=secret,id={id} ")).concat();
    let dockerfile = format!(
        "ARG BASE_IMAGE\nFROM ${{BASE_IMAGE}} AS build\nARG DEPLOY_TOKEN PGPASSWORD dbPassword APP_KEY COLOR\nCOPY script /script\n\
         RUN echo for $PGPASSWORD in $COLOR\nRUN {mounts}sh /script && mkdir /out && ls / >/out/list\n\
         FROM scratch\nCOPY --from=build /out /out\n"
    );
    let compose = COMPOSE.replace("@NAME@", name);
    let project =
        Project::new(&[("compose.yaml", &compose), ("Dockerfile", &dockerfile), ("script", &script)]);
    project.write(".dockerignore", "*\n!script\n");
    let auth = STANDARD.encode("me:json-word-4711");
    project.write(
        "config.json",
        &format!("{{\"auths\": {{\"r.example\": {{\"auth\": \"{auth}\"}}}}, \"n\": \"json-word-4711\"}}"),
    );
    project.write("app.yaml", "db:\n  password: yaml word 4711\n");
    project.write("url.txt", "https://hooks.example/services/url-word-4711\n");
    project.owns(&format!("durango-test/{name}"));
    let summary = project.path("summary.md").display().to_string();
    project
        .env("DB_WORD", "env-word-4711")
        .env("VAR", "var-word/4711")
        .env("CI_JOB_TOKEN", "ci-word-4711")
        .env("GOPROXY", "https://me:proxy-word-4711@proxy.example,direct")
        .env("GITHUB_STEP_SUMMARY", &summary)
}

const SECRETS: [&str; 8] = [
    "--secret",
    "id=json,src=config.json",
    "--secret",
    "id=yaml,src=app.yaml",
    "--secret",
    "id=url,src=url.txt",
    "--secret",
    "id=var,env=VAR",
];

fn with<'a>(args: &[&'a str]) -> Vec<&'a str> {
    let build = ["--file", "compose.yaml", "--build-arg", "DEPLOY_TOKEN=arg-word-4711"];
    [args, &build, &SECRETS].concat()
}

/// Asserts that a text has no word, and neither has the Base64 in BuildKit's stream.
#[track_caller]
fn has_none(what: &str, text: &str) {
    for (kind, word) in words() {
        assert!(!text.contains(&word), "{kind}, `{word}`, is in {what}:\n{text}");
    }
    // A word may be split over two items.
    let mut outputs = BTreeMap::<String, Vec<u8>>::new();
    for value in text.lines().flat_map(serde_json::from_str::<Value>) {
        for log in value["logs"].as_array().into_iter().flatten() {
            let data = STANDARD.decode(log["data"].as_str().unwrap_or_default()).unwrap_or_default();
            outputs.entry(log["vertex"].to_string()).or_default().extend(data);
        }
    }
    for output in outputs.values() {
        has_none(&format!("the stream in {what}"), &String::from_utf8_lossy(output));
    }
}

/// Asserts that an image has no word: not in its files, its configuration or its attestations.
#[track_caller]
fn image_has_none(image: &str) {
    let docker = |args: &[&str]| {
        let output = Command::new("docker").args(args).output().expect("docker runs");
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    let id = String::from_utf8(docker(&["create", image, "/none"])).expect("an id");
    let exported = docker(&["export", id.trim()]);
    docker(&["rm", id.trim()]);
    assert!(String::from_utf8_lossy(&exported).contains("script"), "the list of files is there");
    // Layers may be compressed in the archive, but its documents are not.
    let saved = docker(&["save", image]);
    assert!(String::from_utf8_lossy(&saved).contains("/out"), "the configuration is there");
    let history = docker(&["history", "--no-trunc", image]);
    for (what, bytes) in [("files", exported), ("archive", saved), ("history", history)] {
        has_none(&format!("the {what} of {image}"), &String::from_utf8_lossy(&bytes));
    }
}

#[track_caller]
fn shows_none(args: &[&str], run: &Run) {
    has_none(&format!("stdout of {args:?}"), &run.stdout);
    has_none(&format!("stderr of {args:?}"), &run.stderr);
}

/// Asserts that no file in the store has a word.
#[track_caller]
fn keeps_none(store: &Path) {
    let all = files(store);
    assert!(all.len() > 4, "{all:?}");
    for (path, _) in all {
        let bytes = fs::read(&path).expect("read");
        has_none(&path.display().to_string(), &String::from_utf8_lossy(&bytes));
    }
}

#[test]
#[ignore = "needs an engine"]
fn a_planted_secret_is_shown_and_kept_nowhere() {
    for (name, code) in [("planted", 0), ("planted-broken", 3)] {
        let project = project(name, code);
        for more in [
            &["-v", "--progress", "plain"][..],
            &["--json"],
            &["--progress", "rawjson"],
            &["--no-cache", "--progress", "plain"],
        ] {
            let args = with(&[&["build", "app"], more].concat());
            let run = project.run(&args);
            assert_eq!(run.code, if code == 0 { 0 } else { 3 }, "{}", run.all());
            shows_none(&args, &run);
        }
        let shown = [
            with(&["plan", "app"]),
            with(&["plan", "app", "--json"]),
            with(&["plan", "app", "-v", "--no-cache"]),
            vec!["explain"],
            vec!["explain", "--json"],
            vec!["report"],
            vec!["report", "--json"],
            vec!["report", "--format", "markdown"],
            vec!["report", "--format", "html"],
            vec!["history"],
            vec!["history", "--json"],
            vec!["cache", "ls"],
            vec!["doctor"],
        ];
        for args in &shown {
            let run = project.run(args);
            assert!(!run.stdout.is_empty(), "{args:?}: {}", run.all());
            shows_none(args, &run);
        }
        let report = project.run(&["report", "--json"]);
        assert!(report.stdout.contains("in $COLOR") && report.stdout.contains("***"), "{}", report.all());
        keeps_none(&project.store());
        if code == 0 {
            image_has_none("durango-test/planted");
        }
        has_none("the summary", &fs::read_to_string(project.path("summary.md")).expect("a summary"));
    }
}

#[test]
#[ignore = "needs an engine"]
fn a_changed_secret_runs_its_step_and_is_not_shown() {
    let project = project("changed", 0);
    let mut args = with(&["build", "app", "--json", "--no-save"]);
    project.run(&args).succeeds();
    let place = args.iter().position(|arg| arg.starts_with("DEPLOY_TOKEN")).expect("an argument");
    args[place] = "DEPLOY_TOKEN=other-word-4711";
    let run = project.run(&args);
    run.succeeds();
    let report: serde_json::Value = serde_json::from_str(&run.stdout).expect("JSON");
    assert_eq!(report["result"], "built", "{}", run.all());
    assert!(run.stdout.contains("DEPLOY_TOKEN: changed value"), "{}", run.all());
    let explained = project.run(&["explain"]);
    assert!(!explained.stdout.contains("-word-4711"), "{}", explained.all());
}

#[test]
#[ignore = "needs an engine"]
fn no_secret_is_in_the_arguments_of_a_process() {
    let project = project("argv", 0);
    let args = with(&[
        "build",
        "app",
        "--set",
        "app.args.X_TOKEN=set-word-4711",
        "--set",
        "app.labels.token=label-word-4711",
    ]);
    let mut child =
        project.command(&args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it runs");
    let own = [child.id(), std::process::id()];
    let (mut seen, mut calls) = (Vec::new(), 0);
    while child.try_wait().expect("asked").is_none() {
        for entry in fs::read_dir("/proc").expect("proc").flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            calls += usize::from(line.contains("buildx") && line.contains("arguments.json"));
            // A child process has our own arguments until it has started its program.
            if !own.contains(&pid)
                && !line.contains(env!("CARGO_BIN_EXE_xtask"))
                && line.contains("-word-4711")
            {
                seen.push(line);
            }
        }
    }
    let output = child.wait_with_output().expect("it ended");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(calls > 0, "no call of bake was seen");
    assert!(seen.is_empty(), "{seen:#?}");
    let mut inspect = Command::new("docker");
    inspect.args(["image", "inspect", "durango-test/argv", "--format", "{{json .Config.Labels}}"]);
    let image = Run::from(inspect.output().expect("docker runs"));
    assert!(image.stdout.contains("label-word-4711"), "the label did arrive: {}", image.all());
}
