//! The facts of a build, gathered only where its plan needs them.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::Result;

use super::registries;
use crate::cache::entry;
use crate::cache::key::Key;
use crate::cli::Session;
use crate::engine::{Engine, base};
use crate::error::usage;
use crate::plan::build::{Base, Facts, Stored};
use crate::plan::options::BuildOptions;
use crate::project::declaration::{self, Declaration, Question};
use crate::project::{pins, secrets};

/// A file that is not there is told before anything else is asked.
pub fn check_files(files: &[PathBuf]) -> Result<()> {
    match files.iter().find(|file| !file.is_file()) {
        None => Ok(()),
        Some(file) => Err(usage(format!(
            "there is no file `{}`\ncorrect --file, or leave it out to build FrankenPHP",
            file.display()
        ))),
    }
}

/// Gathers them all.
pub fn facts(session: &Session, options: &BuildOptions, engine: Engine, build: &str) -> Result<Facts> {
    let scratch = session.layout.tmp().join(build);
    let secrets = secrets::read(&session.host);
    let env = secrets.paths();
    let declaration = declaration::read(
        session,
        &Question {
            files: &options.files,
            requested: &options.targets,
            sets: &options.declaring_sets(),
            env: &env,
            remember: options.secrets.is_empty(),
        },
    )?;
    let mut names = declaration.resolve(&options.targets)?;
    let requested = names.len();
    add_linked(&declaration, &mut names);
    check_single(options, &names[..requested], &declaration)?;
    let stored = names
        .iter()
        .filter_map(|name| Some((name.clone(), stored(session, options, &engine, &declaration, name)?)));
    let stored: BTreeMap<_, _> = stored.collect();
    // Registries are asked while the base image is looked for.
    let asked = registries::ask(session, options, &engine, &stored);
    let base = base_image(session, options, &engine, &declaration, &names)?;
    let seeds = if options.caches.local { entry::all(&session.layout) } else { Vec::new() };
    let registries = asked.into_iter().map(registries::Asked::answers).collect();
    Ok(Facts { engine, declaration, names, requested, base, secrets, stored, seeds, registries, scratch })
}

/// Targets that others build upon are built with them, so that their images exist under their own names too.
fn add_linked(declaration: &Declaration, names: &mut Vec<String>) {
    let mut next = 0;
    while next < names.len() {
        let target = &declaration.targets[&names[next]];
        let owners: Vec<String> = declaration.links(target).map(|(_, owner)| owner.to_owned()).collect();
        for owner in owners {
            if !names.contains(&owner) {
                names.push(owner);
            }
        }
        next += 1;
    }
}

/// Some options speak of one image.
fn check_single(options: &BuildOptions, requested: &[String], declaration: &Declaration) -> Result<()> {
    let single = [("--tag", &options.tags), ("--output", &options.outputs)];
    if let Some((option, _)) = single.iter().find(|(_, values)| !values.is_empty() && requested.len() != 1) {
        return Err(usage(format!(
            "`{option}` is for one target, and {} are requested\nuse --set TARGET.tags=... or TARGET.output=...",
            requested.len()
        )));
    }
    let takes_app = |name: &String| declaration.targets[name].contexts.contains_key("app");
    if options.app.is_some() && !requested.iter().any(takes_app) {
        return Err(usage("`--app` is for a target with a context named `app`\nno requested target has one"));
    }
    Ok(())
}

/// What stands in for the pinned base image, where a target builds upon that.
fn base_image(
    session: &Session,
    options: &BuildOptions,
    engine: &Engine,
    declaration: &Declaration,
    names: &[String],
) -> Result<Option<Base>> {
    let pins = session.layout.pins();
    if !pins.is_file() {
        return Ok(None);
    }
    let Some(pinned) = pins::read(&pins)?.get("BASE_IMAGE").cloned() else { return Ok(None) };
    let wants = |name: &String| declaration.targets[name].builds_upon(&pinned);
    if !names.iter().any(wants) {
        return Ok(None);
    }
    Ok(Some(base::choose(session, options, engine, &pinned)?))
}

fn stored(
    session: &Session,
    options: &BuildOptions,
    engine: &Engine,
    declaration: &Declaration,
    name: &str,
) -> Option<Stored> {
    let target = &declaration.targets[name];
    let dockerfile = match &target.dockerfile_inline {
        Some(text) => text.clone().into_bytes(),
        None => fs::read(declaration.dockerfile(target)?).ok()?,
    };
    let image = target.tags.first().cloned().unwrap_or_else(|| name.to_owned());
    let platform =
        if target.platforms.is_empty() { engine.platform.clone() } else { target.platforms.join(",") };
    let key = Key::new(&image, &platform, &dockerfile);
    let generation = session.layout.generation(&image, &key.0);
    let found = options.caches.local.then(|| entry::find(&session.layout, &image, &platform));
    let found = found.unwrap_or_default();
    Some(Stored { image, platform, key, generation, found })
}
