//! The logs of daemons that Docker 26.1 and 28.5 ended with, cut to their last lines.

use super::*;

macro_rules! recorded {
    ($($name:literal => $reason:ident,)*) => {
        [$(($name, include_str!(concat!("recorded/", $name, ".txt")), Reason::$reason)),*]
    };
}

const ALL: [(&str, &str, Reason); 37] = recorded! {
    "build-cache-26.1" => BuildCache,
    "damaged-cache-26.1" => DamagedBuildCache,
    "damaged-history-26.1" => DamagedBuildCache,
    "damaged-history-28.5" => DamagedBuildCache,
    "damaged-snapshots-26.1" => DamagedBuildCache,
    "damaged-snapshots-28.5" => DamagedBuildCache,
    "damaged-containerd-26.1" => DamagedContainerd,
    "damaged-containerd-28.5" => DamagedContainerd,
    "damaged-networks-26.1" => DamagedNetworks,
    "damaged-networks-28.5" => DamagedNetworks,
    "damaged-volumes-26.1" => DamagedVolumes,
    "damaged-volumes-28.5" => DamagedVolumes,
    "no-space-26.1" => NoSpace,
    "no-space-28.5" => NoSpace,
    "no-space-early-26.1" => NoSpace,
    "no-space-early-28.5" => NoSpace,
    "runs-already-26.1" => RunsAlready,
    "runs-already-28.5" => RunsAlready,
    "address-in-use-26.1" => AddressInUse,
    "address-in-use-28.5" => AddressInUse,
    "configuration-26.1" => Configuration,
    "configuration-28.5" => Configuration,
    "option-26.1" => Configuration,
    "option-28.5" => Configuration,
    "no-iptables-26.1" => NoIptables,
    "no-iptables-28.5" => NoIptables,
    "no-network-rights-26.1" => NoNetworkRights,
    "no-network-rights-28.5" => NoNetworkRights,
    "no-containerd-26.1" => NoContainerd,
    "no-containerd-28.5" => NoContainerd,
    "slow-containerd-26.1" => SlowContainerd,
    "slow-containerd-28.5" => SlowContainerd,
    "not-root-26.1" => NotRoot,
    "not-root-28.5" => NotRoot,
    "read-only-26.1" => ReadOnly,
    "read-only-28.5" => ReadOnly,
    "no-file-rights-26.1" => NoFileRights,
};

fn explained(log: &str) -> Vec<String> {
    let text = explain(log, "/var/log/x", Path::new("/data")).expect("a log");
    text.lines().map(str::to_owned).collect()
}

#[test]
fn each_recorded_log_has_its_reason() {
    for (name, log, reason) in ALL {
        assert_eq!(Reason::of(log), Some(reason), "{name}");
    }
}

#[test]
fn a_journal_has_the_same_reason() {
    let around = |log: &str| {
        format!(
            "Starting docker.service - Docker Application Container Engine...\n{log}\ndocker.service: Main \
             process exited, code=exited, status=1/FAILURE\ndocker.service: Failed with result \
             'exit-code'.\nFailed to start docker.service - Docker Application Container Engine.\n"
        )
    };
    for (name, log, reason) in ALL {
        let journal = around(log);
        assert_eq!(Reason::of(&journal), Some(reason), "{name}");
        assert!(explained(&journal).iter().all(|line| !line.contains("docker.service")), "{name}");
    }
}

#[test]
fn an_error_has_the_reason_the_daemon_s_words_what_to_do_and_the_log() {
    for (name, log, reason) in ALL {
        let lines = explained(log);
        assert_eq!(lines[0], format!("failed to start the Docker daemon: {}", reason.what()), "{name}");
        assert!(lines[1].starts_with("  ") && !lines[1].contains("level=info"), "{name}: {lines:?}");
        assert!(lines.len() <= SHOWN + 5, "{name}: {lines:?}");
        assert_eq!(lines.last().map(String::as_str), Some("its log is /var/log/x"));
    }
}

#[test]
fn a_build_cache_that_is_too_large_can_be_moved_away() {
    let lines = explained(ALL[0].1);
    assert_eq!(lines[1], "  context deadline exceeded");
    assert!(
        lines[2].starts_with("the build cache is in `/data/buildkit`. Docker has no option"),
        "{lines:?}"
    );
    assert!(lines[3].starts_with("move it away (`mv /data/buildkit /data/buildkit.old`)"), "{lines:?}");
    // With other words around it.
    for line in
        ["failed to start daemon: ", "error initializing buildkit: error creating buildkit instance: "]
    {
        assert_eq!(
            Reason::of(&format!("{line}context deadline exceeded\n")),
            Some(Reason::BuildCache),
            "{line}"
        );
    }
}

/// A database that has not its usual size, or is a directory.
#[test]
fn each_kind_of_damage_names_what_to_move_away() {
    let damaged = [
        (
            "error while opening volume store metadata database (/data/volumes/metadata.db)",
            "volumes/metadata.db",
        ),
        (
            "Error initializing network controller: error obtaining controller instance",
            "network/files/local-kv.db",
        ),
        ("failed to open database file /data/buildkit/cache.db", "buildkit"),
        ("error initializing buildkit: error creating buildkit instance", "buildkit"),
    ];
    for (place, path) in damaged {
        for how in ["invalid database", "file size too small 5000", "open /data/some.db: is a directory"] {
            let lines = explained(&format!("{place}: {how}\n"));
            let advice =
                format!("move it away (`mv /data/{path} /data/{path}.old`) and run the same command again");
            assert!(lines[2].starts_with(&advice), "{lines:?}");
        }
    }
    // Docker 28 replaces this one.
    let replaced = "time=\"x\" level=error msg=\"failed to open database file /data/buildkit/cache.db, resetting to \
                    empty\" error=\"invalid database\"\nlisten tcp 1.2.3.4:1: bind: address already in use\n";
    assert_eq!(Reason::of(replaced), Some(Reason::AddressInUse));
    assert_eq!(Reason::of(replaced.lines().next().expect("a line")), None);
}

#[test]
fn an_unknown_reason_shows_the_last_lines() {
    let log: String = (0..30).map(|number| format!("time=\"x\" level=info msg=\"{number}\"\n")).collect();
    let lines = explained(&(log + "an unknown reason\n"));
    assert_eq!(lines[0], "failed to start the Docker daemon");
    assert_eq!(lines[SHOWN], "  an unknown reason");
    assert_eq!(lines[SHOWN + 1], "run `dockerd --debug` as root for more");
    // Healthy lines are no reason, whatever they mention.
    let healthy =
        "time=\"x\" level=info msg=\"no space left on device in a container, address already in use\"";
    assert_eq!(Reason::of(healthy), None);
    assert_eq!(explain(" \n", "x", Path::new("/")), None);
}
