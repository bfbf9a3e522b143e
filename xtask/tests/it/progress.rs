//! The display of a running build: on a terminal, without a terminal, and in CI logs.

use std::process::{Command, Stdio};

use crate::common::terminal::Terminal;
use crate::common::{COMPOSE, Project, Run, unique};

/// Returns a project with two parallel stages that run `step`, a script whose first argument is the
/// stage's name, and a context of some size.
fn project(name: &str, step: &str) -> Project {
    let salt = unique("progress");
    let stage = |stage: &str| {
        format!("FROM ${{BASE_IMAGE}} AS {stage}\nRUN --mount=type=bind,target=/src sh /src/make {stage}\n")
    };
    let dockerfile = format!(
        "ARG BASE_IMAGE\n{}{}FROM ${{BASE_IMAGE}}\nCOPY --from=left /left /\nCOPY --from=right /right /\nCOPY big.txt /\n",
        stage("left"),
        stage("right"),
    );
    let compose = COMPOSE.replace("durango-test/app", &format!("durango-test/{name}"));
    let files = [
        ("compose.yaml", &*compose),
        ("Dockerfile", &dockerfile),
        ("make", &format!("# {salt}\n{step}\necho done >/$1\n")),
        ("big.txt", &format!("{salt}\n{}", "0123456789\n".repeat(300_000))),
        (".dockerignore", "home\nstore\n"),
    ];
    let project = Project::new(&files);
    project.owns(&format!("durango-test/{name}"));
    project
}

const BUILD: [&str; 5] = ["build", "app", "--file", "compose.yaml", "--no-save"];

/// Returns a step that prints a line each second for this many seconds.
fn talking(seconds: u32) -> String {
    format!(
        "for i in $(seq 1 {seconds}); do echo $1 prints line $i, and that line is longer than a narrow terminal is wide, and longer than a wide one, too; sleep 1; done"
    )
}

fn bars(lines: &[String]) -> usize {
    lines.iter().filter(|line| line.contains("[=") || line.contains("[>")).count()
}

/// Both steps run, each with a time in front, and the bar is below them.
fn is_shown(lines: &[String]) -> bool {
    let has_row = |stage: &str| {
        let mut rows = lines.iter().filter(|line| !line.starts_with("  first "));
        let row = rows.find(|line| line.contains(&format!("{stage}: RUN")));
        row.is_some_and(|row| row.trim_start().split_once(':').is_some_and(|(minutes, _)| minutes == "0"))
    };
    let is_below = lines.last().is_some_and(|line| line.contains(" steps") || line.ends_with("/5"));
    has_row("left") && has_row("right") && is_below && bars(lines) == 1
}

#[track_caller]
fn fits(lines: &[String], columns: usize) {
    for line in lines.iter().filter(|line| !line.starts_with("warning: ")) {
        assert!(line.chars().count() <= columns, "wider than {columns}: {line}\n{}", lines.join("\n"));
    }
}

#[test]
#[ignore = "needs an engine"]
fn a_terminal_shows_running_steps_and_is_cleared_after() {
    for columns in [60_u16, 120] {
        let project = project("terminal", &talking(6));
        let mut terminal = Terminal::start(&project, &BUILD, (columns, 24));
        let screen = terminal.wait("both run", is_shown);
        fits(&screen, columns.into());
        let screen = terminal.wait("they print", |lines| {
            let prints = |side: &str| lines.iter().any(|line| line.contains(&format!(" | {side} prints l")));
            is_shown(lines) && prints("left") && prints("right")
        });
        fits(&screen, columns.into());
        let screen = terminal.wait("the end", |lines| lines.iter().any(|line| line.contains("ended with 0")));
        assert!(screen.iter().any(|line| line.starts_with("built in ")), "{screen:?}");
        let all = terminal.all();
        assert_eq!(bars(&all), 0, "{}", all.join("\n"));
        let (shown, _) =
            all.split_at(all.iter().position(|line| line.starts_with("built in ")).expect("a result"));
        fits(shown, columns.into());
        let stays = all.iter().filter(|line| line.starts_with('✓') && line.contains(" left: RUN")).count();
        assert_eq!(stays, 1, "{}", all.join("\n"));
        let has_bytes = |line: &&String| line.contains("load build context") && line.contains(" MB  ");
        assert!(all.iter().any(|line| has_bytes(&line)), "{}", all.join("\n"));
        terminal.keep(&format!("{columns}.txt"));
    }
}

#[test]
#[ignore = "needs an engine"]
fn a_terminal_that_is_resized_shows_each_line_once() {
    let line = "and that line is longer than a narrow terminal is wide, and longer than a wide one, too";
    let project = project("resized", &format!("echo $1 prints a line, {line}\nsleep 20"));
    let mut terminal = Terminal::start(&project, &BUILD, (120, 24));
    terminal.wait("at 120 columns", |lines| {
        let has_output =
            |stage: &str| lines.iter().any(|line| line.contains(&format!("{stage} | {stage} pr")));
        is_shown(lines) && has_output("left") && has_output("right")
    });
    let once = |lines: &[String]| {
        let rows = |stage: &str| {
            let is_row =
                |line: &&String| line.contains(&format!("{stage}: RUN")) && !line.starts_with("  first ");
            lines.iter().filter(is_row).count()
        };
        let is_whole = (1..=30).all(|number| lines.contains(&format!("before {number}")));
        is_whole && is_shown(lines) && rows("left") == 1 && rows("right") == 1
    };
    for columns in [60, 120, 45, 100, 50] {
        terminal.await_change();
        terminal.resize(columns);
        terminal.wait(&format!("at {columns} columns"), |lines| {
            let live = lines
                .iter()
                .filter(|line| !line.starts_with("  first "))
                .filter(|line| line.contains(": RUN") || line.contains("[>") || line.contains("[="));
            let widest = live.map(|line| line.chars().count()).max().unwrap_or(0);
            is_shown(lines) && widest < usize::from(columns) && (columns < 100 || widest > 60)
        });
        let all = terminal.all();
        assert!(once(&all), "{}", all.join("\n"));
    }
    terminal.wait("the end", |lines| lines.iter().any(|line| line.contains("ended with 0")));
    let all = terminal.all();
    assert_eq!(bars(&all), 0, "{}", all.join("\n"));
    terminal.keep("resized.txt");
}

#[test]
#[ignore = "needs an engine"]
fn ctrl_c_leaves_a_clean_terminal() {
    let project = project("left", &talking(60));
    let mut terminal = Terminal::start(&project, &BUILD, (60, 24));
    terminal.wait("both run", is_shown);
    terminal.keys(&["x", "C-c"]);
    terminal.wait("the end", |lines| lines.iter().any(|line| line.contains("ended with 130")));
    let all = terminal.all();
    assert_eq!(bars(&all), 0, "{}", all.join("\n"));
    assert!(!all.iter().any(|line| line.starts_with(" 0:")), "{}", all.join("\n"));
}

/// Runs the binary on a terminal of this kind, through `script`. Returns both streams.
fn on_terminal(project: &Project, stty: &str, args: &[&str]) -> Run {
    let command = project.command(args);
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let line = shell_words::join(words.map(|word| word.to_string_lossy().into_owned()));
    let mut script = Command::new("script");
    script.args(["-q", "-e", "-c", &format!("stty {stty}; exec {line}"), "/dev/null"]);
    script.current_dir(project.path("")).env_clear().stdin(Stdio::null());
    script.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    Run::from(script.output().expect("script runs"))
}

#[test]
#[ignore = "needs an engine"]
fn a_terminal_that_cannot_be_drawn_on_gets_lines() {
    let table = [
        ("screen", "cols 0 rows 0", ""),
        ("dumb", "cols 80 rows 24", ""),
        ("screen", "cols 80 rows 24", "true"),
    ];
    for (term, stty, ci) in table {
        let project = project("lines", "echo said").env("TERM", term).env("CI", ci);
        let run = on_terminal(&project, stty, &BUILD);
        run.succeeds();
        assert!(!run.stdout.contains('\x1b'), "{}", run.all());
        for line in ["left: RUN sh /src/make left", "  left | said", "load build context: "] {
            assert!(run.stdout.contains(line), "`{line}`: {}", run.all());
        }
    }
    let project = project("drawn", "echo said").env("TERM", "screen");
    let run = on_terminal(&project, "cols 80 rows 24", &BUILD);
    run.succeeds();
    assert!(run.stdout.contains("\x1b[K") && run.stdout.contains("\x1b[32m✓"), "{}", run.all());
}

#[test]
#[ignore = "needs an engine"]
fn no_color_and_color_are_respected() {
    let step = "printf 'a \\033[31mred\\033[0m word\\n'";
    let size = "cols 80 rows 24";
    let has_color = |run: &Run| run.stdout.contains("\x1b[32m") || run.stdout.contains("\x1b[31m");
    let drawn = |no_color: &str, args: &[&str]| {
        let project = project("color", step).env("TERM", "screen").env("NO_COLOR", no_color);
        let run = on_terminal(&project, size, &[&BUILD[..], args].concat());
        run.succeeds();
        run
    };
    assert!(has_color(&drawn("", &[])));
    assert!(!has_color(&drawn("1", &[])));
    assert!(!has_color(&drawn("", &["--color", "never"])));
    assert!(has_color(&drawn("1", &["--color", "always"])));
    let plain = drawn("1", &["--progress", "plain"]);
    assert!(plain.stdout.contains("left | a red word"), "{}", plain.all());
    let colored = drawn("1", &["--progress", "plain", "--color", "always"]);
    assert!(colored.stdout.contains("left | a \x1b[31mred\x1b[0m word"), "{}", colored.all());
}

#[test]
#[ignore = "needs an engine"]
fn a_failing_steps_output_is_lost_in_no_mode() {
    let step = "for i in $(seq 1 40); do echo $1 $i; done; [ $1 = right ] || exit 7";
    for mode in ["auto", "plain", "quiet", "rawjson"] {
        let project = project("lost", step);
        let run = project.run(&[&BUILD[..], &["--progress", mode]].concat());
        run.fails(3, &["exit code 7", "  | left 40\n", "  | left 11\n", "full log: "]);
    }
    let project = project("lost", step).env("TERM", "screen");
    let run = on_terminal(&project, "cols 60 rows 24", &BUILD);
    assert_eq!(run.code, 3, "{}", run.all());
    let (_, end) = run.stdout.rsplit_once("\x1b[K").expect("it was drawn");
    for line in ["exit code 7", "  | left 40\r\n", "full log: "] {
        assert!(end.contains(line), "`{line}`: {}", run.all());
    }
}

#[test]
#[ignore = "needs an engine"]
fn each_mode_shows_its_lines() {
    let project = project("modes", "echo said");
    let quiet = project.run(&[&BUILD[..], &["-q"]].concat());
    quiet.succeeds();
    assert_eq!(quiet.stderr, "");
    let raw = project.run(&[&BUILD[..], &["--progress", "rawjson"]].concat());
    raw.succeeds();
    let values = serde_json::Deserializer::from_str(&raw.stderr).into_iter::<serde_json::Value>();
    let vertexes = values.filter(|value| value.as_ref().expect("BuildKit's stream")["vertexes"].is_array());
    assert!(vertexes.count() > 3, "{}", raw.all());
    let plain = project.run(&BUILD);
    assert!(plain.stderr.contains("left: RUN ") && plain.stderr.contains(": cached\n"), "{}", plain.all());
}

#[test]
#[ignore = "needs an engine"]
fn ci_logs_have_folds() {
    let project = project("github", "echo $1 says").env("GITHUB_ACTIONS", "true").env("CI", "true");
    let run = project.run(&BUILD);
    run.succeeds();
    let mut open = 0;
    for line in run.stderr.lines() {
        open += i32::from(line.starts_with("::group::")) - i32::from(line == "::endgroup::");
        assert!((0..=1).contains(&open), "{}", run.all());
    }
    assert_eq!(open, 0, "{}", run.all());
    for side in ["left", "right"] {
        let (_, fold) = run.stderr.split_once(&format!("::group::{side}: RUN ")).expect("a fold");
        let (inside, _) = fold.split_once("::endgroup::").expect("its end");
        assert!(inside.contains(&format!("\n  {side} | {side} says\n")), "{}", run.all());
    }
    let project = self::project("gitlab", "echo $1 says\n[ $1 = right ] || exit 3").env("GITLAB_CI", "true");
    let run = project.run(&BUILD);
    run.fails(3, &["section_start:", "\r\x1b[0K", "section_end:", "  left | left says\n", "  | left says\n"]);
    assert!(!run.stderr.contains("[collapsed=true]\r\x1b[0Kleft"), "{}", run.all());
}
