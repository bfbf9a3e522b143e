//! Numbers as a line of small bars: `▁▂▃▅▇`.

/// From the lowest to the highest.
const BARS: [char; 7] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇'];
/// The factor below which times count as equal.
const SAME: f64 = 2.0;

/// Returns one bar per number on a logarithmic scale. Builds take from half a second to many
/// minutes, and on a linear scale one cold build would hide all others.
pub(crate) fn line(numbers: &[f64]) -> String {
    let logs: Vec<f64> = numbers.iter().map(|number| number.max(0.05).ln()).collect();
    let low = logs.iter().copied().fold(f64::INFINITY, f64::min);
    let high = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let span = (high - low).max(SAME.ln());
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "0 to 6"
    )]
    let bar = |log: &f64| {
        let index = ((log - low) / span * (BARS.len() - 1) as f64).round() as usize;
        BARS[index.min(BARS.len() - 1)]
    };
    logs.iter().map(bar).collect()
}

pub(crate) fn median(numbers: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut numbers: Vec<f64> = numbers.into_iter().collect();
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    match numbers.len() {
        0 => None,
        length if length % 2 == 1 => Some(numbers[middle]),
        _ => Some(f64::midpoint(numbers[middle - 1], numbers[middle])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_factors() {
        assert_eq!(line(&[0.5, 5.0, 500.0, 0.5]), "▁▃▇▁");
        assert_eq!(line(&[1.0, 1.02, 1.1]), "▁▁▂", "what is nearly the same looks so");
        assert_eq!(line(&[3.0]), "▁");
        assert_eq!(line(&[]), "");
        assert_eq!(line(&[0.0, f64::NAN]).chars().count(), 2);
    }

    #[test]
    fn the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([4.0, 1.0]), Some(2.5));
        assert_eq!(median([]), None);
    }
}
