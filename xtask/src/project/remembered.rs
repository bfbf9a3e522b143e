//! A cached declaration without the values of secret arguments. It records the source of each, a
//! variable or a place in a file. Both exist when it is read again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::declaration_query::Printed;
use crate::redact::{Redactor, is_secret};

/// Prefixes of variables that docker, buildx and Compose read on their own.
pub(crate) const OWN_VARIABLES: [&str; 6] =
    ["BAKE_", "BUILDKIT_", "BUILDX_", "COMPOSE_", "DOCKER_", "SOURCE_DATE_EPOCH"];

/// The sources of values.
pub(super) struct Sources<'a> {
    pub(super) env: &'a BTreeMap<String, String>,
    /// Texts of the declaration's files.
    pub(super) texts: &'a Option<Vec<String>>,
}

/// The output of bake, and the places of secrets in it.
#[derive(Serialize, Deserialize)]
pub(super) struct Remembered {
    printed: Printed,
    secrets: Vec<Secret>,
}

/// The value of one argument.
#[derive(Serialize, Deserialize)]
struct Secret {
    target: String,
    name: String,
    source: Source,
}

/// The source of a value.
#[derive(Serialize, Deserialize)]
enum Source {
    /// The value of a variable.
    Variable(String),
    /// A range of bytes in a text.
    Text { number: usize, at: usize, length: usize },
}

impl Remembered {
    /// Returns `None` if the source of a secret is not found.
    pub(super) fn new(printed: &Printed, sources: &Sources<'_>, redactor: &Redactor) -> Option<Self> {
        let mut remembered = Self { printed: printed.clone(), secrets: Vec::new() };
        for (target, declared) in &mut remembered.printed.target {
            for (name, value) in declared.args.iter_mut().filter(|(name, _)| is_secret(name)) {
                let Some(value) = value.as_mut().filter(|value| !value.is_empty()) else { continue };
                redactor.learn_content(value);
                let source = sources.find(value)?;
                remembered.secrets.push(Secret { target: target.clone(), name: name.clone(), source });
                value.clear();
            }
        }
        let text = serde_json::to_value(&remembered).ok()?;
        (redactor.document(&remembered).ok()? == text).then_some(remembered)
    }

    /// Returns the output of bake, or `None` if a source is gone.
    pub(super) fn recall(mut self, sources: &Sources<'_>) -> Option<Printed> {
        for secret in &self.secrets {
            let value = sources.value(&secret.source)?;
            let target = self.printed.target.get_mut(&secret.target)?;
            target.args.insert(secret.name.clone(), Some(value));
        }
        Some(self.printed)
    }
}

impl Sources<'_> {
    /// Returns the variables that a Compose file may be printed from: those that the tools read on
    /// their own, the home directory for `~`, and each whose name is in a text. Shells, cargo and
    /// CI systems set many others, whose values differ from call to call.
    pub(super) fn variables(&self) -> impl Iterator<Item = (&String, &String)> {
        let is_own = |name: &str| name == "HOME" || OWN_VARIABLES.iter().any(|start| name.starts_with(start));
        let is_named = |name: &str| self.texts.iter().flatten().any(|text| text.contains(name));
        self.env.iter().filter(move |(name, _)| is_own(name) || is_named(name))
    }

    fn find(&self, value: &str) -> Option<Source> {
        // A variable that is not among these may change while the answer stays valid.
        let variable = self.variables().find(|(_, known)| *known == value);
        let variable = variable.map(|(name, _)| Source::Variable(name.clone()));
        let text = |(number, text): (usize, &String)| {
            Some(Source::Text { number, at: text.find(value)?, length: value.len() })
        };
        variable.or_else(|| self.texts.iter().flatten().enumerate().find_map(text))
    }

    fn value(&self, source: &Source) -> Option<String> {
        match source {
            Source::Variable(name) => self.env.get(name).cloned(),
            Source::Text { number, at, length } => {
                let text = self.texts.as_ref()?.get(*number)?;
                Some(text.get(*at..at.checked_add(*length)?)?.to_owned())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(args: &[(&str, &str)], context: &str) -> Printed {
        let args: BTreeMap<&str, &str> = args.iter().copied().collect();
        let json = serde_json::json!({"target": {"app": {"context": context, "args": args}}});
        serde_json::from_value(json).expect("as bake prints it")
    }

    #[test]
    fn a_secret_is_remembered_by_where_it_came_from() {
        let variable = |name: &str| (name.to_owned(), "from-variable".to_owned());
        let env = ["ALSO", "DEPLOY"].map(variable).into();
        let texts = Some(vec!["args: {A_TOKEN: $DEPLOY, X_TOKEN: 'from-a-file'}".to_owned(), String::new()]);
        let sources = Sources { env: &env, texts: &texts };
        let redactor = Redactor::default();
        let args =
            [("A_TOKEN", "from-variable"), ("X_TOKEN", "from-a-file"), ("COLOR", "red"), ("B_TOKEN", "")];
        let all = printed(&args, ".");
        let remembered = Remembered::new(&all, &sources, &redactor).expect("remembered");
        let json = serde_json::to_string(&remembered).expect("JSON");
        assert!(!json.contains("from-") && json.contains("red"), "{json}");
        assert!(!json.contains("ALSO"), "a variable that the file does not read: {json}");
        let remembered: Remembered = serde_json::from_str(&json).expect("JSON");
        let recalled = remembered.recall(&sources).expect("recalled");
        assert_eq!(recalled.target, all.target);
        let lost = Sources { env: &BTreeMap::new(), texts: &texts };
        let remembered: Remembered = serde_json::from_str(&json).expect("JSON");
        assert!(remembered.recall(&lost).is_none());
    }

    #[test]
    fn only_variables_that_a_file_may_read_count() {
        let all = [
            ("BUILDX_BAKE_FILE", true),
            ("CARGO_PKG_NAME", false),
            ("COMPOSE_PROFILES", true),
            ("DOCKER_CONTEXT", true),
            ("HOME", true),
            ("IN_THE_ENV_FILE", true),
            ("PATH", false),
            ("TAG", true),
            ("TERM", false),
        ];
        let env = all.map(|(name, _)| (name.to_owned(), String::new())).into();
        let texts = Some(vec!["image: app:${TAG:-1}".to_owned(), "A=$IN_THE_ENV_FILE".to_owned()]);
        let sources = Sources { env: &env, texts: &texts };
        let found: Vec<&str> = sources.variables().map(|(name, _)| name.as_str()).collect();
        let expected: Vec<&str> = all.iter().filter(|(_, counts)| *counts).map(|(name, _)| *name).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn what_has_a_secret_of_unknown_origin_is_not_remembered() {
        let (env, texts) = (BTreeMap::new(), Some(vec![String::new()]));
        let sources = Sources { env: &env, texts: &texts };
        let remember = |args: &[(&str, &str)], context: &str| {
            Remembered::new(&printed(args, context), &sources, &Redactor::default()).is_some()
        };
        assert!(remember(&[("COLOR", "red")], "."));
        assert!(!remember(&[("A_TOKEN", "made-of-two")], "."));
        assert!(!remember(&[], "https://me:hunter22@git.example/x.git"));
        assert!(!remember(&[("URL", "https://me:hunter22@x/")], "."));
    }
}
