//! From recorded facts to steps, for each kind of machine.

use super::facts::{Daemon, Init, ProvisionFacts};
use crate::engine::os::Distribution;
use crate::engine::{Version, apt};
use crate::process::root::User;
use crate::provision::*;
use crate::step::Action;

/// Returns a minimal Debian of this version.
fn debian(version: u32, codename: &str) -> ProvisionFacts {
    let list = format!(
        "deb [signed-by=/usr/share/keyrings/k.gpg] http://m.test/debian {codename} main\n\
         deb http://m.test/security {codename}-security main\n"
    );
    ProvisionFacts {
        distribution: Distribution::Debian { version: Some(version), codename: codename.into() },
        sources: apt::parse_list(&list),
        pinned: Vec::new(),
        installed: Default::default(),
        client: false,
        stranger: None,
        buildx: None,
        compose: false,
        dockerd: false,
        mmdebstrap: false,
        keyring: true,
        certificates: true,
        lacks_apparmor: false,
        daemon: Daemon::Down,
        init: Init::None,
        user: User::Root,
        config: None,
        has_images: false,
        stale: Vec::new(),
        path: None,
        tmp: "/tmp/x".into(),
    }
}

fn ubuntu(year: u32) -> ProvisionFacts {
    ProvisionFacts {
        distribution: Distribution::Ubuntu(Version(year, 4)),
        keyring: false,
        ..debian(0, "noble")
    }
}

/// Returns a machine that lacks nothing.
fn complete() -> ProvisionFacts {
    ProvisionFacts {
        client: true,
        buildx: Some((Version(0, 13), "/usr/libexec/docker/cli-plugins/docker-buildx".into())),
        compose: true,
        dockerd: true,
        mmdebstrap: true,
        daemon: Daemon::Runs,
        ..debian(12, "bookworm")
    }
}

fn shell(facts: &ProvisionFacts) -> Vec<String> {
    decide(facts).unwrap().iter().map(Step::to_shell).collect()
}

fn refusal(facts: &ProvisionFacts) -> String {
    decide(facts).unwrap_err().to_string()
}

/// Returns the names after `install` in the step that installs.
fn installed(facts: &ProvisionFacts) -> String {
    let lines = shell(facts);
    let line = lines.iter().find(|line| line.contains("apt-get -y")).map_or("", String::as_str);
    line.split_once(" install ").map_or("", |(_, names)| names).to_owned()
}

#[test]
fn a_bare_debian_12_gets_the_engine_from_debian_13_and_nothing_else_from_there() {
    let lines = shell(&debian(12, "bookworm"));
    assert_eq!(
        lines,
        [
            "write /etc/apt/sources.list.d/durango-engine.sources:\n    \
             # The container engine, from Debian 13. /etc/apt/preferences.d/durango-engine allows nothing else.\n    \
             Types: deb\n    URIs: http://m.test/debian\n    Suites: trixie\n    Components: main\n    \
             Signed-By: /usr/share/keyrings/k.gpg",
            "write /etc/apt/preferences.d/durango-engine:\n    Package: *\n    Pin: release n=trixie\n    Pin-Priority: 100\n    \n    \
             Package: docker.io containerd docker-cli docker-buildx docker-compose\n    Pin: release n=trixie\n    Pin-Priority: 990",
            "apt-get -qq -o 'DPkg::Lock::Timeout=120' -o 'Acquire::Retries=3' update",
            "write /etc/docker/daemon.json:\n    {\n      \"features\": {\n        \"containerd-snapshotter\": true\n      }\n    }",
            "DEBIAN_FRONTEND=noninteractive apt-get -y --no-install-recommends -o 'DPkg::Lock::Timeout=120' -o 'Acquire::Retries=3' \
             -o 'Dpkg::Options::=--force-confdef' -o 'Dpkg::Options::=--force-confold' install \
             docker.io containerd runc iptables docker-cli docker-buildx docker-compose mmdebstrap",
            "setsid dockerd >>/var/log/durango-dockerd.log 2>&1 &",
        ]
    );
}

#[test]
fn what_a_machine_has_is_not_installed() {
    let other_client = ProvisionFacts { client: true, ..debian(12, "bookworm") };
    assert_eq!(
        installed(&other_client),
        "docker.io containerd runc iptables docker-buildx docker-compose mmdebstrap"
    );
    let old_plugin = ProvisionFacts {
        buildx: Some((Version(0, 12), "/usr/libexec/docker/cli-plugins/docker-buildx".into())),
        ..complete()
    };
    assert_eq!(installed(&old_plugin), "docker-buildx");
    // If the package is no newer, the same command would only install it again.
    let still_old = packages::check_installed(&old_plugin);
    let said = still_old.expect_err("too old").to_string();
    assert!(said.contains("the package `docker-buildx` of Debian 12 is buildx 0.12"), "{said}");
    assert!(packages::check_installed(&complete()).is_ok());
    assert_eq!(installed(&ProvisionFacts { mmdebstrap: false, ..complete() }), "mmdebstrap");
    assert!(
        shell(&ProvisionFacts { mmdebstrap: false, ..complete() })
            .iter()
            .all(|line| !line.contains("trixie"))
    );
    let docker_s_own =
        ProvisionFacts { installed: ["docker-ce".to_owned()].into(), buildx: None, ..complete() };
    assert_eq!(installed(&docker_s_own), "docker-buildx-plugin");
    assert!(shell(&complete()).is_empty());
}

#[test]
fn other_releases_have_the_engine_themselves() {
    assert!(shell(&debian(13, "trixie")).iter().all(|line| !line.contains("sources.list.d")));
    let names = "docker.io containerd runc iptables docker-buildx docker-compose-v2 mmdebstrap debian-archive-keyring";
    assert_eq!(installed(&ubuntu(24)), names);
    assert_eq!(installed(&ubuntu(22)), names);
    let bare = ProvisionFacts { certificates: false, lacks_apparmor: true, ..debian(13, "trixie") };
    assert!(
        installed(&bare)
            .starts_with("docker.io containerd runc iptables ca-certificates apparmor docker-cli")
    );
}

#[test]
fn a_suite_that_the_user_has_keeps_the_user_s_priority() {
    let mut facts = debian(12, "bookworm");
    facts.sources.extend(apt::parse_list("deb http://m.test/debian trixie main\n"));
    let lines = shell(&facts);
    assert!(
        lines.iter().all(|line| !line.contains("durango-engine.sources") && !line.contains("Package: *"))
    );
    let again = ProvisionFacts { pinned: vec!["docker-buildx".into()], ..facts };
    assert!(shell(&again).iter().any(|line| line.contains("Package: docker-buildx docker.io")));
    assert_eq!(packages::pinned("Package: *\nPin: x\n\nPackage: a b\n"), ["a", "b"]);
}

#[test]
fn what_cannot_be_provisioned_is_refused_and_says_why() {
    let fedora =
        ProvisionFacts { distribution: Distribution::Other("Fedora Linux 44".into()), ..debian(0, "") };
    assert!(refusal(&fedora).contains("this is Fedora Linux 44\ninstall Docker Engine"));
    assert!(refusal(&debian(11, "bullseye")).contains("this is Debian 11"));
    assert!(refusal(&ubuntu(20)).contains("this is Ubuntu 20.04"));
    let podman =
        ProvisionFacts { client: true, stranger: Some("/usr/bin/docker".into()), ..debian(13, "trixie") };
    assert!(
        refusal(&podman)
            .contains("`/usr/bin/docker` does not answer like Docker's client\nif it is Podman's")
    );
    let plain = ProvisionFacts { user: User::Plain, ..debian(12, "bookworm") };
    assert!(refusal(&plain).contains("no `sudo`\nrun the same command as root"));
    let elsewhere =
        ProvisionFacts { daemon: Daemon::Elsewhere("DOCKER_HOST=tcp://a:1".into()), ..complete() };
    assert!(refusal(&elsewhere).contains("DOCKER_HOST=tcp://a:1 is selected"));
    let hidden = ProvisionFacts {
        buildx: Some((Version(0, 9), "/root/.docker/cli-plugins/docker-buildx".into())),
        ..complete()
    };
    assert!(
        refusal(&hidden)
            .contains("`/root/.docker/cli-plugins/docker-buildx` is buildx 0.9, too old, and hides")
    );
    assert!(
        refusal(&ProvisionFacts { sources: Vec::new(), ..debian(12, "bookworm") })
            .contains("no package source for Debian 12")
    );
    assert!(
        refusal(&ProvisionFacts { config: Some("{".into()), ..debian(13, "trixie") }).contains("not JSON")
    );
}

#[test]
fn an_engine_that_works_asks_for_nothing_more() {
    let fedora = ProvisionFacts {
        distribution: Distribution::Other("Fedora".into()),
        mmdebstrap: false,
        ..complete()
    };
    assert!(shell(&fedora).is_empty());
    assert!(shell(&ProvisionFacts { user: User::Plain, mmdebstrap: false, ..complete() }).is_empty());
    assert!(shell(&ProvisionFacts { has_images: true, config: Some("{".into()), ..complete() }).is_empty());
}

#[test]
fn the_image_store_is_switched_only_where_it_is_empty_and_undecided() {
    let writes = |facts: ProvisionFacts| shell(&facts).iter().any(|line| line.contains("daemon.json"));
    let stopped = ProvisionFacts { daemon: Daemon::Down, ..complete() };
    assert!(writes(stopped.clone()));
    assert!(!writes(ProvisionFacts { has_images: true, ..stopped.clone() }));
    assert!(!writes(ProvisionFacts {
        config: Some("{\"features\":{\"containerd-snapshotter\":false}}".into()),
        ..stopped.clone()
    }));
    let kept = shell(&ProvisionFacts { config: Some("{\"mtu\": 1400}".into()), ..stopped });
    assert_eq!(kept[0], "cp -p /etc/docker/daemon.json /etc/docker/daemon.json.before-durango-provision");
    assert!(kept[1].contains("\"mtu\": 1400"));
}

#[test]
fn the_daemon_is_started_by_what_starts_services_here() {
    let stopped = ProvisionFacts {
        daemon: Daemon::Down,
        has_images: true,
        stale: vec!["/var/run/docker.pid".into()],
        ..complete()
    };
    assert_eq!(
        shell(&ProvisionFacts { init: Init::Systemd, ..stopped.clone() }),
        ["systemctl start docker", "until docker version >/dev/null 2>&1; do sleep 1; done"]
    );
    assert_eq!(shell(&ProvisionFacts { init: Init::Service, ..stopped.clone() })[0], "service docker start");
    let by_hand = shell(&ProvisionFacts { path: Some("/bin".into()), ..stopped.clone() });
    assert_eq!(
        by_hand,
        [
            "rm -rf /var/run/docker.pid",
            "PATH=/bin:/usr/sbin:/sbin setsid dockerd >>/var/log/durango-dockerd.log 2>&1 &"
        ]
    );
    let sudo = shell(&ProvisionFacts { user: User::Sudo, ..stopped.clone() });
    assert_eq!(sudo[0], "sudo rm -f /var/run/docker.pid");
    assert!(sudo[1].starts_with("sudo sh -c 'pid=$(setsid --fork sh -c "), "{sudo:?}");
    assert!(sudo[1].ends_with("; done' /var/log/durango-dockerd.log 90"), "{sudo:?}");
    assert_eq!(sudo.len(), 2, "one command starts and waits: sudo may ask for a password each time");
    let sudo = shell(&ProvisionFacts { user: User::Sudo, init: Init::Systemd, ..stopped });
    assert_eq!(sudo[0], "sudo systemctl start docker");
    assert!(sudo[1].starts_with("sudo sh -c 'end=") && sudo[1].ends_with("; done' 90"), "{sudo:?}");
}

#[test]
fn root_s_files_go_through_sudo_where_we_are_not_root() {
    let lines = shell(&ProvisionFacts { user: User::Sudo, ..debian(13, "trixie") });
    let at = lines.iter().position(|line| line.starts_with("write /tmp/x/daemon.json")).expect("a draft");
    assert_eq!(lines[at + 1], "sudo install -D -m 0644 /tmp/x/daemon.json /etc/docker/daemon.json");
    assert_eq!(lines[at + 2], "rm -rf /tmp/x/daemon.json");
}

#[test]
fn a_daemon_that_is_starting_is_waited_for() {
    let steps = decide(&ProvisionFacts { daemon: Daemon::Hangs(7), ..complete() }).unwrap();
    assert!(matches!(steps.as_slice(), [Step { action: Action::Wait { .. }, .. }]));
}
