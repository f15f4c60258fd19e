//! Builds the index of a collection at start, for those who ask for it.

use std::path::Path;

use routir_compute::{TokenEncoder, TokenSpec};
use routir_core::Result;
use routir_index::late::{LateBits, LateBuilder, LateIndex, LateOptions};

use crate::build::BuildEnv;
use crate::fill::Corpus;

/// What the stamps of indices begin with that this engine built, and may build again.
const STAMP: &str = "PLAIDX";

/// Of what an index is built.
#[derive(Clone, Debug)]
pub(super) struct Fill {
    pub(super) collection: Option<String>,
    pub(super) view: Option<String>,
    pub(super) bits: LateBits,
    pub(super) model: TokenSpec,
}

impl Fill {
    /// The index in `dir`: as it is when it fits the collection and the model, or when somebody else
    /// built it; built now otherwise.
    pub(super) fn open_or_build(
        &self,
        dir: &Path,
        model: &TokenEncoder,
        service: &str,
        env: &BuildEnv<'_>,
    ) -> Result<LateIndex> {
        let (collection, view) = (self.collection.as_deref(), self.view.as_deref());
        let corpus = Corpus::open(collection, view, service, env)?;
        let (bits, own) = (self.bits, &self.model);
        let stamp = format!("{STAMP} {bits:?} {own:?} of {}", corpus.stamp());
        let fits = |index: &LateIndex| index.stamp() == stamp || !index.stamp().starts_with(STAMP);
        if let Some(index) = corpus.kept(LateIndex::open(dir), fits)? {
            return Ok(index);
        }
        let options = LateOptions {
            bits,
            expected_passages: Some(corpus.len()),
            stamp: stamp.clone(),
            replace: true,
            ..LateOptions::new(model.dim())
        };
        let mut builder = LateBuilder::create(dir, options)?;
        // Another process may have built it while this one waited.
        if let Ok(index) = LateIndex::open(dir)
            && index.stamp() == stamp
        {
            return Ok(index);
        }
        let read = |text: &str| model.document(text);
        corpus.encode(model, read, |id, rows| builder.add(id, rows))?;
        builder.finish()?;
        LateIndex::open(dir)
    }
}
