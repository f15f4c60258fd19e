//! Indices of vectors, made by FAISS.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use routir_core::Result;
use routir_index::faiss::{DenseIndexBuilder, Faiss, Metric};

static LOADED: LazyLock<Result<Arc<Faiss>>> = LazyLock::new(|| Faiss::load(None));

/// FAISS; `None`, told loudly, when it is not there.
pub(crate) fn loaded() -> Option<&'static Arc<Faiss>> {
    match &*LOADED {
        Ok(faiss) => Some(faiss),
        Err(why) => {
            let _ = writeln!(std::io::stderr(), "SKIPPED: what needs FAISS: {why}");
            None
        }
    }
}

/// Makes an index in `folder`, of as many `vectors` as there are `ids`.
pub(crate) fn index<Id: AsRef<str>>(
    folder: &Path,
    (factory, metric): (&str, Metric),
    vectors: &[f32],
    ids: &[Id],
) {
    fs::create_dir_all(folder).unwrap();
    let (faiss, dim) = (loaded().unwrap(), vectors.len() / ids.len());
    let mut builder = DenseIndexBuilder::new(faiss, dim, factory, metric, 1).unwrap();
    if factory != "Flat" && factory != "HNSW8" {
        builder.train(vectors).unwrap();
    }
    builder.add(vectors).unwrap();
    builder.write(&folder.join("index.faiss")).unwrap();
    let lines: Vec<String> = ids.iter().map(|id| format!("{}\n", id.as_ref())).collect();
    fs::write(folder.join("index.ids"), lines.concat()).unwrap();
}
