//! What `builder status` says of a builder.

use std::fmt::Write as _;

use serde::Serialize;

use crate::engine::builders::Instance;
use crate::engine::disk_usage::Record;
use crate::json::SCHEMA;
use crate::text::size;

/// A builder as it is. Its JSON is for other tools.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct BuilderReport {
    /// Version of the document.
    pub schema: u32,
    /// Its name.
    pub name: String,
    /// Whether `builder up` made it.
    pub made_by_xtask: bool,
    /// Whether builds use it where none is named.
    pub chosen: bool,
    /// As buildx has it; absent where there is none of that name.
    #[serde(flatten)]
    pub instance: Option<Instance>,
    /// All that it holds, in bytes; absent where it is not up.
    pub bytes: Option<u64>,
    /// Its cache mounts, largest first.
    pub mounts: Vec<Mount>,
    /// Why something could not be asked.
    pub warnings: Vec<String>,
}

/// One cache mount of a builder.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub(crate) struct Mount {
    /// Namespace and id.
    pub id: String,
    /// Where it was mounted when it was made.
    pub target: String,
    /// Its size.
    pub bytes: u64,
}

/// The cache mounts among a builder's records, largest first.
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
    /// A builder and what it holds.
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

    /// For people.
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
