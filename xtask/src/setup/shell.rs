//! The marked block in the shells' files. Its first line says how the file was before, so that
//! nothing else has to be kept.

use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::TextFile;
use super::completions::Shell;
use crate::host::Host;
use crate::step::{Action, Step};

const BEGIN: &str = "# >>> durango-builder setup";
const END: &str = "# <<< durango-builder setup <<<";
/// The file had no newline at its end.
const OPEN_END: &str = " (the line above had no end)";
/// There was no file.
const NEW_FILE: &str = " (new file)";
const ABOUT: &str = "# BuildKit for plain docker and compose, and the completion of `cargo xtask`.\n\
    # `cargo xtask setup --undo` removes this block.";
const VARIABLES: [&str; 2] = ["DOCKER_BUILDKIT", "COMPOSE_DOCKER_CLI_BUILD"];

/// A file that a shell reads when it starts.
#[derive(Debug, Clone)]
pub(crate) struct StartFile {
    pub(crate) shell: Shell,
    pub(crate) file: TextFile,
}

/// Returns the existing files that the user's shells read; if none exists, the one that the user's
/// shell would read.
pub(crate) fn read(host: &Host) -> Result<Vec<StartFile>> {
    let mut candidates = candidates(host, host.required_home()?);
    if !candidates.iter().any(|(_, path)| is_there(path)) {
        let program = Path::new(host.var("SHELL").unwrap_or_default()).file_name().unwrap_or_default();
        let own = program.to_str().and_then(Shell::parse).unwrap_or(Shell::Posix);
        candidates.retain(|(shell, _)| *shell == own);
    } else {
        candidates.retain(|(_, path)| is_there(path));
    }
    let start_file = |(shell, path): (Shell, PathBuf)| Ok(StartFile { shell, file: TextFile::read(&path)? });
    let mut files = candidates.into_iter().map(start_file).collect::<Result<Vec<_>>>()?;
    let mut seen = std::collections::BTreeSet::new();
    files.retain(|start| seen.insert(start.file.path.clone()));
    Ok(files)
}

fn is_there(path: &Path) -> bool {
    path.exists() || path.is_symlink()
}

fn candidates(host: &Host, home: &Path) -> Vec<(Shell, PathBuf)> {
    let config = host.var("XDG_CONFIG_HOME").map_or_else(|| home.join(".config"), PathBuf::from);
    let zsh = host.var("ZDOTDIR").map_or_else(|| home.to_path_buf(), PathBuf::from);
    vec![
        (Shell::Bash, home.join(".bashrc")),
        (Shell::Zsh, zsh.join(".zshrc")),
        (Shell::Fish, config.join("fish/config.fish")),
        (Shell::Posix, home.join(".profile")),
    ]
}

/// Returns whether any shell of this user has the block.
pub(crate) fn is_set_up(host: &Host) -> bool {
    let is_set_up_in = |path: &PathBuf| std::fs::read_to_string(path).is_ok_and(|text| has_block(&text));
    host.home().is_some_and(|home| candidates(host, home).iter().any(|(_, path)| is_set_up_in(path)))
}

/// A text as one word of a shell.
pub(super) fn quoted(shell: Shell, text: &str) -> String {
    match shell {
        Shell::Fish => format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'")),
        Shell::Bash | Shell::Zsh | Shell::Posix => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

fn has_block(text: &str) -> bool {
    text.lines().any(|line| line.starts_with(BEGIN))
}

/// Adds the block where it is missing, and replaces that of an earlier version. `script` is the
/// file with the completions of a shell.
pub(crate) fn setup(files: &[StartFile], script: &dyn Fn(Shell) -> Option<PathBuf>) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    for StartFile { shell, file } in files {
        let text = file.text.as_deref().unwrap_or_default();
        let lines = lines(*shell, script(*shell).as_deref());
        let path = file.path.clone();
        let action = match first_block(text) {
            Ok(None) => Action::Append { path, content: block(file, &lines) },
            Ok(Some(old)) => {
                let first = text[old.clone()].lines().next().unwrap_or_default();
                let new = format!("{first}\n{lines}{END}");
                if text[old.clone()] == new {
                    continue;
                }
                let content = format!("{}{new}{}", &text[..old.start], &text[old.end..]);
                // The rest is the user's and may contain secrets, so it is not shown.
                Action::Write { path, content, mode: file.mode, secret: true }
            }
            Err(error) => bail!("failed to set up `{}`: {error}", file.path.display()),
        };
        check_writable(file)?;
        steps.push(Step { why: format!("turning on BuildKit in {}", file.path.display()), action });
    }
    Ok(steps)
}

pub(super) fn check_writable(file: &TextFile) -> Result<()> {
    if !file.writable {
        bail!(
            "failed to change `{}`: it is read-only for this user\nnothing was changed; make it writable \
             and retry",
            file.path.display()
        );
    }
    Ok(())
}

/// Returns the block with the separator before it. Its lines end as shells require, whatever the
/// rest of the file does.
fn block(file: &TextFile, lines: &str) -> String {
    let (before, how) = match file.text.as_deref() {
        None => ("", NEW_FILE),
        Some(text) if text.is_empty() || text.ends_with('\n') => ("", ""),
        Some(_) => ("\n", OPEN_END),
    };
    format!("{before}{BEGIN}{how} >>>\n{lines}{END}\n")
}

/// The lines between the first and the last of a block.
fn lines(shell: Shell, script: Option<&Path>) -> String {
    let is_fish = shell == Shell::Fish;
    let set = |name| if is_fish { format!("set -gx {name} 1\n") } else { format!("export {name}=1\n") };
    let variables: String = VARIABLES.map(set).concat();
    let source = script.map(|path| {
        let path = quoted(shell, &path.to_string_lossy());
        if is_fish {
            format!("if test -r {path}; source {path}; end\n")
        } else {
            format!("if [ -r {path} ]; then . {path}; fi\n")
        }
    });
    format!("{ABOUT}\n{variables}{}", source.unwrap_or_default())
}

/// Removes the block.
pub(crate) fn undo(files: &[StartFile]) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    for StartFile { file, .. } in files {
        let Some(text) = file.text.as_deref().filter(|text| has_block(text)) else { continue };
        check_writable(file)?;
        let why = format!("removing the block from {}", file.path.display());
        let action = match without_block(text) {
            Ok(Some(content)) => {
                // The rest is the user's and may contain secrets, so it is not shown.
                Action::Write { path: file.path.clone(), content, mode: file.mode, secret: true }
            }
            Ok(None) => Action::Remove { path: file.path.clone() },
            Err(error) => bail!("failed to undo in `{}`: {error}", file.path.display()),
        };
        steps.push(Step { why, action });
    }
    Ok(steps)
}

/// Returns the text before there was a block; `None` if there was no file and nothing was added
/// since.
fn without_block(text: &str) -> Result<Option<String>> {
    let mut rest = text.to_owned();
    let mut was_new = false;
    while let Some(Range { start, end }) = first_block(&rest)? {
        let first = rest[start..].lines().next().unwrap_or_default();
        was_new |= first.contains(NEW_FILE);
        let after = &rest[end..];
        let after = after.strip_prefix("\r\n").or(after.strip_prefix('\n')).unwrap_or(after);
        let mut before = &rest[..start];
        if first.contains(OPEN_END) && after.is_empty() {
            before = before.strip_suffix('\n').unwrap_or(before);
        }
        rest = format!("{before}{after}");
    }
    Ok((!(was_new && rest.is_empty())).then_some(rest))
}

/// Returns the range of the first block, without the line end after it.
fn first_block(text: &str) -> Result<Option<Range<usize>>> {
    let Some(start) = line_start(text, BEGIN) else { return Ok(None) };
    match line_start(&text[start..], END).map(|at| start + at + END.len()) {
        Some(end) => Ok(Some(start..end)),
        None => bail!("the block of `setup` has no end\nremove the lines from `{BEGIN}` on yourself"),
    }
}

/// Returns the start of a line that begins with this text.
fn line_start(text: &str, words: &str) -> Option<usize> {
    text.match_indices(words).map(|(at, _)| at).find(|at| *at == 0 || text.as_bytes()[at - 1] == b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(name: &str, text: Option<&str>) -> StartFile {
        let shell = match name {
            ".zshrc" => Shell::Zsh,
            "config.fish" => Shell::Fish,
            ".profile" => Shell::Posix,
            _ => Shell::Bash,
        };
        let text = text.map(str::to_owned);
        StartFile { shell, file: TextFile { path: name.into(), text, mode: 0o600, writable: true } }
    }

    fn script(shell: Shell) -> Option<PathBuf> {
        (shell != Shell::Posix).then(|| "/data/x's".into())
    }

    /// Returns the text after setup.
    fn done(name: &str, text: Option<&str>) -> String {
        let steps = setup(&[start(name, text)], &script).expect("set up");
        match steps.first().map(|step| &step.action) {
            Some(Action::Append { content, .. }) => text.unwrap_or_default().to_owned() + content,
            Some(Action::Write { content, .. }) => content.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn undoing_gives_the_very_bytes_back() {
        for text in ["", "a\n", "a", "a\r\nb\r\n", "a\r\nb", "\n\n", "a\n\n", "# >>> other >>>\n"] {
            let undone = without_block(&done(".bashrc", Some(text))).expect("a whole block");
            assert_eq!(undone.as_deref(), Some(text));
        }
        assert_eq!(without_block(&done(".bashrc", None)).expect("a whole block"), None);
    }

    #[test]
    fn what_the_user_added_since_stays() {
        let edited = format!("x\n{}y\n", done(".bashrc", Some("a")));
        assert_eq!(without_block(&edited).expect("whole"), Some("x\na\ny\n".into()));
        assert_eq!(without_block(&(done(".zshrc", None) + "y\n")).expect("whole"), Some("y\n".into()));
        let cut = done(".bashrc", Some("a\n"));
        assert_eq!(without_block(cut.trim_end()).expect("whole"), Some("a\n".into()));
        assert_eq!(without_block(&(cut.clone() + &cut)).expect("whole"), Some("a\na\n".into()));
    }

    #[test]
    fn a_block_without_an_end_is_for_the_user_to_fix() {
        let broken = done(".bashrc", Some("a\n")).replace(END, "");
        for steps in
            [undo(&[start(".bashrc", Some(&broken))]), setup(&[start(".bashrc", Some(&broken))], &script)]
        {
            assert!(steps.expect_err("refused").to_string().contains("has no end"));
        }
    }

    #[test]
    fn twice_is_the_same_as_once() {
        let text = done(".bashrc", Some("a\n"));
        assert!(setup(&[start(".bashrc", Some(&text))], &script).expect("nothing to do").is_empty());
        assert!(undo(&[start(".bashrc", Some("a\n"))]).expect("nothing to do").is_empty());
    }

    #[test]
    fn the_block_of_an_earlier_version_is_replaced_in_its_place() {
        for before in [Some("a"), None] {
            let new = format!("{}last\n", done(".bashrc", before));
            let completion = "if [ -r '/data/x'\\''s' ]; then . '/data/x'\\''s'; fi\n";
            let old = new.replace(completion, "");
            assert_ne!(new, old);
            assert_eq!(done(".bashrc", Some(&old)), new);
            let undone = without_block(&new).expect("whole").expect("the user's line");
            assert_eq!(undone, before.map_or(String::new(), |text| format!("{text}\n")) + "last\n");
        }
    }

    #[test]
    fn each_shell_reads_its_own_language() {
        let fish = done("config.fish", None);
        assert!(fish.contains("\nset -gx DOCKER_BUILDKIT 1\n"), "{fish}");
        assert!(fish.contains("\nif test -r '/data/x\\'s'; source '/data/x\\'s'; end\n"), "{fish}");
        let profile = done(".profile", None);
        assert!(profile.contains("\nexport DOCKER_BUILDKIT=1\n") && !profile.contains("/data"), "{profile}");
    }

    #[test]
    fn one_read_only_file_stops_it_all() {
        let mut locked = start(".zshrc", Some(""));
        locked.file.writable = false;
        let steps = setup(&[start(".bashrc", Some("")), locked], &script);
        let error = steps.expect_err("refused").to_string();
        assert!(error.contains("`.zshrc`: it is read-only"), "{error}");
    }
}
