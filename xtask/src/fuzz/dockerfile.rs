//! Dockerfiles: lexer, expansion of variables, steps, mounts, selectors.

use crate::project::dockerfile::selector::{StepSelector, with_arguments};
use crate::project::dockerfile::{Dockerfile, Inputs, decode, encode};

pub(super) fn run(input: &[u8]) {
    let text = decode(input);
    assert!(encode(&text) == input, "bytes survive");
    assert_eq!(with_arguments(&text, &[]), text);
    let file = Dockerfile::parse(input);
    let lines = text.split_inclusive('\n').count();
    let of_stages = file.stages.iter().flat_map(|stage| &stage.instructions);
    let mut before = None;
    for instruction in &file.arguments {
        assert!(instruction.line < lines && before < Some(instruction.line), "lines grow");
        before = Some(instruction.line);
    }
    for instruction in of_stages {
        assert!(instruction.line < lines, "a line is one of the file's");
        assert!(!instruction.text.contains('\n') || instruction.keyword.contains('\n'), "{instruction:?}");
        instruction.mounts().for_each(|options| assert!(!options.is_empty()));
    }
    assert_eq!(Dockerfile::parse(&encode(&text)), file);
    let args = [("A", "1"), ("V", "a/b c")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    let given = Inputs { args: args.into(), platform: "linux/arm64".into(), ..Inputs::default() };
    for inputs in [Inputs::default(), given] {
        resolved(&file, &text, &inputs);
    }
}

/// Everything that a build asks of a Dockerfile. Its cost is bounded by the length of the file.
fn resolved(file: &Dockerfile, text: &str, inputs: &Inputs) {
    let Some(goal) = file.goal(inputs) else { return };
    let needs = file.needs(goal, inputs);
    assert!(needs.contains(&goal) && needs.iter().all(|stage| *stage < file.stages.len()));
    for stage in needs.iter().take(8) {
        let name = &file.stages[*stage].name;
        let steps = file.steps(*stage, inputs);
        for step in &steps {
            let found = file.find(name, &upper(&step.text));
            assert!(found.is_some() || step.line >= text.lines().count() || steps.len() > 1, "{step:?}");
        }
        let _ = file.image(*stage, inputs);
        let mut insertions = file.insertions(name, None, inputs);
        insertions.sort_unstable();
        let numbered: Vec<_> = insertions.iter().map(|(line, onbuild)| (*line, *onbuild, 7)).collect();
        let with = with_arguments(text, &numbered);
        assert!(with.len() >= text.len() && with.matches("DURANGO_FRESH=7").count() >= insertions.len());
    }
    let is_known = |word: &str| !matches!(file.word(word, inputs), StepSelector::Unknown(_));
    assert!(is_known(&file.stages[goal].name), "a stage is found by its name");
    let _ = (file.word("RUN", inputs), file.word("x/RUN make", inputs), file.stage_of("app"));
    let _ = file.starts_from(&file.stages[goal].name, &file.stages[0].name, inputs);
}

/// A step as BuildKit shows it: with its keyword in upper case.
fn upper(text: &str) -> String {
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    text[..end].to_ascii_uppercase() + &text[end..]
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let files = [
        &include_bytes!("../project/dockerfile/find_tests.Dockerfile")[..],
        include_bytes!("../bench/edits/one.Dockerfile"),
        include_bytes!("../bench/edits/two.Dockerfile"),
        include_bytes!("../bench/edits/three.Dockerfile"),
        include_bytes!("../plan/newest.Dockerfile"),
    ]
    .map(<[u8]>::to_vec);
    let stages: String = (1..1000).map(|at| format!("FROM s{} AS s{at}\n", at - 1)).collect();
    // Each of these took more time or memory than there is, or overflowed the stack.
    let long = [
        format!("FROM scratch\nENV A={}", "${A:-".repeat(10_000)),
        "ONBUILD ".repeat(8_000),
        format!("FROM scratch AS s0\n{stages}"),
        format!("FROM scratch\nENV A=aaaaaaaaaa\n{}RUN x\n", "ENV A=$A$A$A$A\n".repeat(40)),
        format!("FROM scratch\nARG A={}\nENV B=${{A//a*b/c}} C=${{A%%a*b}}\n", "a".repeat(4_000)),
    ];
    files.into_iter().chain(long.map(String::into_bytes)).collect()
}
