//! The query for the versions of packages in the mirror: one call of bake that builds a target's
//! stage `packages` and exports its file to a temporary directory. Pure.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::arguments::Arguments;
use super::bake_args::{self, local_setting};
use super::build_facts::BuildFacts;
use super::options::BuildOptions;
use crate::project::overrides::is_by_variable;
use crate::project::packages::{ARG, STAGE};
use crate::step::{Command, Step};

/// Returns a bake file with the answers for every call of a build, because the lists are too long
/// for readable command lines. Returns `None` without an answer.
pub(crate) fn file(facts: &BuildFacts) -> Option<(PathBuf, Step)> {
    if facts.packages.is_empty() {
        return None;
    }
    let target = |versions: &String| serde_json::json!({ "args": { ARG: versions } });
    let targets: BTreeMap<_, _> =
        facts.packages.iter().map(|(name, versions)| (name, target(versions))).collect();
    let path = facts.scratch.join("packages.json");
    let text = serde_json::json!({ "target": targets }).to_string();
    Some((path.clone(), Step::write("", path, text)))
}

/// Returns the call and its preparation. A different `nonce` makes BuildKit ask the mirror again.
pub(crate) fn question(
    facts: &BuildFacts,
    options: &BuildOptions,
    name: &str,
    nonce: &str,
    dest: &Path,
) -> (Vec<Step>, Command) {
    let own = [
        ("target", STAGE.to_owned()),
        (&format!("args.{ARG}"), nonce.to_owned()),
        ("output", local_setting("dest", dest)),
        ("tags", String::new()),
    ];
    let own = own.map(|(key, value)| format!("{name}.{key}={value}"));
    // The base targets of this one are left out, because the stage doesn't need them.
    let given = options.declaring_sets().into_iter().filter(|set| !is_by_variable(set));
    let sets = given.chain(bake_args::base_sets(facts, name)).chain(own);
    let command = bake_args::bare(facts, options)
        .args(["--progress", "plain"])
        .args(sets.flat_map(|set| ["--set".to_owned(), set]))
        .args([name]);
    let arguments = Arguments::of(&facts.declaration, &options.sets, &facts.scratch);
    (arguments.prepare().into_iter().collect(), command)
}

#[cfg(test)]
mod tests {
    use super::super::build::plan;
    use super::super::tests::facts;
    use super::*;
    use crate::step::Action;

    #[test]
    fn the_question_builds_the_stage_and_none_of_the_other_targets() {
        let (_, command) = question(&facts(), &BuildOptions::default(), "app", "n", Path::new("/s/tmp/1"));
        let line = command.to_shell();
        for part in
            ["'app.target=packages'", "'app.args.PACKAGES=n'", "'app.output=type=local,dest=/s/tmp/1'"]
        {
            assert!(line.contains(&part.replace('\'', "")), "{part}: {line}");
        }
        assert!(!line.contains("target:base"), "{line}");
        assert!(line.contains(" app)") || line.ends_with(" app"), "{line}");
    }

    #[test]
    fn an_answer_is_an_argument_of_the_build() {
        let mut facts = facts();
        facts.packages.insert("app".into(), "libfoo/1".into());
        let plan = plan(&facts, &BuildOptions::default(), "id");
        let (path, _) = file(&facts).unwrap();
        let files = plan.prepare.iter().filter_map(|step| match &step.action {
            Action::Write { path, content, .. } => Some((path.clone(), content.clone())),
            _ => None,
        });
        let text = r#"{"target":{"app":{"args":{"PACKAGES":"libfoo/1"}}}}"#;
        assert_eq!(files.collect::<Vec<_>>(), [(path.clone(), text.to_owned())]);
        let name = path.display().to_string();
        assert!(plan.bake.argv.windows(2).any(|pair| pair == ["-f", &name]), "{:?}", plan.bake.argv);
        let given = bake_args::owner_sets(&facts, &BuildOptions::default(), "app");
        assert!(
            given.contains(&("args.PACKAGES".into(), "libfoo/1".into())),
            "the forecast sees it: {given:?}"
        );
    }
}
