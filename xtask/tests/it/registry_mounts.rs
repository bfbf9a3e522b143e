//! Cache mounts in a registry: packs are pushed and pulled unchanged, each once.

mod builds;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::common::registry::Registry;
use crate::common::second_daemon::SecondDaemon;
use sha2::{Digest, Sha256};
use xtask::testing::args::Parsed;
use xtask::testing::commands::build::registries;
use xtask::testing::engine::registry::{self as asking, Wanted};
use xtask::testing::exec::budget::Budget;
use xtask::testing::exec::registry::{Transport, fetch_mounts, publish_mounts};
use xtask::testing::host::Host;
use xtask::testing::layout::Layout;
use xtask::testing::live;
use xtask::testing::plan::caches::{Caches, Registry as Cache};
use xtask::testing::plan::registry_state::RegistryState;
use xtask::testing::project::mount::{MountIdentity, Sharing};
use xtask::testing::record::log::Log;
use xtask::testing::redact::Redactor;
use xtask::testing::session::Globals;
use xtask::testing::session::Session;
use xtask::testing::store::layout_check::{self, Blob};
use xtask::testing::store::mount::{self, MountEntry, SavedMount};
use xtask::testing::store::mount_image::{self, RemoteMount};
use xtask::testing::store::policy::Policy;

/// The timeout for an answer of a test registry.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(20);

/// A machine: a store and a daemon.
struct Machine {
    dir: tempfile::TempDir,
    layout: Layout,
    env: BTreeMap<String, String>,
}

impl Machine {
    fn new(daemon: Option<&SecondDaemon>) -> Self {
        let dir = tempfile::Builder::new().prefix("durango-test-").tempdir().expect("a temporary directory");
        let layout = Layout::new(dir.path(), dir.path().join("store"));
        fs::create_dir_all(&layout.store).expect("made");
        let env = daemon.map(|daemon| ("DOCKER_HOST".to_owned(), daemon.host())).into_iter().collect();
        Self { dir, layout, env }
    }

    fn publish(&self, cache: &Cache, mounts: &[SavedMount]) -> (Vec<String>, Vec<String>) {
        let (scratch, log) = self.scratch_and_log();
        let budget = self.budget(10 << 30);
        let to = self.transport(scratch.path(), (&log, &budget));
        publish_mounts(&to, cache, mounts, &mut live::Quiet).expect("not interrupted")
    }

    fn fetch(&self, mounts: &[RemoteMount]) -> (Vec<SavedMount>, Vec<String>) {
        self.fetch_within(10 << 30, mounts)
    }

    fn fetch_within(&self, budget: u64, mounts: &[RemoteMount]) -> (Vec<SavedMount>, Vec<String>) {
        let (scratch, log) = self.scratch_and_log();
        let budget = self.budget(budget);
        let from = self.transport(scratch.path(), (&log, &budget));
        fetch_mounts(&from, mounts, &mut live::Quiet).expect("not interrupted")
    }

    fn scratch_and_log(&self) -> (tempfile::TempDir, Log) {
        let scratch = tempfile::tempdir_in(self.dir.path()).expect("a directory");
        (scratch, Log::new(self.dir.path().join("log"), Redactor::default()))
    }

    fn budget(&self, budget: u64) -> Budget {
        let policy = Policy { budget, ..Policy::default() };
        Budget::new(&self.layout, &policy, jiff::Timestamp::now())
    }

    fn transport<'a>(&'a self, scratch: &'a Path, (log, budget): (&'a Log, &'a Budget)) -> Transport<'a> {
        Transport {
            layout: &self.layout,
            builder: "default",
            scratch,
            timeout: TIMEOUT,
            log,
            budget,
            env: &self.env,
        }
    }

    /// Adds a pack of noise to a mount and saves it, as the first or a later state.
    fn save(&self, id: &str, second: i64) -> SavedMount {
        let identity = MountIdentity { id: id.into(), ..MountIdentity::default() };
        let dir = self.layout.all_mounts().join(identity.slug());
        let before = mount::read(&dir).map(|entry| entry.packs).unwrap_or_default();
        let put = |bytes: &[u8]| {
            let digest = format!("{:x}", Sha256::digest(bytes));
            fs::create_dir_all(layout_check::blobs(&dir)).expect("made");
            fs::write(layout_check::blobs(&dir).join(&digest), bytes).expect("written");
            Blob { digest, size: bytes.len() as u64 }
        };
        let mut noise = vec![0; 300_000];
        std::io::Read::read_exact(&mut fs::File::open("/dev/urandom").expect("noise"), &mut noise)
            .expect("read");
        let pack = put(&noise);
        let entry = MountEntry {
            format: xtask::testing::store::key::FORMAT,
            identity,
            sharing: Sharing::Shared,
            target: "/cache".into(),
            platform: "linux/amd64".into(),
            saved: jiff::Timestamp::from_second(second).expect("in range"),
            files: 1,
            bytes: 300_000,
            is_shared: true,
            manifest: put(format!("list of {id} at {second}").as_bytes()),
            packs: before.into_iter().chain([pack]).collect(),
            steps: Vec::new(),
        };
        fs::write(dir.join("entry.json"), serde_json::to_vec(&entry).expect("JSON")).expect("written");
        SavedMount { dir, entry }
    }
}

fn cache(registry: &Registry, more: &str) -> Cache {
    let caches = Caches::parse(&[registry.cache() + more], None).expect("a cache");
    caches.registries.into_iter().next().expect("a registry")
}

/// Returns the state of a mount in a registry.
fn held(cache: &Cache, mount: &SavedMount) -> RemoteMount {
    let reference = cache.mount(&mount.entry.identity.slug(), &mount.entry.platform);
    let config = asking::document("default", &reference, Wanted::Config, TIMEOUT).expect("it is there");
    RemoteMount { reference, entry: mount_image::entry(&config).expect("a mount") }
}

/// Returns the large blobs of a registry by name.
fn heavy(registry: &Registry) -> BTreeSet<String> {
    let blobs = registry.blobs().into_iter().filter(|(_, size)| *size > 100_000);
    blobs.map(|(path, _)| path.display().to_string()).collect()
}

#[test]
#[ignore = "needs an engine"]
fn a_mount_goes_through_a_registry_and_only_its_increments_do_so_again() {
    let registry = Registry::start();
    let cache = cache(&registry, "");
    let home = Machine::new(None);
    let first = home.save("durango-test-mount", 1);
    let (written, warnings) = home.publish(&cache, std::slice::from_ref(&first));
    assert_eq!((written.len(), warnings), (1, vec![]));
    assert_eq!(held(&cache, &first).entry, first.entry);
    let once = heavy(&registry);
    assert_eq!(once.len(), 1, "one pack is one blob, as it is: {once:?}");
    assert!(once.iter().all(|path| path.contains(&first.entry.packs[0].digest)));

    let (written, _) = home.publish(&cache, std::slice::from_ref(&first));
    assert!(written.is_empty(), "it is there already");

    // Another, empty machine.
    let second = SecondDaemon::start();
    let away = Machine::new(Some(&second));
    let (fetched, warnings) = away.fetch(&[held(&cache, &first)]);
    assert_eq!(warnings, Vec::<String>::new());
    assert_eq!(fetched[0].entry, first.entry);
    let at_rest = mount::read(&fetched[0].dir).expect("a sound mount");
    at_rest.blobs().try_for_each(|blob| layout_check::verify(&fetched[0].dir, blob)).expect("sound blobs");

    // The mount grows there. The first machine then fetches only the one new pack.
    let grown = away.save("durango-test-mount", 2);
    assert_eq!(grown.entry.packs.len(), 2);
    let (written, warnings) = away.publish(&cache, std::slice::from_ref(&grown));
    assert_eq!((written.len(), warnings), (1, vec![]));
    assert_eq!(heavy(&registry).difference(&once).count(), 1, "the old pack is not there twice");
    let stored = layout_check::blobs(&first.dir).join(&first.entry.packs[0].digest);
    let kept = fs::metadata(&stored).expect("a pack").modified().expect("a time");
    let (fetched, warnings) = home.fetch(&[held(&cache, &grown)]);
    assert_eq!((&fetched[0].entry, warnings), (&grown.entry, vec![]));
    let names = fs::read_dir(layout_check::blobs(&first.dir)).expect("blobs").count();
    assert_eq!(names, 3, "two packs and a list; the list of before is gone");
    assert_eq!(fs::metadata(&stored).expect("a pack").modified().expect("a time"), kept, "not written again");

    // An older state does not replace a newer one.
    let (written, _) = home.publish(&cache, std::slice::from_ref(&first));
    assert!(written.is_empty());
    assert_eq!(held(&cache, &first).entry, grown.entry);
}

#[test]
#[ignore = "needs an engine"]
fn mounts_that_cannot_be_transferred_cost_a_warning_each_and_leave_the_store_unchanged() {
    let mut registry = Registry::start();
    let machine = Machine::new(None);
    let mount = machine.save("durango-test-stays", 1);
    let (written, warnings) = machine.publish(&cache(&registry, ",ro"), std::slice::from_ref(&mount));
    assert_eq!((written, warnings, registry.tags().len()), (vec![], vec![], 0));

    let cache = cache(&registry, "");
    machine.publish(&cache, std::slice::from_ref(&mount));
    let there = held(&cache, &mount);
    let other = Machine::new(None);
    let foreign = RemoteMount {
        entry: MountEntry {
            identity: MountIdentity { id: "another".into(), ..MountIdentity::default() },
            ..there.entry.clone()
        },
        ..there.clone()
    };
    let (fetched, warnings) =
        other.fetch(&[foreign, RemoteMount { reference: cache.mount("none", "x"), ..there.clone() }]);
    assert!(
        fetched.is_empty() && warnings[0].contains("another mount") && warnings[1].contains("not found"),
        "{warnings:?}"
    );
    assert!(!other.layout.all_mounts().exists(), "nothing half fetched is left");
    let (fetched, warnings) = other.fetch_within(100_000, std::slice::from_ref(&there));
    assert!(fetched.is_empty() && warnings[0].contains("the store's budget"), "{warnings:?}");
    assert!(!other.layout.all_mounts().exists());

    // Entries for another platform, and newer ones, stay in the store.
    let elsewhere = Machine::new(None);
    let theirs = elsewhere.save("durango-test-stays", 5);
    let (fetched, warnings) = elsewhere.fetch(std::slice::from_ref(&there));
    assert_eq!((&fetched[0].entry, warnings), (&theirs.entry, vec![]));
    let arm = MountEntry { platform: "linux/arm64".into(), ..theirs.entry };
    fs::write(theirs.dir.join("entry.json"), serde_json::to_vec(&arm).expect("JSON")).expect("written");
    let (fetched, warnings) = elsewhere.fetch(std::slice::from_ref(&there));
    assert!(fetched.is_empty() && warnings[0].contains("the store has it for linux/arm64"), "{warnings:?}");

    registry.stop();
    let grown = machine.save("durango-test-stays", 2);
    let (written, warnings) = machine.publish(&cache, std::slice::from_ref(&grown));
    assert!(written.is_empty() && warnings[0].contains("failed to push"), "{warnings:?}");
    assert_eq!(mount::read(&grown.dir).expect("sound").packs.len(), 2);
}

#[test]
#[ignore = "needs an engine"]
fn the_first_registry_that_has_a_mount_serves_it() {
    let (first, second) = (Registry::start(), Registry::start());
    let caches = [cache(&first, ",ro"), cache(&second, "")];
    let machine = Machine::new(None);
    let (both, later) = (machine.save("durango-test-both", 1), machine.save("durango-test-later", 1));
    machine.publish(&cache(&first, ""), std::slice::from_ref(&both));
    machine.publish(&caches[1], &[both.clone(), later.clone()]);
    let session = Session {
        sh: xshell::Shell::new().expect("a shell"),
        host: Host::read(),
        layout: machine.layout,
        globals: Globals::from_parsed(&Parsed::default(), None).expect("options"),
        redactor: Redactor::default(),
    };
    let wanted = |mount: &SavedMount, platform: &str| (mount.entry.identity.slug(), platform.to_owned());
    let all = [
        wanted(&both, "linux/amd64"),
        wanted(&later, "linux/amd64"),
        ("none-0".into(), "linux/amd64".into()),
    ];
    let held = caches.clone().map(|registry| RegistryState { registry, said: Ok(BTreeMap::new()) });
    let found = registries::mounts(&session, "default", &held, &all);
    let from = |mount: &SavedMount| found[&mount.entry.identity.slug()].reference.clone();
    assert_eq!(found.len(), 2);
    assert!(from(&both).starts_with(&caches[0].reference) && from(&later).starts_with(&caches[1].reference));
    assert!(registries::mounts(&session, "default", &held, &[wanted(&both, "linux/arm64")]).is_empty());
}
