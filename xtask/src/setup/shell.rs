//! The marked block in the shells' files. Its first line tells how the file was before, so that
//! nothing else has to be kept.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::TextFile;
use crate::host::Host;
use crate::step::{Action, Step};

const BEGIN: &str = "# >>> durango-builder setup";
const END: &str = "# <<< durango-builder setup <<<";
/// The file had no newline at its end.
const OPEN_END: &str = " (the line above had no end)";
/// There was no file.
const NEW_FILE: &str = " (new file)";
const ABOUT: &str = "# BuildKit for plain docker and compose. `cargo xtask setup --undo` removes this block.";
const VARIABLES: [&str; 2] = ["DOCKER_BUILDKIT", "COMPOSE_DOCKER_CLI_BUILD"];

/// The files that the user's shells read, as far as they are there; where none is, the one that the
/// user's shell would.
pub(crate) fn read(host: &Host) -> Result<Vec<TextFile>> {
    let names = candidates(host, host.required_home()?);
    let there: Vec<&PathBuf> = names.iter().filter(|path| path.exists() || path.is_symlink()).collect();
    if there.is_empty() {
        return Ok(vec![TextFile::read(&preferred(host, &names))?]);
    }
    let mut files = there.into_iter().map(|path| TextFile::read(path)).collect::<Result<Vec<_>>>()?;
    let mut seen = std::collections::BTreeSet::new();
    files.retain(|file| seen.insert(file.path.clone()));
    Ok(files)
}

fn candidates(host: &Host, home: &Path) -> Vec<PathBuf> {
    let config = host.var("XDG_CONFIG_HOME").map_or_else(|| home.join(".config"), PathBuf::from);
    let zsh = host.var("ZDOTDIR").map_or_else(|| home.to_path_buf(), PathBuf::from);
    vec![home.join(".bashrc"), zsh.join(".zshrc"), config.join("fish/config.fish"), home.join(".profile")]
}

fn preferred(host: &Host, candidates: &[PathBuf]) -> PathBuf {
    let shell = Path::new(host.var("SHELL").unwrap_or_default()).file_name().unwrap_or_default();
    let index = match shell.to_str() {
        Some("bash") => 0,
        Some("zsh") => 1,
        Some("fish") => 2,
        _ => 3,
    };
    candidates[index].clone()
}

/// Whether any shell of this user has the block.
pub(crate) fn is_set_up(host: &Host) -> bool {
    let has_block = |path: &PathBuf| std::fs::read_to_string(path).is_ok_and(|text| has_block(&text));
    host.home().is_some_and(|home| candidates(host, home).iter().any(has_block))
}

fn has_block(text: &str) -> bool {
    text.lines().any(|line| line.starts_with(BEGIN))
}

/// Adds the block where it is missing.
pub(crate) fn setup(files: &[TextFile]) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    for file in files.iter().filter(|file| !has_block(file.text.as_deref().unwrap_or_default())) {
        check_writable(file)?;
        let action = Action::Append { path: file.path.clone(), content: block(file) };
        steps.push(Step { why: format!("turning on BuildKit in {}", file.path.display()), action });
    }
    Ok(steps)
}

fn check_writable(file: &TextFile) -> Result<()> {
    if !file.writable {
        bail!(
            "failed to change `{}`: it is read-only for this user\nnothing was changed; make it writable \
             and retry",
            file.path.display()
        );
    }
    Ok(())
}

/// The block with what goes before it. Lines end as shells want them, whatever the rest of the file
/// does.
fn block(file: &TextFile) -> String {
    let (before, how) = match file.text.as_deref() {
        None => ("", NEW_FILE),
        Some(text) if text.is_empty() || text.ends_with('\n') => ("", ""),
        Some(_) => ("\n", OPEN_END),
    };
    let is_fish = file.path.extension().is_some_and(|extension| extension == "fish");
    let set = |name| if is_fish { format!("set -gx {name} 1\n") } else { format!("export {name}=1\n") };
    let lines: String = VARIABLES.map(set).concat();
    format!("{before}{BEGIN}{how} >>>\n{ABOUT}\n{lines}{END}\n")
}

/// Takes the block out again.
pub(crate) fn undo(files: &[TextFile]) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    for file in files {
        let Some(text) = file.text.as_deref().filter(|text| has_block(text)) else { continue };
        check_writable(file)?;
        let why = format!("removing BuildKit from {}", file.path.display());
        let action = match without_block(text) {
            Ok(Some(content)) => {
                // The rest is the user's and may hold anything: it is not shown.
                Action::Write { path: file.path.clone(), content, mode: file.mode, secret: true }
            }
            Ok(None) => Action::Remove { path: file.path.clone() },
            Err(error) => bail!("failed to undo in `{}`: {error}", file.path.display()),
        };
        steps.push(Step { why, action });
    }
    Ok(steps)
}

/// The text before there was a block; `None` where there was no file and nothing was added since.
fn without_block(text: &str) -> Result<Option<String>> {
    let mut rest = text.to_owned();
    let mut was_new = false;
    while let Some(start) = line_start(&rest, BEGIN) {
        let Some(end) = line_start(&rest[start..], END).map(|at| start + at + END.len()) else {
            bail!("the block of `setup` has no end\nremove the lines from `{BEGIN}` on yourself");
        };
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

/// Where a line begins that starts with these words.
fn line_start(text: &str, words: &str) -> Option<usize> {
    text.match_indices(words).map(|(at, _)| at).find(|at| *at == 0 || text.as_bytes()[at - 1] == b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, text: Option<&str>) -> TextFile {
        TextFile { path: name.into(), text: text.map(str::to_owned), mode: 0o600, writable: true }
    }

    /// The text after setup.
    fn done(name: &str, text: Option<&str>) -> String {
        text.unwrap_or_default().to_owned() + &block(&file(name, text))
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
    fn a_block_without_an_end_is_left_to_the_user() {
        let broken = done(".bashrc", Some("a\n")).replace(END, "");
        let steps = undo(&[file(".bashrc", Some(&broken))]);
        assert!(steps.expect_err("refused").to_string().contains("has no end"));
    }

    #[test]
    fn twice_is_the_same_as_once() {
        let text = done(".bashrc", Some("a\n"));
        assert!(setup(&[file(".bashrc", Some(&text))]).expect("nothing to do").is_empty());
        assert!(undo(&[file(".bashrc", Some("a\n"))]).expect("nothing to do").is_empty());
    }

    #[test]
    fn each_shell_is_spoken_to_in_its_language() {
        assert!(done("config.fish", None).contains("\nset -gx DOCKER_BUILDKIT 1\n"));
        assert!(done(".profile", None).contains("\nexport DOCKER_BUILDKIT=1\n"));
    }

    #[test]
    fn one_read_only_file_stops_it_all() {
        let locked = TextFile { writable: false, ..file(".zshrc", Some("")) };
        let error = setup(&[file(".bashrc", Some("")), locked]).expect_err("refused").to_string();
        assert!(error.contains("`.zshrc`: it is read-only"), "{error}");
    }
}
