//! Tests of the budget and of reservations.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::exec::scratch::Scratch;

const MB: u64 = 1 << 20;

/// Returns a store with a budget.
fn store(megabytes: u64) -> (tempfile::TempDir, Budget) {
    let dir = tempfile::tempdir().expect("a directory");
    let policy = Policy { budget: megabytes * MB, ..Policy::default() };
    let budget = Budget::new(&Layout::new("/r", dir.path()), &policy, Timestamp::now());
    (dir, budget)
}

fn reserve(budget: &Budget, megabytes: u64) -> Result<Reservation<'_>> {
    budget.reserve(Need::Bytes(megabytes * MB, &[]), &mut |_| {})
}

fn write(dir: &Path, name: &str, megabytes: u64) {
    crate::files::make_dir(dir).expect("made");
    let bytes = usize::try_from(megabytes * MB).expect("small");
    std::fs::write(dir.join(name), vec![1; bytes]).expect("written");
}

#[test]
fn a_store_is_full_before_it_is_too_large() {
    for (expected, when) in [(0, 2), (8, 3)] {
        let (dir, budget) = store(10);
        let own = dir.path().join("own");
        let reservation = reserve(&budget, expected).expect("free");
        reservation.begin(&own).expect("begun");
        assert!(!reservation.is_full());
        // Twice 4 MB have no room after the first ones unless it was made for them.
        for (name, number) in [("a", 1), ("b", 2), ("c", 3)] {
            write(&own, name, 4);
            assert_eq!(reservation.is_full(), number >= when, "{expected} MB expected: {name}");
        }
        assert!(reservation.check(true).is_err() && reservation.check(false).is_err());
        drop(reservation);
        let error = reserve(&budget, 20).err().expect("too much").to_string();
        assert!(error.contains("it needs about 22.5 MB; the store's budget is 10.5 MB"), "{error}");
    }
}

#[test]
fn a_bundle_in_transit_counts_only_after_its_process_is_gone() {
    let dir = tempfile::tempdir().expect("a directory");
    let layout = Layout::new("/r", dir.path());
    let now = Timestamp::now();
    let budget = Budget::new(&layout, &Policy { budget: 4 << 20, ..Policy::default() }, now);
    let is_full = || {
        let reservation = budget.reserve(Need::Bytes(1 << 20, &[]), &mut |_| {});
        let is_full = reservation.is_err();
        assert_eq!(contents::measure_budgeted(&layout) > 4 << 20, is_full);
        is_full
    };
    for purpose in [contents::IMPORT, contents::EXPORT, ""] {
        let scratch = Scratch::new(&layout, now, purpose).expect("made");
        std::fs::write(scratch.dir().join("base.tar"), vec![1; 5 << 20]).expect("written");
        assert_eq!(is_full(), purpose.is_empty(), "{purpose}");
        assert!(contents::measure(&layout) > 5 << 20);
    }
    // A killed import holds nothing, and names a process that is gone.
    let left = layout.tmp().join("20260101-000000-1-import");
    std::fs::create_dir_all(&left).expect("made");
    std::fs::write(left.join("base.tar"), vec![1; 5 << 20]).expect("written");
    let hour = std::time::Duration::from_secs(7200);
    let old = std::time::SystemTime::now() - hour;
    std::fs::File::open(&left).expect("opened").set_modified(old).expect("set");
    assert!(contents::measure_budgeted(&layout) > 5 << 20);
    budget.reserve(Need::Bytes(1 << 20, &[]), &mut |_| {}).expect("what was left is removed");
    assert!(!left.exists());
}

#[test]
fn a_save_measures_the_whole_store_only_as_it_grows() {
    let (dir, budget) = store(10);
    let own = dir.path().join("own");
    let reservation = reserve(&budget, 5).expect("free");
    reservation.begin(&own).expect("begun");
    write(dir.path(), "other", 12);
    assert!(!reservation.is_full(), "another build's writes are not measured each time");
    write(&own, "a", 1);
    assert!(!reservation.is_full(), "less than an eighth of the space");
    write(&own, "b", 1);
    assert!(reservation.is_full(), "then they are");
}

#[test]
fn a_save_gets_no_space_that_another_one_has_reserved() {
    let (dir, budget) = store(10);
    let own = dir.path().join("own");
    let first = reserve(&budget, 6).expect("free");
    let free = || budget.try_reserve(Need::Bytes(5 * MB, &[]), true).expect("asked").is_ok();
    assert!(!free(), "6 MB are reserved");
    let error = budget.try_reserve(Need::Bytes(5 * MB, &[]), false).err().expect("it may not wait");
    assert!(error.to_string().contains("of which"), "{error}");
    first.begin(&own).expect("begun");
    write(&own, "a", 5);
    assert!(!free(), "5 MB are written and 1 MB is reserved");
    let second = reserve(&budget, 2).expect("free");
    write(&own, "b", 2);
    assert!(first.is_full(), "the rest of the space is reserved by another save");
    assert!(!first.is_over() && first.written() >= 7 * MB, "a second attempt may wait for that save");
    second.end();
    assert!(!first.is_full(), "that save needed less");
    drop((first, second));
    std::fs::remove_dir_all(&own).expect("removed");
    assert!(free());
    assert_eq!(std::fs::read_dir(budget.layout.tmp()).expect("read").count(), 0);
}

#[test]
fn a_save_waits_for_others_and_not_for_the_dead() {
    let (_dir, budget) = store(10);
    let first = reserve(&budget, 6).expect("free");
    // A killed process left this.
    let dead = budget.layout.tmp().join("20260101-000000-1-reserved");
    crate::files::make_dir(&dead).expect("made");
    let reserved = crate::store::reserved::Reserved { bytes: 9 * MB, ..Default::default() };
    reserved.write(&dead).expect("written");
    let (waits, waiting) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let second = scope.spawn(|| {
            let announce = &mut |line: &str| waits.send(line.to_owned()).expect("it is read");
            budget.reserve(Need::Bytes(6 * MB, &[]), announce).map(drop)
        });
        let line = waiting.recv_timeout(LONGEST_WAIT).expect("it waits");
        assert!(line.contains("have reserved 6.9 MB of the store's budget of 10.5 MB"), "{line}");
        drop(first);
        second.join().expect("it ended").expect("the space is free");
    });
}

/// A cache mount begins with little space and asks for more.
#[test]
fn a_save_that_waits_for_more_space_says_so_once() {
    let (_dir, budget) = store(10);
    let (first, second) = (reserve(&budget, 6).expect("free"), reserve(&budget, 0).expect("free"));
    let (waits, waiting) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let growing = scope.spawn(|| {
            let announce = &mut |line: &str| waits.send(line.to_owned()).expect("it is read");
            second.grow_and_wait(4 * MB, &[], announce)
        });
        let line = waiting.recv_timeout(LONGEST_WAIT).expect("it waits");
        assert!(line.contains("have reserved 6.9 MB of the store's budget of 10.5 MB"), "{line}");
        drop(first);
        growing.join().expect("it ended").expect("the space is free");
    });
    assert!(waiting.try_recv().is_err(), "once");
}

/// A save of several mounts asks once for each.
#[test]
fn a_save_alone_never_waits() {
    let (_dir, budget) = store(10);
    let save = reserve(&budget, 1).expect("free");
    for _ in 0..3 {
        assert!(save.grow(MB, &[], &mut |_| {}).expect("free"), "nobody else saves");
    }
}

/// Nobody looks at a save that ends within 0.1 s.
#[test]
fn a_save_that_ends_at_once_is_too_large_as_well() {
    let (_dir, budget) = store(10);
    let save = reserve(&budget, 1).expect("free");
    let own = budget.layout.tmp().join("20260101-000000-2-save");
    crate::files::make_dir(&own).expect("made");
    save.begin(&own).expect("begun");
    std::fs::write(own.join("layer"), vec![1; 5 << 20]).expect("written");
    save.check(false).expect("it fits, although more was written than reserved");
    std::fs::write(own.join("next"), vec![1; 6 << 20]).expect("written");
    let said = save.check(false).expect_err("too large").to_string();
    assert!(said.contains("DURANGO_CACHE_BUDGET"), "{said}");
}

/// The directory of the store that a process of the next test fills, and its number.
const STORE: &str = "DURANGO_TEST_RESERVING_STORE";
const NUMBER: &str = "DURANGO_TEST_RESERVING_NUMBER";

#[test]
fn many_processes_that_save_at_once_stay_within_the_budget() {
    const PROCESSES: u64 = 6;
    if let Some(store) = std::env::var_os(STORE) {
        let number = std::env::var(NUMBER).expect("a number");
        return save_some(Path::new(&store), &number);
    }
    let (dir, budget) = store(10);
    let this = std::env::current_exe().expect("this binary");
    let name = "exec::budget::tests::many_processes_that_save_at_once_stay_within_the_budget";
    let start = |number: u64| {
        let mut command = Command::new(&this);
        command.args(["--exact", name, "--nocapture"]).env(STORE, dir.path());
        command.env(NUMBER, number.to_string()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("started")
    };
    let mut children: Vec<_> = (0..PROCESSES).map(start).collect();
    let largest = AtomicU64::new(0);
    while children.iter_mut().any(|child| child.try_wait().expect("asked").is_none()) {
        largest.fetch_max(contents::measure_budgeted(&budget.layout), Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(2));
    }
    for child in children {
        let output = child.wait_with_output().expect("it ended");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
    let largest = largest.into_inner();
    assert!(largest <= budget.bytes(), "{largest} bytes");
    assert_eq!(std::fs::read_dir(budget.layout.tmp()).expect("read").count(), 0);
}

/// Saves 3 MB several times in pieces, and removes them again.
fn save_some(store: &Path, number: &str) {
    let policy = Policy { budget: 10 * MB, ..Policy::default() };
    let budget = Budget::new(&Layout::new("/r", store), &policy, Timestamp::now());
    for round in 0..4 {
        let own = store.join(format!("{number}-{round}"));
        let reservation = reserve(&budget, 3).expect("others end");
        reservation.begin(&own).expect("begun");
        for piece in ["a", "b", "c"] {
            write(&own, piece, 1);
            assert!(!reservation.is_full(), "it has reserved this");
        }
        reservation.end();
        std::fs::remove_dir_all(&own).expect("removed");
    }
}
