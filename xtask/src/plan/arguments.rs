//! Passes build arguments and other settings that may contain a secret through variables, because
//! `ps` shows the arguments of a process to every user of the machine. A second file for bake names
//! a variable for each value, and the buildx process gets the variables.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::project::Declaration;
use crate::project::overrides::{LISTS, NAMED, Setting, is_by_variable, setting};
use crate::redact::is_secret;
use crate::step::{Command, Step};

/// Settings that are passed through variables.
#[derive(Debug, Default)]
pub(super) struct Arguments {
    /// The file and its content, which has only names of variables.
    file: Option<(PathBuf, String)>,
    env: BTreeMap<String, String>,
    secret_env: BTreeMap<String, String>,
}

impl Arguments {
    /// Collects those of a build's `--set`s. The file is below `scratch`.
    pub(super) fn of(declaration: &Declaration, sets: &[String], scratch: &Path) -> Self {
        let (mut all, mut targets, mut variables) = (Self::default(), Map::new(), Map::new());
        for setting in sets.iter().filter(|set| is_by_variable(set)).filter_map(|set| setting(set)) {
            let variable = format!("DURANGO_ARG_{}", variables.len());
            for target in declaration.matching(setting.pattern) {
                let target = targets.entry(target).or_insert_with(|| json!({}));
                place(target, &setting, &format!("${{{variable}}}"));
            }
            let is_open = setting.key == "args" && !is_secret(setting.name);
            let env = if is_open { &mut all.env } else { &mut all.secret_env };
            env.insert(variable.clone(), setting.value.to_owned());
            variables.insert(variable, json!({ "default": "" }));
        }
        if !targets.is_empty() {
            let content = json!({ "variable": variables, "target": targets }).to_string();
            all.file = Some((scratch.join("arguments.json"), content));
        }
        all
    }

    /// Returns the step that writes the file.
    pub(super) fn prepare(&self) -> Option<Step> {
        let (path, content) = self.file.as_ref()?;
        Some(Step::write("", path.clone(), content.clone()))
    }

    /// Adds them to a call of bake.
    pub(super) fn apply(&self, command: Command) -> Command {
        let Some((path, _)) = &self.file else { return command };
        let mut command = command.args(["-f", &path.display().to_string()]);
        command.env.extend(self.env.clone());
        command.secret_env.extend(self.secret_env.clone());
        command
    }
}

/// Sets one value of a target, in the form of a bake file.
fn place(target: &mut Value, setting: &Setting<'_>, value: &str) {
    // bake interpolates `${` and `%{` in JSON, in names as well.
    let name = setting.name.replace("${", "$${").replace("%{", "%%{");
    let field = &mut target[setting.key];
    match setting.key {
        key if NAMED.contains(&key) => field[name] = value.into(),
        key if LISTS.contains(&key) => match field.as_array_mut() {
            Some(list) => list.push(value.into()),
            None => *field = json!([value]),
        },
        _ => *field = value.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::build::plan;
    use super::super::options::BuildOptions;
    use super::super::tests::facts;
    use super::*;

    fn options() -> BuildOptions {
        let sets = [
            "*.args.DEPLOY_TOKEN=hunter22",
            "app.args.COLOR=yellow",
            "a*.context=https://me:word-1@git.example/x.git",
            "base.contexts.src=https://me:word-2@git.example/x.git",
            "*.cache-to=type=s3,bucket=b,secret_access_key=word-3",
            "app.target=last",
        ];
        BuildOptions { sets: sets.map(str::to_owned).into(), ..BuildOptions::default() }
    }

    #[test]
    fn no_value_of_an_argument_or_a_secret_is_in_a_command() {
        let plan = plan(&facts(), &options(), "id");
        let commands = std::iter::once(&plan.bake).chain(plan.saves.iter().map(|save| &save.command));
        for command in commands {
            let argv = command.argv.join(" ");
            for word in ["hunter22", "yellow", "word-1", "word-2", "word-3"] {
                assert!(!argv.contains(word), "{word}: {argv}");
            }
            assert!(
                argv.contains("-f /store/tmp/id/arguments.json") && argv.contains("app.target=last"),
                "{argv}"
            );
            assert_eq!(command.secret_env["DURANGO_ARG_0"], "hunter22");
            assert_eq!(command.env["DURANGO_ARG_1"], "yellow");
        }
        let shown = plan.to_shell().join("\n") + &serde_json::to_string(&plan).expect("JSON");
        assert!(!shown.contains("hunter22") && !shown.contains("word-"), "{shown}");
    }

    #[test]
    fn the_file_names_a_variable_for_each_value() {
        let declaration = facts().declaration;
        let arguments = Arguments::of(&declaration, &options().sets, Path::new("/s"));
        let (path, content) = arguments.file.expect("a file");
        let file: Value = serde_json::from_str(&content).expect("JSON");
        assert_eq!(path, Path::new("/s/arguments.json"));
        assert_eq!(
            file["target"]["app"]["args"],
            json!({"DEPLOY_TOKEN": "${DURANGO_ARG_0}", "COLOR": "${DURANGO_ARG_1}"})
        );
        assert_eq!(file["target"]["base"]["args"], json!({"DEPLOY_TOKEN": "${DURANGO_ARG_0}"}));
        assert_eq!(file["target"]["app"]["context"], "${DURANGO_ARG_2}");
        assert_eq!(file["target"]["base"]["contexts"]["src"], "${DURANGO_ARG_3}");
        assert_eq!(file["target"]["base"]["cache-to"], json!(["${DURANGO_ARG_4}"]));
        assert_eq!(file["variable"].as_object().map(Map::len), Some(5));
        assert!(Arguments::of(&declaration, &["app.target=x".into()], Path::new("/s")).prepare().is_none());
    }
}
