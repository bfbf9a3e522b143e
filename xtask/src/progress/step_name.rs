//! What BuildKit calls the steps of Dockerfiles, taken apart.

/// What a step is called, taken apart: `[app stage-0 2/3] RUN make`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct StepName {
    /// Target in front, where several are built.
    pub target: Option<String>,
    /// The stage; `stage-N` where it has no name.
    pub stage: String,
    /// The instruction.
    pub instruction: String,
}

impl StepName {
    /// Whether it runs a command. BuildKit 0.34 names an ONBUILD's step as such, 0.13 does not.
    pub fn is_run(&self) -> bool {
        self.instruction.strip_prefix("ONBUILD ").unwrap_or(&self.instruction).starts_with("RUN ")
    }
}

/// Takes a vertex's name apart; `None` for what is no step of a Dockerfile (`[internal] ...`,
/// `exporting ...`).
pub(crate) fn step_name(name: &str, targets: &[String]) -> Option<StepName> {
    let (inside, instruction) = name.strip_prefix('[')?.split_once("] ")?;
    let mut words: Vec<&str> = inside.split(' ').collect();
    let is_count = |word: &str| {
        word.split_once('/').is_some_and(|(n, m)| {
            [n, m].iter().all(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()))
        })
    };
    if !words.pop().is_some_and(is_count) {
        return None;
    }
    // A count is padded, as in `[php  2/10]`.
    words.retain(|word| !word.contains('/') && !word.is_empty());
    let several = targets.len() > 1;
    let target = (several && words.first().is_some_and(|word| targets.iter().any(|name| name == word)))
        .then(|| words.remove(0));
    Some(StepName {
        target: target.map(str::to_owned),
        stage: words.first().map_or("stage-0", |word| word).to_owned(),
        instruction: instruction.to_owned(),
    })
}
