//! Sizes as people write them: `500M`, `10GB`, `1GiB`, plain bytes; and as docker prints them,
//! `1.274GB`.

/// Parses a size in bytes. K, M, G and T are decimal with or without a B, KiB to TiB are binary,
/// and case doesn't matter.
pub(crate) fn parse(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..end].parse().ok().filter(|_| text.starts_with(|c: char| c.is_ascii_digit()))?;
    let unit = text[end..].trim().to_ascii_lowercase();
    let step: f64 = if unit.ends_with("ib") { 1024.0 } else { 1000.0 };
    let power = match unit.trim_end_matches('b').trim_end_matches('i') {
        "" if !unit.contains('i') => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        _ => return None,
    };
    if unit.ends_with('i') || unit.ends_with("bb") {
        return None;
    }
    let bytes = number * step.powi(power);
    // Above 2^53 a size is no longer exact, and no disk is that large.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be in range")]
    (bytes < 9e15).then_some(bytes.round() as u64)
}

/// Parses a size as Docker reads container options, in powers of 1024: `64m`, `1.5GiB`, `67108864`.
pub(crate) fn parse_memory(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let unit = text[at..].trim().trim_end_matches('b').trim_end_matches('i');
    let power = ["", "k", "m", "g", "t"].iter().position(|known| *known == unit)?;
    let number: f64 = text[..at].parse().ok()?;
    let bytes = number * f64::from(1u32 << 10).powi(i32::try_from(power).ok()?);
    (bytes >= 1.0).then_some(bytes as u64)
}

/// Writes a size in the largest binary unit that has it as a whole number: `64MiB`, `1025KiB`, `7`.
pub(crate) fn binary(bytes: u64) -> String {
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let unit = units.iter().find(|(_, power)| bytes > 0 && bytes.is_multiple_of(1 << power));
    unit.map_or_else(|| bytes.to_string(), |(unit, power)| format!("{}{unit}", bytes >> power))
}

/// Returns a size for display: `1.3 GB`, `719 MB`, `12 B`.
pub(crate) fn show(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in ["kB", "MB", "GB", "TB"] {
        if value < 999.5 {
            break;
        }
        value /= 1000.0;
        unit = next;
    }
    if unit == "B" || value >= 99.5 { format!("{value:.0} {unit}") } else { format!("{value:.1} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_people_and_docker_write_them() {
        let table = [
            ("500M", Some(500_000_000)),
            ("10GB", Some(10_000_000_000)),
            ("10 gb", Some(10_000_000_000)),
            ("1GiB", Some(1 << 30)),
            ("1.5K", Some(1500)),
            ("719.3MB", Some(719_300_000)),
            ("8.19kB", Some(8190)),
            ("0B", Some(0)),
            ("42", Some(42)),
            ("", None),
            ("GB", None),
            ("-1", None),
            ("10XB", None),
            ("1ib", None),
            ("1Gi", None),
            ("1GBB", None),
            ("1.2.3", None),
            ("99999999T", None),
        ];
        for (text, expected) in table {
            assert_eq!(parse(text), expected, "{text}");
        }
        let shown = [0, 999, 1000, 1_274_000_000, 719_300_000, 999_999_999].map(show);
        assert_eq!(shown, ["0 B", "999 B", "1.0 kB", "1.3 GB", "719 MB", "1.0 GB"]);
    }
}
