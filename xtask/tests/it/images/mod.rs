//! The real images, from the sources of PHP and FrankenPHP. The first of these tests on a machine
//! takes as long as a cold build; the others reuse its layers.

mod update;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::common::{Project, Run, docker, lock};
use serde_json::Value;

const COMPOSE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../builder/compose.yaml");

/// Names that separate a variant from the images that users run. The base must then be linked by
/// hand.
const STATIC: &[&str] = &[
    "--build-arg",
    "LINK=static",
    "--set",
    "frankenphp-base-builder.tags=durango-test/static-base",
    "--set",
    "frankenphp.tags=durango-test/static",
    "--no-save",
];

fn report(run: &Run) -> Value {
    run.succeeds();
    serde_json::from_str(&run.stdout).expect("one document")
}

/// A container that is removed on drop.
struct Container(String);

impl Container {
    fn create(args: &[&str]) -> Self {
        Self(docker(&[&["create"], args].concat()))
    }

    /// Returns the size of its file system in bytes.
    fn size(&self) -> usize {
        let shell = format!("docker export {} | wc -c", self.0);
        let output = Command::new("sh").args(["-c", &shell]).output().expect("a shell");
        String::from_utf8_lossy(&output.stdout).trim().parse().expect("a number")
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = Command::new("docker").args(["rm", "--force", "--volumes", &self.0]).output();
    }
}

/// Returns the Debian image under both images.
fn base(project: &Project) -> String {
    // Without a request to the mirror.
    let plan = project.run(&["plan", "frankenphp", "--locked"]).stdout;
    let base = plan.split_once("frankenphp.args.BASE_IMAGE=").expect("a base").1;
    base.split([' ', '\'']).next().expect("a name").to_owned()
}

/// Waits until a page is served, and returns its body.
fn page(address: &str) -> String {
    let started = Instant::now();
    loop {
        let body = get(address).unwrap_or_default();
        if body.contains("200 OK") {
            return body;
        }
        assert!(started.elapsed() < Duration::from_secs(30), "no page at {address}: {body}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn get(address: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Returns a copy of the directories that the images are built from, with one change.
fn spoiled(project: &Project, file: &str, from: &str, to: &str) -> PathBuf {
    let root = Path::new(COMPOSE).ancestors().nth(2).expect("the workspace");
    for room in ["builder", "docker"] {
        let status = Command::new("cp").arg("-a").arg(root.join(room)).arg(project.path("")).status();
        assert!(status.expect("cp runs").success());
    }
    let path = project.path(file);
    let text = fs::read_to_string(&path).expect("a file");
    let line = text
        .lines()
        .find(|line| line.starts_with(from))
        .unwrap_or_else(|| panic!("no line {from} in {file}"));
    fs::write(&path, text.replacen(line, to, 1)).expect("written");
    project.path("builder/compose.yaml")
}

#[test]
#[ignore = "needs an engine"]
fn the_base_image_is_built_once_and_then_cached() {
    let project = Project::new(&[]);
    let first = report(&project.run(&["base-build", "--json", "--progress", "plain"]));
    assert!(["built", "cached"].contains(&first["result"].as_str().expect("a result")), "{first}");
    assert_eq!(
        first["cache"]["saved"], first["cache"]["key"],
        "a new store gets its layers: {}",
        first["warnings"]
    );
    let second = report(&project.run(&["base-build", "--json", "--progress", "quiet"]));
    assert_eq!(second["result"], "cached", "{}", second["steps"]);
    assert_eq!(second["cache"]["saved"], Value::Null);
    assert_eq!(second["targets"][0]["digest"], first["targets"][0]["digest"]);
    // A different CA bundle and Go proxy change no result.
    project.write("ca.pem", "other");
    let bundle = project.path("ca.pem").display().to_string();
    let project = project.env("SSL_CERT_FILE", &bundle).env("GOPROXY", "https://proxy.example");
    assert_eq!(report(&project.run(&["base-build", "--json", "--no-save"]))["result"], "cached");
}

/// The build itself fails if another set is in the binary (`try_extensions` of layout.sh).
#[test]
#[ignore = "needs an engine"]
fn another_set_of_extensions_compiles_nothing() {
    let project = Project::new(&[]);
    report(&project.run(&["base-build", "--no-save", "--json"]));
    for set in ["+tidy -xsl -dom -xmlreader -ctype", "gd"] {
        let extensions = format!("PHP_EXTENSIONS={set}");
        let tags = "*.tags=durango-test/extensions";
        let args = ["base-build", "--no-save", "--json", "--build-arg", &extensions, "--set", tags];
        let built = report(&project.run(&args));
        let steps = built["steps"].as_array().expect("steps");
        let compiles: Vec<&Value> = steps.iter().filter(|step| step["stage"] == "php").collect();
        assert!(!compiles.is_empty(), "{steps:?}");
        assert!(compiles.iter().all(|step| step["cached"] == true), "{set}: {compiles:?}");
    }
    docker(&["image", "rm", "--force", "durango-test/extensions"]);
}

#[test]
#[ignore = "needs an engine"]
fn the_runtime_image_is_small_and_compose_serves_the_page() {
    let project = Project::new(&[]);
    let _image = lock::runtime_image_changes();
    let built = report(&project.run(&["frankenphp", "--json", "--no-save"]));
    assert_eq!(built["targets"][0]["image"], "durango/frankenphp:latest");
    let base = base(&project);
    let image = Container::create(&["durango/frankenphp:latest"]);
    let below = Container::create(&[&base, "true"]);
    let added = image.size().saturating_sub(below.size());
    assert!(added < 160_000_000, "it adds {added} bytes to {base}");

    let port =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let compose = |args: &[&str]| {
        let mut command = Command::new("docker");
        command.args(["compose", "-p", "durango-test", "-f", COMPOSE]).args(args);
        command
            .env("SERVER_NAME", ":80")
            .env("DURANGO_HTTP_PORT", port.to_string())
            .env("DURANGO_HTTPS_PORT", "0");
        command.output().expect("compose runs")
    };
    let up = compose(&["up", "--detach", "--no-build", "frankenphp"]);
    let served = if up.status.success() { page(&format!("127.0.0.1:{port}")) } else { String::new() };
    let format = "{{json .HostConfig}}";
    let started = Command::new("docker")
        .args(["container", "inspect", "--format", format, "durango-test-frankenphp-1"])
        .output()
        .expect("docker runs");
    let started: Value = serde_json::from_slice(&started.stdout).unwrap_or_default();
    compose(&["down", "--volumes"]);
    assert!(served.contains("FrankenPHP"), "{served}\n{}", String::from_utf8_lossy(&up.stderr));
    let published: Vec<&Value> = started["PortBindings"].as_object().expect("ports").values().collect();
    assert_eq!(published.len(), 3, "{started}");
    assert!(published.iter().all(|ports| ports[0]["HostIp"] == "127.0.0.1"), "{started}");
    assert!(["no", ""].contains(&started["RestartPolicy"]["Name"].as_str().expect("a policy")), "{started}");
    assert_eq!(started["ReadonlyRootfs"], true, "{started}");
    assert_eq!(started["CapDrop"], serde_json::json!(["ALL"]), "{started}");
    assert!(started["SecurityOpt"].to_string().contains("no-new-privileges"), "{started}");
}

#[test]
#[ignore = "needs an engine"]
fn a_users_application_is_added() {
    let project = Project::new(&[("shop/public/index.php", "<?php echo 'the shop, by ', PHP_SAPI;")]);
    let args = ["frankenphp", "--json", "--no-save", "--tag", "durango-test/shop", "--app", "shop"];
    let built = report(&project.run(&args));
    assert_eq!(built["targets"][0]["image"], "durango-test/shop");
    let container = Container::create(&["-e", "SERVER_NAME=:80", "-p", "127.0.0.1::80", "durango-test/shop"]);
    docker(&["start", &container.0]);
    let address = docker(&["port", &container.0, "80/tcp"]);
    assert!(page(&address).contains("the shop, by frankenphp"));
    drop(container);
    docker(&["image", "rm", "durango-test/shop"]);
}

#[test]
#[ignore = "needs an engine"]
fn an_application_that_holds_the_store_or_secrets_is_refused_until_an_ignore_file_decides() {
    let files = [("shop/public/index.php", "<?php"), ("shop/.git/config", "x"), ("shop/.env", "WORD=x")];
    let project = Project::new(&files);
    let args = ["frankenphp", "--dry-run", "--app", "shop", "--cache-dir", "shop/kept"];
    std::fs::create_dir(project.path("shop/kept")).expect("made");
    let refused = project.run(&args);
    refused.fails(2, &[".git  (version control)", ".env  (environment file)", "kept  (the cache store)"]);
    project.write("shop/.dockerignore", ".git\nkept\n!.env\n");
    project.run(&args).succeeds();
}

#[test]
#[ignore = "needs an engine"]
fn a_static_binary_runs_from_scratch() {
    let project = Project::new(&[]);
    let built = report(&project.run(&[&["frankenphp", "--json", "--progress", "plain"], STATIC].concat()));
    assert_eq!(built["targets"][0]["image"], "durango-test/static");
    let container =
        Container::create(&["-e", "SERVER_NAME=:80", "-p", "127.0.0.1::80", "durango-test/static"]);
    let binary = project.path("frankenphp");
    docker(&["cp", &format!("{}:/usr/local/bin/frankenphp", container.0), &binary.display().to_string()]);
    let file = Command::new("file").arg(&binary).output();
    let linked = Command::new("ldd").arg(&binary).output().expect("ldd runs");
    let linked = String::from_utf8_lossy(&[linked.stdout, linked.stderr].concat()).into_owned();
    match file {
        Ok(said) => assert!(String::from_utf8_lossy(&said.stdout).contains("static-pie"), "{said:?}"),
        Err(_) => assert!(linked.contains("statically linked"), "{linked}"),
    }
    docker(&["start", &container.0]);
    let address = docker(&["port", &container.0, "80/tcp"]);
    assert!(page(&address).contains("FrankenPHP"));
    let smoke = project.run(&["smoke", "durango-test/static"]);
    drop(container);
    docker(&["image", "rm", "--force", "durango-test/static", "durango-test/static-base"]);
    smoke.succeeds();
}

#[test]
#[ignore = "needs an engine"]
fn wrong_settings_fail_before_anything_is_compiled() {
    let project = Project::new(&[]);
    let run = project.run(&["base-build", "--no-save", "--build-arg", "PHP_EXTENSIONS=+nonsense"]);
    run.fails(3, &["nonsense", "mbstring"]);
    let compose = spoiled(
        &project,
        "builder/frankenphp/go.sum",
        "github.com/caddyserver/caddy/v2 v",
        "github.com/caddyserver/caddy/v2 v2.11.4 h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    );
    let compose = compose.display().to_string();
    project.run(&["base-build", "--no-save", "--file", &compose]).fails(3, &["checksum mismatch", "go.sum"]);
}

#[test]
#[ignore = "needs an engine"]
fn a_pin_that_is_gone_is_replaced_with_a_warning_or_refused() {
    let project = Project::new(&[]);
    // A different version each time, because a cached step prints nothing.
    let gone = format!("5.0.0-1~gone{}", std::time::UNIX_EPOCH.elapsed().expect("a clock").as_secs());
    let compose =
        spoiled(&project, "builder/pins.env", "PHP_APCU_VERSION=", &format!("PHP_APCU_VERSION={gone}"));
    let compose = compose.display().to_string();
    let args = ["base-build", "--no-save", "--json", "--set", "*.tags=durango-test/gone", "--file", &compose];
    project.run(&[&args[..], &["--locked"]].concat()).fails(3, &["PHP_APCU_VERSION", &gone]);
    let built = report(&project.run(&args));
    docker(&["image", "rm", "--force", "durango-test/gone"]);
    let warnings = built["warnings"].to_string();
    assert!(warnings.contains("PHP_APCU_VERSION") && warnings.contains(&gone), "{warnings}");
}
