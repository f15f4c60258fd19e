//! A set of passages that a search is confined to.

/// Passages by number: a bit for each that the index has.
#[derive(Clone, Debug, Default)]
pub struct PassageSet {
    words: Vec<u64>,
    len: usize,
}

impl PassageSet {
    /// An empty set of an index with `passages` passages.
    #[must_use]
    pub fn new(passages: usize) -> Self {
        Self {
            words: vec![0; passages.div_ceil(64)],
            len: 0,
        }
    }

    /// Adds a passage; false when it was there already, or when the index has none of this number.
    pub fn insert(&mut self, passage: u32) -> bool {
        let Some(word) = self.words.get_mut(passage as usize / 64) else {
            return false;
        };
        let bit = 1 << (passage % 64);
        let new = *word & bit == 0;
        *word |= bit;
        self.len += usize::from(new);
        new
    }

    /// Whether a passage is in it.
    #[must_use]
    pub fn contains(&self, passage: u32) -> bool {
        let word = self.words.get(passage as usize / 64);
        word.is_some_and(|word| word >> (passage % 64) & 1 == 1)
    }

    /// Whether any of the 64 passages from number 64 · `word` on is in it.
    pub(crate) fn has_any(&self, word: usize) -> bool {
        self.words.get(word).is_some_and(|word| *word != 0)
    }

    /// How many passages are in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The passages, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.words.iter().zip(0_u32..).flat_map(|(word, at)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros())?;
                left &= left - 1;
                Some(at * 64 + bit)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_what_was_put_in() {
        let mut set = PassageSet::new(130);
        assert!(set.insert(0) && set.insert(127) && set.insert(64) && !set.insert(64));
        assert!(!set.insert(192));
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, 64, 127]);
        assert_eq!(set.len(), 3);
        assert!(set.has_any(1) && !set.has_any(2) && !set.has_any(9));
        assert!(set.contains(127) && !set.contains(1) && !set.contains(5000));
    }
}
