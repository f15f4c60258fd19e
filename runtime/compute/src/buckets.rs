//! Few shapes for many texts: on a GPU, calls are filled up to lengths that come again.

use routir_core::{Error, Result};

/// The lengths that there are without others: no text is filled up by more than half of itself, but
/// for short ones.
const USUAL: [usize; 12] = [16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024];

/// The most lengths.
const MOST: usize = 64;

/// The longest.
const LONGEST: usize = 1 << 20;

/// Lengths in tokens, rising, that texts are filled up to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Buckets(Vec<usize>);

impl Default for Buckets {
    /// From 16 to 1024 in steps of at most half.
    fn default() -> Self {
        Self(USUAL.to_vec())
    }
}

impl Buckets {
    /// These lengths, in any order; none leaves texts as long as they are.
    ///
    /// # Errors
    /// When one is 0, or longer or more than any model needs.
    pub fn new(mut lengths: Vec<usize>) -> Result<Self> {
        lengths.sort_unstable();
        lengths.dedup();
        if lengths.len() > MOST || lengths.iter().any(|it| !(1..=LONGEST).contains(it)) {
            return Err(Error::invalid(format!(
                "lengths are from 1 to {LONGEST} tokens, and at most {MOST} of them"
            )));
        }
        Ok(Self(lengths))
    }

    /// The length that texts of at most `tokens` are filled up to, under a model that reads `most`.
    /// Behind the last length its multiples follow.
    #[must_use]
    pub fn length(&self, tokens: usize, most: usize) -> usize {
        let found = self.0.iter().copied().find(|length| *length >= tokens);
        let beyond = || {
            let last = self.0.last().copied().unwrap_or(1);
            tokens.next_multiple_of(last)
        };
        found.unwrap_or_else(beyond).min(most).max(tokens)
    }

    /// How many rows a call of `texts` rows of `length` tokens gets where shapes must come again: the
    /// next power of two, as far as `most` tokens allow.
    #[must_use]
    pub(crate) fn rows(texts: usize, length: usize, most: usize) -> usize {
        let fitting = most.checked_div(length).unwrap_or(texts).max(texts);
        texts.next_power_of_two().min(fitting)
    }

    /// The lengths.
    #[must_use]
    pub fn lengths(&self) -> &[usize] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_filled_up_to_the_next_length_and_no_further_than_the_model_reads() {
        let buckets = Buckets::new(vec![64, 16, 32, 16]).unwrap();
        assert_eq!(buckets.lengths(), [16, 32, 64]);
        let length = |tokens| buckets.length(tokens, 150);
        assert_eq!([1, 16, 17, 64].map(length), [16, 16, 32, 64]);
        assert_eq!([65, 128, 129, 150].map(length), [128, 128, 150, 150]);
        // A text is never cut here.
        assert_eq!(length(200), 200);
        let none = Buckets::new(Vec::new()).unwrap();
        assert_eq!(none.length(77, 512), 77);
        assert!(Buckets::new(vec![0]).is_err());
        assert!(Buckets::new((1..=65).collect()).is_err());
    }

    #[test]
    fn few_shapes_come_of_any_number_of_texts() {
        assert_eq!(Buckets::rows(5, 16, 4096), 8);
        assert_eq!(Buckets::rows(1, 512, 4096), 1);
        // As many as fit, and never fewer than there are.
        assert_eq!(Buckets::rows(5, 512, 3000), 5);
        assert_eq!(Buckets::rows(3, 2000, 4096), 3);
        let shapes: std::collections::HashSet<_> =
            (1..=256).map(|it| Buckets::rows(it, 16, 4096)).collect();
        assert_eq!(shapes.len(), 9);
    }

    #[test]
    fn usual_lengths_fill_up_by_half_at_most() {
        for tokens in 16..=5000 {
            let length = Buckets::default().length(tokens, usize::MAX);
            assert!(length >= tokens && length * 2 <= tokens * 3 + 32 || tokens > 1024);
        }
    }
}
