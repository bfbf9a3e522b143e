//! Random choices that a seed repeats.

/// A generator of random numbers (xorshift).
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    /// The same seed gives the same choices.
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number below `end`, which is not 0.
    pub(super) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or_default() % end.max(1)
    }

    /// True once in `count` times.
    pub(super) fn once_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    /// A number from 0 to 1.
    pub(super) fn fraction(&mut self) -> f64 {
        f64::from(u32::try_from(self.below(1 << 20)).unwrap_or_default()) / f64::from(1 << 20)
    }

    /// One of some texts; an empty one where there are none.
    pub(super) fn of<'a, T: AsRef<str> + 'a>(&mut self, texts: &'a [T]) -> &'a str {
        texts.get(self.below(texts.len())).map_or("", |text| text.as_ref())
    }

    /// Returns this many bytes, which no compression makes smaller.
    pub(super) fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| u8::try_from(self.below(256)).unwrap_or_default()).collect()
    }
}
