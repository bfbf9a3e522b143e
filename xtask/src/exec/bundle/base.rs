//! The bootstrapped base image, out of one engine and into another.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use sha2::{Digest, Sha256};
use xshell::cmd;

use crate::defaults::TAG;
use crate::exec::steps;
use crate::plan::bundle::HeldBase;
use crate::process::ask;
use crate::session::Session;
use crate::step::{Command, Step};
use crate::store::bundle::BaseImage;
use crate::store::layout_check::Blob;

const LIMIT: Duration = Duration::from_secs(20);

/// The image in the engine; nothing where it has none, or where there is no engine.
pub fn held(session: &Session) -> Option<HeldBase> {
    session.host.which("docker")?;
    let sh = &session.sh;
    let answer = ask::ask(cmd!(sh, "docker image inspect --format '{{.Id}} {{.Size}}' {TAG}"), LIMIT).ok()?;
    let (id, bytes) = answer.stdout.trim().split_once(' ')?;
    Some(HeldBase { id: id.to_owned(), bytes: bytes.parse().ok()? })
}

/// Writes it into a file of the scratch folder.
pub fn save(session: &Session, held: &HeldBase, scratch: &Path) -> Result<(BaseImage, PathBuf)> {
    let path = scratch.join("base.tar");
    let command = Command::new(["docker", "save", "--output", &path.to_string_lossy(), TAG]);
    steps::run(&[Step::run("", command)], session.globals.verbose)?;
    check_names(&path)?;
    let (mut hash, mut file) = (Sha256::new(), File::open(&path)?);
    let size = std::io::copy(&mut file, &mut hash)?;
    let blob = Blob { digest: format!("{:x}", hash.finalize()), size };
    Ok((BaseImage { image: TAG.into(), id: held.id.clone(), blob }, path))
}

/// Loads it where the engine has another one or none; says whether it did.
pub fn load(session: &Session, base: &BaseImage, path: &Path) -> Result<bool> {
    if held(session).is_some_and(|held| held.id == base.id) {
        return Ok(false);
    }
    check_names(path)?;
    let command = Command::new(["docker", "load", "--input", &path.to_string_lossy()]);
    steps::run(&[Step::run("", command)], session.globals.verbose)
        .context("failed to load the bundle's base image, without which its layers are no use")?;
    Ok(true)
}

/// `docker load` takes every name that the tar has: it must have ours alone, and one image.
fn check_names(path: &Path) -> Result<()> {
    let mut archive = tar::Archive::new(File::open(path)?);
    let mut documents = 0;
    for entry in archive.entries()?.raw(true) {
        let mut entry = entry.context("its base image is no tar")?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).trim_start_matches("./").to_owned();
        ensure!(
            name != "repositories" || entry.size() < 4096,
            "its base image has another form than `docker save` gives"
        );
        if !["manifest.json", "index.json", "repositories"].contains(&name.as_str()) {
            let is_plain =
                matches!(entry.header().entry_type(), tar::EntryType::Regular | tar::EntryType::Directory);
            ensure!(
                is_plain && !name.contains(".."),
                "its base image has the file `{}`",
                name.escape_default()
            );
            continue;
        }
        let mut bytes = Vec::new();
        entry.by_ref().take(1 << 20).read_to_end(&mut bytes)?;
        let document: Value = serde_json::from_slice(&bytes).context("its base image cannot be read")?;
        let names = names(&name, &document);
        let is_ours = |found: &String| found == TAG || *found == format!("docker.io/{TAG}");
        if let Some(other) = names.iter().find(|found| !is_ours(found)) {
            anyhow::bail!("its base image is named `{}`, and only `{TAG}` is taken", other.escape_default());
        }
        ensure!(names.len() == 1, "its base image holds {} images in place of one", names.len());
        documents += 1;
    }
    ensure!(documents > 0, "its base image names no image");
    Ok(())
}

/// Every name of an image in one of the three documents; one that has none counts as unnamed.
fn names(file: &str, document: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or("without a name").to_owned();
    match file {
        "manifest.json" => {
            let images = document.as_array().into_iter().flatten();
            images
                .flat_map(|image| match image["RepoTags"].as_array() {
                    Some(tags) if !tags.is_empty() => tags.iter().map(text).collect(),
                    _ => vec!["without a name".to_owned()],
                })
                .collect()
        }
        "index.json" => {
            let images = document["manifests"].as_array().into_iter().flatten();
            images.map(|image| text(&image["annotations"]["io.containerd.image.name"])).collect()
        }
        _ => {
            let names = document.as_object().into_iter().flatten();
            names
                .flat_map(|(name, tags)| {
                    let tags = tags.as_object().into_iter().flatten();
                    tags.map(move |(tag, _)| format!("{name}:{tag}"))
                })
                .collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_of_another_name_is_never_loaded() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("base.tar");
        let check = |files: &[(&str, &str)]| {
            let mut builder = tar::Builder::new(File::create(&path).expect("a file"));
            for (name, text) in files {
                let mut header = tar::Header::new_gnu();
                header.set_size(text.len() as u64);
                header.set_entry_type(tar::EntryType::Regular);
                builder.append_data(&mut header, name, text.as_bytes()).expect("appended");
            }
            builder.into_inner().expect("written");
            check_names(&path).map_err(|error| format!("{error:#}"))
        };
        let ours = r#"[{"RepoTags": ["durango/debian:trixie"]}]"#;
        let index = r#"{"manifests": [{"annotations": {"io.containerd.image.name": "docker.io/durango/debian:trixie"}}]}"#;
        assert_eq!(check(&[("blobs/x", "x"), ("index.json", index), ("manifest.json", ours)]), Ok(()));
        let official = r#"[{"RepoTags": ["debian:13-slim"]}]"#;
        let both = r#"[{"RepoTags": ["durango/debian:trixie", "debian:13-slim"]}]"#;
        let other_index = r#"{"manifests": [{"annotations": {"io.containerd.image.name": "docker.io/library/debian:13"}}]}"#;
        let table: &[(&[(&str, &str)], &str)] = &[
            (&[("manifest.json", official)], "named `debian:13-slim`"),
            (&[("manifest.json", both)], "named `debian:13-slim`"),
            (&[("manifest.json", ours), ("manifest.json", official)], "named `debian:13-slim`"),
            (&[("manifest.json", ours), ("index.json", other_index)], "library/debian:13"),
            (&[("manifest.json", ours), ("repositories", r#"{"debian": {"13": "x"}}"#)], "named `debian:13`"),
            (&[("manifest.json", r#"[{"RepoTags": null}]"#)], "without a name"),
            (&[("manifest.json", "[]")], "0 images"),
            (&[("x", "x")], "names no image"),
        ];
        for (files, expected) in table {
            let error = check(files).expect_err(expected);
            assert!(error.contains(expected), "{error}");
        }
    }
}
