//! A report for tests.

use crate::outcome::{
    BuildReport, BuildResult, CacheReport, Cause, CauseKind, MountReport, StepReport, TargetReport,
};

/// Returns a report with every field, and hostile text.
pub(crate) fn report() -> BuildReport {
    let step = |target: &str,
                stage: &str,
                instruction: &str,
                times: Option<(f64, f64)>,
                needs: &[usize],
                why: Option<(CauseKind, &str)>| {
        StepReport {
            target: target.into(),
            stage: stage.into(),
            instruction: instruction.into(),
            number: 0,
            cached: times.is_none(),
            seconds: times.map_or(0.0, |(_, seconds)| seconds),
            started: times.map(|(started, _)| started),
            needs: needs.to_vec(),
            cause: why.map(|(kind, detail)| Cause { kind, detail: detail.into() }),
        }
    };
    let target = |name: &str| TargetReport {
        name: name.into(),
        image: Some(format!("durango/{name}:latest")),
        digest: Some(format!("sha256:{}", "8860b237d40c".repeat(5))),
    };
    let mount = |id: &str, target: &str, restored, bytes, saved_bytes| MountReport {
        id: id.into(),
        target: target.into(),
        restored,
        bytes,
        saved_bytes,
    };
    BuildReport {
        schema: 1,
        build: "20261125-074743-1fc".into(),
        result: BuildResult::Built,
        bake_called: true,
        same_as: None,
        seconds: 104.2,
        record_seconds: 0.05,
        targets: vec![target("base"), target("runtime")],
        steps: vec![
            step(
                "base",
                "toolchain",
                "RUN --mount=type=cache,target=/x /builder/build-static.sh toolchain",
                None,
                &[],
                None,
            ),
            step(
                "base",
                "php",
                "COPY lib/php.sh /builder/lib/",
                Some((0.4, 0.3)),
                &[0],
                Some((CauseKind::File, "`lib/php.sh` changed")),
            ),
            step(
                "base",
                "php",
                "RUN /builder/build-static.sh php && echo '<script>alert(1)</script>' \"a|b\" `c`",
                Some((0.7, 90.1)),
                &[1],
                Some((CauseKind::Parent, "COPY lib/php.sh /builder/lib/")),
            ),
            step(
                "base",
                "modules",
                "RUN /builder/build-static.sh modules",
                Some((0.5, 22.0)),
                &[0],
                Some((CauseKind::Arg, "`GOFLAGS` was `` and is `-race`")),
            ),
            step(
                "base",
                "base",
                "COPY --from=php /out/ /",
                Some((91.0, 2.0)),
                &[2, 3],
                Some((CauseKind::Parent, "")),
            ),
            step(
                "runtime",
                "runtime",
                "RUN /tmp/install-packages /tmp/runtime-packages",
                Some((93.2, 9.4)),
                &[4],
                Some((CauseKind::Parent, "")),
            ),
        ],
        cache: CacheReport {
            key: Some("534c40353da7".into()),
            read: vec!["/home/me/.cache/durango-builder/layers/durango_base_latest/534c40353da7".into()],
            saved: Some("534c40353da7".into()),
            save_seconds: 4.2,
            mounts: vec![
                mount("durango-gomod", "/go/pkg/mod", true, 612_000_000, 0),
                mount("durango-ccache", "/root/.cache/ccache", false, 98_000_000, 12_400_000),
            ],
            restore_seconds: 3.1,
            mount_save_seconds: 1.2,
            ..CacheReport::default()
        },
        failure: None,
        warnings: vec!["a registry is <down> & out".into()],
    }
}
