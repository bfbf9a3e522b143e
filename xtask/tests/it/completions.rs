//! Completion of `cargo xtask` in bash, zsh and fish, as `setup` installs it, and the man page.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::outcome::{outcome, put};
use crate::common::terminal::{Terminal, libraries, tool, tools};
use crate::common::{COMPOSE, Project, Run, skip};

const BUILD: &str = "20261110-101500-0a";
/// Candidates of a completion of cargo's own.
const CARGO: &str = "clippy-of-cargo";

/// A checkout of the project by its looks, with one recorded build, and a home in which the shells
/// complete cargo by a script of the test.
fn checkout() -> Project {
    let unpacked = tools().display().to_string();
    let completion = bash_completion().map_or(String::new(), |path| format!(". '{}'\n", path.display()));
    let bash = format!("PS1='> '\nbind 'set enable-bracketed-paste off'\n{completion}");
    let zsh = format!(
        "PS1='> '\nunsetopt prompt_sp\nunset zle_bracketed_paste\nif [ -d '{unpacked}/usr/share/zsh' ]; then\n\
         module_path=('{unpacked}'/usr/lib/*/zsh/*(N/) $module_path)\n\
         fpath=('{unpacked}'/usr/share/zsh/functions/**/*(N/) $fpath)\nfi\n\
         fpath=(~/functions $fpath)\nautoload -Uz compinit && compinit -u -d ~/dump\n"
    );
    let fish = format!(
        "set -g fish_greeting\nset -g fish_autosuggestion_enabled 0\nfunction fish_prompt; echo -n '> '; end\n\
         if test -d '{unpacked}/usr/share/fish'\n\
         set -p fish_function_path '{unpacked}/usr/share/fish/functions'\nend\n\
         set -p fish_complete_path ~/fish-completions\n"
    );
    let project = Project::new(&[
        ("builder/compose.yaml", COMPOSE),
        ("builder/base-build.Dockerfile", "FROM scratch\n"),
        ("elsewhere/README", ""),
        ("shop/public/index.php", ""),
        ("home/.bashrc", &bash),
        ("home/.zshrc", &zsh),
        ("home/.config/fish/config.fish", &fish),
        (
            "home/bash/completions/cargo",
            &format!("_cargo() {{ COMPREPLY=({CARGO}); }}\ncomplete -F _cargo cargo\n"),
        ),
        ("home/functions/_cargo", &format!("#compdef cargo\ncompadd {CARGO}\n")),
        ("home/fish-completions/cargo.fish", &format!("complete -c cargo -f -a {CARGO}\n")),
    ]);
    put(&project, BUILD, &outcome(BUILD, "built", 3.0).to_string());
    let user = project.path("home/bash").display().to_string();
    let daemon = project.path("daemon.json").display().to_string();
    project.env("BASH_COMPLETION_USER_DIR", &user).env("DURANGO_DAEMON_JSON", &daemon)
}

/// Returns the package that loads completions in bash.
fn bash_completion() -> Option<PathBuf> {
    let script = "usr/share/bash-completion/bash_completion";
    [Path::new("/"), &tools()].map(|root| root.join(script)).into_iter().find(|path| path.is_file())
}

/// Starts a shell of the user in a terminal. Returns `None` on a machine without the shell or what
/// it needs to complete.
fn start(project: &Project, shell: &str) -> Option<Terminal> {
    if shell == "bash" {
        bash_completion()?;
    }
    let program = tool(shell)?;
    let mut command = project.command(&[]);
    let is_unpacked = program.starts_with(tools());
    let env: Vec<_> =
        command.get_envs().map(|(name, value)| (name.to_owned(), value.map(ToOwned::to_owned))).collect();
    command = Command::new(program);
    command.args(if shell == "bash" { &["-i"][..] } else { &["-i", "-l"] });
    command.envs(env.into_iter().filter_map(|(name, value)| Some((name, value?))));
    if is_unpacked {
        command.env("LD_LIBRARY_PATH", libraries());
    }
    let mut terminal = Terminal::run(project, &command, (110, 40));
    terminal.wait("the prompt", |screen| screen.iter().any(|line| line == ">"));
    Some(terminal)
}

/// Types a line and a tab, waits until the line is as expected, and empties it.
fn complete(terminal: &mut Terminal, typed: &str, expected: &str) {
    terminal.keys(&["-l", typed]);
    terminal.keys(&["Tab"]);
    let expected = format!("> {expected}");
    terminal.wait(&expected, |screen| screen.iter().any(|line| line.trim_end() == expected.trim_end()));
    terminal.keys(&["C-u"]);
    terminal.wait("the empty line", |screen| screen.last().is_some_and(|line| line == ">"));
}

/// Typed words, and the line after a tab.
const LINES: &[(&str, &str)] = &[
    ("cargo xtask cac", "cargo xtask cache"),
    ("cargo xtask cache g", "cargo xtask cache gc"),
    ("cargo xtask cache gc --old", "cargo xtask cache gc --older-than"),
    ("cargo -q xtask report --format ma", "cargo -q xtask report --format markdown"),
    ("cargo xtask report --format=ht", "cargo xtask report --format=html"),
    ("cargo xtask explain 2026", "cargo xtask explain 20261110-101500-0a"),
    ("cargo xtask explain --against=pre", "cargo xtask explain --against=previous"),
    ("cargo xtask base-build --fresh toolc", "cargo xtask base-build --fresh toolchain"),
    ("cargo xtask base-build --mounts no", "cargo xtask base-build --mounts none"),
    ("cargo xtask smoke durango/frankenphp-base:la", "cargo xtask smoke durango/frankenphp-base:latest"),
    ("cargo xtask frankenphp --cache reg", "cargo xtask frankenphp --cache registry="),
    ("cargo xtask frankenphp --app sho", "cargo xtask frankenphp --app shop/"),
    ("cargo xtask frankenphp --app=sho", "cargo xtask frankenphp --app=shop/"),
    ("cargo xtask build --file buil", "cargo xtask build --file builder/"),
    ("cargo xtask build --file=builder/co", "cargo xtask build --file=builder/compose.yaml"),
    ("cargo clip", "cargo clippy-of-cargo"),
];

/// Goes through [`LINES`] in a shell, as `setup` leaves it.
fn lines_are_completed(shell: &str) {
    let project = checkout();
    project.run(&["setup"]).succeeds();
    let Some(mut terminal) = start(&project, shell) else {
        return skip(&format!("no `{shell}` that completes: `cargo xtask test --provision` installs it"));
    };
    for (typed, expected) in LINES {
        complete(&mut terminal, typed, expected);
    }
    // In another workspace, `xtask` is not ours: cargo completes it.
    terminal.keys(&["-l", "cd /"]);
    terminal.keys(&["Enter"]);
    complete(&mut terminal, "cargo xtask clip", "cargo xtask clippy-of-cargo");
    terminal.keep(&format!("completions-{shell}.txt"));
}

#[test]
fn bash_completes() {
    lines_are_completed("bash");
}

#[test]
fn zsh_completes() {
    lines_are_completed("zsh");
}

#[test]
fn fish_completes() {
    lines_are_completed("fish");
}

/// A program that was removed, as by `cargo clean`, leaves cargo's own completion.
#[test]
fn without_the_program_cargo_completes() {
    for shell in ["bash", "zsh", "fish"] {
        let project = checkout();
        let text = project.run(&["completions", shell]).stdout;
        let text = text.replace(env!("CARGO_BIN_EXE_xtask"), "/nonexistent/xtask");
        assert!(text.contains("/nonexistent/xtask"), "{text}");
        project.write("home/script", &text);
        let file =
            if shell == "fish" { "home/.config/fish/config.fish".into() } else { format!("home/.{shell}rc") };
        let before = std::fs::read_to_string(project.path(&file)).expect("a start file");
        project.write(&file, &format!("{before}\n. ~/script\n"));
        let Some(mut terminal) = start(&project, shell) else {
            skip(&format!("no `{shell}` that completes: `cargo xtask test --provision` installs it"));
            continue;
        };
        complete(&mut terminal, "cargo xtask clip", "cargo xtask clippy-of-cargo");
    }
}

/// Asks as the scripts do.
fn ask(project: &Project, words: &[&str]) -> Run {
    project.run(&[&["__complete"], words].concat())
}

/// The words of an answer.
fn words(run: &Run) -> Vec<&str> {
    run.succeeds();
    run.stdout.lines().skip(1).filter_map(|line| line.split(' ').next()).collect()
}

#[test]
fn an_engine_that_hangs_does_not_hang_the_shell() {
    let project = checkout();
    // Names its own process, waits for ever, and answers nothing.
    project.write("bin/docker", "#!/bin/sh\necho $$ >>\"$HOME/asked\"\nexec sleep 3600\n");
    let docker = project.path("bin/docker");
    std::fs::set_permissions(&docker, std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .expect("executable");
    let path = format!("{}:{}", project.path("bin").display(), std::env::var("PATH").unwrap_or_default());
    let project = project.env("PATH", &path);
    let mut child = project
        .command(&["__complete", "build", ""])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("waited for") {
            break status;
        }
        assert!(begun.elapsed() < Duration::from_secs(180), "it hangs");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(status.success());
    let asked = std::fs::read_to_string(project.path("home/asked")).expect("docker was asked");
    for pid in asked.lines() {
        let state = || std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // A killed process is there until the kernel has ended it.
        while !state().is_empty() && !state().contains(") Z ") {
            assert!(begun.elapsed() < Duration::from_secs(180), "its question was not ended: {}", state());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn the_store_that_is_named_is_asked() {
    let project = checkout();
    let empty = project.path("empty").display().to_string();
    assert!(words(&ask(&project, &["explain", ""])).contains(&BUILD));
    assert!(words(&ask(&project, &["--cache-dir", &empty, "explain", ""])).is_empty());
    assert!(!project.path("empty").exists(), "a completion writes nothing");
    assert_eq!(words(&ask(&project, &["history", "rm", BUILD, "2026"])), [""; 0], "once is enough");
    // Another workspace has a declaration, too, and an `xtask` of its own.
    let other = Project::new(&[("compose.yaml", COMPOSE)]);
    for dir in [Path::new("/"), &other.path("")] {
        let run = project.command(&["__complete", "cache", "g"]).current_dir(dir).output().expect("runs");
        assert_eq!(Run::from(run).code, 1, "not in a checkout");
    }
}

#[test]
#[ignore = "needs an engine"]
fn targets_and_images_are_those_of_the_declaration() {
    let project = checkout();
    project.write(
        "two.yaml",
        &COMPOSE.replace("  app:", "  web:").replace("durango-test/app", "durango-test/web"),
    );
    assert_eq!(words(&ask(&project, &["build", "a"])), ["app"]);
    assert_eq!(words(&ask(&project, &["build", "--file", "two.yaml", "w"])), ["web"]);
    assert_eq!(words(&ask(&project, &["smoke", "durango-test/a"])), ["durango-test/app"]);
}

#[test]
fn a_shell_without_completions_is_an_error() {
    let project = Project::new(&[]);
    project.run(&["completions"]).fails(2, &["`completions` needs SHELL"]);
    project
        .run(&["completions", "tcsh"])
        .fails(2, &["no completions for the shell `tcsh`", "bash, zsh, fish"]);
}

/// groff warns of everything that it does not understand.
#[test]
fn the_man_page_is_sound_roff() {
    let page = Project::new(&[]).run(&["man"]);
    page.succeeds();
    let Some(groff) = tool("groff") else { return skip("no `groff`") };
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), &page.stdout).expect("written");
    let output =
        Command::new(groff).args(["-man", "-ww", "-Tutf8"]).arg(file.path()).output().expect("groff runs");
    let (text, warnings) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr).into_owned());
    assert!(output.status.success() && warnings.is_empty(), "{warnings}");
    // Bold letters are printed twice.
    let chars: Vec<char> = text.chars().collect();
    let is_first = |at: usize| chars.get(at + 1) == Some(&'\u{8}') || chars[at] == '\u{8}';
    let text: String = (0..chars.len()).filter(|at| !is_first(*at)).map(|at| chars[at]).collect();
    assert!(text.contains("EXIT STATUS") && text.contains("DURANGO_CACHE_DIR"), "{text}");
}

#[test]
fn setup_installs_the_man_page_where_there_is_man() {
    let project = checkout();
    let page: PathBuf = project.path("home/.local/share/man/man1/cargo-xtask.1");
    project.run(&["setup"]).succeeds();
    assert_eq!(page.is_file(), tool("man").is_some());
    if page.is_file() {
        let read = std::fs::read_to_string(&page).expect("a page");
        assert_eq!(read, project.run(&["man"]).stdout);
    }
    project.run(&["setup", "--undo"]).succeeds();
    assert!(!page.exists());
}
