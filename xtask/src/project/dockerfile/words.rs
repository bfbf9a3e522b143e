//! The steps of a Dockerfile as lists of texts, which a test compares with BuildKit's own reader.

use std::collections::BTreeMap;

use super::steps::{DockerfileStep, From};
use super::{Dockerfile, Inputs};

/// Returns the steps of the last stage: keyword, operation, and what the step reads or is given.
pub fn steps(file: &str, args: &BTreeMap<String, String>) -> Vec<Vec<String>> {
    let file = Dockerfile::parse(file.as_bytes());
    let inputs = Inputs { args: args.clone(), ..Inputs::default() };
    let Some(last) = file.stages.len().checked_sub(1) else { return Vec::new() };
    file.steps(last, &inputs).iter().map(texts).collect()
}

fn texts(step: &DockerfileStep) -> Vec<String> {
    let part = |name: &str| step.parts.get(name).cloned().unwrap_or_default();
    let mut texts = vec![step.keyword.clone()];
    match step.keyword.as_str() {
        "RUN" => {
            texts.extend([part("command"), part("user"), part("order")]);
            let variable = |(name, value): (&String, &String)| {
                let (kind, name) = name.split_once(' ').unwrap_or((name, ""));
                ["env", "arg"].contains(&kind).then(|| format!("{name}={value}"))
            };
            let mut variables: Vec<String> = step.parts.iter().filter_map(variable).collect();
            variables.sort();
            texts.extend(variables);
            let mounts = step.parts.keys().filter_map(|name| name.strip_prefix("mount "));
            texts.extend(mounts.map(|mount| mount.replacen(' ', " to ", 1)));
        }
        "WORKDIR" => texts.extend(step.operation[..2].to_vec()),
        _ => {
            texts.extend([&step.operation[0], &step.operation[1], &step.operation[3]].map(Clone::clone));
            for read in &step.reads {
                texts.extend(read.selectors.iter().map(|one| one.path.clone()));
                if let From::Remote { url, .. } = &read.from {
                    texts.push(url.clone());
                }
            }
            let selectors = step.reads.iter().flat_map(|read| &read.selectors);
            let of_selectors: usize = selectors.map(|one| 1 + usize::from(one.include.is_some())).sum();
            let remotes = step.reads.iter().filter(|read| matches!(read.from, From::Remote { .. })).count();
            let documents = step.operation.len() - remotes - of_selectors;
            texts.extend(step.operation[7..documents].iter().cloned());
        }
    }
    texts
}
