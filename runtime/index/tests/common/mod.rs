//! A corpus in memory, and one that is read from a JSONL file.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test file uses a part, and a helper is not seen as a test"
)]

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use routir_core::{DocumentScan, Ranking, Result, TextDocument};
use routir_index::{Bm25Index, Bm25Params, BuildOptions};

/// Documents in memory.
pub(crate) struct Corpus {
    pub(crate) stamp: String,
    pub(crate) documents: Vec<(String, String)>,
}

impl Corpus {
    pub(crate) fn new<'a>(
        stamp: &str,
        documents: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let own = |(id, text): (&str, &str)| (id.to_owned(), text.to_owned());
        Self {
            stamp: stamp.to_owned(),
            documents: documents.into_iter().map(own).collect(),
        }
    }
}

impl DocumentScan for Corpus {
    fn stamp(&self) -> Result<String> {
        Ok(self.stamp.clone())
    }

    fn len(&self) -> usize {
        self.documents.len()
    }

    fn scan(&self, each: &mut dyn FnMut(TextDocument) -> ControlFlow<()>) -> Result<()> {
        for (id, text) in &self.documents {
            let document = TextDocument {
                id: id.as_str().into(),
                text: text.as_str().into(),
                title: None,
                language: None,
            };
            if each(document).is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// Opens or builds, and says whether it was built.
pub(crate) fn open(dir: &Path, corpus: &Corpus, params: Bm25Params) -> Result<(Bm25Index, bool)> {
    let mut built = false;
    let index =
        Bm25Index::open_or_build(dir, corpus, params, BuildOptions::default(), &mut |_| {
            built = true
        })?;
    Ok((index, built))
}

pub(crate) fn search(index: &Bm25Index, query: &str, limit: usize) -> Ranking {
    index.search(query, limit, &AtomicBool::new(false)).unwrap()
}

pub(crate) fn ids(ranking: &Ranking) -> Vec<&str> {
    ranking.hits().iter().map(|hit| hit.doc.as_str()).collect()
}

/// The folder of public test data, when there is one beside the project.
pub(crate) fn data(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/data")
        .join(name);
    path.is_dir().then_some(path)
}
