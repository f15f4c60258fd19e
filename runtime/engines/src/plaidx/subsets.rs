//! The passages of each subset of documents.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use routir_content::IdLabels;
use routir_core::{Error, Result, nearest, shorten};
use routir_index::late::PassageSet;

/// The most subsets: each takes a bit per passage.
const MOST: usize = 4096;

/// Passages by the subset that their document is in.
#[derive(Debug, Default)]
pub(super) struct Subsets {
    sets: HashMap<Arc<str>, PassageSet>,
}

impl Subsets {
    /// Reads which subset each document is in and finds the passages of each; `document` answers the
    /// document of each of `passages` passages. One that is in no subset is found only by searches
    /// in all.
    ///
    /// # Errors
    /// When the file is not such a mapping, has more than [`MOST`] subsets, or knows none of the
    /// documents.
    pub(super) fn read<'a>(
        path: &Path,
        passages: usize,
        document: impl Fn(u32) -> Result<&'a str>,
    ) -> Result<Self> {
        let labels = IdLabels::open(path)?;
        let mut sets: HashMap<Arc<str>, PassageSet> = HashMap::new();
        for passage in 0..u32::try_from(passages).unwrap_or(u32::MAX) {
            let Some(label) = labels.get(document(passage)?) else {
                continue;
            };
            if let Some(set) = sets.get_mut(label) {
                set.insert(passage);
                continue;
            }
            if sets.len() == MOST {
                let path = path.display();
                return Err(Error::invalid(format!(
                    "{path} has more than {MOST} subsets"
                )));
            }
            let mut set = PassageSet::new(passages);
            set.insert(passage);
            sets.insert(Arc::clone(label), set);
        }
        if sets.is_empty() && passages > 0 {
            return Err(Error::invalid(format!(
                "{} knows none of the index's documents; they do not belong together",
                path.display()
            )));
        }
        Ok(Self { sets })
    }

    /// The passages of a subset.
    ///
    /// # Errors
    /// When there is no such subset, with the nearest there is.
    pub(super) fn get(&self, name: &str) -> Result<&PassageSet> {
        self.sets.get(name).ok_or_else(|| {
            let hint = match nearest(name, self.sets.keys().map(|name| &**name)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there are {}", self.sets.len()),
            };
            Error::invalid(format!("there is no subset `{}`; {hint}", shorten(name)))
        })
    }
}
