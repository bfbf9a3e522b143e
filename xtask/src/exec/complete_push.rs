//! Completes a push: adds layers to its tags that BuildKit left out, because its builder did not
//! read them, and that the caches before have. The blobs are in the repository, so only a manifest
//! and a configuration are new. buildx, which has the credentials and the connection, copies them
//! from a server of this process.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::bake::{self, Call};
use super::document_server::DocumentServer;
use super::idle_timeout::IdleTimeout;
use super::push::{SILENCE, reason, silence_check};
use crate::engine::registry::{digest, raw_documents};
use crate::files::{self, Durability};
use crate::plan::push::{Completion, Push};
use crate::progress::Watcher;
use crate::progress::bake_outcome::BakeStatus;
use crate::record::log::Log;
use crate::step::Command;
use crate::store::cache_documents::{CacheDocuments, config_of, digest_of};

/// Completes both tags of a push. Does nothing if they lack nothing.
pub(super) fn run(push: &Push, timeout: Duration, log: &Log, watcher: &mut dyn Watcher) -> Result<()> {
    let Some(completion) = &push.completion else { return Ok(()) };
    let tags = completion.copies.iter().map(|(tag, _)| tag);
    let manifests = Manifests::read(push, tags.chain(&completion.earlier), timeout)?;
    let earlier: Vec<&CacheDocuments> =
        completion.earlier.iter().filter_map(|reference| manifests.cache(reference)).collect();
    for (tag, command) in &completion.copies {
        let mut cache = manifests.cache(tag).context("it has no cache")?.clone();
        let added: Vec<usize> =
            earlier.iter().filter_map(|earlier| Some(cache.complete_from(earlier)?.len())).collect();
        if added.is_empty() {
            continue;
        }
        let server = serve(completion, cache)?;
        // Another machine may have pushed meanwhile.
        let now = raw_documents(&push.builder, std::slice::from_ref(tag), timeout).pop().flatten();
        ensure!(now.as_deref() == manifests.texts.get(tag).map(String::as_str), "`{tag}` has changed");
        copy(push, (tag, command), timeout, log, watcher)?;
        drop(server);
        log.text(&format!("added {} layers to `{tag}`", added.iter().sum::<usize>()));
    }
    Ok(())
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
    let is_gone = silence_check(&push.builder, tag, timeout);
    let idle_timeout = Some(IdleTimeout { after: SILENCE, is_gone: &is_gone });
    let ended = bake::run(&Call { idle_timeout, ..Call::new(command, &[], log) }, watcher)?;
    match ended.status {
        BakeStatus::Succeeded => Ok(()),
        BakeStatus::Stalled => bail!("the registry stopped answering"),
        _ => bail!("{}", reason(&ended.text)),
    }
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
    fn read<'a>(
        push: &Push,
        references: impl Iterator<Item = &'a String>,
        timeout: Duration,
    ) -> Result<Self> {
        let references: Vec<String> = references.cloned().collect();
        let answers = raw_documents(&push.builder, &references, timeout);
        let texts: BTreeMap<String, String> =
            references.into_iter().zip(answers).filter_map(|(name, text)| Some((name, text?))).collect();
        let is_named = |(name, text): (&String, &String)| {
            name.split_once('@').is_none_or(|(_, named)| named == digest(text)).then(|| text.clone())
        };
        let manifests: BTreeMap<String, Value> = texts
            .iter()
            .filter_map(is_named)
            .filter_map(|text| Some((digest(&text), serde_json::from_str(&text).ok()?)))
            .collect();
        let configs: BTreeMap<&str, &str> = manifests
            .iter()
            .filter_map(|(name, value)| Some((name.as_str(), digest_of(config_of(value)?))))
            .collect();
        let names: Vec<String> =
            configs.values().map(|config| format!("{}@{config}", push.registry.reference)).collect();
        let answers = raw_documents(&push.builder, &names, timeout);
        let mut caches = BTreeMap::new();
        for ((name, config), text) in configs.into_iter().zip(answers) {
            let text = text.filter(|text| digest(text) == config);
            let parsed = text.and_then(|text| serde_json::from_str(&text).ok());
            let cache = parsed.map(|config| CacheDocuments::new(manifests[name].clone(), config));
            caches.extend(cache.map(|cache| (name.to_owned(), cache)));
        }
        Ok(Self { texts, caches })
    }

    fn cache(&self, reference: &str) -> Option<&CacheDocuments> {
        self.caches.get(&digest(self.texts.get(reference)?))
    }
}
