use crate::plan::gc::*;

fn at(day: i64) -> Timestamp {
    Timestamp::from_second(1_780_000_000 + day * 86_400).expect("in range")
}

/// Returns an item with this many bytes of its own, saved and used on a day.
fn item(kind: ItemKind, name: &str, day: i64, bytes: u64) -> Item {
    let inode = name.bytes().fold(7, |sum, byte| sum * 131 + u64::from(byte));
    Item {
        kind,
        path: PathBuf::from(name),
        name: name.into(),
        group: name.chars().next().unwrap_or('x').to_string(),
        key: name.into(),
        rank: u64::try_from(day).unwrap_or_default(),
        seen: Seen::default(),
        saved: at(day),
        used: at(day),
        state: ItemState::Sound,
        nodes: vec![Node::new(inode, bytes)],
        is_budgeted: true,
    }
}

fn layers(name: &str, day: i64, bytes: u64) -> Item {
    item(ItemKind::Layers, name, day, bytes)
}

fn gone(items: &[Item], budget: u64, room: u64, change: impl Fn(&mut Request)) -> (Vec<String>, GcPlan) {
    let contents = Contents { items: items.to_vec(), rest: vec![Node::new(1, 10)], ..Contents::default() };
    let mut request = Request { policy: Policy { budget, ..Policy::default() }, room, protect: Vec::new() };
    change(&mut request);
    let plan = plan(&contents, &request, at(100));
    (plan.removals.iter().map(|removal| removal.name.clone()).collect(), plan)
}

#[test]
fn within_the_budget_only_what_nobody_can_use_and_what_is_beyond_goes() {
    let mut old = item(ItemKind::Tmp, "t1", 99, 5);
    old.state = ItemState::Orphan("its build is gone");
    let mut running = item(ItemKind::Tmp, "t2", 99, 5);
    running.state = ItemState::Untouchable;
    let items = [
        running,
        old,
        item(ItemKind::Quarantine, "q1", 92, 5),
        item(ItemKind::Quarantine, "q2", 94, 5),
        layers("a1", 1, 5),
        layers("a2", 2, 5),
        layers("a3", 3, 5),
        layers("a4", 4, 5),
        layers("b1", 0, 5),
    ];
    let (names, plan) = gone(&items, 1000, 0, |_| {});
    assert_eq!(names, ["q1", "t1", "a1"]);
    assert_eq!((plan.before, plan.after, plan.short), (55, 40, 0));
    let (names, _) = gone(&items, 1000, 0, |request| {
        request.policy.keep = 1;
        request.policy.older_than = Some(98);
    });
    assert_eq!(names, ["q1", "t1", "b1", "a1", "a2", "a3"], "what is old first, the newest of each stays");
}

#[test]
fn what_was_of_no_use_for_longest_goes_until_the_rest_fits() {
    let mut read = layers("a1", 1, 50);
    read.used = at(60);
    let items = [read, layers("b1", 20, 30), item(ItemKind::Mounts, "m", 10, 40), layers("c1", 50, 20)];
    assert_eq!(gone(&items, 150, 0, |_| {}).0, Vec::<String>::new());
    assert_eq!(gone(&items, 149, 0, |_| {}).0, ["m"]);
    assert_eq!(gone(&items, 90, 0, |_| {}).0, ["m", "b1"]);
    let (names, plan) = gone(&items, 90, 0, |request| request.protect = vec!["b1".into(), "c1".into()]);
    assert_eq!((names, plan.after), (vec!["m".to_owned(), "a1".into()], 60));
    let small = [layers("b1", 1, 1), layers("a1", 2, 100), layers("c1", 3, 100)];
    assert_eq!(gone(&small, 111, 0, |_| {}).0, ["a1"], "the small one need not go");
}

#[test]
fn what_is_shared_is_freed_with_the_last_that_has_it() {
    let shared = Node::new(2, 80);
    let with = |mut item: Item| {
        item.nodes.push(shared);
        item
    };
    let items = [with(layers("a1", 1, 10)), with(layers("a2", 2, 10)), layers("b1", 3, 10)];
    let (names, plan) = gone(&items, 115, 0, |_| {});
    assert_eq!((names, plan.before, plan.after), (vec!["a1".to_owned()], 120, 110));
    assert_eq!(plan.removals[0].bytes, 10);
    let (names, plan) = gone(&items, 40, 0, |_| {});
    assert_eq!((names.join(" "), plan.after), ("a1 a2".into(), 20));
    assert_eq!(plan.removals[1].bytes, 90);
}

#[test]
fn nothing_goes_for_room_that_cannot_be_had() {
    let items = [layers("a1", 1, 50), layers("b1", 2, 50)];
    let (names, plan) = gone(&items, 100, 90, |_| {});
    assert_eq!((names.join(" "), plan.short, plan.after), ("a1 b1".into(), 0, 10));
    let (names, plan) = gone(&items, 100, 91, |_| {});
    assert_eq!((names.len(), plan.short), (0, 101));
    let (names, plan) = gone(&items, 5, 0, |_| {});
    assert_eq!((names.len(), plan.short), (2, 5), "a budget holds for what is there");
}

#[test]
fn what_is_damaged_goes_before_what_is_sound() {
    let mut broken = layers("b1", 50, 30);
    broken.state = ItemState::Damaged("x".into());
    let (names, _) = gone(&[layers("a1", 1, 30), broken.clone()], 60, 0, |_| {});
    assert_eq!(names, ["b1"]);
    assert_eq!(gone(&[layers("a1", 1, 30), broken], 70, 0, |_| {}).0, Vec::<String>::new());
}

#[test]
fn clearing_takes_all_of_a_kind_but_what_runs() {
    let mut running = item(ItemKind::Builds, "r", 99, 5);
    running.state = ItemState::Untouchable;
    let items = vec![running, item(ItemKind::Builds, "o", 1, 5), layers("a1", 1, 5)];
    let plan = clear(&Contents { items, ..Contents::default() }, &[ItemKind::Builds]);
    assert_eq!(plan.removals.iter().map(|removal| removal.name.as_str()).collect::<Vec<_>>(), ["o"]);
}
