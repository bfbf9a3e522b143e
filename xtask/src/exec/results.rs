//! Adds results to the store. Each gets a separate number, so that none replaces another. The
//! oldest results of a key are removed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::steps;
use crate::files::{self, Durability};
use crate::layout::Layout;
use crate::store::entry::{self, Entry};
use crate::store::lock::{self, Lock};
use crate::store::policy::RESULTS;
use crate::store::sealed;
use crate::store::used;

/// Adds the result in a scratch directory and returns its final entry. Readers see either all of it
/// or nothing.
pub(super) fn add(layout: &Layout, dir: &Path, entry: Entry) -> Result<Entry> {
    files::make_dir(&layout.all_layers())?;
    let old = {
        let _lock = Lock::exclusive(layout)?;
        let known = results_of(layout, &entry);
        let entry = Entry { after: Entry::after(known.iter().map(|(_, entry)| entry)), ..entry.clone() };
        place(layout, dir, &entry)?;
        take_old(layout, dir, &entry)
    };
    // Removed outside the lock, so that no other process waits.
    old.iter().try_for_each(|old| steps::remove(old))?;
    Ok(entry)
}

/// Moves a result to its place. The caller has the store's lock.
pub(super) fn place(layout: &Layout, dir: &Path, entry: &Entry) -> Result<PathBuf> {
    let results = layout.results(&entry.image, &entry.key.0);
    files::make_dir(&results).with_context(|| format!("failed to create `{}`", results.display()))?;
    files::write(&dir.join("entry.json"), &sealed::to_json(entry)?, Durability::Synced)?;
    used::mark_used(dir);
    let place = results.join(entry::next_number(layout, &entry.image).to_string());
    files::rename(dir, &place).with_context(|| format!("failed to move `{}`", dir.display()))?;
    Ok(place)
}

/// Returns valid results of an entry's key and platform, newest first.
pub(super) fn results_of(layout: &Layout, entry: &Entry) -> Vec<(PathBuf, Entry)> {
    let found = entry::find(layout, &entry.image, &entry.platform).generations;
    let own = found.into_iter().filter(|other| other.entry.key == entry.key);
    own.map(|generation| (generation.dir, generation.entry)).collect()
}

/// Moves away results that a new one makes unnecessary: the same image with an older number, and
/// superseded ones. Returns their new paths. Held ones are kept until the next save or `gc`. The
/// caller has the store's lock.
fn take_old(layout: &Layout, dir: &Path, entry: &Entry) -> Vec<PathBuf> {
    let mut gone = Vec::new();
    let known = results_of(layout, entry);
    let is_same = |other: &Entry| entry.digest.is_some() && other.digest == entry.digest;
    let mut kept = 1;
    let mut is_needless = |(_, (_, other)): &(usize, &(PathBuf, Entry))| {
        kept += usize::from(!is_same(other));
        is_same(other) || kept > RESULTS
    };
    for (at, (place, _)) in known.iter().enumerate().skip(1).filter(|known| is_needless(known)) {
        let to = dir.with_extension(format!("old-{at}"));
        if matches!(lock::claim(place), Ok(Some(_))) && fs::rename(place, &to).is_ok() {
            gone.push(to);
        }
    }
    gone
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::store::key::{FORMAT, Key};
    use crate::store::layout_check::tests::layout_of;
    use crate::store::lock::hold;

    /// Returns a digest for a word.
    fn digest(word: &str) -> String {
        format!("sha256:{:x}", Sha256::digest(word))
    }

    fn entry(word: &str, second: i64) -> Entry {
        Entry {
            format: FORMAT,
            image: "own/app".into(),
            platform: "linux/amd64".into(),
            key: Key::new("own/app", "linux/amd64", b"FROM x"),
            digest: Some(digest(word)),
            saved: Timestamp::from_second(second).expect("in range"),
            bytes: 2,
            steps: Vec::new(),
            steps_any_mode: Vec::new(),
            id: word.to_owned(),
            after: Vec::new(),
        }
    }

    struct Store(Layout, #[expect(dead_code, reason = "the store is in it")] tempfile::TempDir);

    impl Store {
        fn new() -> Self {
            let dir = tempfile::tempdir().expect("a directory");
            Self(Layout::new("/", dir.path().join("store")), dir)
        }

        fn save(&self, digest: &str, second: i64) -> Entry {
            let scratch = self.0.tmp().join(format!("scratch-{digest}"));
            layout_of(&scratch, digest);
            add(&self.0, &scratch, entry(digest, second)).expect("added")
        }

        fn ids(&self) -> Vec<String> {
            results_of(&self.0, &entry("", 0)).into_iter().map(|(_, entry)| entry.id).collect()
        }
    }

    #[test]
    fn branches_with_one_dockerfile_keep_their_results_side_by_side() {
        let store = Store::new();
        store.save("main", 10);
        store.save("branch", 20);
        assert_eq!(store.ids(), ["branch", "main"]);
        // A wrong clock has no effect.
        store.save("past", -1_000_000);
        assert_eq!(store.ids(), ["past", "branch", "main"]);
        store.save("branch", 30);
        assert_eq!(store.ids(), ["branch", "past", "main"], "the same image is there once");
        store.save("next", 40);
        assert_eq!(store.ids(), ["next", "branch", "past"], "the newest few stay");
        let left = entry::results(&store.0);
        assert_eq!(left.len(), 3, "{left:?}");
        assert_eq!(fs::read_dir(store.0.tmp()).expect("read").count(), 0, "nothing is left over");
    }

    #[test]
    fn what_a_build_holds_stays_and_no_save_waits_for_it() {
        let store = Store::new();
        store.save("held", 1);
        let dir = entry::results(&store.0).remove(0);
        let held = hold(&dir).expect("held");
        for digest in ["a", "b", "c"] {
            store.save(digest, 2);
        }
        assert!(dir.exists());
        assert_eq!(store.ids(), ["c", "b", "a", "held"]);
        drop(held);
        store.save("d", 3);
        assert_eq!(store.ids(), ["d", "c", "b"]);
        assert!(!dir.exists());
    }

    #[test]
    fn a_flipped_bit_in_a_valid_entry_is_damage() {
        let store = Store::new();
        store.save("a", 1);
        let file = entry::results(&store.0).remove(0).join("entry.json");
        let text = fs::read_to_string(&file).expect("read");
        for (whole, flipped) in
            [("\"bytes\": 2", "\"bytes\": 3"), ("own/app", "own/apq"), ("\"id\"", "\"ie\"")]
        {
            fs::write(&file, text.replacen(whole, flipped, 1)).expect("written");
            let found = entry::find(&store.0, "own/app", "linux/amd64");
            assert_eq!((found.generations.len(), found.damaged.len()), (0, 1), "{flipped}: {found:?}");
            let reason = &found.damaged[0].reason;
            assert!(reason.contains("does not match its digest"), "{reason}");
        }
        // An earlier version wrote no digest.
        let plain: Entry = crate::store::sealed::from_json(text.as_bytes()).expect("whole");
        fs::write(&file, serde_json::to_vec(&plain).expect("JSON")).expect("written");
        assert_eq!(store.ids(), ["a"]);
    }

    #[test]
    fn a_result_that_cannot_be_moved_in_leaves_the_earlier_ones() {
        let store = Store::new();
        store.save("old", 1);
        let results = entry::results(&store.0).remove(0).with_file_name("");
        fs::write(results.join("2"), "in the way").expect("written");
        let scratch = store.0.tmp().join("scratch-new");
        layout_of(&scratch, "new");
        add(&store.0, &scratch, entry("new", 2)).expect_err("the number is taken");
        assert_eq!(store.ids(), ["old"]);
        fs::remove_file(results.join("2")).expect("removed");
        add(&store.0, &scratch, entry("new", 2)).expect("the way is free");
        assert_eq!(store.ids(), ["new", "old"]);
    }

    #[test]
    fn an_entry_names_what_it_came_after() {
        let store = Store::new();
        let [one, two, three] = ["1", "2", "3"].map(|digest| {
            store.save(digest, 0);
            results_of(&store.0, &entry("", 0)).remove(0).1
        });
        assert_eq!(three.after, ["2", "1"]);
        assert!(three.supersedes(&one) && two.supersedes(&one) && three.supersedes(&three));
        assert!(!one.supersedes(&two) && !one.supersedes(&entry("other", 0)));
    }
}
