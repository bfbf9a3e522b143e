//! Workspaces, stores and the names of directories.

use super::*;

fn root_of(dir: &Path) -> PathBuf {
    let host = Host { cwd: dir.to_owned(), ..Host::read() };
    Layout::find(&host, Some("/s")).expect("a layout").root
}

#[test]
fn the_workspace_is_the_nearest_one_with_images_else_a_declaration_else_a_root() {
    let dir = tempfile::tempdir().expect("a directory");
    let root = dir.path();
    let write = |name: &str| {
        let file = root.join(name);
        std::fs::create_dir_all(file.parent().expect("a directory")).expect("made");
        std::fs::write(file, "").expect("written");
    };
    let compiled = root_of(Path::new("/"));
    assert!(Layout::new(compiled, "/s").has_images());
    write("own/Cargo.lock");
    write("own/deep/file");
    assert_eq!(root_of(&root.join("own/deep")), root.join("own"));
    let own = Layout::new(root.join("own"), "/s");
    assert!(
        own.declaration(&host(&[])).is_err_and(|error| error.to_string().contains("name one with --file"))
    );
    assert!(own.require_images().is_err());
    write("own/deploy/docker-bake.hcl");
    write("own/deploy/compose.yaml");
    write("own/deploy/docker-bake.override.hcl");
    write("own/deploy/docker-bake.override.json");
    write("own/deploy/web/file");
    assert_eq!(root_of(&root.join("own/deploy/web")), root.join("own/deploy"));
    let files = Layout::new(root.join("own/deploy"), "/s").declaration(&host(&[])).expect("both");
    let names = ["compose.yaml", "docker-bake.hcl", "docker-bake.override.json", "docker-bake.override.hcl"];
    assert_eq!(files, names.map(|name| root.join("own/deploy").join(name)));
    write("own/builder/compose.yaml");
    assert_eq!(root_of(&root.join("own/deploy/web")), root.join("own/deploy"), "a directory of that name");
    write("own/builder/base-build.Dockerfile");
    assert_eq!(root_of(&root.join("own/deploy/web")), root.join("own"));
    assert_eq!(own.declaration(&host(&[])).expect("one"), [root.join("own/builder/compose.yaml")]);
}

/// A host in `/w` with these variables alone.
fn host(variables: &[(&str, &str)]) -> Host {
    let env = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Host { cwd: "/w".into(), env, ..Host::read() }
}

#[test]
fn the_variable_of_bake_names_the_files_of_a_workspace_without_the_images() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("compose.yaml"), "").expect("written");
    let layout = Layout::new(dir.path(), "/s");
    let files = |variables: &[(&str, &str)]| {
        let files = layout.declaration(&host(variables)).expect("files");
        files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>()
    };
    let usual = [dir.path().join("compose.yaml").display().to_string()];
    assert_eq!(files(&[]), usual);
    assert_eq!(files(&[("BUILDX_BAKE_FILE", "")]), usual);
    assert_eq!(files(&[("BUILDX_BAKE_FILE", " : ")]), usual);
    assert_eq!(
        files(&[("BUILDX_BAKE_FILE", "a.hcl: /x/b.json:c.yml:")]),
        ["/w/a.hcl", "/x/b.json", "/w/c.yml"]
    );
    let separator = ("BUILDX_BAKE_PATH_SEPARATOR", ", ");
    assert_eq!(files(&[("BUILDX_BAKE_FILE", "a:b.hcl, cwd://c.hcl"), separator]), ["/w/a:b.hcl", "/w/c.hcl"]);
    let images = Layout::new(Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a parent"), "/s");
    assert_eq!(images.declaration(&host(&[("BUILDX_BAKE_FILE", "a.hcl")])).expect("one"), [images.compose()]);
}

#[test]
fn a_long_name_is_one_that_a_file_system_takes() {
    let layout = Layout::new("/", "/s");
    assert_eq!(layout.layers("r.example:5000/own/app"), Path::new("/s/layers/r.example_5000_own_app"));
    let long = "registry.example/".to_owned() + &"deep/".repeat(60);
    let names = [long.clone(), long + "x"].map(|image| layout.fresh(&image));
    assert_ne!(names[0], names[1]);
    assert!(names.iter().all(|path| path.file_name().is_some_and(|name| name.len() < 200)));
}

#[test]
fn a_store_whose_path_has_control_characters_is_refused() {
    for path in ["/s\nx", "/s\u{1b}[2J", "/s\u{9b}2J"] {
        let error = Layout::find(&Host::read(), Some(path)).expect_err("refused").to_string();
        assert!(error.contains("control characters") && !error.contains(path), "{error}");
    }
    let odd = Layout::find(&Host::read(), Some("/s %2F,x='\"$(y)")).expect("a layout");
    assert_eq!(odd.store, Path::new("/s %2F,x='\"$(y)"));
}
