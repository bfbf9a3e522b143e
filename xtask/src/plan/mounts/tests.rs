//! From mounts to the call that transfers them, without an engine.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::plan::mounts::transfer::Part;
use crate::plan::mounts::*;
use crate::store::key::FORMAT;
use crate::store::layout_check::Blob;

fn blob(name: &str, size: u64) -> Blob {
    Blob { digest: name.repeat(64), size }
}

fn entry(packs: &[u64]) -> MountEntry {
    MountEntry {
        format: FORMAT,
        identity: MountIdentity::default(),
        sharing: Sharing::Shared,
        target: "/c".into(),
        platform: "linux/amd64".into(),
        saved: Timestamp::from_second(1000).expect("in range"),
        files: 1,
        bytes: 1,
        is_shared: true,
        manifest: blob("a", 1),
        packs: packs.iter().map(|size| blob("b", *size)).collect(),
        steps: Vec::new(),
    }
}

fn mount(id: &str) -> PlannedMount {
    PlannedMount {
        dir: format!("/s/mounts/{id}").into(),
        identity: MountIdentity { id: id.into(), ..MountIdentity::default() },
        sharing: Sharing::Locked,
        target: "/cache".into(),
        is_shared: true,
        held: Some(entry(&[4 << 20])),
        uses: Vec::new(),
    }
}

fn template() -> TransferTemplate {
    TransferTemplate {
        bake: Command::new(["docker", "buildx", "bake"]),
        builder: "default".into(),
        loopback: true,
        tools: ("own/debian".into(), None),
        owners: BTreeMap::from([(
            "app".to_owned(),
            Owner {
                dockerfile: "FROM own AS seed\n".into(),
                dockerignore: Some("x\n".into()),
                sets: vec![("args.A".into(), "1".into())],
            },
        )]),
        scratch: "/s/tmp/id".into(),
    }
}

fn text<'a>(transfer: &'a Transfer, name: &str) -> &'a str {
    let found = transfer.files.iter().find(|(path, _)| path.ends_with(name));
    &found.unwrap_or_else(|| panic!("no {name} in {:?}", transfer.files)).1
}

#[test]
fn each_mount_has_a_run_of_its_own_with_exactly_its_options() {
    let odd = PlannedMount {
        identity: MountIdentity {
            id: "odd".into(),
            uid: Some(0),
            gid: Some(7),
            mode: Some("0750".into()),
            source: Some("/s".into()),
            from: Some("app/seed".into()),
            ..MountIdentity::default()
        },
        sharing: Sharing::Private,
        ..mount("odd")
    };
    let transfer = template().transfer(
        (Direction::Restore, Part::List),
        &[mount("a"), odd],
        &BTreeSet::new(),
        "n0",
        None,
    );
    let plain = text(&transfer, "durango-mounts-0.Dockerfile");
    let run = "FROM scratch AS durango-0\nRUN --network=none --mount=type=cache,id=a,target=/cache,sharing=locked \
        --mount=type=bind,from=durango-in-n0,source=/scripts,target=/durango/transfer \
        --mount=type=bind,from=durango-in-n0,source=/0,target=/durango/in --mount=type=bind,from=durango-tools,";
    assert!(plain.contains(run), "{plain}");
    let words = r#"["bash","/durango/transfer/put-back","/cache","n0","0","restore","1","1"]"#;
    assert!(plain.contains(words) && !plain.contains("apt"), "{plain}");
    let owned = text(&transfer, "durango-mounts-1.Dockerfile");
    assert!(owned.starts_with("FROM own AS seed\n"), "the owner's stages come first: {owned}");
    let options = "id=odd,target=/cache,sharing=private,from=seed,source=/s,uid=0,gid=7,mode=0750";
    assert!(owned.contains(options) && !owned.contains("COPY"), "{owned}");
    assert_eq!(text(&transfer, "durango-mounts-1.Dockerfile.dockerignore"), "x\n");
    let bake: serde_json::Value = serde_json::from_str(text(&transfer, "bake.json")).expect("JSON");
    assert_eq!(bake["target"]["durango-mounts-1"]["inherits"][0], "app");
    assert_eq!(bake["target"]["durango-mounts-0"]["output"][0], "type=cacheonly");
    assert_eq!(bake["target"]["durango-mounts-0"]["target"], "durango-0", "nothing to gather");
    let line = transfer.command.to_shell();
    assert!(
        line.contains("durango-mounts-1.args.A=1") && line.ends_with("durango-mounts-0 durango-mounts-1"),
        "{line}"
    );
}

#[test]
fn over_the_loopback_interface_buildkit_carries_the_scripts_alone() {
    let at = Loopback { port: 7, token: "secret".into(), answer: "known".into() };
    for direction in [Direction::Restore, Direction::Fill, Direction::Save] {
        let mounts = [mount("a"), mount("b")];
        let transfer =
            template().transfer((direction, Part::List), &mounts, &BTreeSet::new(), "n0", Some(&at));
        let file = text(&transfer, "durango-mounts-0.Dockerfile");
        assert!(
            file.contains("RUN --network=host --mount=") && !file.contains("target=/durango/in"),
            "{file}"
        );
        assert!(file.contains("--mount=type=secret,id=durango-loopback,"), "{file}");
        assert_eq!(transfer.command.secret_env["DURANGO_LOOPBACK"], "7 secret known\n");
        let is_open = |text: &str| text.contains("secret known");
        assert!(!transfer.files.iter().any(|(_, text)| is_open(text)), "other users read files");
        assert_eq!(transfer.part, Part::Whole);
        let line = transfer.command.to_shell();
        assert!(
            line.contains("docker buildx --builder default build ") && line.contains("--allow network.host")
        );
        assert!(line.contains("--target durango-result") && !is_open(&line), "{line}");
    }
    let owned = PlannedMount {
        identity: MountIdentity { from: Some("app/seed".into()), ..MountIdentity::default() },
        ..mount("owned")
    };
    let mounts = [mount("a"), owned];
    let transfer =
        template().transfer((Direction::Restore, Part::List), &mounts, &BTreeSet::new(), "n0", Some(&at));
    assert!(transfer.loopback.is_none(), "the owner's stages would run again");
}

#[test]
fn what_is_left_keeps_its_number() {
    let mounts = [mount("a"), mount("b")];
    let transfer =
        template().transfer((Direction::Save, Part::Pack), &mounts, &BTreeSet::from([0]), "n0", None);
    let file = text(&transfer, "durango-mounts-0.Dockerfile");
    assert!(
        !file.contains("id=a,")
            && file.contains("FROM scratch AS durango-1\n")
            && file.contains(r#""n0","1","pack"]"#),
        "{file}"
    );
    assert!(transfer.may("put", 1, "pack") && !transfer.may("put", 2, "pack"));
    assert!(!transfer.may("get", 1, "stream-0") && !transfer.may("put", 1, "../pack"));
}

#[test]
fn what_several_leave_is_gathered() {
    let transfer = template().transfer(
        (Direction::Save, Part::List),
        &[mount("a"), mount("b")],
        &BTreeSet::new(),
        "n0",
        None,
    );
    let file = text(&transfer, "durango-mounts-0.Dockerfile");
    let copy = "FROM scratch AS durango-result\nCOPY --from=durango-0 /durango/out/ /durango/out/\nCOPY --from=durango-1 ";
    assert!(file.contains(copy), "{file}");
    let bake: serde_json::Value = serde_json::from_str(text(&transfer, "bake.json")).expect("JSON");
    assert_eq!(bake["target"]["durango-mounts-0"]["target"], "durango-result");
    assert!(transfer.result(1).ends_with("out/durango/out/1"), "{:?}", transfer.result(1));
}

#[test]
fn a_place_that_hides_the_tools_is_moved() {
    for (target, place) in
        [("/usr/lib/x", "/durango/mount"), ("/", "/durango/mount"), ("/root/.cache", "/root/.cache")]
    {
        let mount = PlannedMount { target: target.into(), ..mount("a") };
        let transfer =
            template().transfer((Direction::Save, Part::List), &[mount], &BTreeSet::new(), "n0", None);
        let file = text(&transfer, "durango-mounts-0.Dockerfile");
        assert!(file.contains(&format!("id=a,target={place},")), "{file}");
    }
}

#[test]
fn a_long_or_stale_chain_is_packed_anew() {
    let table: &[(&[u64], bool)] = &[
        (&[4 << 20], true),
        (&[4 << 20, 1 << 20], true),
        (&[4 << 20, 3 << 20, 2 << 20], false),
        (&[1, 2, 3], true),
        (&[9; 8], false),
    ];
    for (packs, adds) in table {
        let mount = PlannedMount { held: Some(entry(packs)), ..mount("a") };
        assert_eq!(mount.previous().is_some(), *adds, "{packs:?}");
    }
}

#[test]
fn what_no_option_takes_does_not_travel() {
    assert!(mount("a").is_writable());
    for id in ["a b", "a,b", "a\"b", "a$b", "a\\b"] {
        assert!(!mount(id).is_writable(), "{id}");
    }
}
