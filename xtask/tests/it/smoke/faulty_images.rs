//! Images with a fault, which `smoke` names.

use super::{Derived, IMAGE, docker, lock, smoke, state, with_state};

#[test]
#[ignore = "needs an engine"]
fn an_image_without_opcache_fails_for_opcache_alone() {
    let ini = "/etc/frankenphp/php.ini.d/00-shared-objects.ini";
    let show = format!("echo file_get_contents('{ini}');");
    let _image = lock::runtime_image();
    let shipped = docker(&["run", "--rm", IMAGE, "frankenphp", "php-cli", "-r", &show]);
    let rest: String =
        shipped.lines().filter(|line| !line.contains("opcache")).map(|line| format!("{line}\n")).collect();
    assert!(rest.len() < shipped.len() && rest.contains("extension="), "{shipped}");
    let broken = Derived::new("LABEL durango.test=1", Some((ini, &rest)));
    let (json, run) = smoke(&[&broken.0]);
    assert_eq!(run.code, 1, "{}", run.all());
    assert_eq!(json["result"], "failed");
    assert_eq!(with_state(&json, "fail"), ["extensions", "opcache"], "{}", run.all());
    assert!(state(&json, "opcache").1.contains("it is in the image's list"), "{json}");
}

#[test]
#[ignore = "needs an engine"]
fn each_fault_is_found_by_its_own_check() {
    let faults = "opcache.enable = 0\napc.enabled = 0\nfile_uploads = Off\nsession.save_path = /nowhere\n\
        variables_order = EGPCS\n";
    let ini = Some(("/etc/frankenphp/php.ini.d/faults.ini", faults));
    let broken = Derived::new(r#"HEALTHCHECK CMD ["frankenphp", "php-cli", "-r", "exit(1);"]"#, ini);
    let (json, run) = smoke(&[&broken.0]);
    assert_eq!(run.code, 1, "{}", run.all());
    let mut failed = with_state(&json, "fail");
    failed.sort_unstable();
    let expected = [
        "any-user-health",
        "any-user-sessions",
        "any-user-upload",
        "apcu",
        "hardened-health",
        "health-command",
        "healthy",
        "opcache",
        "production",
        "root-health",
        "session",
        "sessions",
        "upload",
    ];
    assert_eq!(failed, expected, "{}", run.all());
}

#[test]
#[ignore = "needs an engine"]
fn an_insecure_image_is_found_by_its_own_checks() {
    // The admin API for PHP code, root, hidden files, and no command line of PHP.
    let caddyfile = "{\n\tskip_install_trust\n\tadmin localhost:2019\n\t{$CADDY_GLOBAL_OPTIONS}\n\
        \tfrankenphp {\n\t\t{$FRANKENPHP_CONFIG}\n\t}\n}\n{$SERVER_NAME:localhost} {\n\
        \troot {$SERVER_ROOT:public/}\n\tphp_server\n}\n";
    let open = Derived::new("USER 0", Some(("/etc/frankenphp/Caddyfile", caddyfile)));
    let names = ["user", "admin", "hidden-files", "page"];
    let only: Vec<&str> = names.iter().flat_map(|name| ["--only", name]).collect();
    let (json, run) = smoke(&[&[open.0.as_str()], &only[..]].concat());
    assert_eq!(run.code, 1, "{}", run.all());
    assert_eq!(with_state(&json, "fail"), ["user", "admin", "hidden-files"], "{}", run.all());
    assert!(state(&json, "admin").1.contains("127.0.0.1:2019"), "{json}");
    let without = Derived::new("LABEL durango.test=2", Some(("/usr/local/bin/php", "no program")));
    let (json, run) = smoke(&["--only", "php-binary", &without.0]);
    assert_eq!((run.code, state(&json, "php-binary").0), (1, "fail"), "{}", run.all());
}

#[test]
#[ignore = "needs an engine"]
fn an_image_that_does_not_start_fails_and_says_why() {
    for change in [r#"CMD ["frankenphp", "run", "--config", "/nowhere"]"#, r#"ENTRYPOINT ["/nowhere"]"#] {
        let broken = Derived::new(change, None);
        let (json, run) = smoke(&[&broken.0]);
        assert_eq!(run.code, 1, "{}", run.all());
        let failed =
            ["start-shipped", "start-web", "start-any-user", "start-root", "start-hardened", "start-busy"];
        assert_eq!(with_state(&json, "fail"), failed, "{}", run.all());
        assert!(state(&json, "start-web").1.contains("/nowhere"), "{}", run.all());
        assert_eq!(state(&json, "page"), ("skip", "it needs start-web"));
    }
}

#[test]
#[ignore = "needs an engine"]
fn an_error_of_php_is_shown_from_the_containers_log() {
    let ini = Some(("/etc/frankenphp/php.ini.d/fault.ini", "disable_functions = file_get_contents\n"));
    let broken = Derived::new("LABEL durango.test=4", ini);
    let (json, run) = smoke(&["--only", "early-hints", &broken.0]);
    assert_eq!((run.code, state(&json, "early-hints").0), (1, "fail"), "{}", run.all());
    let said = "the container's log: PHP Fatal error:  Uncaught Error: Call to undefined function";
    assert!(state(&json, "early-hints").1.contains(said), "{json}");
}
