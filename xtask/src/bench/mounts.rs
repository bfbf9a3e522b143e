//! One cache mount of a known size, saved and restored, compared with `tar | zstd -3 -T0` of the
//! same files in a container.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::cases::{Case, Kind};
use super::container::Moved;
use super::copy::{Home, on, peak_memory, run};
use super::machine::{CONTAINERD_STORE, SecondDaemon};
use super::row::{Allowance, Unit, median};
use super::{Bench, Row};
use crate::process::stdio::errln;

/// Files like those of Go's build cache: 64 KB each, half of it hard to compress. FILL rewrites one
/// in a hundred of them. A mount's id is not part of a step's key, so the command has it as well;
/// otherwise another run's result would match.
const DOCKERFILE: &str = r#"ARG BASE_IMAGE
FROM ${BASE_IMAGE}
RUN command -v zstd || (apt-get update && apt-get install -y --no-install-recommends zstd)
ARG MEGABYTES FILL
RUN --mount=type=cache,id=@ID@,target=/cache,sharing=shared perl -e 'q(@ID@); \
    open my $random, q(<), q(/dev/urandom); \
    for my $i (0 .. $ENV{MEGABYTES} * 16 - 1) { \
        my ($dir, $noise) = sprintf q(/cache/%02x), $i % 256; mkdir $dir; \
        next if -e "$dir/$i" && ($ENV{FILL} =~ /same/ || $i % 100); \
        read $random, $noise, 32768; open my $out, q(>), "$dir/$i" or die; print $out $noise, qq($ENV{FILL} $i ) x 2400; \
    }'
ARG REFERENCE=
RUN --mount=type=cache,id=@ID@,target=/cache,sharing=shared \
    test -z "$REFERENCE" || tar -C /cache -cf - . | zstd -q -3 -T0 >/reference
"#;

const COMPOSE: &str = "
services:
  mount:
    image: @ID@/mount
    build:
      context: .
      args: {BASE_IMAGE: 'debian:13-slim'}
";

/// A project with one mount.
struct Project<'a> {
    bench: &'a Bench<'a>,
    dir: tempfile::TempDir,
    megabytes: u64,
}

impl Bench<'_> {
    /// Measures a save, a restore, a second save, an unchanged save, and xtask's memory.
    pub(super) fn mounts(&self, case: &Case) -> Result<Vec<Row>> {
        let Kind::Mounts(megabytes) = case.kind else { return Ok(Vec::new()) };
        errln!("{}", case.name);
        // The first save on a builder prepares the tools, as the reference's first RUN does.
        let small = Project::new(self, 1)?;
        small.build(&Home { env: Vec::new(), store: small.dir.path().join("store") }, &["FILL=first"])?;
        // The speed of disk writes varies most. A large mount takes long enough for one
        // measurement.
        let rounds = if megabytes < 1000 { 3 } else { 1 };
        let rounds = (0..rounds).map(|_| self.round(megabytes)).collect::<Result<Vec<Figures>>>()?;
        let of = |figure: fn(&Figures) -> f64| median(rounds.iter().map(figure).collect());
        let (out, reference) = (of(|round| round.out), of(|round| round.reference));
        let name = |what: &str| format!("{} {what}", case.name);
        let of_container = |what: &str, ours, theirs| {
            Row::ratio(&name(what), "copying through a container", ours, theirs, f64::INFINITY)
        };
        Ok(vec![
            Row::ratio(&name("out"), "tar | zstd", out, reference, case.limit),
            Row::ratio(&name("in"), "tar | zstd", of(|round| round.back), reference, case.limit),
            of_container("out", out, of(|round| round.container.0)),
            of_container("in", of(|round| round.back), of(|round| round.container.1)),
            Row::ratio(&name("1 % changed"), "the first save", of(|round| round.again), out, 0.2)
                .allow(Allowance::InAll(0.5)),
            Row::ratio(&name("unchanged"), "1 s", of(|round| round.nothing), 1.0, 1.0),
            Row::ratio(&name("memory"), "100 MB", of(|round| round.peak), 100.0, 1.0).unit(Unit::Megabytes),
        ])
    }

    /// Measures everything once, with a separate mount.
    fn round(&self, megabytes: u64) -> Result<Figures> {
        let project = Project::new(self, megabytes)?;
        let here = Home { env: Vec::new(), store: project.dir.path().join("store") };
        let first = project.build(&here, &["FILL=first"])?;
        let referred = project.build(&here, &["FILL=first", "REFERENCE=1"])?;
        let reference = step_seconds(&referred, "zstd -q -3").context("the reference did not run")?;
        let again = project.build(&here, &["FILL=second"])?;
        let nothing = project.build(&here, &["FILL=same"])?;
        let peak = project.peak(&here)?;
        let second = SecondDaemon::start(CONTAINERD_STORE)?;
        let base = self.copy.base_image(&self.here)?;
        second.receive(&base)?;
        let id = project.id();
        let moved = Moved { id: &id, base: &base, dir: project.dir.path() };
        let saved = moved.save(&here)?;
        let away = Home { env: second.environment(), store: here.store };
        let back = project.build(&away, &["FILL=same2"])?;
        let container = (saved, moved.restore(&away)?);
        let seconds = |report: &Value, field: &str| report["cache"][field].as_f64().unwrap_or(f64::NAN);
        let out = |report: &Value| seconds(report, "take_out_seconds");
        Ok(Figures {
            reference,
            out: out(&first),
            again: out(&again),
            nothing: out(&nothing),
            back: seconds(&back, "put_back_seconds"),
            container,
            peak,
        })
    }
}

/// The times of one round in seconds, and xtask's memory in MB.
struct Figures {
    reference: f64,
    out: f64,
    again: f64,
    nothing: f64,
    back: f64,
    /// Out and in by copying through a container.
    container: (f64, f64),
    peak: f64,
}

fn id_of(dir: &Path) -> String {
    dir.file_name().map_or_else(String::new, |name| name.to_string_lossy().to_lowercase())
}

/// How long a step took that ran.
fn step_seconds(report: &Value, words: &str) -> Option<f64> {
    let ran = |step: &&Value| step["instruction"].as_str().is_some_and(|text| text.contains(words));
    report["steps"].as_array()?.iter().find(ran)?["seconds"].as_f64()
}

impl<'a> Project<'a> {
    fn new(bench: &'a Bench<'a>, megabytes: u64) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("durango-bench-").tempdir()?;
        let id = id_of(dir.path());
        fs::write(dir.path().join("Dockerfile"), DOCKERFILE.replace("@ID@", &id))?;
        fs::write(dir.path().join("compose.yaml"), COMPOSE.replace("@ID@", &id))?;
        Ok(Self { bench, dir, megabytes })
    }

    /// The id of its mount, and the start of its images' names.
    fn id(&self) -> String {
        id_of(self.dir.path())
    }

    fn args(&self, build_args: &[&str]) -> Vec<String> {
        let compose = self.dir.path().join("compose.yaml").display().to_string();
        let megabytes = format!("MEGABYTES={}", self.megabytes);
        let args = ["build", "mount", "--json", "--progress", "quiet", "--file", &compose];
        let build_args = std::iter::once(megabytes.as_str()).chain(build_args.iter().copied());
        args.into_iter().chain(build_args.flat_map(|arg| ["--build-arg", arg])).map(str::to_owned).collect()
    }

    /// Waits until earlier writes are on the disk, because they are not part of the measurement.
    fn build(&self, home: &Home, build_args: &[&str]) -> Result<Value> {
        run(Command::new("sync"))?;
        let args = self.args(build_args);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        serde_json::from_slice(&self.bench.copy.command(home, &args)?)
            .context("failed to read the build's JSON")
    }

    /// Returns the memory of xtask itself in MB during another full save.
    fn peak(&self, home: &Home) -> Result<f64> {
        let fresh = Home { env: Vec::new(), store: self.dir.path().join("fresh-store") };
        let mut command = Command::new(std::env::current_exe()?);
        command.args(self.args(&["FILL=same3"])).arg("--cache-dir").arg(&fresh.store);
        peak_memory(on(home, command))
    }
}

/// Removes the project's image. Its mount stays until the builder's own limit removes it.
impl Drop for Project<'_> {
    fn drop(&mut self) {
        let id = self.id();
        let mut command = Command::new("docker");
        command.args(["image", "rm", "--force", &format!("{id}/mount")]);
        let _ = run(command);
    }
}
