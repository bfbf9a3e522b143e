//! The colors of the page, light and dark. Text has a contrast of at least 4.5 to its background,
//! and color is never the only signal.

use std::fmt::Write;

/// Name, light color, dark color.
const COLOURS: &[(&str, u32, u32)] = &[
    ("page", 0xff_ff_ff, 0x14_17_1a),
    ("text", 0x1b_1f_23, 0xe6_e8_ea),
    ("quiet", 0x59_63_6d, 0x9d_a7_b1),
    ("line", 0xd3_d8_dd, 0x3a_41_48),
    ("track", 0xf1_f3_f5, 0x20_25_2a),
    ("link", 0x0b_5c_ad, 0x7a_b8_f5),
    ("bar", 0x3b_78_b8, 0x5b_9b_d9),
    ("hot", 0xa8_43_00, 0xf0_9a_4d),
    ("hot-2", 0x7a_30_00, 0xc7_74_2c),
    ("good", 0x17_6b_34, 0x6c_c6_86),
    ("bad", 0xb4_1d_1d, 0xff_8f_85),
];

/// Returns the rules that define them.
pub(super) fn css() -> String {
    let set = |is_dark: bool| {
        COLOURS.iter().fold(String::new(), |mut css, (name, light, dark)| {
            let _ = write!(css, "--{name}:#{:06x};", if is_dark { dark } else { light });
            css
        })
    };
    format!(
        ":root{{color-scheme:light dark;{}}}\n@media (prefers-color-scheme:dark){{:root{{{}}}}}\n",
        set(false),
        set(true)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the relative luminance, as in WCAG 2.
    fn luminance(colour: u32) -> f64 {
        let channel = |shift: u32| {
            let value = f64::from((colour >> shift) & 0xff) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * channel(16) + 0.7152 * channel(8) + 0.0722 * channel(0)
    }

    fn contrast(a: u32, b: u32) -> f64 {
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    fn colour(name: &str) -> (u32, u32) {
        let found = COLOURS.iter().find(|(known, ..)| *known == name).expect("a colour");
        (found.1, found.2)
    }

    #[test]
    fn what_is_read_can_be_read() {
        for (name, ground, least) in [
            ("text", "page", 4.5),
            ("text", "track", 4.5),
            ("quiet", "page", 4.5),
            ("link", "page", 4.5),
            ("hot", "page", 4.5),
            ("good", "page", 4.5),
            ("bad", "page", 4.5),
            ("bar", "track", 3.0),
            ("hot", "track", 3.0),
            ("hot-2", "track", 3.0),
        ] {
            let ((light, dark), (on_light, on_dark)) = (colour(name), colour(ground));
            for contrast in [contrast(light, on_light), contrast(dark, on_dark)] {
                assert!(contrast >= least, "{name} on {ground}: {contrast:.2}");
            }
        }
    }
}
