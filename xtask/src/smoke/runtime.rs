//! Checks of the shipped image: its commands, its health, its own page, its end.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::checks::{CHECK_TIMEOUT, Scene};
use super::{assertions, stage};
use crate::process::signals;

const OWN_PAGE: &str = include_str!("php/own-page.php");
/// The timeout for a healthy container. Docker needs one good answer, and asks after a second.
const HEALTH: Duration = Duration::from_secs(20);

/// Checks that the engine reports it as healthy, with the image's own command.
pub(super) fn healthy(scene: &Scene<'_>) -> Result<String> {
    let container = scene.container()?;
    scene.image.config.health_command()?;
    let started = Instant::now();
    loop {
        signals::check()?;
        match container.inspect("{{.State.Health.Status}}")?.as_str() {
            "healthy" => return Ok("by its own HEALTHCHECK".into()),
            _ if !container.is_running() => return Err(container.exit_reason()),
            status => ensure!(
                started.elapsed() < HEALTH,
                "expected healthy within {} s, got {status}: {}",
                HEALTH.as_secs(),
                container.inspect(
                    "{{with .State.Health}}{{range .Log}}{{.ExitCode}} {{.Output}} {{end}}{{end}}"
                )?
            ),
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Runs the health command, as an orchestrator would.
pub(super) fn health_command(scene: &Scene<'_>) -> Result<String> {
    let argv = scene.image.config.health_command()?;
    let args: Vec<&str> = argv.iter().map(String::as_str).collect();
    let answer = scene.container()?.exec(&args, CHECK_TIMEOUT)?;
    let line = shell_words::join(&argv);
    ensure!(answer.success, "`{line}` failed: {}{}", answer.stdout.trim(), answer.stderr.trim());
    Ok(format!("`{line}` exits with 0"))
}

/// Checks that `frankenphp version` names FrankenPHP, PHP and Caddy.
pub(super) fn version(scene: &Scene<'_>) -> Result<String> {
    let version = scene.container()?.frankenphp(&["version"], CHECK_TIMEOUT)?.trim().to_owned();
    let missing: Vec<&str> =
        ["FrankenPHP", "PHP", "Caddy"].into_iter().filter(|word| !version.contains(word)).collect();
    ensure!(missing.is_empty(), "expected the name {}, got `{version}`", missing.join(" and "));
    Ok(version)
}

/// Checks that `frankenphp build-info` names its modules.
pub(super) fn build_info(scene: &Scene<'_>) -> Result<String> {
    let info = scene.container()?.frankenphp(&["build-info"], CHECK_TIMEOUT)?;
    let version_of = |module: &str| {
        let line = info.lines().find(|line| line.split_whitespace().any(|word| word == module));
        let version = line.and_then(|line| line.split_whitespace().skip_while(|word| *word != module).nth(1));
        version.map(str::to_owned).with_context(|| format!("expected the module `{module}`, got none"))
    };
    let go = info.split_whitespace().find(|word| word.starts_with("go1.")).unwrap_or("unknown Go version");
    Ok(format!(
        "{go}, frankenphp {}, caddy {}",
        version_of("github.com/dunglas/frankenphp")?,
        version_of("github.com/caddyserver/caddy/v2")?
    ))
}

/// Checks that `frankenphp list-modules` has both modules of FrankenPHP.
pub(super) fn list_modules(scene: &Scene<'_>) -> Result<String> {
    let modules = scene.container()?.frankenphp(&["list-modules"], CHECK_TIMEOUT)?;
    assertions::lists(&modules, &["frankenphp", "http.handlers.php"])
}

/// Checks that `frankenphp php-cli -r` runs code and returns its exit code.
pub(super) fn php_cli(scene: &Scene<'_>) -> Result<String> {
    let container = scene.container()?;
    let seen = container
        .frankenphp(&["php-cli", "-r", "echo PHP_SAPI, ' ', PHP_VERSION, ' ', 6 * 7;"], CHECK_TIMEOUT)?;
    ensure!(seen.starts_with("cli ") && seen.ends_with(" 42"), "expected `cli VERSION 42`, got `{seen}`");
    let failing = container.exec(&["frankenphp", "php-cli", "-r", "exit(7);"], CHECK_TIMEOUT)?;
    ensure!(!failing.success, "`exit(7)`: expected a failure, got exit code 0");
    Ok(format!("{seen}; exit(7) fails"))
}

/// Checks that `php` is on the PATH and is PHP's own command line.
pub(super) fn php(scene: &Scene<'_>) -> Result<String> {
    let answer = scene.container()?.exec(&["php", "-v"], CHECK_TIMEOUT)?;
    let line = answer.stdout.lines().next().unwrap_or_default();
    let is_php = answer.success && line.starts_with("PHP ") && line.contains("(cli)");
    ensure!(is_php, "`php -v`: expected `PHP VERSION (cli)`, got `{line}` {}", answer.stderr.trim());
    Ok(line.to_owned())
}

/// Requests the image's own page over verified HTTPS.
pub(super) fn own_page(scene: &Scene<'_>) -> Result<String> {
    let printed = scene.container()?.frankenphp(&["php-cli", "-r", stage::code(OWN_PAGE)], CHECK_TIMEOUT)?;
    let answer = printed.lines().last().unwrap_or_default();
    let seen: Value =
        serde_json::from_str(answer).with_context(|| format!("expected JSON, got `{}`", printed.trim()))?;
    assertions::own_page(&seen)
}

/// Checks that `docker stop` ends it with exit code 0. A container that ignores the signal is
/// killed, which has another code.
pub(super) fn stop(scene: &Scene<'_>) -> Result<String> {
    let container = scene.container()?;
    container.stop()?;
    let code = container.inspect("{{.State.ExitCode}}")?;
    ensure!(code == "0", "expected exit code 0, got {code}");
    Ok("exit code 0".into())
}
