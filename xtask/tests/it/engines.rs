//! Which tests run on which engine.

use std::collections::BTreeSet;
use std::path::Path;

use xtask::engine::legs::{Leg, SAME_EVERYWHERE};

/// Every topic that needs an engine runs on each leg, or is known to be the same on all.
#[test]
fn no_topic_is_forgotten() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let mut topics = BTreeSet::new();
    for path in std::fs::read_dir(dir).expect("a directory").flatten().map(|entry| entry.path()) {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        if text.contains(concat!("#[ignore = ", "\"needs an engine\"]")) {
            topics.insert(path.file_stem().expect("a name").to_string_lossy().into_owned());
        }
    }
    let current = Leg::Current.topics().expect("topics");
    let known = current.iter().chain(&SAME_EVERYWHERE).map(|topic| (*topic).to_owned()).collect();
    assert_eq!(topics, known, "see `engine/legs`");
    assert!(Leg::Newest.topics().expect("topics").iter().all(|topic| current.contains(topic)));
    assert_eq!(Leg::Floor.topics(), None);
}
