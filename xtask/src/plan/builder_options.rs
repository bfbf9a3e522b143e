//! The options of `builder up`. A missing option keeps the recorded setting.

use std::collections::BTreeMap;

use anyhow::Result;

use super::builder::{BuilderPlace, BuilderSpec, IMAGE};
use crate::args::Parsed;
use crate::defaults::SIZE;
use crate::error::usage;
use crate::session::Session;
use crate::text::size;

/// The number of bytes in a GB, the unit of a builder's size.
const GB: u64 = 1_000_000_000;

/// Returns a builder on this machine with default settings.
pub(crate) fn default(name: &str) -> BuilderSpec {
    let place = BuilderPlace::Container { image: IMAGE.to_owned(), size: SIZE };
    BuilderSpec { name: name.to_owned(), place, options: BTreeMap::new() }
}

/// Returns the requested settings. A missing option keeps the recorded setting.
pub(crate) fn spec(
    session: &Session,
    parsed: &Parsed,
    name: &str,
    made: Option<&BuilderSpec>,
) -> Result<BuilderSpec> {
    let certificates = certificates(session, parsed)?;
    let place = place(parsed, !certificates.is_empty(), made.map(|made| &made.place))?;
    let mut options = certificates;
    for option in parsed.many("--driver-opt") {
        let Some((key, value)) = option.split_once('=') else {
            return Err(usage(format!(
                "`--driver-opt {option}` is not K=V\nfor example: --driver-opt network=host"
            )));
        };
        options.insert(key.to_owned(), value.to_owned());
    }
    let before = made.filter(|made| made.place.driver() == place.driver());
    if let (true, Some(before)) = (options.is_empty(), before) {
        options.clone_from(&before.options);
    }
    Ok(BuilderSpec { name: name.to_owned(), place, options })
}

/// Returns the certificate files for a remote BuildKit, by the names of the driver's options.
fn certificates(session: &Session, parsed: &Parsed) -> Result<BTreeMap<String, String>> {
    let mut options = BTreeMap::new();
    for option in ["--cacert", "--cert", "--key"] {
        if let Some(file) = parsed.one(option)? {
            let path = session.host.absolute(&file);
            if !path.is_file() {
                return Err(usage(format!("file `{file}` not found\ncorrect {option}")));
            }
            options.insert(option.trim_start_matches('-').to_owned(), path.display().to_string());
        }
    }
    Ok(options)
}

fn place(parsed: &Parsed, has_certificates: bool, before: Option<&BuilderPlace>) -> Result<BuilderPlace> {
    let (image, endpoint) = (parsed.one("--image")?, parsed.one("--endpoint")?);
    let size = parsed.one("--size")?.map(|text| gigabytes(&text)).transpose()?;
    let is_container = image.is_some() || size.is_some();
    if is_container && (endpoint.is_some() || has_certificates) {
        return Err(usage(
            "`--image` and `--size` are for a builder on this machine, `--endpoint` for one on another \
             machine\nleave one out",
        ));
    }
    match (endpoint, before) {
        (Some(endpoint), _) => remote(endpoint),
        (None, Some(BuilderPlace::Remote { endpoint })) if !is_container => remote(endpoint.clone()),
        (None, _) if has_certificates => {
            Err(usage("certificates need `--endpoint`\nfor example: --endpoint tcp://buildkit.example:1234"))
        }
        (None, before) => {
            let (old_image, old_size) = match before {
                Some(BuilderPlace::Container { image, size }) => (image.as_str(), *size),
                _ => (IMAGE, SIZE),
            };
            let image = image.unwrap_or_else(|| old_image.to_owned());
            Ok(BuilderPlace::Container { image, size: size.unwrap_or(old_size) })
        }
    }
}

fn remote(endpoint: String) -> Result<BuilderPlace> {
    let known = ["tcp://", "unix://"];
    if known.iter().any(|scheme| endpoint.len() > scheme.len() && endpoint.starts_with(scheme)) {
        return Ok(BuilderPlace::Remote { endpoint });
    }
    Err(usage(format!(
        "`--endpoint {endpoint}` is not an address of BuildKit\nfor example: \
     tcp://buildkit.example:1234"
    )))
}

/// Parses `40GB`, or `40` for short: whole GB, at least one.
fn gigabytes(text: &str) -> Result<u64> {
    let bytes = match text.parse::<u64>() {
        Ok(number) => number.checked_mul(GB),
        Err(_) => size::parse(text),
    };
    match bytes.map(|bytes| bytes / GB) {
        Some(size @ 1..) => Ok(size),
        _ => {
            Err(usage(format!("`--size {text}` is not a size of a builder\nuse whole GB, for example 40GB")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_whole_gigabytes() {
        let table =
            [("40GB", Some(40)), ("40", Some(40)), ("1TB", Some(1000)), ("2.9G", Some(2)), ("500M", None)];
        for (text, size) in table.into_iter().chain([("lots", None), ("0", None), ("-1", None)]) {
            assert_eq!(gigabytes(text).ok(), size, "{text}");
        }
    }
}
