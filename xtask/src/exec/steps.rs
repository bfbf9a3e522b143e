//! Runs the steps of a plan, one after the other.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, Write};
use std::path::Path;
use std::process::{self, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::files::{self, Durability};
use crate::process::signals::{self, Supervised};
use crate::process::stdio::errln;
use crate::project::dockerfile::encode;
use crate::step::{Action, Command, Step};

/// The timeout of one check whether something is ready.
const READY_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs steps in their order and stops at the first failure. With `verbose` prints each step and
/// the output of commands.
pub fn run(steps: &[Step], verbose: bool) -> Result<()> {
    for step in steps {
        signals::check()?;
        if verbose {
            errln!("$ {}", step.to_shell());
        } else if !step.why.is_empty() {
            errln!("{}", step.why);
        }
        run_one(&step.action, verbose)?;
    }
    Ok(())
}

/// Runs all cleanup steps, also after Ctrl-C and after a failure of another one.
pub(crate) fn clean(steps: &[Step]) {
    for step in steps {
        if let Err(error) = run_one(&step.action, false) {
            errln!("warning: {error:#}");
        }
    }
}

fn run_one(action: &Action, verbose: bool) -> Result<()> {
    match action {
        Action::Run(command) => run_command(command, verbose),
        Action::Start { command, log, ready, seconds } => start(command, log, ready, *seconds),
        Action::Wait { ready, seconds } => wait(ready, *seconds),
        Action::Write { path, content, mode, .. } => write(path, content, *mode),
        Action::Append { path, content } => append(path, content),
        Action::Place { from, to } => place(from, to),
        Action::Remove { path } => remove(path),
    }
}

/// Returns the process of a command, with an empty stdin.
pub(crate) fn to_process(command: &Command) -> process::Command {
    let (program, args) = command.to_start();
    let mut process = process::Command::new(program);
    process.args(args).envs(&command.env).envs(&command.secret_env).stdin(Stdio::null());
    if let Some(dir) = &command.cwd {
        process.current_dir(dir);
    }
    process
}

fn run_command(command: &Command, verbose: bool) -> Result<()> {
    let line = command.to_shell();
    let mut process = to_process(command);
    let mut output = tempfile::tempfile()?;
    let mut shown = None;
    if verbose {
        // Through a pipe: a child whose stderr is closed or not read would end or hang.
        let (reader, writer) = io::pipe()?;
        process.stdout(writer.try_clone()?).stderr(writer);
        let (sender, is_over) = mpsc::channel();
        std::thread::spawn(move || {
            pass_on(&reader);
            sender.send(())
        });
        shown = Some(is_over);
    } else {
        process.stdout(output.try_clone()?).stderr(output.try_clone()?);
    }
    let mut child = supervise(&mut process, command).with_context(|| format!("failed to run `{line}`"))?;
    // Its ends of the pipe would block the reader.
    drop(process);
    let status = child.wait()?;
    drop(child);
    if let Some(is_over) = shown {
        // A daemon that it started keeps the pipe open.
        let _ = is_over.recv_timeout(Duration::from_secs(1));
    }
    if !status.success() {
        let last = tail(&mut output, 30)?;
        if command.argv[0] == "sudo" && is_refusal(&last) {
            bail!(
                "failed to get root's rights with `sudo`{last}\nrun the same command in a terminal, as a user who \
                 may use `sudo`, or as root"
            );
        }
        bail!("`{line}` failed ({status}){last}");
    }
    Ok(())
}

/// Returns whether the last words are those of `sudo` itself, in any language.
fn is_refusal(output: &str) -> bool {
    let last = output.lines().next_back().unwrap_or_default().trim();
    last.starts_with("sudo: ") || last.contains("sudoers") || last.contains("not allowed to execute")
}

/// Prints the output of a command, line by line, in a safe form.
fn pass_on(reader: &io::PipeReader) {
    let (mut reader, mut line) = (io::BufReader::new(reader), Vec::new());
    while reader.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
        errln!("{}", String::from_utf8_lossy(&line).trim_end());
        line.clear();
    }
}

/// Starts a child that ends with this process. It leads a process group, so that this process
/// passes Ctrl-C to it once. `sudo` asks for its password on the terminal, which only the
/// foreground group may read.
fn supervise(process: &mut process::Command, command: &Command) -> io::Result<Supervised> {
    if command.argv[0] == "sudo" {
        return Supervised::member(process);
    }
    Supervised::leader(process)
}

/// Returns the last lines of a command's output.
fn tail(output: &mut File, lines: usize) -> Result<String> {
    use std::io::{Read, Seek};
    let mut text = Vec::new();
    let length = output.seek(io::SeekFrom::End(0))?;
    output.seek(io::SeekFrom::Start(length.saturating_sub(16 * 1024)))?;
    output.read_to_end(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    let all: Vec<&str> = text.lines().collect();
    Ok(all[all.len().saturating_sub(lines)..].iter().map(|line| format!("\n  {line}")).collect())
}

fn start(command: &Command, log: &Path, ready: &Command, seconds: u64) -> Result<()> {
    if let Some(dir) = log.parent() {
        fs::create_dir_all(dir)?;
    }
    let output = OpenOptions::new().create(true).append(true).open(log)?;
    let mut process = to_process(&command.detached());
    process.stdout(output.try_clone()?).stderr(output);
    let line = command.to_shell();
    let mut child = process.spawn().with_context(|| format!("failed to start `{line}`"))?;
    let started = Instant::now();
    loop {
        signals::check()?;
        if is_ready(ready) {
            return Ok(());
        }
        if let Some(status) = child.try_wait()? {
            bail!("`{line}` ended before it was ready ({status}){}", tail(&mut File::open(log)?, 15)?);
        }
        if started.elapsed() > Duration::from_secs(seconds) {
            bail!("`{line}` is not ready after {seconds} s\nits log: {}", log.display());
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Checks once. A hanging daemon doesn't answer, which means no.
fn is_ready(ready: &Command) -> bool {
    let mut process = to_process(ready);
    let Ok(mut child) = supervise(process.stdout(Stdio::null()).stderr(Stdio::null()), ready) else {
        return false;
    };
    let asked = Instant::now();
    while asked.elapsed() < READY_TIMEOUT && !signals::interrupted() {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) => std::thread::sleep(Duration::from_millis(10)),
            Err(_) => return false,
        }
    }
    false
}

fn wait(ready: &Command, seconds: u64) -> Result<()> {
    let started = Instant::now();
    while !is_ready(ready) {
        signals::check()?;
        if started.elapsed() > Duration::from_secs(seconds) {
            bail!("`{}` still fails after {seconds} s\nrun it yourself to see the reason", ready.to_shell());
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

fn write(path: &Path, content: &str, mode: u32) -> Result<()> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    let written = || -> io::Result<()> {
        // A private file may need private directories; any other file is for others to read.
        if mode & 0o077 == 0 {
            files::make_dir(dir)?;
        } else {
            fs::create_dir_all(dir)?;
        }
        // A copy of a Dockerfile may have bytes that are not UTF-8.
        files::write_as(path, &encode(content), mode, Durability::Synced)
    };
    written().with_context(|| format!("failed to write `{}`", path.display()))
}

fn append(path: &Path, content: &str) -> Result<()> {
    let written = || -> io::Result<()> {
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir)?;
        }
        OpenOptions::new().create(true).append(true).open(path)?.write_all(content.as_bytes())
    };
    written().with_context(|| format!("failed to add to `{}`", path.display()))
}

fn place(from: &Path, to: &Path) -> Result<()> {
    let placed = || -> io::Result<()> {
        if let Some(dir) = to.parent() {
            fs::create_dir_all(dir)?;
        }
        match fs::rename(from, to) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
            result => result,
        }
    };
    placed().with_context(|| format!("failed to move `{}` to `{}`", from.display(), to.display()))
}

/// Removes a file or directory if it exists.
pub(crate) fn remove(path: &Path) -> Result<()> {
    fs_extra::remove_items(&[path]).with_context(|| format!("failed to remove `{}`", path.display()))
}

#[cfg(test)]
#[path = "steps_tests.rs"]
mod tests;
