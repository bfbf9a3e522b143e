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
    /// The rule for a disk with little room.
    pub scarce: Option<ScarceDisk>,
}

/// With less free space on the disk than `min_free`, a builder keeps no more than `kept`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ScarceDisk {
    min_free: u64,
    kept: u64,
}

impl GcLimits {
    /// Parses the rules in [`super::inspect::Instance::policy`].
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
                let kept = bytes("reserved space").unwrap_or_default();
                limits.scarce = bytes("min free space").map(|min_free| ScarceDisk { min_free, kept });
            }
        }
        limits
    }

    /// Describes a limit that is too small for the images. `free` is the free space on the
    /// builder's disk, if it is known.
    pub(crate) fn lack(&self, free: Option<u64>) -> Option<String> {
        // The required size is approximate, so a tenth less is acceptable.
        let show =
            |bytes: Option<u64>, needed: u64| bytes.filter(|bytes| *bytes < needed / 10 * 9).map(size::show);
        if let Some(kept) = show(self.all, NEEDED) {
            return Some(format!(
                "the builder's limit is {kept} of it, and the images need about {}",
                size::show(NEEDED)
            ));
        }
        let is_scarce = |disk: &ScarceDisk| free.is_some_and(|free| free < disk.min_free);
        if let Some(disk) = self.scarce.filter(is_scarce)
            && let Some(kept) = show(Some(disk.kept), NEEDED)
        {
            return Some(format!(
                "with less than {} free on its disk, the builder keeps {kept} of it, and the images need \
                 about {}",
                size::show(disk.min_free),
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
        assert_eq!(limits(&[]).lack(None), None, "an engine without rules keeps all");
        let old = limits(&[
            "all false, filters type==source.local,type==exec.cachemount,type==source.git.checkout, keep duration 48h0m0s, \
             keep bytes 8.291GiB",
            "all false, keep duration 1440h0m0s, keep bytes 60GiB",
            "all false, keep bytes 60GiB",
            "all true, keep bytes 60GiB",
        ]);
        assert_eq!((old.all, old.idle_mounts), (Some(60 << 30), size::parse("8.291GiB")));
        assert_eq!(old.lack(None), None);
        let new = limits(&[
            "all false, filters type==source.local,type==exec.cachemount, keep duration 48h0m0s, max used space 658.9MiB",
            "all false, keep duration 1440h0m0s, reserved space 4.657GiB, max used space 953.7MiB, min free space 2.794GiB",
            "all true, reserved space 4.657GiB, max used space 953.7MiB, min free space 2.794GiB",
        ]);
        assert_eq!(new.all, size::parse("4.657GiB"));
        assert!(
            new.lack(None).is_some_and(
                |words| words.contains("limit is 5.0 GB of it, and the images need about 10.0 GB")
            )
        );
        assert_eq!(
            GcLimits { all: size::parse("9.313GiB"), idle_mounts: None, scarce: None }.lack(None),
            None,
            "the default of a builder in a container"
        );
        let idle = GcLimits { all: Some(NEEDED), idle_mounts: Some(512_000_000), scarce: None };
        assert!(idle.lack(None).is_some_and(|words| words.contains("512 MB of cache mounts")));
    }

    #[test]
    fn a_disk_with_little_room_leaves_the_reserved_space() {
        // Docker 28.5 on a disk of 64 GB.
        let rules = limits(&[
            "all false, filters type==source.local,type==exec.cachemount,type==source.git.checkout, \
             keep duration 48h0m0s, max used space 3.346GiB",
            "all false, keep duration 1440h0m0s, reserved space 6GiB, max used space 48GiB, \
             min free space 12GiB",
            "all true, reserved space 6GiB, max used space 48GiB, min free space 12GiB",
        ]);
        assert_eq!((rules.lack(None), rules.lack(Some(12 << 30))), (None, None));
        assert_eq!(
            rules.lack(Some((12 << 30) - 1)).as_deref(),
            Some(
                "with less than 12.9 GB free on its disk, the builder keeps 6.4 GB of it, and the images \
                 need about 10.0 GB"
            )
        );
    }

    #[test]
    fn the_limit_that_setup_writes_is_enough() {
        let ours = limits(&[
            "all false, filters type==regular, keep bytes 40GiB",
            "all true, filters , keep bytes 40GiB",
        ]);
        assert_eq!(ours, GcLimits { all: Some(40 << 30), idle_mounts: None, scarce: None });
        assert_eq!(ours.lack(None), None);
    }
}
