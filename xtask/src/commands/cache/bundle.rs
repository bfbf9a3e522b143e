//! `cache export` and `cache import`.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::args::Parsed;
use crate::engine::facts as engine_facts;
use crate::error::usage;
use crate::exec::budget::Budget;
use crate::exec::bundle::{BundlePlace, base, read, write};
use crate::exec::read_only_store;
use crate::exec::scratch::Scratch;
use crate::files;
use crate::json::SCHEMA;
use crate::plan::bundle::{self, Stock, Wanted};
use crate::plan::options::BuildOptions;
use crate::platform;
use crate::process::stdio::{err, errln, out, outln};
use crate::project::Declaration;
use crate::project::declaration_query::{self, DeclarationQuery};
use crate::project::dockerfile::source::DockerfileSource;
use crate::project::dockerfile::{Dockerfile, mounts};
use crate::project::image_reference::repository;
use crate::project::mount::MountIdentity;
use crate::project::project_name::store_name;
use crate::project::requested::{add_linked, check_files};
use crate::project::secrets;
use crate::session::Session;
use crate::store::bundle::{Bundle, Layers};
use crate::store::contents;
use crate::store::entry;
use crate::store::key::Key;
use crate::store::policy::Policy;
use crate::store::{fresh, layout_check, mount};
use crate::text::size::show as human;

/// Runs `cache export --to PLACE [IMAGE...]`.
pub(crate) fn export(session: &Session, parsed: &Parsed) -> Result<u8> {
    let (started, dry_run) = (Instant::now(), parsed.flag("--dry-run"));
    let to = place(session, parsed, "export", "--to")?;
    if to == BundlePlace::Pipe && session.globals.json && !dry_run {
        return Err(usage("`--to -` and `--json` both write to stdout\nname a file, or leave out --json"));
    }
    if to == BundlePlace::Pipe && session.host.stdout_is_terminal && !dry_run {
        return Err(usage(
            "failed to export: stdout is a terminal\nname a file, or pipe the bundle: --to - | ssh HOST ...",
        ));
    }
    refuse_foreign(session)?;
    let replacement = read_only_store::needed(session)?;
    let session = replacement.as_ref().map_or(session, |replacement| &replacement.session);
    write::check_place(&to)?;
    let platform = platform(session);
    let (stock, warnings) = stock(session);
    warnings.iter().for_each(|warning| errln!("warning: {warning}"));
    let wanted = wanted(session, parsed, &stock, &platform)?;
    let mut plan = bundle::plan(&stock, &wanted, base::held(session), &platform, session.host.now)?;
    if dry_run {
        let bytes = plan.bytes();
        return finish(session, &mut plan.bundle, &to, bytes, started, true);
    }
    let scratch = Scratch::new(&session.layout, session.host.now, contents::EXPORT)?;
    let mut bundle = write::export(session, &plan, &to, scratch.dir())?;
    let bytes = bundle.bytes();
    finish(session, &mut bundle, &to, bytes, started, false)
}

fn finish(
    session: &Session,
    bundle: &mut Bundle,
    to: &BundlePlace,
    bytes: u64,
    started: Instant,
    dry_run: bool,
) -> Result<u8> {
    if session.globals.json {
        let more = json!({"to": show(to), "dry_run": dry_run, "seconds": started.elapsed().as_secs_f64()});
        outln!("{}", document(bundle, &more));
        return Ok(0);
    }
    let verb = if dry_run { "would be exported" } else { "exported" };
    let text = format!(
        "{}{} {verb} to {} in {:.1} s\n",
        bundle::text(bundle),
        human(bytes),
        show(to),
        started.elapsed().as_secs_f64()
    );
    if *to == BundlePlace::Pipe {
        err!("{text}");
    } else {
        out!("{text}");
    }
    Ok(0)
}

/// Runs `cache import --from PLACE`.
pub(crate) fn import(session: &Session, parsed: &Parsed) -> Result<u8> {
    let started = Instant::now();
    let from = place(session, parsed, "import", "--from")?;
    if from == BundlePlace::Pipe && std::io::stdin().is_terminal() {
        return Err(usage(
            "failed to import: stdin is a terminal\nname a file, or pipe the bundle: ssh HOST ... | cargo \
             xtask cache import --from -",
        ));
    }
    let policy = Policy::of(&session.host)?;
    refuse_foreign(session)?;
    let name = || format!("failed to import `{}`", show(&from));
    let here = platform(session);
    let (bundle, done) = if parsed.flag("--dry-run") {
        let mut first = |bundle: &Bundle| bundle.check_platform(&here).map(|()| false);
        (read::read(&from, &mut first, &mut |_, _| Ok(())).with_context(name)?, read::Imported::default())
    } else {
        if let Some(replacement) = read_only_store::needed(session)? {
            bail!("{}", replacement.reason);
        }
        let scratch = Scratch::new(&session.layout, session.host.now, contents::IMPORT)?;
        let budget = Budget::new(&session.layout, &policy, session.host.now);
        let imported = read::import(session, &from, &here, &budget, scratch.dir());
        let imported = imported.with_context(name)?;
        budget.enforce()?;
        imported
    };
    let seconds = started.elapsed().as_secs_f64();
    if session.globals.json {
        let more = json!({"from": show(&from), "dry_run": parsed.flag("--dry-run"), "kept": done.kept,
            "loaded": done.loaded, "seconds": seconds});
        outln!("{}", document(&bundle, &more));
        return Ok(0);
    }
    out!("{}", bundle::text(&bundle));
    done.kept.iter().for_each(|kept| outln!("skipped, because the store has the same or newer ones: {kept}"));
    if let Some(base) = bundle.base.as_ref().filter(|_| done.loaded) {
        outln!("`{}` of this engine is now the bundle's image: {}", base.image, base.id);
    }
    let verb = if parsed.flag("--dry-run") { "would be imported" } else { "imported" };
    outln!("{} {verb} from {} in {seconds:.1} s", human(bundle.bytes()), show(&from));
    Ok(0)
}

fn document(bundle: &Bundle, more: &Value) -> Value {
    let mut document = bundle::json(bundle);
    document["schema"] = SCHEMA.into();
    for (name, value) in more.as_object().into_iter().flatten() {
        document[name] = value.clone();
    }
    document
}

/// Refuses a store of another format.
fn refuse_foreign(session: &Session) -> Result<()> {
    entry::foreign_format(&session.layout).map_or(Ok(()), |warning| bail!("{warning}"))
}

fn declared(session: &Session, options: &BuildOptions) -> Result<Declaration> {
    check_files(&options.files)?;
    let env = secrets::read(&session.host).paths();
    let question =
        DeclarationQuery { files: &options.files, requested: &[], sets: &[], env: &env, remember: true };
    declaration_query::read(session, &question)
}

/// Parses `-`, a directory, or a file: an existing one, or a name that ends with `.tar`.
fn place(session: &Session, parsed: &Parsed, sub: &str, option: &str) -> Result<BundlePlace> {
    let Some(text) = parsed.one(option)?.filter(|text| !text.is_empty()) else {
        return Err(usage(format!(
            "`cache {sub}` needs {option}\nfor example: cargo xtask cache {sub} {option} cache.tar"
        )));
    };
    if text == "-" {
        return Ok(BundlePlace::Pipe);
    }
    let path = session.host.absolute(&text);
    if option == "--from" && !path.exists() {
        return Err(usage(format!("bundle `{}` not found\ncorrect --from", path.display())));
    }
    if option == "--to" && !path.is_dir() && files::check_regular(&path).is_err() {
        return Err(usage(format!(
            "`--to {text}` is not a regular file\nname another file, or use `--to -` for stdout"
        )));
    }
    let is_file =
        !path.is_dir() && (path.exists() || path.extension().is_some_and(|extension| extension == "tar"));
    Ok(if is_file { BundlePlace::File(path) } else { BundlePlace::Dir(path) })
}

fn show(place: &BundlePlace) -> String {
    match place {
        BundlePlace::Dir(path) | BundlePlace::File(path) => path.display().to_string(),
        BundlePlace::Pipe => "-".to_owned(),
    }
}

/// Returns the builder's platform; without an engine, this machine's.
fn platform(session: &Session) -> String {
    engine_facts::read(session).map_or_else(|_| platform::native(), |engine| engine.platform)
}

/// Returns the content of the store, and its damaged entries.
fn stock(session: &Session) -> (Stock, Vec<String>) {
    let layout = &session.layout;
    let (mounts, mut warnings) = mount::all(layout);
    let mut stock = Stock { mounts, ..Stock::default() };
    for dir in entry::results(layout) {
        match layers(&dir) {
            Ok(layers) => stock.layers.push((dir, layers)),
            Err(reason) => warnings.push(format!("skipped the cache in `{}`: {reason:#}", dir.display())),
        }
    }
    for file in std::fs::read_dir(layout.all_fresh()).into_iter().flatten().flatten() {
        match fresh::parse(&file.path()) {
            Ok(found) => stock.fresh.extend(found),
            Err(reason) => warnings.push(format!("skipped `{}`: it {reason}", file.path().display())),
        }
    }
    (stock, warnings)
}

fn layers(dir: &Path) -> Result<Layers> {
    let mut entry = entry::read(dir)?;
    let blobs = layout_check::shape(dir)?;
    // An older version counted a layer that several steps have several times.
    entry.bytes = blobs.iter().map(|blob| blob.size).sum();
    blobs.iter().try_for_each(|blob| layout_check::has(dir, blob))?;
    let text = |name: &str| files::read_text(&dir.join(name));
    Ok(Layers { entry, index: text("index.json")?, layout: text("oci-layout")?, blobs })
}

/// Resolves the arguments: names of the declaration's targets if it can be read, else names of
/// images.
fn wanted(session: &Session, parsed: &Parsed, stock: &Stock, platform: &str) -> Result<Wanted> {
    let mut wanted = Wanted { images: parsed.free.clone(), ..Wanted::default() };
    let options = BuildOptions::new(session, parsed, Vec::new())?;
    let declaration = match declared(session, &options) {
        Ok(declaration) => declaration,
        Err(error) if parsed.many("--file").is_empty() => {
            errln!("warning: every saved cache mount is exported: {error:#}");
            return Ok(wanted);
        }
        Err(error) => return Err(error),
    };
    let images: BTreeMap<&String, String> = declaration
        .targets
        .keys()
        .map(|name| (name, store_name(&declaration, name, session.host.var("COMPOSE_PROJECT_NAME"))))
        .collect();
    for word in &mut wanted.images {
        let is_image = stock.layers.iter().any(|(_, layers)| layers.entry.image == *word);
        if let Some(image) = images.get(word).filter(|_| !is_image) {
            word.clone_from(image);
        } else {
            *word = repository(word).to_owned();
        }
    }
    for (name, image) in &images {
        if let Some(source) = DockerfileSource::read(&declaration, &declaration.targets[*name]) {
            wanted.exact.insert(Key::new(image, platform, &source.bytes));
        }
    }
    let named: Vec<String> = images
        .iter()
        .filter(|(_, image)| wanted.images.contains(image))
        .map(|(name, _)| (*name).clone())
        .collect();
    if !named.is_empty() {
        wanted.mounts = Some(used(&declaration, named, platform));
    }
    Ok(wanted)
}

/// Returns the cache mounts of these targets, and of their base targets.
fn used(declaration: &Declaration, mut names: Vec<String>, platform: &str) -> Vec<MountIdentity> {
    add_linked(declaration, &mut names);
    let file = |name: &String| {
        Some((name.clone(), DockerfileSource::read(declaration, &declaration.targets[name])?.file))
    };
    let files: BTreeMap<String, Dockerfile> = names.iter().filter_map(file).collect();
    let found = mounts::of_build(declaration, &names, &files, platform);
    found.mounts.into_iter().map(|used| used.mount.identity).collect()
}
