//! Saved and restored cache mounts on the real engine.

mod fixture;
mod waiting;

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::common::second_daemon::SecondDaemon;
use crate::common::{files, forget_digest};
use fixture::Mount;
use serde_json::Value;
use xtask::testing::engine::disk_usage::{self, Which};

fn mount(report: &Value) -> &Value {
    let mounts = report["cache"]["mounts"].as_array().expect("mounts");
    assert_eq!(mounts.len(), 1, "{report}");
    &mounts[0]
}

/// Returns the lines that only one of the texts has.
fn differing(one: &str, other: &str) -> Vec<String> {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    lines(one).symmetric_difference(&lines(other)).cloned().collect()
}

/// Returns the warnings, without those of newer frontends about the Dockerfile.
fn warnings(report: &Value) -> Vec<String> {
    let all = report["warnings"].as_array().expect("warnings").iter().map(ToString::to_string);
    all.filter(|warning| !warning.contains("InvalidDefaultArgInFrom")).collect()
}

#[test]
#[ignore = "needs an engine"]
fn a_mount_is_restored_to_the_nanosecond() {
    let fill = r"
if [ ! -e made ]; then
    mkdir -p 'a b/deep' empty && echo one >'a b/deep/one' && ln 'a b/deep/one' hard && ln -s ../made 'a b/link'
    printf x >'odd
name' && chown -h 12:34 hard 'a b/link' && chmod 4750 hard && chmod 0511 empty && touch -d '2001-02-03 04:05:06.123456789' 'a b' hard && touch made
fi
find . -printf '%y %m %U %G %s %n %T@ %p %l\n' | sort >/list";
    let mounted = Mount::new("identical", "sharing=shared", fill).elsewhere();
    let saved = mounted.build("1");
    assert!(mount(&saved)["saved_bytes"].as_u64() > Some(0), "{saved}");
    let before = mounted.image_file("identical", "/list");
    assert!(before.contains("4750") && before.contains("odd"), "{before}");
    mounted.prune();
    let restored = mounted.build("2");
    assert_eq!(mount(&restored)["restored"], true, "{restored}");
    assert_eq!(differing(&before, &mounted.image_file("identical", "/list")), Vec::<String>::new());
    assert_eq!(mount(&restored)["saved_bytes"], 0, "nothing changed by its way: {restored}");
}

#[test]
#[ignore = "needs an engine"]
fn a_large_mount_is_unpacked_in_two_parts_without_a_difference() {
    let step = r#"if [ ! -e made ]; then
    mkdir -p shut/in other; for i in $(seq 80); do head -c 1000000 /dev/urandom >"shut/$i"; done
    ln shut/80 other/80; ln shut/1 other/1; ln -s ../made other/link; touch made; chmod 0511 shut; touch -d '2001-02-03 04:05:06.7' shut other
fi
[ "$EDIT" != 2 ] || { rm shut/7 && touch -d '2001-02-03 04:05:06.7' shut && echo new >new; }
{ find . -printf '%y %m %U %G %s %n %T@ %p %l\n' | sort; find . -type f -exec sha256sum {} + | sort; } >/list"#;
    let mounted = Mount::new("large", "sharing=shared", step).elsewhere();
    for edit in ["1", "2"] {
        mounted.build(edit);
        let before = mounted.image_file("large", "/list");
        mounted.prune();
        let restored = mounted.build(&format!("{edit} again"));
        assert_eq!(mount(&restored)["restored"], true, "{restored}");
        assert!(before.contains("d 511"), "{before}");
        // Alone, and with a small pack after it.
        assert_eq!(differing(&before, &mounted.image_file("large", "/list")), Vec::<String>::new());
    }
}

#[test]
#[ignore = "needs an engine"]
fn only_new_files_are_packed_and_removed_files_stay_removed() {
    let step = r"case $EDIT in
1)
    head -c 300000 /dev/urandom >large; echo old >goes; mkdir dir turns; echo x | tee dir/goes >turns/goes
    echo x | tee keep >'odd
keep'; echo x >'goes
too'; echo x >linked; ln linked again ;;
2) echo new >small; rm -r goes* dir turns; echo x >turns; mv again renamed ;;
3) echo more >more ;;
esac
find . -printf '%y %n %p\n' | sort >/list; cat large | sha256sum >>/list";
    let mounted = Mount::new("increments", "sharing=locked", step).elsewhere();
    let first = mounted.build("1");
    let second = mounted.build("2");
    let (first, second) = (mount(&first)["saved_bytes"].as_u64(), mount(&second)["saved_bytes"].as_u64());
    assert!(first > Some(300_000) && second > Some(0) && second < Some(5_000), "{first:?} {second:?}");
    mounted.build("3");
    let before = mounted.image_file("increments", "/list");
    mounted.prune();
    assert_eq!(mount(&mounted.build("4"))["restored"], true);
    assert_eq!(mounted.image_file("increments", "/list"), before);
    assert!(!before.contains("goes") && before.contains("f 2 ./renamed") && before.contains("f 1 ./turns"));
}

#[test]
#[ignore = "needs an engine"]
fn an_existing_mount_is_kept_and_an_empty_one_replaces_nothing() {
    // An engine of its own: while others build, the builder is not asked for its mounts, and an
    // empty mount is filled.
    let mounted = Mount::new(
        "held",
        "sharing=shared",
        "[ $EDIT != 2 ] || rm -f log; [ $EDIT = 2 ] || echo $EDIT >>log",
    )
    .elsewhere();
    mounted.build("1");
    mounted.build("2");
    let entries = files(&mounted.project.store().join("mounts"));
    let (entry, _) = entries.iter().find(|(path, _)| path.ends_with("entry.json")).expect("it stays saved");
    let entry: Value = serde_json::from_slice(&fs::read(entry).expect("read")).expect("JSON");
    assert_eq!(entry["files"], 2, "the directory and its file: {entry}");
    assert_eq!(mount(&mounted.build("3"))["restored"], false, "the builder has it");
}

#[test]
#[ignore = "needs an engine"]
fn a_damaged_pack_is_not_restored_and_costs_a_warning() {
    let mounted =
        Mount::new("damaged-pack", "sharing=shared", "echo $EDIT >>log; cat log >/list").elsewhere();
    mounted.build("1");
    let packs = files(&mounted.project.store().join("mounts"));
    let (pack, size) = packs
        .iter()
        .filter(|(path, _)| path.to_string_lossy().contains("sha256"))
        .max_by_key(|(_, size)| *size)
        .expect("a pack");
    let mut bytes = fs::read(pack).expect("read");
    bytes[usize::try_from(*size).expect("small") / 2] ^= 1;
    fs::write(pack, bytes).expect("written");
    mounted.prune();
    let report = mounted.build("2");
    assert_eq!(mount(&report)["restored"], false, "{report}");
    let warnings = warnings(&report);
    assert!(warnings.len() == 1 && warnings[0].contains("failed to restore"), "{warnings:#?}");
    assert_eq!(mounted.image_file("damaged-pack", "/list"), "2\n");
}

#[test]
#[ignore = "needs an engine"]
fn buildkit_restores_mounts_if_the_daemon_forbids_its_network() {
    let config = r#"{"features": {"containerd-snapshotter": true}, "builder": {"entitlements": {"network-host": false}}}"#;
    let mounted = Mount::new("forbidden", "sharing=shared", "echo $EDIT >>log; cat log >/list")
        .on(SecondDaemon::start_with(config));
    let saved = mounted.build("1");
    assert!(mount(&saved)["saved_bytes"].as_u64() > Some(0), "{saved}");
    mounted.prune();
    let restored = mounted.build("2");
    assert_eq!(mount(&restored)["restored"], true, "{restored}");
    assert!(warnings(&restored).is_empty(), "{restored}");
    assert_eq!(mounted.image_file("forbidden", "/list"), "1\n2\n");
    let logs = files(&mounted.project.store().join("builds"));
    let refused = logs.iter().any(|(path, _)| {
        fs::read_to_string(path).is_ok_and(|text| text.contains("network.host is not allowed"))
    });
    assert!(refused, "it was asked first: {logs:?}");
}

#[test]
#[ignore = "needs an engine"]
fn the_user_chooses_which_mounts_are_saved() {
    let mounted = Mount::new("chosen-mounts", "sharing=shared", "echo $EDIT >>log");
    let none = |report: &Value| report["cache"]["mounts"].as_array().is_some_and(Vec::is_empty);
    let build = |edit: &str, mounts: &str| {
        let (report, run) =
            mounted.project.build(&["app", "--build-arg", &format!("EDIT={edit}"), "--mounts", mounts]);
        run.succeeds();
        report
    };
    assert!(none(&build("1", "none")) && none(&build("2", &format!("-{}", mounted.id))));
    assert!(!mounted.project.store().join("mounts").exists());
    assert!(!none(&build("3", &mounted.id)));
    let unknown = build("4", "gomod");
    assert!(unknown["warnings"].to_string().contains("names `gomod`"), "{unknown}");
    mounted
        .project
        .run(&["build", "app", "--mounts", "none,x", "--file", "compose.yaml"])
        .fails(2, &["combines none with ids"]);
}

#[test]
#[ignore = "needs an engine"]
fn gos_trimming_sees_a_restored_mount_as_unchanged() {
    let step = "if [ $EDIT = 1 ]; then
mkdir 00 && echo 'This directory holds cached build artifacts from the Go build system.' >README
echo a >00/a && echo b >00/b && touch -d '@1000000000' 00/a README && touch -d '@1000000500' 00/b && printf 1000000600 >trim.txt
fi
{ stat -c %Y 00/a 00/b; cat trim.txt; } >/list";
    let mounted = Mount::new("trim", "sharing=shared", step).elsewhere();
    mounted.build("1");
    // As if it had been saved a month ago.
    let entries = files(&mounted.project.store().join("mounts"));
    let (entry, _) = entries.iter().find(|(path, _)| path.ends_with("entry.json")).expect("an entry");
    let mut json: Value = serde_json::from_slice(&fs::read(entry).expect("read")).expect("JSON");
    let saved: jiff::Timestamp = json["saved"].as_str().expect("a time").parse().expect("a time");
    forget_digest(&mut json);
    let month = 30 * 24 * 3600;
    json["saved"] = (saved - Duration::from_secs(month)).to_string().into();
    fs::write(entry, json.to_string()).expect("written");
    mounted.prune();
    let report = mounted.build("2");
    assert_eq!(mount(&report)["restored"], true, "{report}");
    let text = mounted.image_file("trim", "/list");
    let times: Vec<u64> = text.lines().map(|line| line.parse().expect("a number")).collect();
    assert_eq!((times[1] - times[0], times[2] - times[0]), (500, 600), "ages stay: {text}");
    let moved = times[0] - 1_000_000_000;
    assert!((month..month + 3600).contains(&moved), "they moved on by the time away: {moved}");
}

/// While the builder measures a mount, the mount is locked, and a step that begins gets an empty
/// one instead (BuildKit 0.13). BuildKit measures those listed mounts that are not in use.
#[test]
#[ignore = "needs an engine"]
fn a_query_during_a_build_measures_no_mount() {
    let mut mounted = Mount::new("asked", "sharing=shared", "echo $EDIT >>log; cat log >/list").elsewhere();
    let real = Command::new("sh").args(["-c", "command -v docker"]).output().expect("a shell");
    let real = String::from_utf8_lossy(&real.stdout).trim().to_owned();
    let calls = mounted.project.path("calls");
    // A wrapper that records queries during bake.
    let spy = format!(
        "#!/bin/sh\ncase \"$*\" in\n*\" du \"*) kill -0 \"$(cat {0}.bake)\" 2>/dev/null && echo \"$*\" >>{0} ;;\n\
         *--print*) ;;\n*\" bake \"*) echo $$ >{0}.bake ;;\nesac\nexec {real} \"$@\"\n",
        calls.display()
    );
    mounted.project.write("spy/docker", &spy);
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(mounted.project.path("spy/docker"), mode).expect("may be run");
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", mounted.project.path("spy").display());
    mounted.project = mounted.project.env("PATH", &path);
    mounted.build("1");
    mounted.build("2");
    mounted.prune();
    assert_eq!(mount(&mounted.build("3"))["restored"], true);
    assert_eq!(mounted.image_file("asked", "/list"), "1\n2\n3\n");
    let calls = fs::read_to_string(&calls).expect("steps ran with a mount that the store has");
    let measures = |call: &&str| !call.contains("type=regular") && !call.contains("inuse=");
    assert_eq!(calls.lines().find(measures), None);

    let sh = xshell::Shell::new().expect("a directory");
    sh.set_var("DOCKER_HOST", mounted.own.as_ref().expect("its own engine").host());
    let read = |which: Which| disk_usage::read(&sh, "default", which).expect("it says what it holds");
    let is_mount = |record: &disk_usage::Record| record.kind == "exec.cachemount";
    assert!(read(Which::Mounts).iter().any(is_mount) && read(Which::All).iter().any(is_mount));
    let results = read(Which::Results);
    assert!(!results.is_empty() && !results.iter().any(is_mount), "{results:?}");
    assert!(read(Which::InUse).iter().all(|record| !record.reclaimable));
}
