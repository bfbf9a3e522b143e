//! The Dockerfile of a transfer of cache mounts: a stage with tools, one with a RUN for each mount,
//! and one that combines the results of several.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use super::transfer::{OUT, Part, Transfer};
use super::{Direction, PlannedMount};

/// The tools image has everything that the scripts need, in Debian's smallest variant, so nothing
/// is ever installed. Some architectures have the loader in this directory, which is bound on all.
const TOOLS: &str = "RUN --network=none mkdir -p /lib64\n";

/// The tools are bind mounts in an empty stage, which is read-only. The layer has exactly the files
/// that a RUN writes, and is exported unchanged.
const BOUND: &[&str] = &["bin", "lib", "lib64", "usr"];

/// The secret with the address of xtask, and its path.
pub(super) const LOOPBACK: &str = "durango-loopback";
const LOOPBACK_FILE: &str = "/durango/loopback";

/// The directories of the image that the scripts need. A mount there would hide them, and the
/// target is not part of a mount's identity.
const KEPT: &[&str] =
    &["bin", "sbin", "lib", "lib32", "lib64", "usr", "etc", "durango", "dev", "proc", "sys"];

/// The directory of the scripts, next to those of the items. A separate context would be a second
/// transfer.
const SCRIPTS: &str = "scripts";

/// Returns the scripts as files of a call in `dir`.
pub(super) fn scripts(dir: &Path) -> Vec<(PathBuf, String)> {
    let scripts = [
        ("take-out", include_str!("../../store/transfer/take-out")),
        ("put-back", include_str!("../../store/transfer/put-back")),
        ("carry", include_str!("../../store/transfer/carry")),
        ("set-directories", include_str!("../../store/transfer/set-directories")),
        ("confine", include_str!("../../store/transfer/confine")),
    ];
    scripts.into_iter().map(|(name, text)| (dir.join(SCRIPTS).join(name), text.to_owned())).collect()
}

/// Returns the stages that transfer the items of these numbers, which follow any other stages.
pub(super) fn stages(transfer: &Transfer, tools: &str, numbers: &[usize]) -> String {
    let mut text = format!("FROM {tools} AS durango-tools\n{TOOLS}");
    for number in numbers {
        stage(&mut text, transfer, *number);
    }
    if numbers.len() > 1 {
        text.push_str("FROM scratch AS durango-result\n");
        for number in numbers {
            let _ = writeln!(text, "COPY --from=durango-{number} {OUT}/ {OUT}/");
        }
    }
    text
}

/// Returns the stage with their output. For a single item it is its own stage, because a copy would
/// be written again.
pub(super) fn result(numbers: &[usize]) -> String {
    match numbers {
        [number] => format!("durango-{number}"),
        _ => "durango-result".to_owned(),
    }
}

fn stage(text: &mut String, transfer: &Transfer, number: usize) {
    let mount = &transfer.items[number];
    let (target, nonce) = (place(&mount.target), &transfer.nonce);
    let bytes = mount.held.as_ref().map_or(0, |held| held.bytes);
    let restore = |script: &str| vec![script.to_owned(), streams(bytes).to_string(), bytes.to_string()];
    let (script, rest) = match (transfer.direction, transfer.part) {
        (Direction::Save, Part::Whole) => ("take-out", vec!["whole".to_owned()]),
        (Direction::Save, Part::List) => ("take-out", vec!["list".to_owned()]),
        (Direction::Save, Part::Pack) => ("take-out", vec!["pack".to_owned()]),
        (Direction::Restore, _) => ("put-back", restore("restore")),
        (Direction::Fill, _) => ("put-back", restore("fill")),
    };
    let script = format!("/durango/transfer/{script}");
    let words = ["bash".to_owned(), script, target.clone(), nonce.clone(), number.to_string()];
    let words: Vec<String> = words.into_iter().chain(rest).collect();
    let mut mounts = vec![
        cache(mount, &target),
        format!("type=bind,from=durango-in-{nonce},source=/{SCRIPTS},target=/durango/transfer"),
    ];
    if transfer.loopback.is_some() {
        mounts.push(format!("type=secret,id={LOOPBACK},target={LOOPBACK_FILE},required=true"));
    } else if transfer.has_input() {
        mounts.push(format!("type=bind,from=durango-in-{nonce},source=/{number},target=/durango/in"));
    }
    mounts
        .extend(BOUND.iter().map(|dir| format!("type=bind,from=durango-tools,source=/{dir},target=/{dir}")));
    let mounts: String = mounts.iter().map(|mount| format!(" --mount={mount}")).collect();
    // The engine needs longer to create a network than for the rest of the container.
    let network = if transfer.loopback.is_some() { "host" } else { "none" };
    let _ = writeln!(
        text,
        "FROM scratch AS durango-{number}\nRUN --network={network}{mounts} {}",
        serde_json::json!(words),
    );
}

/// A larger mount is unpacked by two processes in parallel.
const TWO_FROM: u64 = 1 << 26;

/// Returns the number of tars from which a mount of this size is restored.
pub(crate) fn streams(bytes: u64) -> usize {
    if bytes > TWO_FROM { 2 } else { 1 }
}

/// Returns the options of the mount, exactly as declared.
fn cache(mount: &PlannedMount, target: &str) -> String {
    let identity = &mount.identity;
    let mut options = vec![
        "type=cache".to_owned(),
        format!("id={}", identity.id),
        format!("target={target}"),
        format!("sharing={}", mount.sharing),
    ];
    if let Some((_, stage)) = identity.from.as_deref().and_then(|from| from.split_once('/')) {
        options.push(format!("from={stage}"));
    }
    options.extend(identity.source.iter().map(|source| format!("source={source}")));
    options.extend(identity.uid.iter().map(|uid| format!("uid={uid}")));
    options.extend(identity.gid.iter().map(|gid| format!("gid={gid}")));
    options.extend(identity.mode.iter().map(|mode| format!("mode={mode}")));
    options.join(",")
}

fn place(target: &str) -> String {
    let first = target.trim_start_matches('/').split('/').next().unwrap_or_default();
    if first.is_empty() || KEPT.contains(&first) { "/durango/mount".to_owned() } else { target.to_owned() }
}
/// Returns whether a stage belongs to a transfer and not to a Dockerfile.
pub(crate) fn is_own_stage(stage: &str) -> bool {
    let of_transfer = |rest: &str| ["tools", "result"].contains(&rest) || rest.parse::<u32>().is_ok();
    stage.strip_prefix("durango-").is_some_and(of_transfer)
}
