//! The limits of a builder's garbage collection, and whether they suffice for the images. Docker
//! 26's own builder has no rules and keeps everything; newer ones keep a part of the disk.

use crate::text::size;

/// The size of both images' build cache. With less, each build removes what the next one needs.
pub(crate) const NEEDED: u64 = 10_000_000_000;
/// The part of it in cache mounts.
pub(crate) const NEEDED_MOUNTS: u64 = 2_000_000_000;

/// A builder's limits in bytes; `None` for no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct GcLimits {
    /// The limit of everything.
    pub all: Option<u64>,
    /// The limit of cache mounts that were idle for a while, which a separate rule may remove.
    pub idle_mounts: Option<u64>,
}

impl GcLimits {
    /// Parses the rules in [`super::builders::Instance::policy`].
    pub(crate) fn of(policy: &[String]) -> Self {
        let mut limits = Self::default();
        for rule in policy {
            let fields: Vec<&str> = rule.split(", ").collect();
            let value = |name: &str| fields.iter().find_map(|field| field.strip_prefix(name));
            let bytes = |name: &str| value(name).and_then(|text| size::parse(text.trim()));
            let names = ["keep bytes", "reserved space", "max used space"];
            // The larger one counts: the reserved space stays, whatever the maximum is.
            let limit = names.into_iter().filter_map(bytes).max();
            let smaller = |before: Option<u64>| before.into_iter().chain(limit).min();
            if value("filters").is_some_and(|filters| filters.contains("type==exec.cachemount")) {
                limits.idle_mounts = smaller(limits.idle_mounts);
            } else if value("keep duration").is_none_or(|text| text.trim() == "0s") {
                limits.all = smaller(limits.all);
            }
        }
        limits
    }

    /// Describes a limit that is too small, or returns `None`.
    pub(crate) fn lack(&self) -> Option<String> {
        // The required size is approximate, so a tenth less is acceptable.
        let show =
            |bytes: Option<u64>, needed: u64| bytes.filter(|bytes| *bytes < needed / 10 * 9).map(size::show);
        if let Some(kept) = show(self.all, NEEDED) {
            return Some(format!(
                "the builder's limit is {kept} of it, and the images need about {}",
                size::show(NEEDED)
            ));
        }
        let kept = show(self.idle_mounts, NEEDED_MOUNTS)?;
        Some(format!(
            "the builder keeps {kept} of cache mounts that were idle for a while, and the images need \
             about {}",
            size::show(NEEDED_MOUNTS)
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(rules: &[&str]) -> GcLimits {
        GcLimits::of(&rules.iter().map(|rule| (*rule).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn rules_are_read_as_old_and_new_engines_print_them() {
        assert_eq!(limits(&[]), GcLimits::default());
        assert_eq!(limits(&[]).lack(), None, "an engine without rules keeps all");
        let old = limits(&[
            "all false, filters type==source.local,type==exec.cachemount,type==source.git.checkout, keep duration 48h0m0s, \
             keep bytes 8.291GiB",
            "all false, keep duration 1440h0m0s, keep bytes 60GiB",
            "all false, keep bytes 60GiB",
            "all true, keep bytes 60GiB",
        ]);
        assert_eq!((old.all, old.idle_mounts), (Some(60 << 30), size::parse("8.291GiB")));
        assert_eq!(old.lack(), None);
        let new = limits(&[
            "all false, filters type==source.local,type==exec.cachemount, keep duration 48h0m0s, max used space 658.9MiB",
            "all false, keep duration 1440h0m0s, reserved space 4.657GiB, max used space 953.7MiB, min free space 2.794GiB",
            "all true, reserved space 4.657GiB, max used space 953.7MiB, min free space 2.794GiB",
        ]);
        assert_eq!(new.all, size::parse("4.657GiB"));
        assert!(
            new.lack().is_some_and(
                |words| words.contains("limit is 5.0 GB of it, and the images need about 10.0 GB")
            )
        );
        assert_eq!(
            GcLimits { all: size::parse("9.313GiB"), idle_mounts: None }.lack(),
            None,
            "the default of a builder in a container"
        );
        let idle = GcLimits { all: Some(NEEDED), idle_mounts: Some(512_000_000) };
        assert!(idle.lack().is_some_and(|words| words.contains("512 MB of cache mounts")));
    }

    #[test]
    fn the_limit_that_setup_writes_is_enough() {
        let ours = limits(&[
            "all false, filters type==regular, keep bytes 40GiB",
            "all true, filters , keep bytes 40GiB",
        ]);
        assert_eq!(ours, GcLimits { all: Some(40 << 30), idle_mounts: None });
        assert_eq!(ours.lack(), None);
    }
}
