//! `cache key`: the key for a CI's cache of the store, and the prefixes for older ones. Such caches
//! never overwrite a key, so it ends in a digest of all inputs.

use anyhow::Result;
use sha2::{Digest, Sha256};

use crate::args::Parsed;
use crate::json;
use crate::plan::options::BuildOptions;
use crate::platform;
use crate::process::stdio::outln;
use crate::project::declaration_query::{self, DeclarationQuery};
use crate::project::dockerfile::source::DockerfileSource;
use crate::project::inputs::Inputs;
use crate::project::project_name::store_name;
use crate::project::requested::{add_linked, check_files};
use crate::project::secrets;
use crate::session::Session;
use crate::store::key::Key;

/// Runs `cache key`, without a target for all declared ones. It needs buildx to read the
/// declaration, and no engine.
pub(crate) fn run(session: &Session, parsed: &Parsed) -> Result<u8> {
    let targets = &parsed.free;
    let options = BuildOptions::new(session, parsed, targets.to_vec())?;
    check_files(&options.files)?;
    let env = secrets::read(&session.host).paths();
    let question = DeclarationQuery {
        files: &options.files,
        requested: &options.targets,
        sets: &options.declaring_sets(),
        env: &env,
        remember: false,
    };
    let mut declaration = declaration_query::read(session, &question)?;
    let mut names = if targets.is_empty() {
        declaration.targets.keys().cloned().collect()
    } else {
        declaration.resolve(targets)?
    };
    add_linked(&declaration, &mut names);
    names.sort();
    if let Some(app) = &options.app {
        let targets = declaration.targets.values_mut();
        for context in targets.filter_map(|target| target.contexts.get_mut("app")) {
            *context = app.display().to_string();
        }
    }
    let native = platform::native();
    let (mut inputs, mut keys, mut shown) = (Inputs::default(), Sha256::new(), Vec::new());
    let mut platforms = Vec::new();
    for name in &names {
        let target = &declaration.targets[name];
        let platform = if target.platforms.is_empty() { native.clone() } else { target.platforms.join(",") };
        let image = store_name(&declaration, name, session.host.var("COMPOSE_PROJECT_NAME"));
        let dockerfile = DockerfileSource::read(&declaration, target).map(|source| source.bytes);
        let key = Key::new(&image, &platform, &dockerfile.unwrap_or_default());
        keys.update(&key.0);
        inputs.target(&declaration, name, &platform)?;
        shown.push(serde_json::json!({"name": name, "image": image, "platform": platform, "key": key}));
        platforms.push(platform);
    }
    platforms.sort();
    platforms.dedup();
    let files = inputs.files;
    let prefix = format!("durango-{}-", platforms.join("-").replace(['/', ','], "-"));
    let of_dockerfiles = format!("{prefix}{}-", &format!("{:x}", keys.finalize())[..12]);
    let key = format!("{of_dockerfiles}{}", &inputs.digest()[..32]);
    let prefixes = [of_dockerfiles, prefix];
    if session.globals.json {
        let document = serde_json::json!({
            "schema": json::SCHEMA, "key": key, "prefixes": prefixes, "targets": shown, "files": files,
        });
        outln!("{}", json::line(&document)?);
    } else {
        outln!("{key}");
        prefixes.iter().for_each(|prefix| outln!("{prefix}"));
    }
    Ok(0)
}
