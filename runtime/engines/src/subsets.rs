//! What an index holds of each subset of the documents.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use routir_content::IdLabels;
use routir_core::{Error, Result, nearest, shorten};
use routir_index::late::PassageSet;

/// The most subsets: each takes a bit per entry of the index.
const MOST: usize = 4096;

/// Entries of an index by the subset that their document is in.
#[derive(Debug, Default)]
pub(crate) struct Subsets {
    sets: HashMap<Arc<str>, PassageSet>,
}

impl Subsets {
    /// Reads which subset each document is in and finds the entries of each; `document` answers the
    /// document of each of so many entries. One that is in no subset is found only by searches in
    /// all.
    ///
    /// # Errors
    /// When the file is not such a mapping, has more than [`MOST`] subsets, or knows none of the
    /// documents.
    pub(crate) fn read<'a>(
        path: &Path,
        entries: usize,
        document: impl Fn(u32) -> Result<&'a str>,
    ) -> Result<Self> {
        let labels = IdLabels::open(path)?;
        let mut sets: HashMap<Arc<str>, PassageSet> = HashMap::new();
        for entry in 0..u32::try_from(entries).unwrap_or(u32::MAX) {
            let Some(label) = labels.get(document(entry)?) else {
                continue;
            };
            if let Some(set) = sets.get_mut(label) {
                set.insert(entry);
                continue;
            }
            if sets.len() == MOST {
                let path = path.display();
                return Err(Error::invalid(format!(
                    "{path} has more than {MOST} subsets"
                )));
            }
            let mut set = PassageSet::new(entries);
            set.insert(entry);
            sets.insert(Arc::clone(label), set);
        }
        if sets.is_empty() && entries > 0 {
            return Err(Error::invalid(format!(
                "{} knows none of the index's documents; they do not belong together",
                path.display()
            )));
        }
        Ok(Self { sets })
    }

    /// The entries of a subset.
    ///
    /// # Errors
    /// When there is no such subset, with the nearest there is.
    pub(crate) fn get(&self, name: &str) -> Result<&PassageSet> {
        self.sets.get(name).ok_or_else(|| {
            let hint = match nearest(name, self.sets.keys().map(|name| &**name)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there are {}", self.sets.len()),
            };
            Error::invalid(format!("there is no subset `{}`; {hint}", shorten(name)))
        })
    }
}
