//! Control sequences and commands of a CI in the output of a build.

use crate::common::{Project, Run, unique};

/// Returns the control sequences, without line breaks and colors.
fn sequences(text: &str) -> Vec<String> {
    let mut rest = text.to_owned();
    while let Some(at) = rest.find("\x1b[") {
        let end = rest[at + 2..]
            .find(|c: char| !c.is_ascii_digit() && c != ';')
            .map_or(rest.len(), |end| at + 2 + end);
        if rest[end..].starts_with('m') {
            rest.replace_range(at..=end, "");
        } else {
            break;
        }
    }
    let odd = |line: &&str| line.chars().any(|c| c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c));
    rest.lines().filter(odd).map(str::to_owned).collect()
}

#[test]
#[ignore = "needs an engine"]
fn nothing_that_a_build_prints_drives_a_terminal_or_a_ci() {
    let salt = unique("secrets");
    let script = format!(
        "# {salt}\nprintf 'WARNING: \\033]0;owned\\007\\033[2Jx\\n\\033[31mred\\033[0m\\033[6n\\033[?1049h\\n'\n\
         printf '\\033]52;c;cm0gLXJm\\007clip\\n\\033Pq#0\\033\\\\\\\\sixel\\n\\302\\233 2Jc1\\n\\342\\200\\256bidi\\n'\n\
         echo '##[add-mask]e'; echo '::error::x'; printf 'section_start:1:x\\r\\033[0Kheading\\n'\nexit $1\n"
    );
    let dockerfile = "ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nARG CODE\nCOPY script /script\nRUN : '\x1b]0;title\x07\x1b[2J' && sh /script $CODE\n";
    let compose = crate::common::COMPOSE.replace("durango-test/app", "durango-test/odd");
    let project =
        Project::new(&[("compose.yaml", &compose), ("Dockerfile", dockerfile), ("script", &script)]);
    project.write(".dockerignore", "*\n!script\n");
    project.owns("durango-test/odd");
    let mut number = 0;
    for ci in [None, Some("GITHUB_ACTIONS"), Some("GITLAB_CI")] {
        for (color, code) in [("always", "0"), ("never", "0"), ("always", "4")] {
            number += 1;
            let (code_arg, salt_arg) = (format!("CODE={code}"), format!("SALT={number}"));
            let args = [
                "build",
                "app",
                "--file",
                "compose.yaml",
                "--no-save",
                "--progress",
                "plain",
                "--color",
                color,
                "--build-arg",
                &code_arg,
                "--build-arg",
                &salt_arg,
                "--no-cache",
            ];
            let mut command = project.command(&args);
            ci.map(|name| command.env(name, "true"));
            let run = Run::from(command.output().expect("it runs"));
            assert_eq!(run.code, if code == "0" { 0 } else { 3 }, "{}", run.all());
            let mut text = run.stderr.clone() + &run.stdout;
            if ci == Some("GITLAB_CI") {
                // Its own markers of folds.
                let is_mark =
                    |line: &&str| !line.contains("section_start:") && !line.contains("section_end:");
                text = text.lines().filter(is_mark).map(|line| line.to_owned() + "\n").collect();
            }
            assert_eq!(sequences(&text), [""; 0], "{ci:?} {color}: {}", run.all());
            assert!(
                text.contains("clip") && text.contains("bidi") && text.contains("heading"),
                "{}",
                run.all()
            );
            assert_eq!(text.contains("\x1b[31mred"), color == "always", "{ci:?} {color}: {}", run.all());
            assert!(!text.contains("##["), "{}", run.all());
            let is_command = |line: &str| line.trim_start().starts_with("::");
            let own = |line: &str| line.starts_with("::group::") || line == "::endgroup::";
            assert!(text.lines().all(|line| !is_command(line) || own(line)), "{}", run.all());
        }
    }
    for args in [&["report"][..], &["report", "--format", "html"], &["history"], &["explain"]] {
        let run = project.run(args);
        assert_eq!(sequences(&run.stdout), [""; 0], "{args:?}: {}", run.all());
    }
}
