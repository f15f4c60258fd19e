//! Which document a passage belongs to, when a file says so.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use routir_core::{Error, Result};

/// The documents of an index's passages, by the passages' numbers: all ids one after another, and
/// where each ends.
#[derive(Debug, Default)]
pub(super) struct PassageMapping {
    ids: String,
    ends: Vec<usize>,
}

impl PassageMapping {
    /// Reads lines of a passage's number, a tab, and its document's id; in the order of the numbers,
    /// which are not looked at. With `passage_ids`, what stands behind the tab is a passage's id, and
    /// the document's is what comes before its last `_`.
    ///
    /// # Errors
    /// When the file cannot be read, a line has no second column or no id, or there are not
    /// `passages` lines.
    pub(super) fn read(path: &Path, passage_ids: bool, passages: usize) -> Result<Self> {
        let shown = path.display();
        let failed = |why: &dyn std::fmt::Display| {
            Error::invalid(format!("passage mapping `{shown}`: {why}"))
        };
        let file = File::open(path).map_err(|e| failed(&e))?;
        let mut mapping = Self::default();
        for (number, line) in (1..).zip(BufReader::new(file).lines()) {
            let line = line.map_err(|e| failed(&e))?;
            let second = line.trim().split('\t').nth(1);
            let id = match second {
                Some(id) if passage_ids => id.rsplit_once('_').map(|(document, _)| document),
                other => other,
            };
            let Some(id) = id.filter(|id| !id.is_empty()) else {
                let wanted = if passage_ids {
                    "passage's id, as `doc_0`,"
                } else {
                    "document's id"
                };
                return Err(failed(&format_args!(
                    "line {number} has no {wanted} in its second column; see `mapping_containing_passage_id`"
                )));
            };
            mapping.ids.push_str(id);
            mapping.ends.push(mapping.ids.len());
        }
        if mapping.ends.len() != passages {
            let lines = mapping.ends.len();
            return Err(failed(&format_args!(
                "it has {lines} lines and the index {passages} passages; they do not belong together"
            )));
        }
        Ok(mapping)
    }

    /// The document of a passage.
    pub(super) fn document(&self, passage: u32) -> Option<&str> {
        let at = passage as usize;
        let start = at
            .checked_sub(1)
            .map_or(Some(0), |before| self.ends.get(before).copied())?;
        self.ids.get(start..*self.ends.get(at)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_passages_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mapping.tsv");
        std::fs::write(&path, "0\td_1_0\n1\td_1_1\n2\te_0\n").unwrap();
        let mapping = PassageMapping::read(&path, true, 3).unwrap();
        let documents: Vec<_> = (0..4).map(|passage| mapping.document(passage)).collect();
        assert_eq!(documents, [Some("d_1"), Some("d_1"), Some("e"), None]);
        let whole = PassageMapping::read(&path, false, 3).unwrap();
        assert_eq!(whole.document(1), Some("d_1_1"));
        for (text, passages) in [("0\ta_0\n", 2), ("0\ta\n", 1), ("0\n", 1), ("0\t_1\n", 1)] {
            std::fs::write(&path, text).unwrap();
            let error = PassageMapping::read(&path, true, passages).unwrap_err();
            assert!(error.message().contains("mapping.tsv"), "{error}");
        }
        assert!(PassageMapping::read(&dir.path().join("absent"), true, 0).is_err());
    }
}
