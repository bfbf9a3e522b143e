//! The facts of a build, collected only if its plan needs them.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;

use super::{known_secrets, registries};
use crate::base_image::{self, BaseQuery};
use crate::defaults;
use crate::engine::Engine;
use crate::engine::facts as engine_facts;
use crate::error::usage;
use crate::files;
use crate::plan::allow;
use crate::plan::build_facts::{BuildFacts, FreshFacts, Stored};
use crate::plan::fresh::choose;
use crate::plan::options::BuildOptions;
use crate::project::Declaration;
use crate::project::declaration_query::{self, DeclarationQuery};
use crate::project::dockerfile::mounts;
use crate::project::dockerfile::source::DockerfileSource;
use crate::project::project_name::store_name;
use crate::project::requested::{add_linked, check_calls, check_inputs, check_tags};
use crate::project::{app, pins, secrets};
use crate::session::Session;
use crate::store::fresh::{FreshFile, Nonce};
use crate::store::key::Key;
use crate::store::lock::Holds;
use crate::store::{damage, entry, mount};

/// Collects all facts.
pub(crate) fn facts(
    session: &Session,
    options: &BuildOptions,
    engine: Engine,
    build: &str,
) -> Result<BuildFacts> {
    let scratch = session.layout.tmp().join(build);
    let pinned = pinned(session)?;
    // The engine answers while other facts are read.
    let asked_engine = BaseQuery::start(session, pinned.as_deref().unwrap_or(defaults::PINNED))?;
    known_secrets::learn_options(&session.redactor, options);
    let mut secrets = secrets::read(&session.host);
    secrets.warnings.extend(engine_facts::lost_builder(session));
    secrets.warnings.extend(files::exposure(&session.layout.store));
    let env = secrets.paths();
    let declaration = declaration_query::read(
        session,
        &DeclarationQuery {
            files: &options.files,
            requested: &options.targets,
            sets: &options.declaring_sets(),
            env: &env,
            remember: options.secrets.is_empty(),
        },
    )?;
    known_secrets::learn(&session.redactor, &declaration, options, &secrets, &session.host)?;
    let is_own = declaration.files.iter().all(|file| *file == session.layout.compose());
    let granted = (!is_own).then(|| allow::granted(&declaration, options, &secrets, &session.host));
    let mut names = declaration.resolve(&options.targets)?;
    let requested = names.len();
    add_linked(&declaration, &mut names);
    if let Some(granted) = &granted {
        allow::check(&declaration, &names, granted)?;
    }
    check_calls(&declaration, &names)?;
    check_inputs(&declaration, &names)?;
    check_single(options, &names[..requested], &declaration)?;
    check_tags(&declaration, &names, &|name| options.chosen_tag(name, names[0] == name).is_some())?;
    check_app(session, options, &names, &declaration)?;
    let sources = sources(&declaration, &names);
    let stored = names.iter().filter_map(|name| {
        let source = sources.get(name)?;
        Some((name.clone(), stored(session, options, &engine, &declaration, name, source)))
    });
    let stored: BTreeMap<_, _> = stored.collect();
    // Registries are queried during the search for the base image.
    let asked = registries::ask(session, options, &engine, &stored);
    let damaged = if options.caches.local { damage::mounts(&session.layout) } else { Vec::new() };
    let seeds = if options.caches.local { entry::results(&session.layout) } else { Vec::new() };
    let fresh = |name: &String| {
        let source = sources.get(name).cloned();
        (name.clone(), fresh(session, &engine, &declaration, name, source))
    };
    let mut fresh: BTreeMap<_, _> = names.iter().map(fresh).collect();
    choose(&options.fresh, &mut fresh)?;
    let saved_mounts = mount::all(&session.layout);
    let in_engine = asked_engine.answer()?;
    let is_based = |pinned: &String| names.iter().any(|name| declaration.targets[name].is_based_on(pinned));
    let base = match pinned.filter(is_based) {
        Some(_) => Some(base_image::choose(session, options.provision, &engine, &in_engine)?),
        None => None,
    };
    // The tools of the pinned base image are used even if no target is based on it. It is not made
    // only for them.
    let tools = base.clone().or_else(|| base_image::there(session, &engine, &in_engine));
    let registries = asked.into_iter().map(registries::Asked::answers).collect();
    let nonce = Nonce::draw(session.host.now, std::process::id());
    Ok(BuildFacts {
        engine,
        declaration,
        names,
        requested,
        base,
        in_engine,
        secrets,
        stored,
        damaged,
        seeds,
        registries,
        saved_mounts,
        mounts_dir: session.layout.all_mounts(),
        tools,
        fresh,
        packages: BTreeMap::new(),
        nonce,
        scratch,
        granted,
    })
}

/// Holds the results that BuildKit will read, and drops those that were removed meanwhile.
pub(super) fn hold(session: &Session, facts: &mut BuildFacts) -> Holds {
    let found = facts.stored.values_mut().map(|stored| &mut stored.found.generations);
    let mut held = Holds::default();
    found.for_each(|results| results.retain(|result| held.add(&session.layout, &result.dir)));
    held
}

/// Checks options that are for one image only.
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

/// Checks the application in the image: `--app`, or the one in our own declaration. A context named
/// `app` of a foreign declaration may be anything.
fn check_app(
    session: &Session,
    options: &BuildOptions,
    names: &[String],
    declaration: &Declaration,
) -> Result<()> {
    let store = &session.layout.store;
    if let Some(dir) = &options.app {
        return app::check(dir, store);
    }
    let is_ours = options.files == [session.layout.compose()];
    let apps = names.iter().filter_map(|name| declaration.targets[name].contexts.get("app"));
    let dirs = apps.map(|source| declaration.dir.join(source)).filter(|dir| is_ours && dir.is_dir());
    dirs.into_iter().try_for_each(|dir| app::check(&dir, store))
}

/// Returns the base image that xtask makes if no registry answers: the pinned one, or the default
/// in a workspace without pins.
fn pinned(session: &Session) -> Result<Option<String>> {
    let pins = session.layout.pins();
    if pins.is_file() {
        Ok(pins::read(&pins)?.remove("BASE_IMAGE"))
    } else {
        Ok(Some(defaults::PINNED.to_owned()))
    }
}

/// Returns the store's name of a target's image, and its platforms, joined by commas.
fn image(session: &Session, engine: &Engine, declaration: &Declaration, name: &str) -> (String, String) {
    let image = store_name(declaration, name, session.host.var("COMPOSE_PROJECT_NAME"));
    let target = &declaration.targets[name];
    let native = target.platforms.is_empty();
    (image, if native { engine.platform.clone() } else { target.platforms.join(",") })
}

/// Reads the Dockerfiles by target, each once, so that the key and the plan use the same text.
fn sources(declaration: &Declaration, names: &[String]) -> BTreeMap<String, Arc<DockerfileSource>> {
    let source = |name: &String| DockerfileSource::read(declaration, &declaration.targets[name]);
    names.iter().filter_map(|name| Some((name.clone(), Arc::new(source(name)?)))).collect()
}

fn fresh(
    session: &Session,
    engine: &Engine,
    declaration: &Declaration,
    name: &str,
    source: Option<Arc<DockerfileSource>>,
) -> FreshFacts {
    let target = &declaration.targets[name];
    let (image, platform) = image(session, engine, declaration, name);
    let is_foreign = entry::foreign_format(&session.layout).is_some();
    let (file, warning) =
        if is_foreign { (FreshFile::new(&image), None) } else { FreshFile::read(&session.layout, &image) };
    let first = target.platforms.first().unwrap_or(&engine.platform);
    let inputs = mounts::inputs(target, first, &engine.platform);
    let path = (!is_foreign).then(|| session.layout.fresh(&image));
    FreshFacts { platform, path, file, warning, source, inputs, chosen: Vec::new() }
}

fn stored(
    session: &Session,
    options: &BuildOptions,
    engine: &Engine,
    declaration: &Declaration,
    name: &str,
    source: &DockerfileSource,
) -> Stored {
    let (image, platform) = image(session, engine, declaration, name);
    let key = Key::new(&image, &platform, &source.bytes);
    let results = session.layout.results(&image, &key.0);
    let found = options.caches.local.then(|| entry::find(&session.layout, &image, &platform));
    let found = found.unwrap_or_default();
    Stored { image, platform, key, results, found }
}
