//! Parses BuildKit's names of the steps of Dockerfiles.

/// The parsed name of a step: `[app stage-0 2/3] RUN make`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct StepName {
    /// The target, if several are built.
    pub target: Option<String>,
    /// The stage; `stage-N` if it has no name.
    pub stage: String,
    pub instruction: String,
    /// Its number in its stage, counted from 1.
    pub number: u32,
}

impl StepName {
    /// Returns whether it runs a command. BuildKit 0.34 marks the step of an ONBUILD, 0.13 doesn't.
    pub fn is_run(&self) -> bool {
        self.instruction.strip_prefix("ONBUILD ").unwrap_or(&self.instruction).starts_with("RUN ")
    }
}

/// Parses a vertex's name; `None` if it is not a step of a Dockerfile (`[internal] ...`,
/// `exporting ...`).
pub(crate) fn step_name(name: &str, targets: &[String]) -> Option<StepName> {
    let (inside, instruction) = name.strip_prefix('[')?.split_once("] ")?;
    let mut words: Vec<&str> = inside.split(' ').collect();
    let is_count = |word: &str| {
        word.split_once('/').is_some_and(|(n, m)| {
            [n, m].iter().all(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()))
        })
    };
    let count = words.pop().filter(|word| is_count(word))?;
    // A count is padded, as in `[php  2/10]`.
    words.retain(|word| !word.contains('/') && !word.is_empty());
    let several = targets.len() > 1;
    let target = (several && words.first().is_some_and(|word| targets.iter().any(|name| name == word)))
        .then(|| words.remove(0));
    Some(StepName {
        target: target.map(str::to_owned),
        stage: words.first().map_or("stage-0", |word| word).to_owned(),
        instruction: instruction.to_owned(),
        number: count.split('/').next().and_then(|number| number.parse().ok()).unwrap_or_default(),
    })
}
