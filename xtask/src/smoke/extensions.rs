//! The extensions that an image must have by its own list, and their tests: a call in a served
//! page, or at least that the extension is loaded.

use anyhow::{Result, ensure};
use serde_json::Value;

use super::assertions;
use super::checks::{CHECK_TIMEOUT, Check, Scene, Verdict};
use super::docker::Container;
use super::http::{self, Request};
use super::stage::Scenario;

/// The image's list, one name per line.
pub(crate) const LIST: &str = "/usr/local/share/durango/extensions";
/// The extensions that this link excludes, as `NAME: REASON` lines.
pub(crate) const LEFT_OUT: &str = "/usr/local/share/durango/left-out";

/// Check scripts and the extensions that each calls.
const SCRIPTS: &[(&str, &[&str])] = &[
    ("ext-opcache.php", &["opcache"]),
    ("ext-image.php", &["gd", "exif", "fileinfo"]),
    (
        "ext-text.php",
        &["intl", "mbstring", "iconv", "ctype", "tokenizer", "filter", "calendar", "gettext", "tidy"],
    ),
    ("ext-xml.php", &["dom", "simplexml", "xml", "xmlreader", "xmlwriter", "xsl", "soap"]),
    (
        "ext-data.php",
        &[
            "sqlite3",
            "pdo_sqlite",
            "mysqli",
            "pdo_mysql",
            "pgsql",
            "pdo_pgsql",
            "redis",
            "apcu",
            "igbinary",
            "dba",
            "ldap",
        ],
    ),
    ("ext-code.php", &["openssl", "sodium", "zip", "phar", "bz2", "zlib", "gmp", "bcmath"]),
    (
        "ext-system.php",
        &[
            "curl", "ftp", "sockets", "session", "readline", "posix", "pcntl", "shmop", "sysvmsg", "sysvsem",
            "sysvshm",
        ],
    ),
];

/// The extensions according to the image and to PHP.
#[derive(Debug, Clone, Default)]
pub(crate) struct ExtensionFacts {
    /// Names on the image's list; empty without a list.
    pub listed: Vec<String>,
    /// Excluded names, with the reasons.
    pub left_out: Vec<(String, String)>,
    /// Names that the serving PHP has loaded, in lower case.
    pub loaded: Vec<String>,
}

impl ExtensionFacts {
    /// Parses the two files and the answer of `loaded.php`.
    pub(crate) fn read(list: &str, left_out: &str, loaded: &Value) -> Self {
        let names = loaded["extensions"].as_array().into_iter().flatten().filter_map(Value::as_str);
        Self {
            listed: list.split_whitespace().map(str::to_lowercase).collect(),
            left_out: left_out
                .lines()
                .filter_map(|line| line.split_once(':'))
                .map(|(name, why)| (name.trim().to_lowercase(), why.trim().to_owned()))
                .collect(),
            loaded: names.map(canonical).collect(),
        }
    }

    /// Returns whether PHP has it.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.loaded.iter().any(|loaded| loaded == name)
    }

    fn why_not(&self, name: &str) -> String {
        match self.left_out.iter().find(|(left, _)| left == name) {
            Some((_, why)) => format!("not in this image (LINK=static excludes it: {why})"),
            None => "not in this image (its list of extensions does not name it)".into(),
        }
    }
}

/// Asks the serving PHP, and its command line for the image's two files.
pub(crate) fn ask(container: &Container<'_>) -> Result<ExtensionFacts> {
    let loaded =
        assertions::json(&http::send(&container.http, &Request::get("/loaded.php"), CHECK_TIMEOUT)?)?;
    let file = |path: &str| {
        let code = format!("is_file('{path}') && readfile('{path}');");
        container.frankenphp(&["php-cli", "-r", &code], CHECK_TIMEOUT)
    };
    Ok(ExtensionFacts::read(&file(LIST)?, &file(LEFT_OUT)?, &loaded))
}

/// Returns PHP's name of an extension, as lists and options write it.
fn canonical(name: &str) -> String {
    match name.to_lowercase().as_str() {
        "zend opcache" => "opcache".into(),
        other => other.into(),
    }
}

/// The test of one extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Proof {
    /// A call in this script.
    Script(&'static str),
    /// The extension is loaded, and no script calls it.
    Loaded,
    /// The list has it and PHP lacks it.
    Missing,
    /// The extension is not in this image, with the reason.
    Absent(String),
}

/// Returns a test for every extension of a script or the list, and for all other loaded ones.
pub(crate) fn plan(facts: &ExtensionFacts) -> Vec<(String, Proof)> {
    let mut plan: Vec<(String, Proof)> = Vec::new();
    for (script, names) in SCRIPTS {
        for name in *names {
            let listed = facts.listed.iter().any(|known| known == name);
            let proof = match (facts.has(name), listed) {
                (true, _) => Proof::Script(script),
                (false, true) => Proof::Missing,
                (false, false) => Proof::Absent(facts.why_not(name)),
            };
            plan.push(((*name).to_owned(), proof));
        }
    }
    for name in &facts.listed {
        if !plan.iter().any(|(known, _)| known == name) {
            plan.push((name.clone(), if facts.has(name) { Proof::Loaded } else { Proof::Missing }));
        }
    }
    plan
}

/// Returns the plan as checks.
pub(crate) fn checks(facts: &ExtensionFacts) -> Vec<Check> {
    plan(facts)
        .into_iter()
        .map(|(name, proof)| Check::owned(name, Scenario::Web, Box::new(move |scene| prove(scene, &proof))))
        .collect()
}

fn prove(scene: &Scene<'_>, proof: &Proof) -> Result<Verdict> {
    match proof {
        Proof::Script(script) => call(scene, script, scene.name).map(Verdict::Ok),
        Proof::Loaded => Ok(Verdict::Ok("loaded".into())),
        Proof::Missing => {
            anyhow::bail!("expected it to be loaded: it is in the image's list (`{LIST}`), but not in PHP")
        }
        Proof::Absent(why) => Ok(Verdict::Skip(why.clone())),
    }
}

/// Runs one check of a script in a served page. Every script runs twice, to test what the first
/// call compiled (opcache) or left behind.
pub(crate) fn call(scene: &Scene<'_>, script: &str, check: &str) -> Result<String> {
    let mut detail = String::new();
    for round in 1..=2 {
        let path = format!("/{script}?check={check}&n={round}");
        let answer = assertions::json(&scene.send(&Request::get(&path))?)?;
        detail = assertions::verdict(&answer)?;
    }
    ensure!(!detail.is_empty(), "no details from the script");
    Ok(detail)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn proof(facts: &ExtensionFacts, name: &str) -> Option<Proof> {
        plan(facts).into_iter().find(|(known, _)| known == name).map(|(_, proof)| proof)
    }

    #[test]
    fn each_listed_extension_is_proven_or_missed() {
        let loaded = json!({"extensions": ["gd", "Zend OPcache", "snuffleupagus", "Core"]});
        let facts = ExtensionFacts::read(
            "gd\nopcache\nintl\nsnuffleupagus\nyaml\n",
            "xsl: no static libxslt\n",
            &loaded,
        );
        assert_eq!(proof(&facts, "gd"), Some(Proof::Script("ext-image.php")));
        assert_eq!(proof(&facts, "opcache"), Some(Proof::Script("ext-opcache.php")));
        assert_eq!(proof(&facts, "intl"), Some(Proof::Missing));
        assert_eq!(proof(&facts, "snuffleupagus"), Some(Proof::Loaded));
        assert_eq!(proof(&facts, "yaml"), Some(Proof::Missing));
        let why = "not in this image (LINK=static excludes it: no static libxslt)";
        assert_eq!(proof(&facts, "xsl"), Some(Proof::Absent(why.into())));
        assert_eq!(proof(&facts, "core"), None);
    }

    #[test]
    fn without_a_list_all_that_is_loaded_is_proven() {
        let facts = ExtensionFacts::read("", "", &json!({"extensions": ["gd"]}));
        assert_eq!(proof(&facts, "gd"), Some(Proof::Script("ext-image.php")));
        assert!(matches!(proof(&facts, "intl"), Some(Proof::Absent(_))));
    }

    #[test]
    fn each_script_is_there_and_knows_its_checks() {
        for (script, names) in SCRIPTS {
            let text = super::super::stage::page(script).unwrap();
            for name in *names {
                assert!(text.contains(&format!("'{name}' => function")), "{script} has no check `{name}`");
            }
        }
    }
}
