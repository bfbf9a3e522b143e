//! Completion of a command line, driven by the table. The shells' scripts run the hidden command
//! [`COMMAND`] with the words of the line.
//!
//! The first line of the answer says what completes the word: `words` (a candidate a line, with a
//! space and its description), `files` or `directories` (the shell finds them). Exit code 1 means
//! that the line is not ours, as in the `xtask` of another workspace: the shell then asks cargo.

use std::ffi::OsString;
use std::fmt::Write;
use std::time::Duration;

use super::table::{self, COMMANDS, Command};
use super::values::{self, Values};
use crate::args::{GLOBAL, Opt, Parsed};
use crate::commands::candidates::{self, Candidate};
use crate::process::signals;
use crate::process::stdio::out;
use crate::session::Session;

/// The hidden command.
pub(super) const COMMAND: &str = "__complete";
/// A shell that waits longer for its completions feels broken.
const COMPLETION_TIMEOUT: Duration = Duration::from_secs(2);

/// Returns whether the current directory is in the workspace of this binary, or in another checkout
/// of it.
fn is_ours(session: &Session) -> bool {
    let cwd = &session.host.cwd;
    let workspace = session.host.exe.as_deref().and_then(|exe| exe.ancestors().nth(3));
    // Any workspace has a root, but only a checkout of this project has the images.
    let is_checkout = session.layout.has_images() && cwd.starts_with(&session.layout.root);
    is_checkout || workspace.is_some_and(|workspace| cwd.starts_with(workspace))
}

/// A word without its quotes. bash passes words as they were typed.
fn unquoted(word: &str) -> String {
    match shell_words::split(word) {
        Ok(mut words) if words.len() == 1 && word.contains(['\'', '"', '\\']) => words.remove(0),
        _ => word.to_owned(),
    }
}

/// Adds a candidate that begins with what was typed. Only plain characters: ids of mounts and names
/// of images are made by others, and bash puts a candidate on the command line as it is.
fn add(text: &mut String, current: &str, prefix: &str, candidate: &Candidate) {
    let word = format!("{prefix}{}", candidate.word);
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@+".contains(c);
    if word.starts_with(current) && word.chars().all(is_plain) {
        let about: String = candidate.about.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let _ = writeln!(text, "{word} {about}");
    }
}

/// A command line with the word that is completed.
#[derive(Default)]
pub(super) struct Line {
    /// The word that is completed.
    current: String,
    /// The command, or the subcommand of one.
    command: Option<&'static Command>,
    parsed: Parsed,
    /// The option whose value comes next.
    pending: Option<&'static Opt>,
    /// Whether a word is unknown, so that nothing after it is known.
    is_lost: bool,
}

/// The values that complete a word.
struct Wanted {
    candidates: Vec<Candidate>,
    values: Values,
    /// The text before each value.
    prefix: String,
    /// Values that were given before.
    given: Vec<String>,
}

impl Wanted {
    fn words(candidates: Vec<Candidate>) -> Self {
        Self { candidates, values: Values::Free, prefix: String::new(), given: Vec::new() }
    }

    fn values(placeholder: &str, current: &str) -> Self {
        let values = values::of(placeholder).unwrap_or(Values::Free);
        // The last item of a list is completed.
        let list = match values {
            Values::ListOf(_) => current.rsplit_once(',').map_or("", |(list, _)| list),
            _ => "",
        };
        let given: Vec<String> = list.split(',').map(str::to_owned).collect();
        let prefix = if list.is_empty() { String::new() } else { format!("{list},") };
        Self { candidates: Vec::new(), values, prefix, given }
    }
}

impl Line {
    /// Reads the words after `xtask`; the last one is completed.
    pub(super) fn of(words: &[OsString]) -> Self {
        let words: Vec<String> = words.iter().map(|word| unquoted(&word.to_string_lossy())).collect();
        Self::read(&words)
    }

    fn read(words: &[String]) -> Self {
        let (current, before) = words.split_last().map_or(("", words), |(last, before)| (last, before));
        let mut line = Self { current: current.to_owned(), ..Self::default() };
        before.iter().for_each(|word| line.add(word));
        line
    }

    /// The options before the word that is completed.
    pub(super) fn options(&self) -> &Parsed {
        &self.parsed
    }

    /// Prints what completes the word. Returns the exit code.
    pub(super) fn answer(&self, session: &Session) -> u8 {
        if !is_ours(session) {
            return 1;
        }
        let wanted = self.complete();
        let mut text = match wanted.values {
            Values::Files => "files\n".to_owned(),
            Values::Directories => "directories\n".to_owned(),
            Values::Of(_) | Values::ListOf(_) | Values::Free => "words\n".to_owned(),
        };
        wanted.candidates.iter().for_each(|candidate| add(&mut text, &self.current, "", candidate));
        out!("{text}");
        if let Values::Of(kind) | Values::ListOf(kind) = wanted.values {
            // An engine that hangs must not hang the shell.
            signals::end_after(COMPLETION_TIMEOUT, 0);
            let found = candidates::of(session, &self.parsed, kind).into_iter();
            let open = found.filter(|candidate| !wanted.given.contains(&candidate.word));
            let mut text = String::new();
            open.for_each(|candidate| add(&mut text, &self.current, &wanted.prefix, &candidate));
            out!("{text}");
        }
        0
    }

    fn add(&mut self, word: &str) {
        if let Some(opt) = self.pending.take() {
            self.parsed.values.push((opt.name, word.to_owned()));
        } else if word.starts_with('-') {
            let (name, value) =
                word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
            let Some(opt) = self.find(name) else { return };
            match (opt.value, value) {
                (None, _) => self.parsed.switches.push(opt.name),
                (Some(_), Some(value)) => self.parsed.values.push((opt.name, value.to_owned())),
                (Some(_), None) => self.pending = Some(opt),
            }
        } else if let Some(command) = self.command {
            match command.subcommand(word) {
                Some(subcommand) => self.command = Some(subcommand),
                None if command.subcommands.is_empty() || !command.args.is_empty() => {
                    self.parsed.free.push(word.to_owned());
                }
                None => self.is_lost = true,
            }
        } else if word != "help" {
            self.command = table::find(word);
            self.is_lost = self.command.is_none();
        }
    }

    fn known(&self) -> Vec<&'static Opt> {
        let own = self.command.map(Command::all_options).unwrap_or_default();
        own.into_iter().chain(GLOBAL).collect()
    }

    fn find(&self, name: &str) -> Option<&'static Opt> {
        self.known().into_iter().find(|opt| opt.name == name || opt.short == Some(name))
    }

    fn complete(&self) -> Wanted {
        let current = self.current.as_str();
        if let Some(opt) = self.pending {
            return Wanted::values(opt.value.unwrap_or_default(), current);
        }
        if let Some((name, value)) = current.split_once('=').filter(|_| current.starts_with("--")) {
            let Some(placeholder) = self.find(name).and_then(|opt| opt.value) else {
                return Wanted::words(Vec::new());
            };
            let mut wanted = Wanted::values(placeholder, value);
            wanted.prefix = format!("{name}={}", wanted.prefix);
            return wanted;
        }
        if self.is_lost {
            return Wanted::words(Vec::new());
        }
        if current.starts_with('-') {
            return Wanted::words(self.option_names());
        }
        let Some(command) = self.command else { return Wanted::words(commands(COMMANDS)) };
        if !command.subcommands.is_empty() && command.args.is_empty() {
            return Wanted::words(commands(command.subcommands));
        }
        if self.parsed.free.len() >= command.arity().most {
            return Wanted::words(self.option_names());
        }
        // A command with arguments can have subcommands, too, in the place of the first one.
        let subcommands = if self.parsed.free.is_empty() { command.subcommands } else { &[] };
        Wanted {
            candidates: commands(subcommands),
            given: self.parsed.free.clone(),
            ..Wanted::values(command.args, current)
        }
    }

    /// The options that can still be given.
    fn option_names(&self) -> Vec<Candidate> {
        let given: Vec<&str> = self.parsed.given().collect();
        let is_open = |opt: &&Opt| !given.contains(&opt.name) || opt.help.contains("repeatable");
        let options = self.known().into_iter().filter(is_open);
        options.map(|opt| Candidate::new(opt.name, opt.help)).collect()
    }
}

fn commands(commands: &[Command]) -> Vec<Candidate> {
    commands.iter().map(|command| Candidate::new(command.name, command.summary)).collect()
}

#[cfg(test)]
#[path = "complete_tests.rs"]
mod tests;
