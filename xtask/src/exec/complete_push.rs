//! Completes a push: adds layers to its tags that BuildKit left out, because its builder did not
//! read them, and that the caches before have. The blobs are in the repository, so only a manifest
//! and a configuration are new. buildx, which has the credentials and the connection, copies them
//! from a server of this process. A failure leaves the push as BuildKit made it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::bake::{self, Call};
use super::document_server::DocumentServer;
use super::idle_timeout::IdleTimeout;
use super::push::{SILENCE, reason, silence_check};
use crate::engine::registry::{advice, raw_blobs, raw_documents};
use crate::files::{self, Durability};
use crate::plan::push::{Completion, Push};
use crate::process::signals;
use crate::progress::Watcher;
use crate::progress::bake_outcome::BakeStatus;
use crate::record::log::Log;
use crate::step::Command;
use crate::store::cache_documents::{CacheDocuments, config_of, digest_of};
use crate::text::sha256;

/// The maximum time of a copy, in answers of the registry. buildx prints nothing between them.
const MOST_ANSWERS: u32 = 20;

/// Completes both tags of a push. Does nothing if they lack nothing. Returns a warning if layers
/// are still missing then. After a failure the second tag is left, because its copy would wait for
/// the same registry.
pub(super) fn run(
    push: &Push,
    timeout: Duration,
    log: &Log,
    watcher: &mut dyn Watcher,
) -> Result<Option<String>> {
    let Some(completion) = &push.completion else { return Ok(None) };
    let tags = completion.copies.iter().map(|(tag, _)| tag);
    let manifests = Manifests::read(push, tags.chain(&completion.earlier), timeout);
    let earlier: Vec<&CacheDocuments> =
        completion.earlier.iter().filter_map(|reference| manifests.cache(reference)).collect();
    for (tag, command) in &completion.copies {
        let Some(mut cache) = manifests.cache(tag).cloned() else {
            log.text(&format!("left `{tag}` as it is: its manifest or its configuration cannot be read"));
            continue;
        };
        let added: Vec<usize> =
            earlier.iter().filter_map(|earlier| Some(cache.complete_from(earlier)?.len())).collect();
        if added.is_empty() {
            continue;
        }
        let layers: usize = added.iter().sum();
        let started = Instant::now();
        // Another machine may have pushed meanwhile, and its cache is the newer one.
        let now = raw_documents(&push.builder, std::slice::from_ref(tag), timeout).pop().flatten();
        if now.is_some() && now.as_ref() != manifests.texts.get(tag) {
            log.text(&format!("left `{tag}` as it is: another machine has pushed it"));
            continue;
        }
        let added = now.context("the registry stopped answering").and_then(|_| {
            let _server = serve(completion, cache)?;
            copy(push, (tag, command), timeout, log, watcher)
        });
        if let Err(error) = added {
            signals::check()?;
            let (layers, reason) = (layer_count(layers), format!("{error:#}"));
            let next = advice::of_completion(&reason, completion.as_index);
            return Ok(Some(format!(
                "failed to add {layers} of earlier caches to `{tag}`: {reason}\n{next}"
            )));
        }
        let seconds = started.elapsed().as_secs_f64();
        log.text(&format!("added {} to `{tag}` in {seconds:.1} s", layer_count(layers)));
    }
    Ok(None)
}

fn layer_count(count: usize) -> String {
    format!("{count} layer{}", if count == 1 { "" } else { "s" })
}

/// Returns the maximum time of a copy for the timeout of an answer.
pub(super) fn longest(timeout: Duration) -> Duration {
    timeout * MOST_ANSWERS
}

/// Serves a cache, and writes its name to the file that the command reads.
fn serve(completion: &Completion, cache: CacheDocuments) -> Result<DocumentServer> {
    let cache = if completion.as_index { cache.into_index() } else { cache };
    let server = DocumentServer::start(cache.write()?)?;
    let dir = completion.source.parent().context("it has no directory")?;
    files::make_dir(dir).with_context(|| format!("failed to create `{}`", dir.display()))?;
    files::write(&completion.source, server.reference().as_bytes(), Durability::Quick)?;
    Ok(server)
}

fn copy(
    push: &Push,
    (tag, command): (&str, &Command),
    timeout: Duration,
    log: &Log,
    watcher: &mut dyn Watcher,
) -> Result<()> {
    let is_gone = silence_check(&push.builder, tag, timeout, longest(timeout));
    let idle_timeout = Some(IdleTimeout { after: SILENCE, is_gone: &is_gone });
    let ended = bake::run(&Call { idle_timeout, ..Call::new(command, &[], log) }, watcher)?;
    match ended.status {
        BakeStatus::Succeeded => Ok(()),
        BakeStatus::Stalled => bail!("the registry stopped answering"),
        _ => bail!("{}", reason(&ended.text)),
    }
}

/// Returns a descriptor by which buildx reads a blob. It wants a platform, which is not used.
fn blob_descriptor(blob: &Value) -> String {
    let (media_type, digest, size) = (&blob["mediaType"], &blob["digest"], &blob["size"]);
    let platform = json!({"os": "linux", "architecture": "amd64"});
    json!({"mediaType": media_type, "digest": digest, "size": size, "platform": platform}).to_string()
}

/// Manifests of a repository, with their configurations.
struct Manifests {
    /// By reference, as the registry has them.
    texts: BTreeMap<String, String>,
    /// By the digest of the manifest.
    caches: BTreeMap<String, CacheDocuments>,
}

impl Manifests {
    /// Reads them and then their configurations. What is missing or damaged is left out.
    fn read<'a>(push: &Push, references: impl Iterator<Item = &'a String>, timeout: Duration) -> Self {
        let references: Vec<String> = references.cloned().collect();
        let answers = raw_documents(&push.builder, &references, timeout);
        let texts: BTreeMap<String, String> =
            references.into_iter().zip(answers).filter_map(|(name, text)| Some((name, text?))).collect();
        let is_named = |(name, text): (&String, &String)| {
            name.split_once('@').is_none_or(|(_, named)| named == sha256::name(text)).then(|| text.clone())
        };
        let manifests: BTreeMap<String, Value> = texts
            .iter()
            .filter_map(is_named)
            .filter_map(|text| Some((sha256::name(&text), serde_json::from_str(&text).ok()?)))
            .collect();
        let configs: BTreeMap<&str, &Value> =
            manifests.iter().filter_map(|(name, value)| Some((name.as_str(), config_of(value)?))).collect();
        let answers = if push.completion.as_ref().is_some_and(|completion| completion.as_index) {
            let name = |config: &&Value| format!("{}@{}", push.registry.reference, digest_of(config));
            raw_documents(&push.builder, &configs.values().map(name).collect::<Vec<_>>(), timeout)
        } else {
            let descriptors: Vec<String> = configs.values().map(|config| blob_descriptor(config)).collect();
            raw_blobs(&push.builder, &push.reference, &descriptors, timeout)
        };
        let mut caches = BTreeMap::new();
        for ((name, config), text) in configs.into_iter().zip(answers) {
            let text = text.filter(|text| sha256::name(text) == digest_of(config));
            let parsed = text.and_then(|text| serde_json::from_str(&text).ok());
            let cache = parsed.map(|config| CacheDocuments::new(manifests[name].clone(), config));
            caches.extend(cache.map(|cache| (name.to_owned(), cache)));
        }
        Self { texts, caches }
    }

    fn cache(&self, reference: &str) -> Option<&CacheDocuments> {
        self.caches.get(&sha256::name(self.texts.get(reference)?))
    }
}
