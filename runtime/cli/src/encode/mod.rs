//! `encode`: documents to vectors, by a model, into files.

pub(crate) mod args;
pub(crate) mod corpus;
pub(crate) mod drive;
mod feed;
pub(crate) mod model;
pub(crate) mod parts;
pub(crate) mod summary;
mod writer;

use std::sync::Arc;

use routir_compute::DenseNumbers;
use routir_core::DocumentScan;
use serde_json::{Map, Value};

use crate::failure::from_core;
use crate::out;
use crate::progress::Progress;
pub(crate) use args::Encode;
use drive::{Job, drive};
use model::Dense;
use parts::Parts;
use summary::{Summary, bytes, counted, grouped};
use writer::Writer;

/// Encodes documents and tells how it went.
pub(crate) fn run(args: &Encode) -> anyhow::Result<()> {
    let progress = Progress::default();
    let documents = args.documents.open(&progress)?;
    let dense = Dense::open(args)?;
    let format = args.format.format();
    let parts = Parts::open(
        &args.output,
        format.extension(),
        settings(args, &dense, &*documents)?,
        args.documents_per_file,
        args.shard,
        args.overwrite,
    )?;
    if parts.kept() > 0 {
        let kept = counted(parts.kept() as u64, "file");
        tracing::info!("{kept} of an earlier `encode` are there already and are kept");
    }
    let mut writer = Writer::new(&parts, format, args.dtype.element(), dense.encoder.dim());
    let job = Job {
        documents: &*documents,
        wanted: &|ordinal| parts.wanted(ordinal),
        tokens: &|text| dense.tokens(text),
        total: documents.len() as u64,
        label: &format!("encoding {}", args.documents.name()),
    };
    let done = drive(
        &job,
        &DenseNumbers(Arc::clone(&dense.encoder)),
        &progress,
        &mut |ordinal, id, vector| writer.push(ordinal, id.as_str(), vector.as_deref()),
    )?;
    let written = writer.finish()?;
    parts.complete(done.passed.documents)?;

    let mut summary = Summary::default();
    done.summarise(&mut summary);
    let mut files = format!(
        "{} in {} ({}), {} numbers of type {} a document",
        counted(written.files, "file"),
        args.output.display(),
        bytes(written.bytes),
        grouped(dense.encoder.dim() as u64),
        args.dtype.element()
    );
    if parts.kept() > 0 {
        files.push_str(&format!(
            "; there already: {}",
            grouped(parts.kept() as u64)
        ));
    }
    summary.line("vectors", files);
    out::print(&summary.into_text())?;
    done.report()
}

/// What vectors must have in common to be of one use.
fn settings(
    args: &Encode,
    dense: &Dense,
    documents: &dyn DocumentScan,
) -> anyhow::Result<Map<String, Value>> {
    let mut settings = dense.settings(args);
    let stamp = documents.stamp().map_err(from_core)?;
    settings.insert("documents_of".to_owned(), parts::corpus_settings(&stamp));
    let format = args.format.format().to_string();
    settings.insert("format".to_owned(), format.into());
    let element = args.dtype.element().to_string();
    settings.insert("dtype".to_owned(), element.into());
    Ok(settings)
}
