//! The outputs of a build: images in the engine, a registry, or files.

use super::bake_args::{is_builds_own, key_of};
use super::build_facts::BuildFacts;
use super::options::BuildOptions;
use crate::engine::Driver;
use crate::project::Target;
use crate::project::overrides::is_by_variable;

/// Returns whether a `--set` sets an output.
pub(super) fn says_output(set: &str) -> bool {
    ["output", "push", "load"].contains(&key_of(set))
}

/// Returns tags and outputs, which a save leaves out.
pub(super) fn output_sets(facts: &BuildFacts, options: &BuildOptions) -> Vec<String> {
    let main = &facts.names[0];
    let tags = options.tags.iter().map(|tag| format!("{main}.tags={tag}"));
    let is_unnamed = |name: &&String| options.chosen_tag(name, *name == main).is_none();
    let compose_names = facts
        .names
        .iter()
        .filter(is_unnamed)
        .filter_map(|name| Some(format!("{name}.tags={}", facts.declaration.compose_names.get(name)?)));
    let outputs = options.outputs.iter().map(|output| format!("{main}.output={output}"));
    // bake's own --push would also push the targets that the requested ones are based on, under any
    // name that they have.
    let pushed = facts.names.iter().take(facts.requested).filter(|_| options.push);
    let types = if facts.engine.capabilities().uses_oci_media_types { ",oci-mediatypes=true" } else { "" };
    let pushed = pushed.map(|name| format!("{name}.output=type=image,push=true{types}"));
    let kept = unplaced(facts, options)
        .filter_map(|name| Some(format!("{name}.output={}", default_output(facts, name)?)));
    let given = options.sets.iter().filter(|set| is_builds_own(set) && !is_by_variable(set)).cloned();
    let all = given.chain(tags).chain(compose_names).chain(outputs).chain(pushed).chain(kept);
    all.flat_map(|set| ["--set".to_owned(), set]).collect()
}

/// Returns targets without an output.
fn unplaced<'a>(facts: &'a BuildFacts, options: &'a BuildOptions) -> impl Iterator<Item = &'a String> {
    let placed_by_set = options.sets.iter().any(|set| says_output(set));
    let placed = if options.push { facts.requested } else { usize::from(!options.outputs.is_empty()) };
    // Other drivers would only load the base targets of the requested images, next to an image that
    // goes to another output.
    let count =
        if placed > 0 && facts.engine.driver != Driver::Docker { facts.requested } else { usize::MAX };
    let declared = |name: &&String| !facts.declaration.targets[*name].output.is_empty();
    facts.names.iter().take(count).skip(placed).filter(move |name| !placed_by_set && !declared(name))
}

/// Returns the default output: the engine, where users expect the image. `None` leaves it to
/// buildx.
fn default_output(facts: &BuildFacts, name: &str) -> Option<&'static str> {
    if facts.engine.driver == Driver::Docker {
        // Docker's own media types have none for zstd, the compression of layers in a store.
        // `docker commit` refuses such images.
        return facts.engine.capabilities().uses_oci_media_types.then_some("type=image,oci-mediatypes=true");
    }
    can_load(facts, &facts.declaration.targets[name]).then_some("type=docker")
}

/// Returns whether the engine can load a result of another driver. Its classic store has no
/// manifest lists, which several platforms and attestations need, and buildx then refuses the whole
/// build.
fn can_load(facts: &BuildFacts, target: &Target) -> bool {
    !facts.engine.capabilities().classic_image_store || !target.makes_manifest_list()
}

/// Warns about results that stay in the builder.
pub(crate) fn unloaded(facts: &BuildFacts, options: &BuildOptions) -> Option<String> {
    let is_elsewhere = facts.engine.driver != Driver::Docker;
    let names = unplaced(facts, options)
        .filter(|name| is_elsewhere && !can_load(facts, &facts.declaration.targets[*name]))
        .map(|name| format!("`{name}`"));
    let names = names.collect::<Vec<_>>().join(", ");
    (!names.is_empty()).then(|| {
        format!(
            "the result of {names} stays in the builder `{}`: the engine's classic image store does not \
             support several platforms or attestations; push it with --push, write it with --output, or \
             run `cargo xtask setup` to turn on the containerd image store",
            facts.engine.builder
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::build::plan;
    use crate::plan::tests::facts;

    #[test]
    fn an_image_that_stays_in_the_engine_has_media_types_that_know_zstd() {
        let kept = |edit: &dyn Fn(&mut BuildFacts, &mut BuildOptions)| {
            let (mut facts, mut options) = (facts(), BuildOptions::default());
            edit(&mut facts, &mut options);
            let line = plan(&facts, &options, "id").bake.to_shell();
            ["app", "base"]
                .map(|name| line.contains(&format!("'{name}.output=type=image,oci-mediatypes=true'")))
        };
        assert_eq!(kept(&|_, _| {}), [true, true]);
        // An explicit output is the only one.
        assert_eq!(kept(&|_, options| options.outputs.push("type=local,dest=x".into())), [false, true]);
        assert_eq!(kept(&|_, options| options.sets.push("*.output=type=cacheonly".into())), [false, false]);
        let declare = |facts: &mut BuildFacts| {
            let base = facts.declaration.targets.get_mut("base").expect("a target");
            base.output.push("type=cacheonly".into());
        };
        assert_eq!(kept(&|facts, _| declare(facts)), [true, false]);
        // Another driver loads into the engine, which asks it for these types. The classic store
        // has its own.
        assert_eq!(kept(&|facts, _| facts.engine.driver = Driver::Remote), [false, false]);
        assert_eq!(kept(&|facts, _| facts.engine.containerd_store = false), [false, false]);
    }

    #[test]
    fn a_result_of_another_driver_is_loaded_where_the_engine_can_hold_it() {
        let loaded = |edit: &dyn Fn(&mut BuildFacts, &mut BuildOptions)| {
            let (mut facts, mut options) = (facts(), BuildOptions::default());
            facts.engine.driver = Driver::DockerContainer;
            facts.engine.containerd_store = false;
            edit(&mut facts, &mut options);
            let plan = plan(&facts, &options, "id");
            let line = plan.bake.to_shell();
            assert!(!line.contains("--load"), "{line}");
            let warnings = plan.warnings.into_iter().filter(|text| text.contains("stays in the builder"));
            let loads = |name| line.contains(&format!("{name}.output=type=docker"));
            (["app", "base"].map(loads), warnings.collect::<Vec<_>>())
        };
        let several = |facts: &mut BuildFacts| {
            let app = facts.declaration.targets.get_mut("app").expect("a target");
            app.platforms = vec!["linux/amd64".into(), "linux/arm64".into()];
        };
        assert_eq!(loaded(&|_, _| {}), ([true, true], vec![]));
        let (loads, warnings) = loaded(&|facts, _| several(facts));
        assert_eq!((loads, warnings.len()), ([false, true], 1));
        assert!(warnings[0].contains("`app`") && !warnings[0].contains("`base`"), "{warnings:?}");
        // The containerd store supports manifest lists, and a result with another output needs no
        // warning.
        let containerd = loaded(&|facts, _| {
            several(facts);
            facts.engine.containerd_store = true;
        });
        assert_eq!(containerd, ([true, true], vec![]));
        let pushed = loaded(&|facts, options| {
            several(facts);
            options.push = true;
        });
        assert_eq!(pushed, ([false, false], vec![]));
        // An output of one target has no effect on the others.
        let declared = loaded(&|facts, _| {
            let base = facts.declaration.targets.get_mut("base").expect("a target");
            base.output.push("type=cacheonly".into());
        });
        assert_eq!(declared, ([true, false], vec![]));
    }
}
