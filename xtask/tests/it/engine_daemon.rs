//! A second daemon next to the first one. Other tests use it as a second machine.

use std::process::Command;

use crate::common::second_daemon::SecondDaemon;

fn images(daemon: &SecondDaemon) -> String {
    String::from_utf8_lossy(&daemon.docker(&["images", "--format", "{{.Repository}}"]).stdout).into_owned()
}

#[test]
#[ignore = "needs an engine"]
fn a_second_daemon_is_a_machine_of_its_own_and_keeps_its_data() {
    let mut daemon = SecondDaemon::start();
    assert_eq!(images(&daemon), "", "it begins with nothing");
    let tar = daemon.path("empty.tar");
    let made = Command::new("tar").arg("-cf").arg(&tar).args(["-C", "/etc", "os-release"]).status();
    assert!(made.expect("tar runs").success());
    let imported = daemon.docker(&["import", &tar.display().to_string(), "durango-test/second:1"]);
    assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
    daemon.crash_and_restart();
    assert_eq!(images(&daemon), "durango-test/second\n", "the next daemon has the data of the one before");
    let first =
        Command::new("docker").args(["images", "-q", "durango-test/second"]).output().expect("docker runs");
    assert!(first.stdout.is_empty(), "the first daemon knows nothing of it");
}
