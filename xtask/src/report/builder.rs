//! The output of `builder status`.

use std::fmt::Write as _;

use serde::Serialize;

use crate::engine::disk_usage::Record;
use crate::engine::inspect::Instance;
use crate::json::SCHEMA;
use crate::text::size;

/// The state of a builder. Its JSON is for other tools.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct BuilderReport {
    /// The version of the document.
    pub schema: u32,
    pub name: String,
    /// Whether `builder up` created it.
    pub made_by_xtask: bool,
    /// Whether it is the default for builds.
    pub chosen: bool,
    /// Its state in buildx; missing if it doesn't exist.
    #[serde(flatten)]
    pub instance: Option<Instance>,
    /// The size of its cache in bytes; missing if it doesn't run.
    pub bytes: Option<u64>,
    /// Its cache mounts, largest first.
    pub mounts: Vec<Mount>,
    /// Failed queries.
    pub warnings: Vec<String>,
}

/// One cache mount of a builder.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub(crate) struct Mount {
    /// Namespace and id.
    pub id: String,
    /// Its target when it was created.
    pub target: String,
    pub bytes: u64,
}

/// Returns the cache mounts among a builder's records, largest first.
pub(crate) fn mounts(records: &[Record]) -> Vec<Mount> {
    let mount = |record: &Record| {
        let id = record.mount_id()?.trim_start_matches('/').to_owned();
        Some(Mount { id, target: record.mount_target()?.to_owned(), bytes: record.bytes })
    };
    let mut mounts: Vec<Mount> = records.iter().filter_map(mount).collect();
    mounts.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.id.cmp(&b.id)));
    mounts
}

impl BuilderReport {
    /// Creates the report of a builder.
    pub(crate) fn new(name: &str, instance: Option<Instance>) -> Self {
        Self {
            schema: SCHEMA,
            name: name.to_owned(),
            made_by_xtask: false,
            chosen: false,
            instance,
            bytes: None,
            mounts: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Returns the report as text.
    pub(crate) fn text(&self) -> String {
        let name = &self.name;
        let Some(instance) = &self.instance else {
            return format!("builder `{name}` not found\nrun `cargo xtask builder up` to create it\n");
        };
        let mut text = format!("{name}: {}, {}", instance.driver, state(instance));
        if self.chosen {
            text += ", the default for builds";
        }
        let _ = write!(text, "\n  at {}", instance.endpoint);
        for (option, value) in &instance.options {
            let _ = write!(text, "\n  {option} {value}");
        }
        for (index, rule) in instance.policy.iter().enumerate() {
            let _ = write!(text, "\n  garbage collection {}: {rule}", index + 1);
        }
        if let Some(bytes) = self.bytes {
            let _ = write!(text, "\n  contains {}, with these cache mounts:", size::show(bytes));
            for mount in &self.mounts {
                let _ = write!(text, "\n  {:>9}  {}  {}", size::show(mount.bytes), mount.id, mount.target);
            }
            if self.mounts.is_empty() {
                text += " none";
            }
        }
        text + "\n"
    }
}

fn state(instance: &Instance) -> String {
    match &instance.version {
        Some(version) if instance.is_up => format!("BuildKit {version} is running"),
        _ if instance.is_up => "up".into(),
        _ => format!("{} (`cargo xtask builder up` starts it)", instance.status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_listed_with_sizes_largest_first() {
        let record = |id: &str, bytes, description: &str| Record {
            id: id.into(),
            created: None,
            kind: String::new(),
            bytes,
            mutable: false,
            reclaimable: true,
            has_parent: false,
            description: description.into(),
        };
        let records = [
            record("a", 22_240, "cached mount /a from exec x with id \"/small\""),
            record("b", 1, "mount / from exec x"),
            record("c", 1_274_000_000, "cached mount /go/pkg/mod from exec x with id \"ns/gomod\""),
        ];
        let mut report = BuilderReport::new(
            "d",
            Some(Instance { status: "running".into(), is_up: true, ..Instance::default() }),
        );
        report.mounts = mounts(&records);
        report.bytes = Some(1_274_022_241);
        let text = report.text();
        assert!(
            text.ends_with(
                "contains 1.3 GB, with these cache mounts:\n     1.3 GB  ns/gomod  \
             /go/pkg/mod\n    22.2 kB  small  /a\n"
            ),
            "{text}"
        );
        assert!(BuilderReport::new("d", None).text().contains("builder `d` not found"));
    }
}
