//! `outdated`: the Debian packages of an image for which the mirror has another version. The query
//! runs inside the image, with its own sources and keys. Exits with 1 if one is a security update.

use std::time::Duration;

use anyhow::Result;
use jiff::Timestamp;
use serde::Serialize;

use crate::args::Parsed;
use crate::engine::problem::Problem;
use crate::error;
use crate::exec::steps;
use crate::json;
use crate::process::query::QueryOutput;
use crate::process::stdio::{out, outln};
use crate::project::{image_reference, secrets};
use crate::session::Session;
use crate::smoke::docker::Docker;
use crate::step::Step;
use crate::store::fresh::FreshFile;
use crate::store::sealed;

/// The timeout of one engine command.
const QUERY_TIMEOUT: Duration = Duration::from_secs(30);
/// The timeout of the mirror.
const MIRROR: Duration = Duration::from_secs(120);
/// The path of the host's certificates, for a mirror behind a proxy.
const AUTHORITIES: &str = "/durango-authorities.pem";
const SCRIPT: &str = r#"set -eu
export LC_ALL=C
if [ -s /durango-authorities.pem ]; then
    echo 'Acquire::https::CAInfo "/durango-authorities.pem";' >/tmp/durango-apt.conf
    export APT_CONFIG=/tmp/durango-apt.conf
fi
apt-get -qq -o APT::Update::Error-Mode=any -o Acquire::Languages=none -o Acquire::Retries=2 update >&2
apt list --upgradable 2>/dev/null"#;

/// One package that can be upgraded.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
struct Update {
    package: String,
    from: String,
    to: String,
    /// The suite that has it, as apt names it.
    suite: String,
    security: bool,
}

pub(crate) fn run(session: &Session, parsed: &Parsed) -> Result<u8> {
    let image = &super::smoke::image_of(session, parsed, "outdated")?;
    if session.host.which("docker").is_none() {
        return Err(Problem::NoDocker.into_error());
    }
    let docker = Docker { sh: &session.sh, verbose: session.globals.verbose };
    let answer = ask(session, &docker, image)?;
    if !answer.success {
        return Err(refusal(image, &answer));
    }
    let updates = parse(&answer.stdout)?;
    if !updates.is_empty() {
        ask_again(session, image);
    }
    let security = updates.iter().filter(|update| update.security).count();
    if session.globals.json {
        let document = serde_json::json!({
            "schema": json::SCHEMA, "image": image, "updates": updates, "security": security,
        });
        outln!("{}", json::line(&document)?);
    } else {
        out!("{}", text(image, &updates));
    }
    Ok(u8::from(security > 0))
}

/// A container of the image, removed on drop.
struct Container<'a> {
    docker: &'a Docker<'a>,
    name: String,
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        let _ = self.docker.ask_even_interrupted(&["rm", "--force", "--volumes", &self.name], QUERY_TIMEOUT);
    }
}

/// Asks apt in a container of the image, as root and with its own sources.
fn ask(session: &Session, docker: &Docker<'_>, image: &str) -> Result<QueryOutput> {
    let name = format!("durango-outdated-{}-{}", session.host.now.as_nanosecond(), std::process::id());
    let container = Container { docker, name };
    let create =
        ["create", "--pull", "never", "--name", &container.name, "--user", "0:0", "--no-healthcheck"];
    let command = ["--entrypoint", "/bin/sh", image, "-c", SCRIPT];
    let created = docker.ask(&[&create[..], &command[..]].concat(), QUERY_TIMEOUT)?;
    if !created.success {
        return Ok(created);
    }
    if let Some(bundle) = secrets::read(&session.host).ca_bundle {
        let from = bundle.display().to_string();
        docker.must(
            &["cp", "--follow-link", &from, &format!("{}:{AUTHORITIES}", container.name)],
            QUERY_TIMEOUT,
        )?;
    }
    docker.ask(&["start", "--attach", &container.name], MIRROR)
}

/// Returns why there is no answer. It never becomes the exit code of an answer.
fn refusal(image: &str, answer: &QueryOutput) -> anyhow::Error {
    let words = answer.stderr.trim();
    if words.contains("No such image") {
        return error::usage(format!(
            "image `{image}` not found in this engine\nbuild it with `cargo xtask frankenphp`, or name \
             another one"
        ));
    }
    if words.contains("/bin/sh") || words.contains("apt-get: not found") {
        return error::usage(format!(
            "failed to list the packages of `{image}`: it has no package manager\nfor an image with \
             LINK=static, `cargo xtask plan frankenphp` names the libraries that changed"
        ));
    }
    if words.contains("Cannot connect to the Docker daemon") || words.contains("permission denied") {
        return Problem::of_daemon(words).into_error();
    }
    error::build_failed(format!(
        "failed to query the package mirror of `{image}`: {}\ncheck the network; nothing was changed",
        words.lines().next_back().unwrap_or("no message")
    ))
}

/// Parses the output of `apt list --upgradable`.
fn parse(list: &str) -> Result<Vec<Update>> {
    let mut updates = Vec::new();
    for line in list.lines().filter(|line| !line.trim().is_empty() && !line.starts_with("Listing")) {
        match update(line) {
            Some(update) => updates.push(update),
            None => anyhow::bail!("failed to read a line of `apt list --upgradable`: `{line}`"),
        }
    }
    Ok(updates)
}

/// Parses a line such as `libfoo/stable-security 1+deb13u1 amd64 [upgradable from: 1]`.
fn update(line: &str) -> Option<Update> {
    let (new, from) = line.split_once(" [upgradable from: ")?;
    let (package, rest) = new.split_once('/')?;
    let mut words = rest.split(' ');
    let (suite, to) = (words.next()?, words.next()?);
    let from = from.strip_suffix(']')?;
    Some(Update {
        package: package.to_owned(),
        from: from.to_owned(),
        to: to.to_owned(),
        suite: suite.to_owned(),
        security: suite.split(',').any(|suite| suite.ends_with("-security")),
    })
}

/// Returns the list as text.
fn text(image: &str, updates: &[Update]) -> String {
    let mut text = String::new();
    for Update { package, from, to, suite, .. } in updates {
        text.push_str(&format!("{package:<24} {from} -> {to}  ({suite})\n"));
    }
    let security = updates.iter().filter(|update| update.security).count();
    if updates.is_empty() {
        return format!("{image} is up to date\n");
    }
    text.push_str(&format!(
        "{} updates for {image}, {security} of them security updates\nrun `cargo xtask frankenphp` to \
         install them\n",
        updates.len()
    ));
    text
}

/// Makes the next build of the image ask for versions again before the day is over.
fn ask_again(session: &Session, image: &str) {
    // The store has the image under its name without the tag.
    let name = image_reference::repository(image);
    let (mut file, _) = FreshFile::read(&session.layout, name);
    let mut is_known = false;
    for packages in file.platforms.values_mut().filter_map(|known| known.packages.as_mut()) {
        (packages.next, packages.sources) = (Timestamp::UNIX_EPOCH, None);
        is_known = true;
    }
    if let (true, Ok(json)) = (is_known, sealed::to_json(&file)) {
        let json = String::from_utf8_lossy(&json);
        steps::clean(&[Step::write_private(session.layout.fresh(name), json)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "Listing...\n\
        libfoo1/stable-security,stable-updates 1:1.0-1+deb13u1 amd64 [upgradable from: 1:1.0-1]\n\
        tzdata/stable-updates 2026b-0+deb13u1 all [upgradable from: 2026a-0+deb13u1]\n";

    #[test]
    fn apt_s_list_is_read_and_a_line_that_is_not_one_is_an_error() {
        let updates = parse(LIST).unwrap();
        let seen: Vec<_> = updates.iter().map(|one| (one.package.as_str(), one.security)).collect();
        assert_eq!(seen, [("libfoo1", true), ("tzdata", false)]);
        assert_eq!((updates[0].from.as_str(), updates[0].to.as_str()), ("1:1.0-1", "1:1.0-1+deb13u1"));
        assert_eq!(parse("Listing... Done\n").unwrap(), []);
        assert!(parse("libfoo1 1.0 amd64\n").unwrap_err().to_string().contains("libfoo1 1.0"));
        assert!(parse("E: nothing of the kind\n").is_err());
    }

    #[test]
    fn the_text_counts_what_is_urgent() {
        let text = text("a/b", &parse(LIST).unwrap());
        assert!(text.contains("2 updates for a/b, 1 of them security updates"), "{text}");
        assert!(super::text("a/b", &[]).contains("up to date"));
    }

    #[test]
    fn a_question_that_failed_has_no_exit_code_of_an_answer() {
        let code = |stderr: &str| {
            let answer = QueryOutput { success: false, stdout: String::new(), stderr: stderr.to_owned() };
            error::exit_code(&refusal("a/b", &answer))
        };
        assert_eq!(code("Error response from daemon: No such image: a/b:latest"), 2);
        assert_eq!(code("exec: \"/bin/sh\": stat /bin/sh: no such file or directory"), 2);
        assert_eq!(code("E: Failed to fetch http://m/ Could not connect"), 3);
    }
}
