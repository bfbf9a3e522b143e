//! The Dockerfile of a transfer of cache mounts: a stage with tools, one with a RUN for each mount, and one that holds the results.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use super::mounts::{PlannedMount, Transfer, Way};

/// The tools image has all that the scripts need but for zstd, in Debian's smallest variant. The layer stays in the builder.
const TOOLS: &str = r#"RUN --mount=type=secret,id=ca_certificates,mode=0444 command -v zstd >/dev/null || { \
    if [ -s /run/secrets/ca_certificates ]; then \
        echo 'Acquire::https::CAInfo "/run/secrets/ca_certificates";' >/dev/shm/apt.conf && export APT_CONFIG=/dev/shm/apt.conf; \
    fi && apt-get -qq -o APT::Update::Error-Mode=any update && \
    apt-get -qq -y --no-install-recommends install zstd >/dev/null && rm -rf /var/lib/apt/lists/*; }
"#;

/// What the scripts need of the image is below these; a mount there would hide it, and where it stands is of no account for what
/// it is.
const KEPT: &[&str] =
    &["bin", "sbin", "lib", "lib32", "lib64", "usr", "etc", "durango", "dev", "proc", "sys"];

/// The scripts, below `dir`.
pub(super) fn scripts(dir: &Path) -> Vec<(PathBuf, String)> {
    let scripts = [
        ("take-out", include_str!("../cache/transfer/take-out")),
        ("put-back", include_str!("../cache/transfer/put-back")),
    ];
    scripts.map(|(name, text)| (dir.join(name), text.to_owned())).into()
}

/// The stages that move the items of these numbers, after whatever stands before them.
pub(super) fn stages(transfer: &Transfer, tools: &str, numbers: &[usize], now: i64) -> String {
    let mut text = format!("FROM {tools} AS durango-tools\n{TOOLS}");
    for number in numbers {
        let mount = &transfer.items[*number];
        let target = place(&mount.target);
        let nonce = &transfer.nonce;
        let command = match transfer.way {
            Way::Out => vec!["/durango/transfer/take-out".to_owned(), target.clone(), nonce.clone()],
            Way::In => {
                let saved = mount.held.as_ref().map_or(now, |held| held.saved.as_second());
                let seconds = (now - saved).max(0).to_string();
                vec!["/durango/transfer/put-back".to_owned(), target.clone(), nonce.clone(), seconds]
            }
        };
        let words = std::iter::once("bash".to_owned()).chain(command).collect::<Vec<_>>();
        let has_input = transfer
            .links
            .iter()
            .any(|(_, link)| link.starts_with(transfer.dir.join("in").join(number.to_string())));
        let input = if has_input {
            format!(" --mount=type=bind,from=durango-in-{nonce},source=/{number},target=/durango/in")
        } else {
            String::new()
        };
        let _ = writeln!(
            text,
            "FROM durango-tools AS durango-{number}\nRUN --mount={}{input} --mount=type=bind,from=durango-transfer,target=/durango/transfer {}",
            cache(mount, &target),
            serde_json::json!(words),
        );
    }
    text.push_str("FROM scratch AS durango-result\n");
    for number in numbers {
        let _ = writeln!(text, "COPY --from=durango-{number} /durango/out /{number}/");
    }
    text
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
    let of_transfer =
        |rest: &str| ["tools", "transfer", "result"].contains(&rest) || rest.parse::<u32>().is_ok();
    stage.strip_prefix("durango-").is_some_and(of_transfer)
}
