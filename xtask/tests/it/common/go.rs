//! Comparisons with Go packages: a small program answers random cases.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Returns the answers of a Go program of the tests, one line for each case. Returns `None`, and
/// records why, on a machine without Go.
pub fn answers(program: &str, cases: impl Iterator<Item = serde_json::Value>) -> Option<Vec<String>> {
    if xtask::testing::host::Host::read().which("go").is_none() {
        super::skip("Go is missing");
        return None;
    }
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it").join(program);
    let binary = tempfile::NamedTempFile::new().expect("a file").into_temp_path();
    let mut build = Command::new("go");
    build.args(["build", "-o"]).arg(&binary).arg(".").current_dir(program).env("CGO_ENABLED", "0");
    assert!(build.status().expect("Go is installed").success(), "the program compiles");
    let mut child = Command::new(&binary)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let lines: String = cases.map(|case| case.to_string() + "\n").collect();
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let output = child.wait_with_output().expect("the program ends");
    writer.join().expect("no panic").expect("all was read");
    assert!(output.status.success());
    Some(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}

/// Returns two seeds. `DURANGO_SEED` replaces the second one.
pub fn seeds() -> [u64; 2] {
    let other = std::env::var("DURANGO_SEED").ok().and_then(|seed| seed.parse().ok());
    [1, other.unwrap_or(2)]
}

/// A small generator of random numbers (xorshift).
pub struct Random(u64);

impl Random {
    /// Returns a generator that repeats its numbers for the same seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or_default() % end
    }

    pub fn of(&mut self, words: &[&'static str]) -> &'static str {
        words[self.below(words.len())]
    }
}
