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

    /// One of some texts; an empty one where there are none.
    pub(super) fn of<'a, T: AsRef<str> + 'a>(&mut self, texts: &'a [T]) -> &'a str {
        texts.get(self.below(texts.len())).map_or("", |text| text.as_ref())
    }
}
