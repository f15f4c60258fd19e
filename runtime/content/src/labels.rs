//! A short label for each of many ids, such as a document's language.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;

use routir_core::{Error, Result};
use serde::de::{Deserializer, MapAccess, Visitor};

use crate::failure::io_error;
use crate::pickle;

/// A map from ids to labels, held in memory; equal labels are held once. Costs about 60 bytes and
/// the id's own length per id.
#[derive(Default)]
pub struct IdLabels {
    labels: HashMap<Arc<str>, Arc<str>>,
    distinct: HashSet<Arc<str>>,
}

impl fmt::Debug for IdLabels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdLabels")
            .field("ids", &self.labels.len())
            .finish_non_exhaustive()
    }
}

impl IdLabels {
    /// Reads a file with one dictionary: a JSON object, or a Python pickle (protocol 2 or later)
    /// of a plain dictionary of strings and whole numbers. A pickle that holds anything else is
    /// refused, so it cannot run code. An id whose label is null has none.
    ///
    /// # Errors
    /// When the file cannot be read or is neither.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|error| io_error("opening", path, &error))?;
        let mut input = BufReader::with_capacity(1 << 20, file);
        let start = input
            .fill_buf()
            .map_err(|error| io_error("reading", path, &error))?;
        let first = start
            .iter()
            .copied()
            .find(|byte| !byte.is_ascii_whitespace());
        let mut labels = Self::default();
        let read = if first == Some(b'{') {
            let mut json = serde_json::Deserializer::from_reader(input);
            json.deserialize_map(Entries(&mut labels))
                .and_then(|()| json.end())
                .map_err(|error| error.to_string())
        } else {
            pickle::read_dict(&mut input, &mut |id, label| labels.insert(id, label))
        };
        read.map_err(|why| {
            Error::invalid(format!(
                "{} is not a map from ids to labels: {why}",
                path.display()
            ))
        })?;
        Ok(labels)
    }

    /// The label of `id`.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Arc<str>> {
        self.labels.get(id)
    }

    /// How many ids have a label.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether no id has a label.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// All labels, each once, sorted.
    pub(crate) fn distinct(&self) -> Vec<String> {
        let mut labels: Vec<_> = self.distinct.iter().map(ToString::to_string).collect();
        labels.sort_unstable();
        labels
    }

    /// Gives `id` a label, in place of the one that it has.
    pub(crate) fn insert(&mut self, id: &Arc<str>, label: &str) {
        let label = self.distinct.get(label).cloned().unwrap_or_else(|| {
            let label: Arc<str> = label.into();
            self.distinct.insert(Arc::clone(&label));
            label
        });
        self.labels.insert(Arc::clone(id), label);
    }
}

struct Entries<'l>(&'l mut IdLabels);

impl<'de> Visitor<'de> for Entries<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some((id, label)) = map.next_entry::<String, Option<String>>()? {
            if let Some(label) = label {
                self.0.insert(&id.into(), &label);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(bytes: &[u8]) -> Result<IdLabels> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        IdLabels::open(file.path())
    }

    // pickle.dumps({"d1": "eng", "d2": "zho", 3: "eng", "dé": None, -70000: 300}, protocol=P),
    // "eng" being one object.
    const PICKLES: [&[u8]; 3] = [
        b"\x80\x02}q\x00(X\x02\x00\x00\x00d1q\x01X\x03\x00\x00\x00engq\x02X\x02\x00\x00\x00d2q\x03X\x03\x00\x00\x00zhoq\x04K\x03h\x02X\x03\x00\x00\x00d\xc3\xa9q\x05NJ\x90\xee\xfe\xffM,\x01u.",
        b"\x80\x04\x95.\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x02d1\x94\x8c\x03eng\x94\x8c\x02d2\x94\x8c\x03zho\x94K\x03h\x02\x8c\x03d\xc3\xa9\x94NJ\x90\xee\xfe\xffM,\x01u.",
        b"\x80\x05\x95.\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x02d1\x94\x8c\x03eng\x94\x8c\x02d2\x94\x8c\x03zho\x94K\x03h\x02\x8c\x03d\xc3\xa9\x94NJ\x90\xee\xfe\xffM,\x01u.",
    ];

    #[test]
    fn pickles_and_json_read_alike() {
        let json = r#" {"d1": "eng", "d2": "zho", "3": "eng", "d\u00e9": null, "-70000": "300"}"#;
        for bytes in PICKLES.into_iter().chain([json.as_bytes()]) {
            let labels = open(bytes).unwrap();
            let get = |id: &str| labels.get(id).map(|label| label.to_string());
            assert_eq!(get("d1").as_deref(), Some("eng"));
            assert_eq!(get("d2").as_deref(), Some("zho"));
            assert_eq!(get("3").as_deref(), Some("eng"));
            assert_eq!(get("-70000").as_deref(), Some("300"));
            assert_eq!(get("dé"), None);
            assert_eq!(labels.len(), 4);
        }
    }

    #[test]
    fn a_pickle_that_would_run_code_is_refused() {
        // os.system("true") by REDUCE, and a collections.OrderedDict.
        let evil: [&[u8]; 2] = [
            b"cos\nsystem\n(S'true'\ntR.",
            b"\x80\x02ccollections\nOrderedDict\nq\x00)Rq\x01.",
        ];
        for bytes in evil {
            let error = open(bytes).unwrap_err();
            assert!(error.message().contains("instruction 0x63"), "{error}");
        }
    }

    #[test]
    fn what_is_not_one_flat_dictionary_is_refused() {
        let bad: [&[u8]; 10] = [
            b"",
            b"\x80\x02.",
            b"\x80\x02}",
            b"\x80\x02K\x01.",
            b"\x80\x02}K\x01}s.",
            b"\x80\x02}(K\x01u.",
            b"\x80\x02}X\xff\xff\xff\xff.",
            b"\x80\x02h\x05.",
            b"[\"a\"]",
            b"{\"a\": {\"b\": 1}}",
        ];
        for bytes in bad {
            assert!(open(bytes).is_err(), "{bytes:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_do_harm(mut bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200),
                            at in 0_usize..60, to: u8) {
            let _ = open(&bytes);
            bytes = PICKLES[0].to_vec();
            if let Some(byte) = bytes.get_mut(at) {
                *byte = to;
            }
            let _ = open(&bytes);
        }
    }
}
