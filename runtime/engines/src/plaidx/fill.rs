//! Builds the index of a collection at start, for those who ask for it.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use routir_compute::{Model, TokenEncoder, TokenSpec, Tokens};
use routir_core::{DocId, DocumentScan, Error, ErrorCode, Result};
use routir_index::late::{LateBits, LateBuilder, LateIndex, LateOptions};

use crate::build::{BuildEnv, Progress};

/// Documents that are encoded together.
const BATCH: usize = 256;
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
        let collection = match &self.collection {
            Some(collection) => collection.clone(),
            None => crate::bm25::only(env.collections.names())?,
        };
        let source = env.collections.scan(&collection, self.view.as_deref())?;
        let corpus = source.stamp()?;
        let stamp = format!("{STAMP} {:?} {:?} of {corpus}", self.bits, self.model);
        match LateIndex::open(dir) {
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
        let options = LateOptions {
            bits: self.bits,
            expected_passages: Some(source.len() as u64),
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
        self.encode(&*source, model, &mut builder, service, env)?;
        if source.stamp()? != corpus {
            return Err(Error::engine(
                "the corpus changed while it was read; start again when it is whole",
            ));
        }
        builder.finish()?;
        LateIndex::open(dir)
    }

    fn encode(
        &self,
        source: &dyn DocumentScan,
        model: &TokenEncoder,
        builder: &mut LateBuilder,
        service: &str,
        env: &BuildEnv<'_>,
    ) -> Result<()> {
        let total = source.len() as u64;
        let mut done = 0;
        let mut batch: Vec<(DocId, Tokens)> = Vec::with_capacity(BATCH);
        let mut failure = None;
        let mut flush = |batch: &mut Vec<(DocId, Tokens)>| -> Result<()> {
            done += batch.len() as u64;
            add(model, batch, builder)?;
            (env.progress)(Progress {
                service,
                task: "encoding documents",
                done,
                total: total.max(done),
            });
            Ok(())
        };
        source.scan(&mut |document| {
            let step = model.document(&document.text).and_then(|tokens| {
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
}

/// Encodes documents and adds them to the index.
fn add(
    model: &TokenEncoder,
    batch: &mut Vec<(DocId, Tokens)>,
    builder: &mut LateBuilder,
) -> Result<()> {
    let (ids, texts): (Vec<_>, Vec<_>) = batch.drain(..).unzip();
    let answers = model.run(&texts, &AtomicBool::new(false));
    for (id, rows) in ids.iter().zip(answers) {
        let rows = rows.map_err(|e| e.at(format!("document `{id}`")))?;
        builder.add(id, &rows)?;
    }
    Ok(())
}
