//! A set of documents that a search is confined to.

use super::BLOCK;

/// Documents by number: a bit for each that the index has.
#[derive(Clone, Debug, Default)]
pub struct DocumentSet {
    words: Vec<[u64; WORDS]>,
    len: usize,
}

/// Words of a block.
const WORDS: usize = BLOCK / u64::BITS as usize;

impl DocumentSet {
    /// An empty set of an index with `documents` documents.
    #[must_use]
    pub fn new(documents: usize) -> Self {
        Self {
            words: vec![[0; WORDS]; documents.div_ceil(BLOCK)],
            len: 0,
        }
    }

    /// Adds a document; false when it was there already, or when the index has none of this number.
    pub fn insert(&mut self, document: u32) -> bool {
        let words = self.words.as_flattened_mut();
        let Some(word) = words.get_mut(document as usize / u64::BITS as usize) else {
            return false;
        };
        let bit = 1 << (document % u64::BITS);
        let new = *word & bit == 0;
        *word |= bit;
        self.len += usize::from(new);
        new
    }

    /// Whether a document is in it.
    #[must_use]
    pub fn contains(&self, document: u32) -> bool {
        let words = self.words.as_flattened();
        let word = words.get(document as usize / u64::BITS as usize);
        word.is_some_and(|word| word >> (document % u64::BITS) & 1 == 1)
    }

    /// How many documents are in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether any of a block is in it.
    pub(crate) fn has_any(&self, block: usize) -> bool {
        self.words.get(block).is_some_and(|words| *words != [0; WORDS])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_what_was_put_in() {
        let mut set = DocumentSet::new(600);
        assert!(set.insert(0) && set.insert(599) && set.insert(300) && !set.insert(300));
        assert!(!set.insert(800) && !set.insert(u32::MAX));
        assert_eq!((set.len(), set.contains(599), set.contains(598)), (3, true, false));
        assert!(set.has_any(1) && !set.has_any(9));
        assert!(!DocumentSet::new(600).has_any(1));
    }
}
