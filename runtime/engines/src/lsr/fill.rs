//! Builds the index of a collection at start, for those who ask for it.

use std::path::Path;

use routir_compute::{SparseEncoder, SparseSpec};
use routir_core::{Error, Result};
use routir_index::sparse::{SparseBuilder, SparseIndex, SparseOptions, SparsePhase};

use crate::build::BuildEnv;
use crate::fill::Corpus;

/// What the stamps of indices begin with that this engine built, and may build again.
const STAMP: &str = "LSR";

/// Of what an index is built.
#[derive(Clone, Debug)]
pub(super) struct Fill {
    pub(super) collection: Option<String>,
    pub(super) view: Option<String>,
    /// The model as it reads documents.
    pub(super) model: SparseSpec,
}

impl Fill {
    /// The index in `dir`: as it is when it fits the collection and the model, or when somebody else
    /// built it; built now otherwise.
    pub(super) fn open_or_build(
        &self,
        dir: &Path,
        model: &SparseEncoder,
        service: &str,
        env: &BuildEnv<'_>,
    ) -> Result<SparseIndex> {
        let (collection, view) = (self.collection.as_deref(), self.view.as_deref());
        let corpus = Corpus::open(collection, view, service, env)?;
        let stamp = format!("{STAMP} {:?} of {}", self.model, corpus.stamp());
        let fits =
            |index: &SparseIndex| index.stamp() == stamp || !index.stamp().starts_with(STAMP);
        if let Some(index) = corpus.kept(SparseIndex::open(dir), fits)? {
            return Ok(index);
        }
        if model.terms() == 0 {
            return Err(Error::invalid(format!(
                "the graph of model `{}` does not say how many terms it has; build the index with \
                 `routir-rt index sparse`",
                self.model.source
            )));
        }
        let options = SparseOptions {
            vocabulary: model.terms(),
            model: self.model.source.to_string(),
            stamp: stamp.clone(),
            replace: true,
            ..SparseOptions::default()
        };
        let mut builder = SparseBuilder::create(dir, options)?;
        // Another process may have built it while this one waited.
        if let Ok(index) = SparseIndex::open(dir)
            && index.stamp() == stamp
        {
            return Ok(index);
        }
        let read = |text: &str| model.tokens(text);
        corpus.encode(model, read, |id, weights| builder.add(id, weights))?;
        builder.finish(&mut |phase, done, total| match phase {
            SparsePhase::Ordering => corpus.report("ordering documents", done, total),
            _ => corpus.report("writing the index", done, total),
        })?;
        SparseIndex::open(dir)
    }
}
