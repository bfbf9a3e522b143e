//! Finds the instruction of a step in BuildKit's progress.

use super::{Dockerfile, Instruction, Stage};

impl Dockerfile {
    /// Returns the stage of a step in the progress, which prints no name if there is only one
    /// stage.
    pub(crate) fn stage_of<'a>(&'a self, printed: &'a str) -> &'a str {
        match self.stages.as_slice() {
            [only] => &only.name,
            _ => printed,
        }
    }

    /// Returns the instruction of a step, with `stage` and `instruction` as in the progress. Of
    /// several that match alike, the first.
    pub(crate) fn find(&self, stage: &str, instruction: &str) -> Option<&Instruction> {
        self.find_all(stage, instruction).into_iter().next()
    }

    /// Returns all instructions that match a step alike, in order. BuildKit replaces the variables
    /// that it knows, drops escapes, and adds the start of a heredoc in parentheses. So variables
    /// match anything here.
    pub(crate) fn find_all(&self, stage: &str, instruction: &str) -> Vec<&Instruction> {
        // BuildKit 0.34 prints this prefix, 0.13 doesn't.
        let instruction = instruction.strip_prefix("ONBUILD ").unwrap_or(instruction);
        let wanted = squeeze(instruction, self.escape);
        let stages = self.stages.iter().filter(|one| one.name == stage || self.stages.len() == 1);
        let own = stages.flat_map(|one| one.instructions.iter());
        // The step of an ONBUILD runs in a stage whose base declares it.
        let triggers = self.stages.iter().flat_map(Stage::triggers);
        let index = self.stages.iter().position(|one| one.name == stage);
        let images = index.into_iter().flat_map(|index| self.triggers_of(index));
        let all: Vec<&Instruction> =
            own.filter(|one| one.inner.is_none()).chain(triggers).chain(images).collect();
        let is_exact = |one: &&Instruction| squeeze(&one.label(), self.escape) == wanted;
        let exact: Vec<&Instruction> = all.iter().copied().filter(is_exact).collect();
        if !exact.is_empty() {
            return exact;
        }
        let fitting = all.into_iter().filter_map(|one| Some((one.fits(&wanted, self.escape)?, one)));
        let fitting: Vec<(usize, &Instruction)> = fitting.collect();
        // Those with the most literal text.
        let most = fitting.iter().map(|(length, _)| *length).max();
        fitting.into_iter().filter(|(length, _)| Some(*length) == most).map(|(_, one)| one).collect()
    }
}

impl Stage {
    fn triggers(&self) -> impl Iterator<Item = &Instruction> {
        self.instructions.iter().filter_map(|one| one.inner.as_deref())
    }
}

impl Instruction {
    /// Returns its text with the keyword in upper case.
    fn label(&self) -> String {
        let rest = self.text.find(char::is_whitespace).map_or("", |at| &self.text[at..]);
        format!("{}{rest}", super::encoding::shown(&self.keyword))
    }

    /// Returns the amount of this instruction's literal text in a normalized step name, or `None`
    /// if it doesn't match.
    fn fits(&self, wanted: &str, escape: char) -> Option<usize> {
        let pieces = pieces(&squeeze(&self.label(), escape));
        let (first, others) = pieces.split_first()?;
        let mut rest = wanted.strip_prefix(first.as_str())?;
        // The start of a heredoc may follow in parentheses.
        let ends = |rest: &str, last: &str| {
            let open = !self.heredocs.is_empty();
            rest.ends_with(last)
                || (open && rest.match_indices('(').any(|(at, _)| rest[..at].ends_with(last)))
        };
        let fits = match others.split_last() {
            None => rest.is_empty() || (!self.heredocs.is_empty() && rest.starts_with('(')),
            Some((last, between)) => {
                for piece in between {
                    rest = &rest[rest.find(piece.as_str())? + piece.len()..];
                }
                ends(rest, last)
            }
        };
        fits.then(|| pieces.iter().map(String::len).sum())
    }
}

/// Removes spaces, quotes and escapes, which BuildKit keeps or drops by its own rules.
fn squeeze(text: &str, escape: char) -> String {
    text.chars().filter(|c| !c.is_whitespace() && !"'\"".contains(*c) && *c != escape).collect()
}

/// Returns the literal text between variables.
fn pieces(text: &str) -> Vec<String> {
    let (mut pieces, mut piece, mut chars) = (Vec::new(), String::new(), text.chars().peekable());
    while let Some(c) = chars.next() {
        let is_variable = c == '$'
            && chars.peek().is_some_and(|next| *next == '{' || *next == '_' || next.is_ascii_alphabetic());
        if !is_variable {
            piece.push(c);
            continue;
        }
        pieces.push(std::mem::take(&mut piece));
        if chars.next_if_eq(&'{').is_some() {
            let mut depth = 1;
            while depth > 0
                && let Some(c) = chars.next()
            {
                depth += i32::from(c == '{') - i32::from(c == '}');
            }
        } else {
            while chars.next_if(|c| *c == '_' || c.is_ascii_alphanumeric()).is_some() {}
        }
    }
    pieces.push(piece);
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_buildkit_gave() {
        let file = Dockerfile::parse(include_bytes!("find_tests.Dockerfile"));
        for (step, line) in [
            (
                "RUN --mount=type=cache,target=rel,id=x-1 echo \"quoted \"in\"\" 1 env  'single $E'    && echo a b",
                4,
            ),
            (
                r#"RUN --mount=type=cache,target=rel,id=x-1 echo "quoted \"in\"" 1 env  'single $E'    && echo a\ b"#,
                4,
            ),
            ("RUN <<EOF (echo 1...)", 7),
            ("RUN <<-EOF cat", 11),
            ("COPY <<A /a-1", 14),
            ("RUN echo fromarg", 19),
            ("RUN [\"echo\", \"json fromarg\"]", 20),
            ("WORKDIR /w", 21),
        ] {
            assert_eq!(file.find("first", step).map(|found| found.line), Some(line), "{step}");
        }
    }

    #[test]
    fn steps_find_their_instructions() {
        let file = "FROM debian AS Php\nARG V=1\nRUN echo $V \\\n  && \"make\" ${V:-x} all\nrun <<EOF\napt-get update\nEOF\n\
            ONBUILD RUN later\nRUN echo $HOME\nRUN echo $V && make ${V} more\nFROM php\nCOPY --from=php /a$V /b\n";
        let file = Dockerfile::parse(file.as_bytes());
        for (stage, step, line) in [
            ("php", "RUN echo 1   && \"make\" 1 all", Some(2)),
            ("php", "RUN echo $V   && make ${V:-x} all", Some(2)),
            ("php", "RUN <<EOF (apt-get update...)", Some(4)),
            ("php", "RUN echo $HOME", Some(8)),
            ("php", "RUN echo 1 && make 1 more", Some(9)),
            ("stage-1", "COPY --from=php /a /b", Some(11)),
            ("stage-1", "RUN later", Some(7)),
            ("stage-1", "ONBUILD RUN later", Some(7)),
            ("php", "COPY --from=php /a /b", None),
            ("stage-1", "RUN other", None),
        ] {
            assert_eq!(file.find(stage, step).map(|found| found.line), line, "{stage}: {step}");
        }
    }
}
