//! The Dockerfile of a transfer of cache mounts: a stage with tools, one with a RUN for each mount, and one that holds the results
//! of several.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use super::transfer::{Loopback, Transfer};
use super::{Direction, PlannedMount};

/// The tools image has all that the scripts need but for what packs, in Debian's smallest variant. The layer stays in the builder. The
/// folder is where the loader of some architectures is, and bound on all.
const TOOLS: &str = r#"RUN --mount=type=secret,id=ca_certificates,mode=0444 command -v zstd >/dev/null || { \
    if [ -s /run/secrets/ca_certificates ]; then \
        echo 'Acquire::https::CAInfo "/run/secrets/ca_certificates";' >/dev/shm/apt.conf && export APT_CONFIG=/dev/shm/apt.conf; \
    fi && apt-get -qq -o APT::Update::Error-Mode=any update && \
    apt-get -qq -y --no-install-recommends install zstd >/dev/null && rm -rf /var/lib/apt/lists/*; } && \
    mkdir -p /lib64
"#;

/// What packs is bound into an empty stage: what it leaves there is all of the layer, which is exported as it stands. Upon the tools a
/// second stage would have to hold a copy of it.
const BOUND: &[&str] = &["bin", "lib", "lib64", "usr"];

/// Where a RUN leaves what BuildKit takes away, a folder an item: an empty one where xtask is reached over the loopback interface.
pub(super) const OUT: &str = "/durango/out";

/// What the scripts need of the image is below these; a mount there would hide it, and where it stands is of no account for what
/// it is.
const KEPT: &[&str] =
    &["bin", "sbin", "lib", "lib32", "lib64", "usr", "etc", "durango", "dev", "proc", "sys"];

/// The folder of the scripts, beside those of the items: a context of its own would be a second one to send.
const SCRIPTS: &str = "scripts";

/// The scripts, for what a call reads in `dir`, and where they reach xtask.
pub(super) fn scripts(dir: &Path, loopback: Option<&Loopback>) -> Vec<(PathBuf, String)> {
    let scripts = [
        ("take-out", include_str!("../../store/transfer/take-out")),
        ("put-back", include_str!("../../store/transfer/put-back")),
        ("carry", include_str!("../../store/transfer/carry")),
    ];
    let scripts = scripts.into_iter().map(|(name, text)| (name, text.to_owned()));
    let loopback = loopback.map(|at| ("loopback", format!("{} {}\n", at.port, at.token)));
    scripts.chain(loopback).map(|(name, text)| (dir.join(SCRIPTS).join(name), text)).collect()
}

/// The stages that move the items of these numbers, after whatever stands before them.
pub(super) fn stages(transfer: &Transfer, tools: &str, numbers: &[usize], now: i64) -> String {
    let mut text = match transfer.way {
        Direction::Save => format!("FROM {tools} AS durango-tools\n{TOOLS}"),
        Direction::Restore => format!("FROM {tools} AS durango-tools\n"),
    };
    for number in numbers {
        stage(&mut text, transfer, *number, now);
    }
    if numbers.len() > 1 {
        text.push_str("FROM scratch AS durango-result\n");
        for number in numbers {
            let _ = writeln!(text, "COPY --from=durango-{number} {OUT}/ {OUT}/");
        }
    }
    text
}

/// The stage that holds what they leave: with a single one its own, since a copy would be a second one to write.
pub(super) fn result(numbers: &[usize]) -> String {
    match numbers {
        [number] => format!("durango-{number}"),
        _ => "durango-result".to_owned(),
    }
}

fn stage(text: &mut String, transfer: &Transfer, number: usize, now: i64) {
    let mount = &transfer.items[number];
    let (target, nonce) = (place(&mount.target), &transfer.nonce);
    let item = number.to_string();
    let (base, script, rest) = match transfer.way {
        Direction::Save => ("scratch", "take-out", vec![u8::from(mount.previous().is_some()).to_string()]),
        Direction::Restore => {
            let saved = mount.held.as_ref().map_or(now, |held| held.saved.as_second());
            let packs = mount.held.as_ref().map_or(0, |held| held.packs.len());
            ("durango-tools", "put-back", vec![(now - saved).max(0).to_string(), packs.to_string()])
        }
    };
    let words =
        ["bash".to_owned(), format!("/durango/transfer/{script}"), target.clone(), nonce.clone(), item];
    let words: Vec<String> = words.into_iter().chain(rest).collect();
    let mut binds = vec![format!("from=durango-in-{nonce},source=/{SCRIPTS},target=/durango/transfer")];
    let is_linked = transfer.links.iter().any(|(_, link)| link.starts_with(transfer.input(number)));
    if is_linked && transfer.loopback.is_none() {
        binds.push(format!("from=durango-in-{nonce},source=/{number},target=/durango/in"));
    }
    if transfer.way == Direction::Save {
        binds.extend(BOUND.iter().map(|dir| format!("from=durango-tools,source=/{dir},target=/{dir}")));
    }
    let binds: String = binds.iter().map(|bind| format!(" --mount=type=bind,{bind}")).collect();
    // A network of its own takes the engine longer to make than all the rest of the container.
    let network = if transfer.loopback.is_some() { "host" } else { "none" };
    let _ = writeln!(
        text,
        "FROM {base} AS durango-{number}\nRUN --network={network} --mount={}{binds} {}",
        cache(mount, &target),
        serde_json::json!(words),
    );
}

/// The options of the mount, exactly as they are declared.
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
/// Whether a stage is one of a transfer's, and none of a Dockerfile's.
pub fn is_own_stage(stage: &str) -> bool {
    let of_transfer = |rest: &str| ["tools", "result"].contains(&rest) || rest.parse::<u32>().is_ok();
    stage.strip_prefix("durango-").is_some_and(of_transfer)
}
