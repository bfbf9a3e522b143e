//! The order and the age of imported entries among those of the store.

use super::*;

#[test]
fn what_is_imported_counts_as_of_use_now_however_old_it_is() {
    let made = Made::new(100);
    let (_dir, layout) = store();
    made.import(&layout, &made.tar()).expect("sound");
    let items = Contents::read(&layout).items;
    let kept: Vec<_> =
        items.iter().filter(|item| matches!(item.kind, ItemKind::Layers | ItemKind::Mounts)).collect();
    assert_eq!(kept.len(), 2, "{items:?}");
    for item in kept {
        assert_eq!(item.saved, at(100));
        assert!(
            item.used > at(1_000_000),
            "{}: the budget would take it before what is older here",
            item.name
        );
    }
}

#[test]
fn an_import_makes_room_before_it_moves_anything_into_the_store() {
    let made = Made::new(100);
    let (_dir, layout) = store();
    let import =
        |budget| import_within(&layout, &BundlePlace::File(made.dir.path().join("bundle.tar")), budget);
    made.import(&layout, &made.tar()).expect("sound");
    let needed = Contents::read(&layout).bytes();
    crate::exec::steps::remove(&layout.all_layers()).expect("removed");
    crate::exec::steps::remove(&layout.all_mounts()).expect("removed");
    // An unused result of another image is in its place.
    let key = Key::new("other/app", HERE, b"FROM x");
    let old = layout.results("other/app", &key.0).join("1");
    fs::create_dir_all(&old).expect("made");
    let entry = Entry { image: "other/app".into(), key, ..made.bundle.images[0].entry.clone() };
    fs::write(old.join("entry.json"), serde_json::to_vec(&entry).expect("JSON")).expect("written");
    fs::write(old.join("blob"), vec![7; 900_000]).expect("written");
    let error = import(needed / 2).expect_err("no room").to_string();
    assert!(error.contains("the store's budget is"), "{error}");
    assert!(old.exists() && !layout.all_mounts().exists());
    let held = crate::store::lock::hold(&old);
    import(needed + 100_000).expect_err("a build holds the result");
    assert!(old.exists() && !layout.all_mounts().exists());
    drop(held);
    import(needed + 100_000).expect("the result gives way");
    assert!(!old.exists() && Contents::read(&layout).bytes() <= needed + 100_000);
}

#[test]
fn a_newer_bundle_comes_before_what_is_older() {
    let (old, new) = (Made::new(100), Made::new(200));
    let (_dir, layout) = store();
    old.import(&layout, &old.tar()).expect("sound");
    assert!(new.import(&layout, &new.tar()).expect("sound").is_empty());
    let found = entry::find(&layout, "team/app", HERE).generations;
    let seconds: Vec<i64> = found.iter().map(|result| result.entry.saved.as_second()).collect();
    assert_eq!(seconds, [200, 100], "both stay, the newer one first");
    let (mounts, _) = crate::store::mount::all(&layout);
    assert_eq!((mounts.len(), mounts[0].entry.saved), (1, at(200)));
}

#[test]
fn results_of_one_bundle_keep_their_order_and_times_of_the_future_become_now() {
    let (old, new) = (Made::new(100), Made::new(200));
    let mut both = Made::new(100);
    let mut newest = new.bundle.images[0].clone();
    newest.entry.saved = newest_time();
    both.bundle.images = vec![newest, old.bundle.images[0].clone()];
    both.bundle.mounts[0].saved = newest_time();
    let before = Timestamp::now();
    let (_dir, layout) = store();
    both.import(&layout, &both.tar()).expect("sound");
    let found = entry::find(&layout, "team/app", HERE).generations;
    let ids: Vec<&str> = found.iter().map(|result| result.entry.id.as_str()).collect();
    assert_eq!(ids, ["200", "100"]);
    let (mounts, _) = crate::store::mount::all(&layout);
    for saved in [found[0].entry.saved, mounts[0].entry.saved] {
        assert!(saved >= before && saved <= Timestamp::now(), "{saved}");
    }
}

fn newest_time() -> Timestamp {
    Timestamp::now() + jiff::SignedDuration::from_hours(9000)
}

#[test]
fn the_newest_and_the_exact_go_of_what_is_asked_for() {
    let layers = |image: &str, dockerfile: &[u8], second: i64| {
        let mut layers = Made::new(second).bundle.images.remove(0);
        layers.entry.image = image.into();
        layers.entry.key = Key::new(image, HERE, dockerfile);
        (PathBuf::from(format!("{image}-{second}")), layers)
    };
    let stock = Stock {
        layers: vec![layers("a", b"1", 1), layers("a", b"2", 2), layers("a", b"3", 3), layers("b", b"1", 1)],
        ..Stock::default()
    };
    let plan = |wanted: &Wanted| plan(&stock, wanted, None, HERE, at(9));
    let seconds = |wanted: &Wanted| {
        let export = plan(wanted).expect("a plan");
        export
            .bundle
            .images
            .iter()
            .map(|layers| (layers.entry.image.clone(), layers.entry.saved.as_second()))
            .collect::<Vec<_>>()
    };
    assert_eq!(seconds(&Wanted::default()), [("a".to_owned(), 3), ("b".to_owned(), 1)]);
    let exact = [Key::new("a", HERE, b"1")].into();
    assert_eq!(
        seconds(&Wanted { images: vec!["a".into()], exact, mounts: None }),
        [("a".to_owned(), 1), ("a".to_owned(), 3)]
    );
    let unknown = Wanted { images: vec!["c".into()], ..Wanted::default() };
    assert!(plan(&unknown).expect_err("none").to_string().contains("no layers of `c`\nit has: a, b"));
}
