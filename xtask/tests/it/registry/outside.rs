//! Registries at an address other than the loopback one, where buildx uses TLS: it reads no
//! certificates and no settings of the engine.

use std::net::{IpAddr, UdpSocket};

use super::{another, list, project, warnings};
use crate::common::front::{self, Front, Verdict};
use crate::common::registry::{Registry, USER};
use crate::common::second_daemon::SecondDaemon;
use crate::common::{Project, base_of, skip};

/// Returns an address of this machine that is not the loopback one, if it has one. Nothing is sent.
fn address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

/// Moves a project to a daemon that uses every registry at this address without checks, as
/// `insecure-registries` say.
fn trusting(project: Project, address: IpAddr) -> (Project, SecondDaemon) {
    let base = base_of(&project);
    let config = format!(
        r#"{{"features": {{"containerd-snapshotter": true}}, "insecure-registries": ["{address}/32"]}}"#
    );
    let daemon = SecondDaemon::start_with(&config);
    daemon.receive(&base);
    let host = daemon.host();
    (project.env("DOCKER_HOST", &host), daemon)
}

#[test]
#[ignore = "needs an engine"]
fn a_registry_with_a_ca_of_its_own_is_used_with_the_named_certificate() {
    let Some(address) = address() else { return skip("this machine has no other address") };
    let registry = Registry::with_tls(address);
    let (project, _daemon) = trusting(project("own-ca"), address);
    let (report, run) = project.build(&["app", "--cache", &registry.cache()]);
    run.succeeds();
    let said = warnings(&report);
    assert!(said.contains("x509") && said.contains("set SSL_CERT_FILE"), "{said}");
    assert!(registry.tags().is_empty(), "{said}");
    let ca = registry.ca().display().to_string();
    let project = project.env("SSL_CERT_FILE", &ca);
    let (report, run) = project.build(&["app", "--cache", &registry.cache()]);
    run.succeeds();
    assert_eq!((warnings(&report).as_str(), registry.tags().len()), ("", 2), "{}", run.all());
}

#[test]
#[ignore = "needs an engine"]
fn a_registry_without_tls_elsewhere_costs_a_warning_that_names_the_setting() {
    let Some(address) = address() else { return skip("this machine has no other address") };
    let registry = Registry::at(address);
    let (project, _daemon) = trusting(project("no-tls"), address);
    let (report, run) = project.build(&["app", "--cache", &registry.cache()]);
    run.succeeds();
    let said = warnings(&report);
    assert!(said.contains("HTTP response to HTTPS client") && said.contains("`http = true`"), "{said}");
}

#[test]
#[ignore = "needs an engine"]
fn an_account_that_may_only_read_is_named_the_option_for_it() {
    let registry = Registry::start();
    let project = project("reader");
    let base = base_of(&project);
    project.build(&["app", "--cache", "none", "--cache", &registry.cache()]).1.succeeds();
    let reader = Front::start(&registry, |request| front::with_token(request, "pull"));
    let refusing = Front::start(&registry, |request| match request.method.as_str() {
        "GET" | "HEAD" => Verdict::Pass,
        _ => Verdict::Answer("403 Forbidden", String::new(), String::new()),
    });
    let (project, _second) = another(project, &base);
    super::log_in(&project, &reader.host(), USER.1);
    for (front, content) in [(&reader, "2\n"), (&refusing, "3\n")] {
        project.write("a.txt", content);
        let (report, run) = project.build(&["app", "--cache", "none", "--cache", &front.cache()]);
        run.succeeds();
        assert!(crate::common::cached(&report, "echo"), "it reads: {}", run.all());
        let said = warnings(&report);
        assert!(said.contains("failed to push the layers") && said.contains(",ro`"), "{said}");
        assert!(list(&report, "pushed").is_empty(), "{report}");
    }
}
