//! A target, and the declaration of some in each form.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Value, json};

use super::dockerfile::Model;

/// A target and its context.
#[derive(Debug, Clone, Default)]
pub(super) struct Target {
    pub(super) name: String,
    pub(super) model: Model,
    /// Build arguments.
    pub(super) args: BTreeMap<String, String>,
    /// Named contexts: a directory, or `target:` and the name of a target before this one.
    pub(super) contexts: BTreeMap<&'static str, String>,
    /// Settings of every RUN, by their names in a bake file.
    pub(super) run: BTreeMap<&'static str, &'static str>,
    /// The stage that is built.
    pub(super) stage: Option<String>,
    /// A label of the image, which is in no step.
    pub(super) label: Option<String>,
    /// Whether all RUNs run again.
    pub(super) no_cache: bool,
    /// Lines of the ignore file.
    pub(super) ignore: Vec<String>,
    /// The Dockerfile's name; the ignore file of that name goes before the context's.
    pub(super) file: String,
    /// Whether the ignore file is the Dockerfile's own.
    pub(super) has_own_ignore: bool,
    /// Whether the target is one of a matrix.
    pub(super) is_matrix: bool,
    /// Whether the Dockerfile is in the declaration.
    pub(super) is_inline: bool,
}

/// The form of the declaration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Compose,
    Hcl,
    Json,
}

impl Target {
    /// The Dockerfile's name where the declaration has to say it.
    fn declared_file(&self) -> Option<&str> {
        let is_default = self.file == "Dockerfile" || self.file == "dockerfile" || self.is_inline;
        (!is_default).then_some(self.file.as_str())
    }

    /// The settings next to the context, by their names in a bake file.
    fn settings(&self) -> serde_json::Map<String, Value> {
        let contexts: BTreeMap<&str, &String> =
            self.contexts.iter().map(|(name, source)| (*name, source)).collect();
        let mut all = json!({"context": self.name, "args": self.args, "secret": ["id=s,src=secret"]});
        let mut set = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                all[name] = value;
            }
        };
        set("contexts", (!contexts.is_empty()).then(|| json!(contexts)));
        set("dockerfile", self.declared_file().map(Value::from));
        for (name, value) in &self.run {
            let value = match *name {
                "ulimits" => json!([value]),
                "extra-hosts" => value.split_once('=').map_or(Value::Null, |(name, ip)| json!({ name: ip })),
                _ => json!(value),
            };
            set(name, Some(value));
        }
        set("target", self.stage.clone().map(Value::from));
        set("labels", self.label.as_ref().map(|label| json!({"l": label})));
        set("no-cache", self.no_cache.then_some(Value::Bool(true)));
        // bake reads `${` and `%{` as its own.
        let inline = || self.model.text().replace("${", "$${").replace("%{", "%%{");
        set("dockerfile-inline", self.is_inline.then(|| inline().into()));
        if let Value::Object(map) = all { map } else { serde_json::Map::new() }
    }
}

/// The text of a declaration.
pub(super) fn declaration(form: Form, targets: &[Target]) -> String {
    match form {
        Form::Compose => compose(targets),
        Form::Hcl => targets.iter().map(hcl).collect(),
        Form::Json => {
            let settings = |target: &Target| (target.name.clone(), Value::Object(target.settings()));
            let targets: serde_json::Map<String, Value> = targets.iter().map(settings).collect();
            json!({ "target": targets }).to_string()
        }
    }
}

/// Compose's names of the same settings. Its values are JSON, which is YAML.
fn compose(targets: &[Target]) -> String {
    let mut text = "secrets:\n  s:\n    file: ./secret\nservices:\n".to_owned();
    for target in targets {
        let name = &target.name;
        let _ = write!(text, "  {name}:\n    image: durango-forecast/{name}\n    build:\n");
        for (key, value) in target.settings() {
            let value = match (key.as_str(), value) {
                ("context", _) => json!(format!("./{name}")),
                ("contexts", Value::Object(contexts)) => {
                    let source = |text: &str| match text.strip_prefix("target:") {
                        Some(other) => format!("service:{other}"),
                        None if text.contains("://") => text.to_owned(),
                        None => format!("./{text}"),
                    };
                    let source = |value: &Value| source(value.as_str().unwrap_or_default());
                    contexts.iter().map(|(name, value)| (name.clone(), json!(source(value)))).collect()
                }
                ("secret", _) => json!(["s"]),
                ("ulimits", _) => limit(target.run["ulimits"]),
                ("extra-hosts", _) => json!([target.run["extra-hosts"].replace('=', ":")]),
                ("dockerfile-inline", _) => target.model.text().replace('$', "$$").into(),
                (_, value) => value,
            };
            let key = match key.as_str() {
                "contexts" => "additional_contexts",
                "secret" => "secrets",
                key => &key.replace('-', "_"),
            };
            let _ = writeln!(text, "      {key}: {value}");
        }
    }
    text
}

/// A limit as Compose has it.
fn limit(text: &str) -> Value {
    let (name, values) = text.split_once('=').unwrap_or_default();
    let (soft, hard) = values.split_once(':').unwrap_or((values, values));
    let number = |text: &str| text.parse::<u32>().unwrap_or_default();
    json!({ name: {"soft": number(soft), "hard": number(hard)} })
}

fn hcl(target: &Target) -> String {
    let (mut text, mut settings) = (format!("target {:?} {{\n", target.name), target.settings());
    if target.is_matrix {
        text = format!(
            "target \"matrix-{0}\" {{\n  name = item\n  matrix = {{ item = [{0:?}] }}\n",
            target.name
        );
        settings.insert("context".to_owned(), "${item}".into());
    }
    for (key, value) in settings {
        let value = match value {
            Value::Object(fields) => {
                let field = |(name, value): (&String, &Value)| format!("    {name} = {value}\n");
                format!("{{\n{}  }}", fields.iter().map(field).collect::<String>())
            }
            value => value.to_string(),
        };
        let _ = writeln!(text, "  {key} = {value}");
    }
    text + "}\n"
}
