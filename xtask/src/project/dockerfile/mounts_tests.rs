use std::collections::BTreeMap;

use crate::project::dockerfile::mounts::*;

fn build(file: &str, args: &[(&str, &str)]) -> Mounts {
    let target = Target {
        args: args.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned()))).collect(),
        ..Target::default()
    };
    let declaration = Declaration {
        project: String::new(),
        files: Vec::new(),
        dir: "/p".into(),
        targets: BTreeMap::from([("app".to_owned(), target.clone()), ("web".to_owned(), target)]),
        groups: BTreeMap::new(),
        ..Declaration::default()
    };
    let names = ["app".to_owned(), "web".to_owned()];
    let files = names.iter().map(|name| (name.clone(), Dockerfile::parse(file.as_bytes()))).collect();
    of_build(&declaration, &names, &files, "linux/amd64")
}

fn only(file: &str, args: &[(&str, &str)]) -> CacheMount {
    let found = build(file, args);
    assert_eq!((found.mounts.len(), &found.warnings), (1, &Vec::new()), "{file}");
    found.mounts[0].mount.clone()
}

#[test]
fn identities_as_buildkit_makes_them() {
    let id = |id: &str| MountIdentity { id: id.to_owned(), ..MountIdentity::default() };
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], MountIdentity);
    let table: &[Case<'_>] = &[
        ("target=/a//b/", &[], id("/a/b")),
        ("target=/a,id=x", &[], id("x")),
        ("dst=/a", &[], id("/a")),
        ("target=rel", &[], id("rel")),
        ("target=/a,id=${ID:-d}", &[("ID", "given")], id("given")),
        ("target=/a,id=${ID:-d}", &[], id("d")),
        ("target=/a,id=$HOME_OF", &[], id("e")),
        ("target=/a,from=scratch", &[], id("/a")),
        ("target=/a,from=0", &[], MountIdentity { from: Some("app/0".into()), ..id("/a") }),
        (
            "target=/a,from=SEED,source=s/",
            &[],
            MountIdentity { from: Some("app/seed".into()), source: Some("/s".into()), ..id("/a") },
        ),
        ("target=/a,from=img:1", &[], MountIdentity { from: Some("app/img:1".into()), ..id("/a") }),
        (
            "target=/a,uid=1,gid=2,mode=0770",
            &[],
            MountIdentity { uid: Some(1), gid: Some(2), mode: Some("0770".into()), ..id("/a") },
        ),
        (
            "target=/a",
            &[("BUILDKIT_CACHE_MOUNT_NS", "ns")],
            MountIdentity { namespace: "ns".into(), ..id("/a") },
        ),
    ];
    for (options, args, expected) in table {
        let file = format!(
            "FROM scratch AS seed\nFROM scratch\nARG ID\nENV HOME_OF=e\nWORKDIR /w\nRUN --mount=type=cache,{options} x\n"
        );
        let found = build(&file, args);
        assert_eq!(found.warnings, Vec::<String>::new(), "{options}");
        assert_eq!(&found.mounts[0].mount.identity, expected, "{options}");
    }
    let relative = only("FROM scratch\nWORKDIR /w\nRUN --mount=type=cache,target=rel x", &[]);
    assert_eq!(relative.target, "/w/rel");
}

#[test]
fn options_are_fields_of_csv() {
    // A comma in quotes ends no field, and BuildKit drops the quotes of a flag.
    for mount in [
        r#"'type=cache,"target=/a,b",sharing=locked'"#,
        r#"type=cache,'"target=/a,b"',"sharing=locked""#,
        r#"type=cache,\"target=/a,b\",sharing=locked"#,
    ] {
        let found = only(&format!("FROM scratch\nRUN --mount={mount} x\n"), &[]);
        assert_eq!((found.target.as_str(), found.sharing), ("/a,b", Sharing::Locked), "{mount}");
        assert_eq!(found.identity.id, "/a,b", "{mount}");
    }
}

#[test]
fn who_uses_a_mount_and_what_is_no_cache_mount() {
    let file = "FROM debian AS a\nRUN --mount=type=cache,target=/c,sharing=locked one\n\
        RUN --mount=type=secret,id=s --mount=type=tmpfs,target=/t --mount=from=a,target=/b two\n\
        FROM debian AS unused\nRUN --mount=type=cache,target=/no x\nFROM a\nRUN --mount=type=cache,target=/c,sharing=locked \\\n  three\n";
    let found = build(file, &[]);
    assert_eq!(found.warnings, Vec::<String>::new());
    assert_eq!((found.mounts.len(), found.mounts[0].mount.sharing), (1, Sharing::Locked));
    let uses: Vec<_> =
        found.mounts[0].uses.iter().map(|one| format!("{} {}", one.target, one.stage)).collect();
    assert_eq!(uses, ["app a", "app stage-2", "web a", "web stage-2"]);
    assert!(found.mounts[0].uses[1].instruction.ends_with("locked   three"));
}

#[test]
fn what_cannot_be_known_or_differs_is_reported() {
    let unknown = build("FROM debian\nRUN --mount=type=cache,target=$HOME/.cache x", &[]);
    assert_eq!(unknown.mounts, []);
    assert!(unknown.warnings[0].contains("`HOME`"), "{:?}", unknown.warnings);
    let differs =
        "FROM debian\nRUN --mount=type=cache,target=/c x\nRUN --mount=type=cache,target=/c,sharing=private y";
    let differs = build(differs, &[]);
    assert_eq!((differs.mounts.len(), differs.mounts[0].mount.sharing), (1, Sharing::Shared));
    assert!(differs.warnings[0].contains("`private`"), "{:?}", differs.warnings);
}

#[test]
fn a_mount_of_an_onbuild_belongs_to_its_child() {
    let file = "FROM debian AS a\nONBUILD RUN --mount=type=cache,target=/c x\nFROM a AS b\n";
    assert_eq!(build(file, &[]).mounts[0].uses[0].stage, "b");
}
