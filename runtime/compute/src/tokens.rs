//! A text as a model reads it.

/// A text, or a pair of texts, as a model reads it: token ids with the special tokens that the model
/// wants, cut to the model's length.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tokens {
    /// The ids.
    pub ids: Box<[u32]>,
    /// Which of the two texts of a pair each token belongs to; empty when there is one text.
    pub segments: Box<[u8]>,
    /// Whether something was cut off.
    pub cut: bool,
    /// Whether what is made of it may stay on the GPU where it is made.
    pub stays: bool,
}

impl Tokens {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}
