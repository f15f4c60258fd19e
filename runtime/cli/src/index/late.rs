//! `index late`: a late-interaction index of documents, encoded on the way into it.

use std::path::Path;
use std::sync::Arc;

use routir_compute::{ModelSource, TokenEncoder, TokenSpec};
use routir_core::DocumentScan;
use routir_index::late::{LateBuilder, LateIndex, LateOptions};
use serde_json::json;

use super::args::Late;
use super::place;
use crate::encode::drive::{Job, drive};
use crate::encode::model::compute;
use crate::encode::parts::corpus_settings;
use crate::encode::summary::{Summary, bytes, counted, grouped};
use crate::failure::from_core;
use crate::out;
use crate::progress::Progress;

/// Encodes the documents and builds the index.
pub(crate) fn run(args: &Late) -> anyhow::Result<()> {
    let is_index = |dir: &Path| LateIndex::present(dir).is_ok();
    place::check(&args.output, is_index, args.overwrite)?;
    let progress = Progress::default();
    let documents = args.documents.open(&progress)?;
    let encoder = open(args).map_err(from_core)?;
    let options = LateOptions {
        bits: args.bits,
        centroids: args.centroids.map(|it| it as usize),
        expected_passages: Some(documents.len() as u64),
        stamp: stamp(args, &encoder, &*documents)?,
        replace: args.overwrite,
        ..LateOptions::new(encoder.dim())
    };
    let mut builder = LateBuilder::create(&args.output, options).map_err(from_core)?;
    let job = Job {
        documents: &*documents,
        wanted: &|_| true,
        tokens: &|text| encoder.document(text),
        total: documents.len() as u64,
        label: &format!("encoding {}", args.documents.name()),
    };
    let done = drive(&job, &*encoder, &progress, &mut |_, id, rows| match rows {
        Some(rows) => builder.add(id.as_str(), &rows).map_err(from_core),
        None => Ok(()),
    })?;
    args.documents.require(done.encoded)?;
    tracing::info!("completing the index");
    let built = builder.finish().map_err(from_core)?;

    let mut summary = Summary::default();
    done.summarise(&mut summary);
    summary.line(
        "index",
        format!(
            "{} ({}), {}, {}",
            args.output.display(),
            bytes(built.bytes),
            counted(built.tokens, "token vector"),
            counted(built.centroids as u64, "centroid")
        ),
    );
    summary.line("dimension", grouped(encoder.dim() as u64));
    out::print(&summary.into_text())?;
    done.report()
}

fn open(args: &Late) -> routir_core::Result<Arc<TokenEncoder>> {
    let spec = TokenSpec {
        file: args.model.model_file.clone(),
        document_tokens: args.model.max_tokens.map(|it| it as usize),
        ..TokenSpec::new(ModelSource::parse(&args.model.model)?)
    };
    compute(&args.model).late(&spec)
}

/// What the index is made of, for whoever looks into it.
fn stamp(
    args: &Late,
    encoder: &TokenEncoder,
    documents: &dyn DocumentScan,
) -> anyhow::Result<String> {
    let corpus = documents.stamp().map_err(from_core)?;
    let stamp = json!({
        "model": args.model.model,
        "model_file": args.model.model_file,
        "dimension": encoder.dim(),
        "max_tokens": args.model.max_tokens,
        "documents_of": corpus_settings(&corpus),
    });
    Ok(stamp.to_string())
}
