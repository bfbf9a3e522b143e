//! Cuts the output of a step into lines. Memory is bounded: of a longer line only the start is
//! kept.

/// The kept bytes of a line.
const LONGEST: usize = 64 * 1024;
/// The most of a line's kept end that may be a part of a word, and so of a secret.
const WORD: usize = 8 * 1024;

/// Output after the last line break. It is bytes, because a character may be split as well.
#[derive(Debug, Clone, Default)]
pub(crate) struct PartialLine {
    bytes: Vec<u8>,
    /// Whether more of the line was dropped.
    is_cut: bool,
}

impl PartialLine {
    /// Adds a piece of output and returns the lines that it ends, as a terminal shows them.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Vec<String> {
        self.push_raw(piece).iter().map(|line| shown(line)).collect()
    }

    /// Adds a piece of output and returns the lines that it ends, with their carriage returns.
    pub(crate) fn push_raw(&mut self, mut piece: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(end) = piece.iter().position(|byte| *byte == b'\n') {
            self.extend(&piece[..end]);
            lines.push(self.end());
            piece = &piece[end + 1..];
        }
        self.extend(piece);
        lines
    }

    /// Returns output without a line break at its end, if there is any.
    pub(crate) fn rest(&mut self) -> Option<String> {
        self.rest_raw().map(|line| shown(&line))
    }

    /// Returns the same with its carriage returns.
    pub(crate) fn rest_raw(&mut self) -> Option<String> {
        (!self.bytes.is_empty()).then(|| self.end())
    }

    fn extend(&mut self, piece: &[u8]) {
        if self.is_cut && !piece.contains(&b'\r') {
            return;
        }
        self.bytes.extend_from_slice(piece);
        if self.bytes.len() <= LONGEST {
            return;
        }
        let before_last = &self.bytes[..self.bytes.len() - 1];
        if let Some(at) = before_last.iter().rposition(|byte| *byte == b'\r') {
            self.bytes.drain(..=at);
        }
        self.is_cut = self.bytes.len() > LONGEST;
        self.bytes.truncate(LONGEST);
    }

    fn end(&mut self) -> String {
        let bytes = std::mem::take(&mut self.bytes);
        let line = String::from_utf8_lossy(&bytes);
        if std::mem::take(&mut self.is_cut) { without_last_word(&line) } else { line.into_owned() }
    }
}

/// Returns a line without the text that a carriage return removes from the screen.
fn shown(line: &str) -> String {
    line.trim_end().rsplit('\r').next().unwrap_or_default().to_owned()
}

/// Returns a text, or the start of a long one.
pub(crate) fn cut(text: &str) -> String {
    if text.len() <= LONGEST {
        return text.to_owned();
    }
    without_last_word(&String::from_utf8_lossy(&text.as_bytes()[..LONGEST]))
}

/// Returns a cut line without the word at the cut, which may be the beginning of a secret.
fn without_last_word(line: &str) -> String {
    let limit = line.len().saturating_sub(WORD);
    let word = line.rfind(char::is_whitespace).filter(|at| *at >= limit);
    let end = word.or_else(|| (0..=limit).rev().find(|at| line.is_char_boundary(*at)));
    format!("{} ...", line[..end.unwrap_or_default()].trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_characters_may_come_in_pieces() {
        let mut line = PartialLine::default();
        assert_eq!(line.push(b"h\xc3"), [""; 0]);
        assert_eq!(line.push(b"\xbcnter\r\n\n10%\r100%\nre"), ["hünter", "", "100%"]);
        assert_eq!((line.rest(), line.rest()), (Some("re".to_owned()), None));
    }

    #[test]
    fn a_line_of_any_length_takes_bounded_memory() {
        let (mut line, piece) = (PartialLine::default(), vec![b'.'; 1 << 20]);
        for _ in 0..1000 {
            assert_eq!(line.push(&piece), [""; 0]);
            assert!(line.bytes.len() <= LONGEST);
        }
        let lines = line.push(b"x\nnext\n");
        assert!(lines[0].len() > LONGEST / 2 && lines[0].ends_with(". ..."), "{}", lines[0].len());
        assert_eq!(lines[1], "next");
    }

    #[test]
    fn a_word_at_the_cut_is_not_shown_in_part() {
        for at in LONGEST - 12..LONGEST + 2 {
            let mut line = PartialLine::default();
            let text = format!("{} hunter22\n", &"a b ".repeat(LONGEST)[..at]);
            let lines = line.push(text.as_bytes());
            let is_whole = lines[0].ends_with(" hunter22");
            assert!(is_whole || !lines[0].contains("hunt"), "{at}");
            assert_eq!(is_whole, at + 9 <= LONGEST, "{at}");
        }
    }

    #[test]
    fn what_a_progress_bar_showed_last_is_kept() {
        let mut line = PartialLine::default();
        for percent in 0..100_000 {
            assert_eq!(line.push(format!("{percent}%\r").as_bytes()), [""; 0]);
        }
        assert_eq!(line.push(b"done\r\n"), ["done"]);
        assert_eq!(line.push(&[&vec![b'.'; 2 * LONGEST][..], b"\rend\n"].concat()), ["end"]);
    }
}
