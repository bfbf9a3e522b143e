//! Checks of PHP's command line. The same script runs with `docker exec php` and in a served page,
//! because applications start `PHP_BINARY` as well.

use anyhow::{Context, Result};

use super::checks::{CHECK_TIMEOUT, Check, Scene, Verdict};
use super::stage::{ROOT, Scenario};
use super::{assertions, extensions};

const SCRIPT: &str = "command-line.php";

/// The checks of the script.
const NAMES: &[&str] = &[
    "php-binary",
    "php-version",
    "php-code",
    "php-options",
    "php-modules",
    "php-info",
    "php-lint",
    "php-file",
    "php-stdin",
    "php-child",
];

/// Returns one check for each of the script's.
pub(super) fn checks() -> impl Iterator<Item = Check> {
    NAMES.iter().map(|name| Check {
        name: (*name).into(),
        stage: Scenario::Web,
        run: Box::new(|scene| prove(scene).map(Verdict::Ok)),
    })
}

fn prove(scene: &Scene<'_>) -> Result<String> {
    let script = format!("{ROOT}/{SCRIPT}");
    let answer = scene.container()?.exec(&["php", &script, scene.name], CHECK_TIMEOUT)?;
    let seen = serde_json::from_str(answer.stdout.trim()).with_context(|| {
        format!("`php {script}`: expected JSON, got `{}`", (answer.stdout + &answer.stderr).trim())
    })?;
    let detail = assertions::verdict(&seen).context("on the command line")?;
    extensions::call(scene, SCRIPT, scene.name).context("in a served page")?;
    Ok(detail)
}

#[cfg(test)]
mod tests {
    use super::super::stage::page;
    use super::*;

    #[test]
    fn the_script_knows_each_check_and_no_other() {
        let text = page(SCRIPT).unwrap();
        for name in NAMES {
            assert!(text.contains(&format!("'{name}' => function")), "{name}");
        }
        assert_eq!(text.matches("' => function").count(), NAMES.len());
    }
}
