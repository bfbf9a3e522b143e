//! Rights of a declaration, and their refusal.

use super::*;

#[test]
fn bake_may_write_where_a_missing_path_will_be() {
    let dir = tempfile::tempdir().expect("a directory");
    let right = |path: PathBuf| Right::Write(path).to_bake_option();
    let expected = format!("fs.write={}", dir.path().display());
    assert_eq!(right(dir.path().join("new/out.tar")), expected);
    assert_eq!(right(dir.path().to_owned()), expected);
    let read = Right::Read(dir.path().join("new"));
    assert_eq!(read.to_bake_option(), read.to_option());
}

fn host(home: &Path, cwd: &Path) -> Host {
    let mut host = Host::read();
    host.env = [("HOME".to_owned(), home.display().to_string())].into();
    host.cwd = cwd.to_path_buf();
    host
}

fn declaration(dir: &Path, target: Target) -> Declaration {
    Declaration {
        files: vec![dir.join("docker-bake.hcl")],
        dir: dir.to_path_buf(),
        targets: [("app".to_owned(), target)].into(),
        ..Declaration::default()
    }
}

fn refusal(dir: &Path, target: Target, options: &BuildOptions) -> Option<String> {
    let home = dir.parent().expect("a parent");
    let declaration = declaration(dir, target);
    let given = Secrets { ca_bundle: Some("/etc/ca.pem".into()), ..Secrets::default() };
    let granted = granted(&declaration, options, &given, &host(home, home));
    check(&declaration, &["app".to_owned()], &granted).err().map(|error| error.to_string())
}

#[test]
fn what_is_outside_is_refused_with_the_option_that_grants_it() {
    let home = tempfile::tempdir().expect("a directory");
    let home = home.path().canonicalize().expect("a path");
    let dir = home.join("project");
    std::fs::create_dir_all(dir.join("sub")).expect("made");
    std::os::unix::fs::symlink(&home, dir.join("link")).expect("linked");
    let at = |name: &str| home.join(name).display().to_string();
    let inside = Target {
        context: Some("sub".into()),
        contexts: [("a".to_owned(), "docker-image://x".to_owned()), ("b".to_owned(), "target:y".to_owned())]
            .into(),
        secret: vec![
            "id=ca,src=/etc/ca.pem".into(),
            "id=a,src=./s".into(),
            "id=b,env=B".into(),
            "type=env,id=d,src=../D".into(),
            "id=e".into(),
            "id=c,src=/dev/null".into(),
        ],
        output: vec!["type=local,dest=out".into(), "type=docker".into(), "./o".into(), "-".into()],
        cache_from: vec!["type=registry,ref=x/y".into()],
        ..Target::default()
    };
    assert_eq!(refusal(&dir, inside, &BuildOptions::default()), None);
    let context = |context: &str| Target { context: Some(context.into()), ..Target::default() };
    let secret = |secret: &str| Target { secret: vec![secret.into()], ..Target::default() };
    let output = |output: &str| Target { output: vec![output.into()], ..Target::default() };
    let table = [
        (context(".."), "fs.read="),
        (context("link"), "fs.read="),
        (Target { dockerfile: Some("../x/Dockerfile".into()), ..Target::default() }, "fs.read="),
        (
            Target {
                context: Some("https://x.example/y.git".into()),
                dockerfile: Some(at("Dockerfile")),
                ..Target::default()
            },
            "fs.read=",
        ),
        (Target { contexts: [("x".to_owned(), at(".ssh"))].into(), ..Target::default() }, "fs.read="),
        (
            Target {
                contexts: [("x".to_owned(), format!("oci-layout://{}:tag", at("oci")))].into(),
                ..Target::default()
            },
            "fs.read=",
        ),
        (
            Target { secret: vec![format!("id=k,src={}", at(".ssh/id")).into()], ..Target::default() },
            "fs.read=",
        ),
        (Target { ssh: vec![format!("k={}", at(".ssh/id")).into()], ..Target::default() }, "fs.read="),
        (Target { ssh: vec!["default".into()], ..Target::default() }, "ssh"),
        (Target { ssh: vec![serde_json::json!({"id": "default"})], ..Target::default() }, "ssh"),
        (output(&format!("type=local,dest={}", at("o"))), "fs.write="),
        (output("type=tar,dest=link/x.tar"), "fs.write="),
        (output("../o"), "fs.write="),
        (output("../a=b"), "fs.write="),
        (output("type=local,Dest=../o"), "fs.write="),
        (output("type=local, dest=../o"), "fs.write="),
        (output("type=local,\"dest=../o,p\""), "fs.write="),
        (output("type=local,dest=o,dest=../o"), "fs.write="),
        (secret("id=k,SRC=../k"), "fs.read="),
        (secret("id=k,\"src=../k,k\""), "fs.read="),
        (secret("id=../k"), "fs.read="),
        (
            Target {
                output: vec![serde_json::json!({"type": "local", "dest": at("o")})],
                ..Target::default()
            },
            "fs.write=",
        ),
        (Target { cache_to: vec!["type=local,dest=../c".into()], ..Target::default() }, "fs.write="),
        (Target { cache_from: vec!["type=local,src=/etc".into()], ..Target::default() }, "fs.read="),
        (Target { network: Some("host".into()), ..Target::default() }, "network.host"),
        (Target { entitlements: vec!["security.insecure".into()], ..Target::default() }, "security.insecure"),
    ];
    for (target, option) in table {
        let said = refusal(&dir, target.clone(), &BuildOptions::default()).unwrap_or_default();
        let (_, grant) =
            said.split_once("allow it: --allow ").unwrap_or_else(|| panic!("{target:?}: {said}"));
        assert!(grant.starts_with(option), "{said}");
        let grant = &shell_words::split(grant).expect("a word")[0];
        let allow = Right::parse(grant, &host(&home, &home)).expect("an option");
        let options = BuildOptions { allow, ..BuildOptions::default() };
        assert_eq!(refusal(&dir, target, &options), None, "{grant}");
    }
}

#[test]
fn what_the_user_names_is_granted() {
    let home = tempfile::tempdir().expect("a directory");
    let home = home.path().canonicalize().expect("a path");
    let dir = home.join("project");
    std::fs::create_dir_all(&dir).expect("made");
    let outside = home.join("x").display().to_string();
    let target = Target {
        context: Some(outside.clone()),
        secret: vec![format!("id=k,src={outside}/k").into()],
        output: vec![format!("type=local,dest={outside}/o").into()],
        network: Some("host".into()),
        ..Target::default()
    };
    let sets = [
        format!("app.context={outside}"),
        format!("app.output=type=local,dest={outside}/o"),
        "app.network=host".to_owned(),
    ];
    let secrets = vec![format!("id=k,src={outside}/k")];
    let options = BuildOptions { sets: sets.into(), secrets, ..BuildOptions::default() };
    assert_eq!(refusal(&dir, target.clone(), &options), None);
    assert!(refusal(&dir, target.clone(), &BuildOptions::default()).is_some());
    for output in [format!("type=local,dest={outside}/o"), format!("{outside}/o")] {
        let options = BuildOptions { outputs: vec![output], ..BuildOptions::default() };
        let given = granted(
            &declaration(&dir, Target::default()),
            &options,
            &Secrets::default(),
            &host(&home, &home),
        );
        assert!(given.contains(&Right::Write(home.join("x/o"))), "{given:?}");
    }
    // The current directory counts, unless it is the home directory or above it.
    let declaration = declaration(&dir, target);
    let all = granted(
        &declaration,
        &BuildOptions::default(),
        &Secrets::default(),
        &host(&home.join("h"), &home.join("x")),
    );
    assert!(all.contains(&Right::Read(home.join("x"))) && !all.contains(&Right::Read(home.clone())));
    let all =
        granted(&declaration, &BuildOptions::default(), &Secrets::default(), &host(&home.join("h"), &home));
    assert!(!all.contains(&Right::Read(home)));
}

#[test]
fn an_option_is_read_as_bake_reads_it() {
    let host = host(Path::new("/h"), Path::new("/h/p"));
    let parse = |text: &str| Right::parse(text, &host);
    assert_eq!(parse("fs.read=../x").expect("a path"), [Right::Read("/h/p/../x".into())]);
    assert_eq!(parse("fs=*").expect("a path"), [Right::Read("/".into()), Right::Write("/".into())]);
    assert_eq!(parse("network.host").expect("a right"), [Right::Other("network.host".into())]);
    assert!(parse("fs.read").is_err() && parse("net").is_err() && parse("fs.read=").is_err());
}
