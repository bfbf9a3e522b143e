//! Runs the decoders of xtask on inputs that libFuzzer makes, guided by the code that each input
//! reaches. See `cargo run --package fuzz -- --help`.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const HELP: &str = "\
Runs the decoders of xtask on inputs that libFuzzer makes.

Usage: cargo run --package fuzz -- [OPTIONS]

  --target NAME   run this target alone
  --seconds N     how long to run each target; 60 if not given
  --minutes N     the same in minutes
  --seed N        begin with this seed; a random one if not given

An input that breaks a promise, takes more than 20 s or more than 1 GB is a finding. It is kept in
target/fuzz/findings. Inputs that reach new code are kept in target/fuzz/corpus for the next run.
Compiling needs a C++ compiler, and no nightly Rust.
";

/// Options that make the compiler count which code runs; each is stable.
const FLAGS: &[&str] = &[
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

struct Options {
    target: Option<String>,
    seconds: u64,
    seed: u32,
}

/// The result of one target.
struct Row {
    name: String,
    executions: u64,
    seconds: u64,
    corpus: usize,
    findings: Vec<PathBuf>,
    failed: bool,
}

fn main() -> ExitCode {
    match options(std::env::args().skip(1)) {
        Ok(None) => {
            print!("{HELP}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
        Ok(Some(options)) => match run(&options) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => {
                eprintln!("error: {error}");
                ExitCode::FAILURE
            }
        },
    }
}

fn options(mut words: impl Iterator<Item = String>) -> Result<Option<Options>, String> {
    let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seed = time.map_or(1, |time| time.subsec_nanos() | 1);
    let mut options = Options { target: None, seconds: 60, seed };
    while let Some(word) = words.next() {
        if word == "--help" || word == "-h" {
            return Ok(None);
        }
        let value = words.next().ok_or_else(|| format!("`{word}` has no value"))?;
        let number = || value.parse::<u32>().map_err(|_| format!("`{word} {value}` is not a number"));
        match word.as_str() {
            "--target" => options.target = Some(value),
            "--seconds" => options.seconds = u64::from(number()?),
            "--minutes" => options.seconds = u64::from(number()?) * 60,
            "--seed" => options.seed = number()?,
            _ => return Err(format!("unknown option `{word}`\nrun with --help")),
        }
    }
    Ok(Some(options))
}

/// Runs the targets and prints what they came to. Returns whether there is no finding.
fn run(options: &Options) -> Result<bool, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let dir = root.join("target/fuzz");
    let program = compile(&root, &dir)?;
    let names = output(Command::new(&program), &[])?;
    let names: Vec<&str> = names.lines().collect();
    let chosen: Vec<&str> = match &options.target {
        Some(name) if !names.contains(&name.as_str()) => {
            return Err(format!("unknown target `{name}`\nthe targets: {}", names.join(", ")));
        }
        Some(name) => vec![name],
        None => names,
    };
    println!("seed {}, {} s for each target", options.seed, options.seconds);
    println!("{:<12} {:>11} {:>8} {:>7}  findings", "target", "executions", "seconds", "inputs");
    let mut is_good = true;
    for name in chosen {
        let row = one(&program, &dir, name, options)?;
        is_good &= row.findings.is_empty() && !row.failed;
        println!("{}", line(&row));
    }
    Ok(is_good)
}

fn line(row: &Row) -> String {
    let mut line = format!(
        "{:<12} {:>11} {:>8} {:>7}  {}",
        row.name,
        row.executions,
        row.seconds,
        row.corpus,
        row.findings.len()
    );
    for finding in &row.findings {
        let _ = write!(line, "\n  {}", finding.display());
    }
    if row.failed && row.findings.is_empty() {
        line += "\n  the target did not run to its end";
    }
    line
}

/// Compiles the targets; gives the program.
fn compile(root: &Path, dir: &Path) -> Result<PathBuf, String> {
    let host = output(Command::new("rustc"), &["-vV"])?;
    let host = host.lines().find_map(|line| line.strip_prefix("host: ")).ok_or("rustc names no host")?;
    // A target of its own keeps the flags away from build scripts.
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--quiet", "--locked", "--package", "fuzz", "--bin", "targets"])
        .args(["--features", "libfuzzer", "--profile", "fuzz", "--target", host, "--target-dir"])
        .arg(dir)
        .env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\u{1f}"))
        .current_dir(root)
        .status();
    match status {
        Ok(status) if status.success() => Ok(dir.join(host).join("fuzz/targets")),
        Ok(_) => Err("failed to compile the targets\ninstall a C++ compiler, such as g++".into()),
        Err(error) => Err(format!("failed to start cargo: {error}")),
    }
}

fn output(mut command: Command, words: &[&str]) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output =
        command.args(words).output().map_err(|error| format!("failed to start `{name}`: {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn one(program: &Path, dir: &Path, name: &str, options: &Options) -> Result<Row, String> {
    let failed = |error: std::io::Error| format!("failed to run `{name}`: {error}");
    let (corpus, findings) = (dir.join("corpus").join(name), dir.join("findings").join(name));
    for dir in [&corpus, &findings] {
        fs::create_dir_all(dir).map_err(failed)?;
    }
    let log = dir.join(format!("{name}.log"));
    let before = files(&findings);
    let file = File::create(&log).map_err(failed)?;
    let call = |words: &[String]| {
        Command::new(program)
            .arg(&corpus)
            .args(words)
            .args(["-timeout=20", "-rss_limit_mb=1024", "-malloc_limit_mb=512"])
            .args(["-print_final_stats=1", "-report_slow_units=100"])
            .arg(format!("-artifact_prefix={}/", findings.display()))
            .env("DURANGO_FUZZ", name)
            .env("DURANGO_FUZZ_CORPUS", &corpus)
            .stderr(file.try_clone()?)
            .status()
    };
    // Each known input as it is, then random ones of a length that many of them can be tried with.
    let known = call(&["-runs=0".into(), "-max_len=65536".into()]).map_err(failed)?;
    let random = [
        format!("-max_total_time={}", options.seconds),
        format!("-seed={}", options.seed),
        "-max_len=4096".into(),
    ];
    let status = if known.success() { call(&random).map_err(failed)? } else { known };
    let text = String::from_utf8_lossy(&fs::read(&log).map_err(failed)?).into_owned();
    let stat = |key: &str| -> u64 {
        text.lines().filter_map(|line| line.strip_prefix(key)?.trim().parse::<u64>().ok()).sum()
    };
    let done =
        text.lines().rev().find_map(|line| line.strip_prefix("Done ")?.split(' ').nth(3)?.parse().ok());
    Ok(Row {
        name: name.to_owned(),
        executions: stat("stat::number_of_executed_units:"),
        seconds: done.unwrap_or(0),
        corpus: files(&corpus).len(),
        findings: files(&findings).into_iter().filter(|file| !before.contains(file)).collect(),
        failed: !status.success(),
    })
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut files: Vec<_> = files.map(|file| file.path()).collect();
    files.sort();
    files
}
