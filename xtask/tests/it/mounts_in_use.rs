//! Saves a cache mount while a build uses it. With each sharing mode nothing is lost, orphaned, or
//! deadlocked.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use crate::common::Project;
use jiff::Timestamp;
use xtask::testing::exec::budget::Budget;
use xtask::testing::exec::mounts::{self, TransferContext, TransferResult};
use xtask::testing::layout::Layout;
use xtask::testing::live::Quiet;
use xtask::testing::plan::mounts::{Direction, PlannedMount, TransferTemplate};
use xtask::testing::project::mount::{MountIdentity, Sharing};
use xtask::testing::record::log::Log;
use xtask::testing::redact::Redactor;
use xtask::testing::step;
use xtask::testing::store::mount;
use xtask::testing::store::policy::Policy;

const BASE: &str = "durango/debian:trixie";

/// A mount, and a directory for its saved content.
struct Mount {
    project: Project,
    layout: Layout,
    id: String,
    sharing: Sharing,
}

impl Mount {
    fn new(sharing: Sharing) -> Self {
        // xtask provides the base image.
        let now = Timestamp::now().as_nanosecond();
        let compose =
            crate::common::COMPOSE.replace("durango-test/app", &format!("durango-test/in-use-{sharing}"));
        let project = Project::new(&[
            ("compose.yaml", &compose),
            (
                "Dockerfile",
                &format!("ARG BASE_IMAGE\nFROM ${{BASE_IMAGE}}\nRUN echo {sharing} {now} >/own\n"),
            ),
        ]);
        project.build(&["app", "--no-save"]).1.succeeds();
        let layout = Layout::new(project.path(""), project.store());
        Self { project, layout, id: format!("durango-test-{sharing}-{now}"), sharing }
    }

    /// Starts a build with plain buildx that runs a script in the mount.
    fn start(&self, script: &str) -> Child {
        let (id, sharing) = (&self.id, self.sharing);
        let now = Timestamp::now().as_nanosecond();
        let dockerfile = format!(
            "FROM {BASE}\nRUN --mount=type=cache,id={id},target=/m,sharing={sharing} : {now}; {script}\n"
        );
        self.project.write(&format!("build-{now}/Dockerfile"), &dockerfile);
        Command::new("docker")
            .args(["buildx", "build", "--progress", "plain", "--output", "type=cacheonly"])
            .arg(self.project.path(&format!("build-{now}")))
            .stderr(Stdio::piped())
            .spawn()
            .expect("docker runs")
    }

    /// Returns the content of the mount that a build finds.
    fn content(&self) -> String {
        let output = self.start("cat /m/log").wait_with_output().expect("it ends");
        assert!(output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    fn save(&self) -> TransferResult {
        let identity = MountIdentity { id: self.id.clone(), ..MountIdentity::default() };
        let mount = PlannedMount {
            dir: self.layout.all_mounts().join(identity.slug()),
            identity,
            sharing: self.sharing,
            target: "/m".into(),
            is_shared: true,
            held: None,
            uses: Vec::new(),
        };
        let template = TransferTemplate {
            bake: step::Command::new(["docker", "buildx", "bake", "--progress", "rawjson"]),
            builder: "default".into(),
            tools: (BASE.into(), None),
            scratch: self.layout.tmp().join("test"),
            ..TransferTemplate::default()
        };
        let (now, log) = (Timestamp::now(), Log::new(self.project.path("log"), Redactor::default()));
        let budget = Budget::new(&self.layout, &Policy::default(), now);
        let site = TransferContext {
            layout: &self.layout,
            log: &log,
            now,
            platform: "linux/amd64",
            budget: &budget,
        };
        mounts::run(&site, &template, Direction::Save, &[mount], &mut Quiet).expect("not interrupted")
    }

    /// Fills the mount and saves it during a build that appends to it and runs for `seconds`. Waits
    /// for the build.
    fn save_during_build(&self, seconds: u32) -> TransferResult {
        assert!(self.start("echo first >>/m/log").wait_with_output().expect("it ends").status.success());
        let mut child = self.start(&format!("echo second >>/m/log; echo it goes on; sleep {seconds}"));
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        // The line of output, not the instruction, which has the same words.
        assert!(lines.any(|line| line.expect("text").ends_with(" it goes on")));
        let moved = self.save();
        lines.for_each(drop);
        assert!(child.wait().expect("it ends").success(), "the other build is not disturbed");
        moved
    }
}

fn saved_files(layout: &Layout) -> Vec<u64> {
    let (saved, damaged) = mount::all(layout);
    assert!(damaged.is_empty());
    saved.iter().map(|saved| saved.entry.files).collect()
}

#[test]
#[ignore = "needs an engine"]
fn a_shared_mount_is_read_while_it_is_used() {
    let mount = Mount::new(Sharing::Shared);
    let moved = mount.save_during_build(10);
    assert_eq!((moved.done.len(), moved.warnings.len()), (1, 0), "{moved:?}");
    assert_eq!(saved_files(&mount.layout), [2], "the directory and its file");
    let content = mount.content();
    assert!(content.contains("first") && content.contains("second"), "{content}");
}

#[test]
#[ignore = "needs an engine"]
fn a_private_mount_in_use_is_skipped() {
    let mount = Mount::new(Sharing::Private);
    let moved = mount.save_during_build(10);
    assert_eq!(moved.done.len(), 0);
    assert!(moved.warnings[0].contains("it is private"), "{moved:?}");
    assert!(!Path::new(&mount.layout.all_mounts()).exists());
    let content = mount.content();
    assert!(content.contains("first") && content.contains("second"), "no additional empty mount: {content}");
    assert_eq!(mount.save().done.len(), 1, "and it is taken out when it is free");
}

#[test]
#[ignore = "needs an engine"]
fn a_locked_mount_is_waited_for_with_a_limit() {
    let mount = Mount::new(Sharing::Locked);
    let moved = mount.save_during_build(8);
    assert_eq!((moved.done.len(), moved.warnings.len()), (1, 0), "{moved:?}");
    let begun = Instant::now();
    let moved = mount.save_during_build(60);
    assert!(begun.elapsed().as_secs() >= 60, "the other build had its time");
    assert_eq!(moved.done.len(), 0);
    assert!(moved.warnings[0].contains("did not start it within 30 s"), "{moved:?}");
    let content = mount.content();
    assert!(content.contains("first") && content.contains("second"), "{content}");
}
