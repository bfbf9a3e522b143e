//! A terminal whose screen can be read: Debian's tmux, either installed or unpacked by
//! `cargo xtask test --provision`.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::Project;

/// One window of a tmux server for the test, which stops on drop.
pub struct Terminal {
    dir: tempfile::TempDir,
    /// The recorded screens, for people.
    recording: String,
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.tmux(&["kill-server"]).output();
    }
}

/// Returns the directory into which `cargo xtask test --provision` unpacks packages.
pub fn tools() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/test-tools").canonicalize().unwrap_or_default()
}

/// Finds a program that is installed or unpacked.
pub fn tool(name: &str) -> Option<PathBuf> {
    let unpacked = ["usr/bin", "bin"].map(|dir| tools().join(dir).join(name));
    let unpacked = unpacked.into_iter().find(|path| path.is_file());
    xtask::testing::host::Host::read().which(name).or(unpacked)
}

/// Returns the directories with the libraries of the unpacked packages.
pub fn libraries() -> String {
    let dirs = fs::read_dir(tools().join("usr/lib")).into_iter().flatten().flatten();
    dirs.map(|dir| dir.path().display().to_string()).collect::<Vec<_>>().join(":")
}

impl Terminal {
    /// Opens a window of this size with a screenful of earlier output, as in real use. Runs the
    /// binary there with these arguments, then prints `ended with CODE`.
    pub fn start(project: &Project, args: &[&str], size: (u16, u16)) -> Self {
        Self::run(project, &project.command(args), size)
    }

    /// The same with any command.
    pub fn run(project: &Project, command: &Command, (columns, lines): (u16, u16)) -> Self {
        let dir =
            tempfile::Builder::new().prefix("terminal-").tempdir_in("/tmp").expect("a temporary directory");
        let terminal = Self { dir, recording: String::new() };
        let env = command.get_envs().filter_map(|(name, value)| Some((name.to_str()?, value?.to_str()?)));
        let mut words = vec!["env".to_owned(), "-i".to_owned(), "TERM=screen".to_owned()];
        words.extend(env.map(|(name, value)| format!("{name}={value}")));
        words.push(command.get_program().to_string_lossy().into_owned());
        words.extend(command.get_args().map(|arg| arg.to_string_lossy().into_owned()));
        let line = format!(
            "trap : INT; seq -f 'before %g' 30; {}; echo \"ended with $?\"; sleep 600",
            shell_words::join(words)
        );
        let (columns, lines) = (columns.to_string(), lines.to_string());
        let new = ["new-session", "-d", "-x", &columns, "-y", &lines, "-c"];
        let mut tmux = terminal.tmux(&new);
        let output = tmux.arg(project.path("")).args(["sh", "-c", &line]).output();
        let output = output.expect("tmux runs: `cargo xtask test --provision` brings it");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        terminal
    }

    fn tmux(&self, args: &[&str]) -> Command {
        let unpacked = tools().join("usr/bin/tmux");
        let is_unpacked = unpacked.is_file();
        let mut tmux = Command::new(if is_unpacked { unpacked } else { "tmux".into() });
        if is_unpacked {
            tmux.env("LD_LIBRARY_PATH", libraries());
        }
        tmux.env_remove("TMUX").env("LANG", "C.UTF-8").env("LC_ALL", "C.UTF-8");
        tmux.args(["-u", "-f", "/dev/null", "-S"]).arg(self.dir.path().join("socket")).args(args);
        tmux
    }

    pub fn resize(&self, columns: u16) {
        let status = self.tmux(&["resize-window", "-x", &columns.to_string()]).status();
        assert!(status.expect("tmux runs").success());
    }

    /// Sends keys.
    pub fn keys(&self, keys: &[&str]) {
        let status = self.tmux(&["send-keys"]).args(keys).status();
        assert!(status.expect("tmux runs").success());
    }

    fn capture(&self, args: &[&str]) -> Vec<String> {
        let output = self.tmux(&["capture-pane", "-p", "-J"]).args(args).output().expect("tmux runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.trim_end().lines().map(|line| line.trim_end().to_owned()).collect()
    }

    /// Returns the screen. A line that was wrapped at the last column is one line.
    pub fn screen(&self) -> Vec<String> {
        self.capture(&[])
    }

    /// Returns the screen with its colors, as escape sequences.
    pub fn colored(&self) -> Vec<String> {
        self.capture(&["-e"])
    }

    /// Returns the screen with all lines that scrolled away.
    pub fn all(&self) -> Vec<String> {
        self.capture(&["-S", "-"])
    }

    /// Waits until the screen changes. A terminal that is resized during a redraw shows parts
    /// twice, which cannot be avoided. Right after a redraw the next one is a second away.
    pub fn await_change(&self) {
        let before = self.screen();
        while self.screen() == before {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until the screen satisfies the predicate, and returns it.
    #[track_caller]
    pub fn wait(&mut self, what: &str, is_it: impl Fn(&[String]) -> bool) -> Vec<String> {
        let begun = Instant::now();
        loop {
            let screen = self.screen();
            if is_it(&screen) {
                let shown = screen.iter().filter(|line| !line.starts_with("before "));
                let shown: Vec<&str> = shown.map(String::as_str).collect();
                let _ = writeln!(self.recording, "--- {what}\n{}", shown.join("\n"));
                return screen;
            }
            let is_over = screen.iter().any(|line| line.contains("ended with"));
            let gives_up = is_over || begun.elapsed() > Duration::from_secs(180);
            assert!(!gives_up, "{what}: never shown\n{}", self.all().join("\n"));
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Writes the recorded screens to `target/progress/NAME`.
    pub fn keep(&self, name: &str) {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/progress");
        fs::create_dir_all(&dir).expect("made");
        fs::write(dir.join(name), &self.recording).expect("written");
    }
}
