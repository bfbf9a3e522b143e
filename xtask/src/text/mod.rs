//! Formatting for every layer: times, sizes, lines, suggestions.

pub(crate) mod csv;
pub(crate) mod output;
pub(crate) mod partial_line;
pub(crate) mod progress_stream;
pub(crate) mod sha256;
pub(crate) mod size;
pub(crate) mod terminal;

/// Returns a time for display.
pub(crate) fn seconds(seconds: f64) -> String {
    if seconds < 9.95 {
        format!("{seconds:.1} s")
    } else if seconds < 120.0 {
        format!("{seconds:.0} s")
    } else {
        format!("{:.0} min {:02.0} s", (seconds / 60.0).floor(), (seconds % 60.0).floor())
    }
}

/// Returns `1 step`, `2 steps`.
pub(crate) fn step_count(count: usize) -> String {
    format!("{count} step{}", if count == 1 { "" } else { "s" })
}

/// Returns a running time: `0:07`, `12:30`, `1:02:03`.
pub(crate) fn clock(seconds: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "no build takes years")]
    let whole = seconds.clamp(0.0, 1e7) as u64;
    let (hours, minutes, seconds) = (whole / 3600, whole / 60 % 60, whole % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// Returns an instruction without irrelevant parts: mounts and networks of a RUN.
pub(crate) fn without_mount_flags(instruction: &str) -> String {
    let is_option =
        |word: &&str| ["--mount=", "--network=", "--security="].iter().any(|option| word.starts_with(option));
    let mut words = instruction.split(' ').filter(|word| !word.is_empty());
    let first: Vec<&str> = words.by_ref().take(1).collect();
    first.into_iter().chain(words.skip_while(is_option)).collect::<Vec<_>>().join(" ")
}

/// Returns `[php 4/4] RUN --mount=... make` without its mounts.
pub(crate) fn step_without_mount_flags(step: &str) -> String {
    match step.split_once("] ") {
        Some((place, instruction)) => format!("{place}] {}", without_mount_flags(instruction)),
        None => step.to_owned(),
    }
}

/// The maximum length in characters of a line of output that a build's record keeps.
pub(crate) const KEPT_LINE: usize = 1000;

/// Returns the first `width` characters of a text's first line.
pub(crate) fn one_line(text: &str, width: usize) -> String {
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() <= width {
        return line.to_owned();
    }
    line.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// Returns `; did you mean ...?` if a similar word exists.
pub(crate) fn suggestion<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> String {
    let near = known
        .map(|name| (strsim::damerau_levenshtein(word, name), name))
        .filter(|(distance, name)| *distance <= 1 + name.len() / 4)
        .min();
    near.map_or(String::new(), |(_, name)| format!("; did you mean `{name}`?"))
}

/// Rounds to milliseconds.
pub(crate) fn round(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_long_lines() {
        assert_eq!(seconds(0.34), "0.3 s");
        assert_eq!(seconds(61.7), "62 s");
        assert_eq!(seconds(532.0), "8 min 52 s");
        assert_eq!(
            without_mount_flags(
                "RUN --mount=type=cache,target=/a     --mount=type=secret,id=b  make  x --mount=y"
            ),
            "RUN make x --mount=y"
        );
        assert_eq!([0.0, 7.9, 750.0, 3723.0, -1.0].map(clock), ["0:00", "0:07", "12:30", "1:02:03", "0:00"]);
        assert_eq!(without_mount_flags("COPY a b"), "COPY a b");
        assert_eq!(one_line("RUN a\nb", 80), "RUN a");
        assert_eq!(one_line("abcdef", 4), "abc…");
    }
}
