//! Bundles of somebody who means harm. Each is refused, and the store, the engine and all other
//! files stay as they were.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::bundle::{digest, write_bundle};
use crate::common::second_daemon::SecondDaemon;
use crate::common::{Project, files};

/// The parts of a bundle, as compact JSON with the fields in the order in which they are read.
struct Parts {
    images: String,
    mounts: String,
    base: String,
    fresh: String,
    files: String,
}

impl Default for Parts {
    fn default() -> Self {
        let none = || "[]".to_owned();
        Self { images: none(), mounts: none(), base: "null".into(), fresh: none(), files: none() }
    }
}

impl Parts {
    fn text(&self, platform: &str) -> String {
        let Self { images, mounts, base, fresh, files } = self;
        format!(
            r#"{{"platform":"{platform}","created":"2026-01-01T00:00:00Z","images":{images},"mounts":{mounts},"base":{base},"fresh":{fresh},"files":{files}}}"#
        )
    }

    /// `bundle.json`.
    fn head(&self, platform: &str) -> Vec<u8> {
        let bundle = self.text(platform);
        format!(r#"{{"format":1,"sha256":"{}","bundle":{bundle}}}"#, digest(bundle.as_bytes())).into_bytes()
    }
}

fn blob(bytes: &[u8]) -> String {
    named(&digest(bytes), bytes.len() as u64)
}

fn named(digest: &str, size: u64) -> String {
    format!(r#"{{"digest":"{digest}","size":{size}}}"#)
}

/// A list of the files, which are sorted by size as a bundle has them.
fn list(blobs: &[&[u8]]) -> String {
    format!("[{}]", blobs.iter().map(|bytes| blob(bytes)).collect::<Vec<_>>().join(","))
}

/// Layers whose index is empty.
fn layers(image: &str, platform: &str, bytes: u64) -> String {
    let (key, blob) = ("a".repeat(64), blob(b"x"));
    let entry = format!(
        r#"{{"format":2,"image":"{image}","platform":"{platform}","key":"{key}","digest":null,"saved":"2026-01-01T00:00:00Z","bytes":{bytes},"steps":[],"id":"1","after":[]}}"#
    );
    let layout = r#""{\"imageLayoutVersion\":\"1.0.0\"}""#;
    format!(r#"[{{"entry":{entry},"index":"{{\"manifests\":[]}}","layout":{layout},"blobs":[{blob}]}}]"#)
}

fn mount(id: &str, platform: &str, bytes: u64) -> String {
    let (manifest, pack) = (blob(b"list"), blob(b"pack"));
    let identity = format!(
        r#"{{"project":"","namespace":"","id":"{id}","from":null,"source":null,"uid":null,"gid":null,"mode":null}}"#
    );
    format!(
        r#"[{{"format":2,"identity":{identity},"sharing":"shared","target":"/x","platform":"{platform}","saved":"2026-01-01T00:00:00Z","files":1,"bytes":{bytes},"is_shared":true,"manifest":{manifest},"packs":[{pack}]}}]"#
    )
}

fn fresh(platform: &str, nonce: u32, packages: &str) -> String {
    let time = "2026-01-01T00:00:00Z";
    let packages = format!(r#"{{"versions":"{packages}","asked":"{time}","next":"{time}"}}"#);
    format!(
        r#"[{{"format":2,"image":"team/app","platforms":{{"{platform}":{{"all":{{"value":{nonce},"at":"{time}"}},"spots":[],"packages":{packages}}}}}}}]"#
    )
}

fn base(image: &str, bytes: &[u8]) -> String {
    format!(r#"{{"image":"{image}","id":"sha256:{}","blob":{}}}"#, "0".repeat(64), blob(bytes))
}

/// A tar of entries with the names as they are.
fn archive(entries: &[(&str, tar::EntryType, &str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, kind, link, data) in entries {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(*kind);
        header.set_size(data.len() as u64);
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link.as_bytes());
        header.set_cksum();
        archive.append(&header, *data).expect("appended");
    }
    archive.into_inner().expect("written")
}

/// A base image of another name in the form that is read.
fn other_image() -> Vec<u8> {
    let config = "{}";
    let part = |kind: &str, text: &str| {
        let digest = format!("sha256:{}", digest(text.as_bytes()));
        json!({"mediaType": kind, "digest": digest, "size": text.len()})
    };
    let manifest = json!({"config": part("c", config), "layers": []}).to_string();
    let mut top = part("application/vnd.oci.image.manifest.v1+json", &manifest);
    top["annotations"] = json!({"io.containerd.image.name": "docker.io/library/debian:13-slim"});
    let index = json!({"manifests": [top]}).to_string();
    let name = |text: &str| format!("blobs/sha256/{}", digest(text.as_bytes()));
    let file = tar::EntryType::Regular;
    archive(&[
        (&name(config), file, "", config.as_bytes()),
        (&name(&manifest), file, "", manifest.as_bytes()),
        ("index.json", file, "", index.as_bytes()),
    ])
}

/// Every bundle with what is said of it.
fn hostile(project: &Project, platform: &str) -> Vec<(PathBuf, &'static str)> {
    let (x, mount_blobs): (&[&[u8]], &[&[u8]]) = (&[b"x"], &[b"list", b"pack"]);
    let with = |images: String| Parts { images, files: list(x), ..Parts::default() };
    let mounts = |mounts: String| Parts { mounts, files: list(mount_blobs), ..Parts::default() };
    let remembered = |fresh: String| Parts { fresh, ..Parts::default() };
    let files = |files: String| Parts { files: format!("[{files}]"), ..Parts::default() };
    let image = |name: &str, bytes: &[u8]| Parts {
        base: base(name, bytes),
        files: list(&[bytes]),
        ..Parts::default()
    };
    let (other, link) =
        (other_image(), archive(&[("index.json", tar::EntryType::Symlink, "/etc/passwd", b"")]));
    let (others, links): (&[&[u8]], &[&[u8]]) = (&[&other], &[&link]);
    let tag = "durango/debian:trixie";
    let table: Vec<(&str, Parts, &[&[u8]], &str)> = vec![
        ("name", with(layers("../../home/.ssh", platform, 1)), x, "it has an image named"),
        ("shape", with(layers("team/app", platform, 1)), x, "its index has no tag `latest`"),
        ("sum", with(layers("team/app", platform, 2)), x, "1 bytes instead of 2"),
        ("digest", files(named("../../../../tmp/x", 1)), &[], "not a SHA-256 digest"),
        ("size", files(named(&digest(b"x"), u64::MAX)), &[], "it has a part of 18446744073709551615 bytes"),
        ("extra", files(blob(b"x")), x, "lists files that nothing in it needs"),
        ("bidi", mounts(mount("/a\u{202e}b", platform, 5)), mount_blobs, "control characters"),
        ("large", mounts(mount("/a", platform, 1 << 62)), mount_blobs, "it has a part of"),
        ("nonce", remembered(fresh(platform, u32::MAX, "")), &[], "it has the nonce 4294967295"),
        ("shell", remembered(fresh(platform, 5, "libc6/$(touch${IFS}x)")), &[], "it has package versions"),
        ("base-tag", image("debian:13-slim", b"x"), x, "its base image is named"),
        ("base-name", image(tag, &other), others, "library/debian:13-slim"),
        ("base-link", image(tag, &link), links, "the entry `index.json`"),
    ];
    let mut made = streams(project, platform);
    for (name, parts, blobs, said) in table {
        let path = project.path("bundles").join(name);
        write_bundle(&path, &parts.text(platform), blobs);
        made.push((path, said));
    }
    made
}

/// Bundles whose form is wrong rather than what they say.
fn streams(project: &Project, platform: &str) -> Vec<(PathBuf, &'static str)> {
    let dir = project.path("bundles");
    let write = |name: &str, bytes: &[u8]| {
        fs::write(dir.join(name), bytes).expect("written");
        dir.join(name)
    };
    let head = Parts::default().head(platform);
    let file = tar::EntryType::Regular;
    let trailing = archive(&[("bundle.json", file, "", &head), ("../../evil", file, "", b"x")]);
    let link = archive(&[("bundle.json", tar::EntryType::Symlink, "/etc/passwd", b"")]);
    let mut long = archive(&[("bundle.json", file, "", &head)]);
    // The header announces 8 GiB.
    long[124..136].copy_from_slice(b"77777777777\0");
    let is_sum = |at: usize| (148..156).contains(&at);
    let sum: u32 = (0..512).map(|at| if is_sum(at) { 32 } else { u32::from(long[at]) }).sum();
    long[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let directory = dir.join("directory");
    fs::create_dir_all(directory.join("blobs/sha256")).expect("made");
    let parts: &[&[u8]] = &[b"list", b"pack"];
    let linked = Parts { mounts: mount("/a", platform, 5), files: list(parts), ..Parts::default() };
    fs::write(directory.join("bundle.json"), linked.head(platform)).expect("written");
    for bytes in [b"list", b"pack"] {
        let place = directory.join("blobs/sha256").join(digest(bytes));
        std::os::unix::fs::symlink(project.path("home/secret"), place).expect("linked");
    }
    let pipe = dir.join("pipe");
    fs::create_dir_all(&pipe).expect("made");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        pipe.join("bundle.json"),
        rustix::fs::FileType::Fifo,
        0o600.into(),
        0,
    )
    .expect("made");
    vec![
        (write("trailing.tar", &trailing), "it has more files than its `bundle.json` lists"),
        (write("link.tar", &link), "its `bundle.json` is not a regular file"),
        (write("long.tar", &long), "has 8589934591 bytes"),
        (directory, "is not a regular file"),
        (pipe, "is not a regular file"),
    ]
}

/// The files of the project with their content, without what the engine's client remembers.
fn content(project: &Project) -> Vec<(PathBuf, Vec<u8>)> {
    let is_ours = |path: &Path| {
        !path.starts_with(project.store().join("tmp")) && !path.starts_with(project.path("home/.docker"))
    };
    let all = files(&project.path("")).into_iter().map(|(path, _)| path).filter(|path| is_ours(path));
    let is_new = |path: &PathBuf| ["lock", "VERSION"].iter().all(|name| *path != project.store().join(name));
    all.filter(is_new)
        .map(|path| (fs::read(&path).expect("read"), path))
        .map(|(bytes, path)| (path, bytes))
        .collect()
}

/// Imports each in turn. Nothing of it stays, and nothing raw is shown.
fn all_are_refused(project: &Project, platform: &str) {
    fs::create_dir(project.path("bundles")).expect("made");
    let bundles = hostile(project, platform);
    assert!(bundles.len() >= 15);
    let before = content(project);
    for (path, said) in &bundles {
        let path = path.display().to_string();
        for more in [&["--dry-run"][..], &[]] {
            let run = project.run(&[&["cache", "import", "--from", &path][..], more].concat());
            assert!(!run.stderr.contains(['\u{1b}', '\u{202e}']), "{}", run.all());
            // Faults that only the blobs show are not known before they are read.
            if more.is_empty() || run.code != 0 {
                run.fails(1, &[said]);
            }
        }
        assert_eq!(content(project), before, "{path} changed something");
        let scratch = files(&project.store().join("tmp"));
        let left: Vec<_> =
            scratch.iter().filter(|(path, _)| !path.starts_with(project.store().join("tmp/facts"))).collect();
        assert!(left.is_empty(), "{path} left {left:?}");
    }
}

fn project() -> Project {
    Project::new(&[("home/secret", "the user's own"), ("home/.profile", "# the user's own\n")])
}

#[test]
fn a_bundle_that_means_harm_changes_nothing() {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    all_are_refused(&project().env("PATH", "/nowhere"), &format!("linux/{architecture}"));
}

#[test]
#[ignore = "needs an engine"]
fn a_bundle_that_means_harm_leaves_the_engine_as_it_was() {
    let second = SecondDaemon::start();
    let project = project().env("DOCKER_HOST", &second.host());
    let format = "{{.Server.Os}}/{{.Server.Arch}}";
    let platform = String::from_utf8(second.docker(&["version", "--format", format]).stdout).expect("text");
    all_are_refused(&project, platform.trim());
    let images = second.docker(&["images", "--all", "--quiet"]);
    assert!(
        images.status.success() && images.stdout.is_empty(),
        "{}",
        String::from_utf8_lossy(&images.stdout)
    );
}
