//! Ids that stand more than once, found with eight bytes for each id.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use routir_vectors::IdReader;

use crate::encode::summary::counted;
use crate::failure::from_core;

/// How many are named.
const NAMED: usize = 5;

/// The ids that have been met, as hashes.
#[derive(Debug, Default)]
pub(crate) struct Duplicates(Vec<u64>);

impl Duplicates {
    pub(crate) fn push(&mut self, id: &str) {
        self.0.push(hash(id));
    }

    /// What is to be told, if anything; `ids` is the file with all of them, for the names.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn told(mut self, ids: &Path) -> anyhow::Result<Option<String>> {
        self.0.sort_unstable();
        let pairs = self.0.iter().zip(self.0.iter().skip(1));
        let twice: HashSet<u64> = pairs.filter(|(a, b)| a == b).map(|(a, _)| *a).collect();
        if twice.is_empty() {
            return Ok(None);
        }
        let mut names: Vec<String> = Vec::new();
        let mut reader = IdReader::open(ids).map_err(from_core)?;
        while names.len() < NAMED.min(twice.len())
            && let Some(id) = reader.next_id().map_err(from_core)?
        {
            if twice.contains(&hash(id)) && !names.iter().any(|name| name == id) {
                names.push(id.to_owned());
            }
        }
        let more = if twice.len() > names.len() {
            ", ..."
        } else {
            ""
        };
        let count = counted(twice.len() as u64, "id");
        let stand = if twice.len() == 1 { "stands" } else { "stand" };
        Ok(Some(format!(
            "{count} {stand} more than once: {}{more}",
            names.join(", ")
        )))
    }
}

fn hash(id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_stand_twice_are_counted_and_some_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ids");
        let told = |ids: &[&str]| {
            std::fs::write(&path, ids.join("\n")).unwrap();
            let mut duplicates = Duplicates::default();
            ids.iter().for_each(|id| duplicates.push(id));
            duplicates.told(&path).unwrap()
        };
        assert_eq!(told(&["a", "b", "c"]), None);
        assert_eq!(
            told(&["a", "b", "a", "a"]).unwrap(),
            "1 id stands more than once: a"
        );
        let many: Vec<_> = "abcdefg".split("").filter(|it| !it.is_empty()).collect();
        assert_eq!(
            told(&[&many[..], &many].concat()).unwrap(),
            "7 ids stand more than once: a, b, c, d, e, ..."
        );
    }
}
