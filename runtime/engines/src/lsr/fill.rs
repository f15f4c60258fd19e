//! Builds the index of a collection at start, for those who ask for it.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use routir_compute::{Model, SparseEncoder, SparseSpec, Tokens};
use routir_core::{DocId, DocumentScan, Error, ErrorCode, Result};
use routir_index::sparse::{SparseBuilder, SparseIndex, SparseOptions, SparsePhase};

use crate::build::{BuildEnv, Progress};

/// Documents that are encoded together.
const BATCH: usize = 256;
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
        let collection = match &self.collection {
            Some(collection) => collection.clone(),
            None => crate::bm25::only(env.collections.names())?,
        };
        let source = env.collections.scan(&collection, self.view.as_deref())?;
        let corpus = source.stamp()?;
        let stamp = format!("{STAMP} {:?} of {corpus}", self.model);
        match SparseIndex::open(dir) {
            Ok(index) if index.stamp() == stamp || !index.stamp().starts_with(STAMP) => {
                return Ok(index);
            }
            Ok(_) => tracing::info!(
                service,
                "the collection or the model has changed; building the index again"
            ),
            Err(error) if error.code() == ErrorCode::Unavailable => {}
            Err(error) => return Err(error),
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
        let report = |task, done, total: u64| {
            (env.progress)(Progress {
                service,
                task,
                done,
                total: total.max(done),
            });
        };
        let total = source.len() as u64;
        encode(&*source, model, &mut builder, |done| {
            report("encoding documents", done, total);
        })?;
        if source.stamp()? != corpus {
            return Err(Error::engine(
                "the corpus changed while it was read; start again when it is whole",
            ));
        }
        builder.finish(&mut |phase, done, total| match phase {
            SparsePhase::Ordering => report("ordering documents", done, total),
            _ => report("writing the index", done, total),
        })?;
        SparseIndex::open(dir)
    }
}

/// Encodes all documents and adds them to the index; `report` is told how many.
fn encode(
    source: &dyn DocumentScan,
    model: &SparseEncoder,
    builder: &mut SparseBuilder,
    report: impl Fn(u64),
) -> Result<()> {
    let mut batch: Vec<(DocId, Tokens)> = Vec::with_capacity(BATCH);
    let mut failure = None;
    let mut flush = |batch: &mut Vec<(DocId, Tokens)>| -> Result<()> {
        let (ids, texts): (Vec<_>, Vec<_>) = batch.drain(..).unzip();
        let answers = model.run(&texts, &AtomicBool::new(false));
        for (id, weights) in ids.iter().zip(answers) {
            let weights = weights.map_err(|error| error.at(format!("document `{id}`")))?;
            builder.add(id, &weights)?;
        }
        report(builder.len() as u64);
        Ok(())
    };
    source.scan(&mut |document| {
        let step = model.tokens(&document.text).and_then(|tokens| {
            batch.push((document.id, tokens));
            if batch.len() < BATCH {
                Ok(())
            } else {
                flush(&mut batch)
            }
        });
        match step {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failure = Some(error);
                ControlFlow::Break(())
            }
        }
    })?;
    match failure {
        Some(error) => Err(error),
        None => flush(&mut batch),
    }
}
