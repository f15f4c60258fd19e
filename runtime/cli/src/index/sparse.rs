//! `index sparse`: a learned sparse index of documents, encoded on the way into it, or of weights
//! that were made elsewhere.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use routir_compute::{ModelSource, SparseEncoder, SparseSpec, TextTokenizer};
use routir_core::Error;
use routir_index::sparse::{
    MAX_VOCABULARY, SparseBuilder, SparseIndex, SparseOptions, SparsePhase, import_jsonl,
};
use serde_json::{Value, json};

use super::args::Sparse;
use super::place;
use crate::encode::drive::{Done, Job, drive};
use crate::encode::model::compute;
use crate::encode::parts::corpus_settings;
use crate::encode::summary::{Summary, bytes, counted, grouped, time};
use crate::failure::{from_core, wrong};
use crate::out;
use crate::progress::{Progress, Unit};

/// Builds the index, of documents or of weights.
pub(crate) fn run(args: &Sparse) -> anyhow::Result<()> {
    let is_index = |dir: &Path| SparseIndex::open(dir).is_ok();
    place::check(&args.output, is_index, args.overwrite)?;
    let progress = Progress::default();
    let mut summary = Summary::default();
    let (builder, done) = match &args.documents.file {
        Some(file) if args.weights => (of_weights(args, file, &progress, &mut summary)?, None),
        _ => {
            let (builder, done) = of_documents(args, &progress)?;
            done.summarise(&mut summary);
            (builder, Some(done))
        }
    };
    args.documents.require(builder.len() as u64)?;
    let mut tell = |phase, done, total| {
        let label = match phase {
            SparsePhase::Ordering => "putting like documents together",
            _ => "writing the index",
        };
        progress.tell(label, done, total, Unit::Items);
    };
    let built = builder.finish(&mut tell).map_err(from_core)?;
    progress.finish();
    summary.line(
        "index",
        format!(
            "{} ({}), {} of {}",
            args.output.display(),
            bytes(built.bytes),
            counted(built.postings, "weight"),
            counted(built.terms.into(), "term")
        ),
    );
    out::print(&summary.into_text())?;
    done.map_or(Ok(()), |done| done.report())
}

/// Encodes the documents.
fn of_documents(args: &Sparse, progress: &Progress) -> anyhow::Result<(SparseBuilder, Done)> {
    let documents = args.documents.open(progress)?;
    let encoder = open(args).map_err(from_core)?;
    let corpus = documents.stamp().map_err(from_core)?;
    let mut builder = builder(args, &encoder, &corpus_settings(&corpus))?;
    let job = Job {
        documents: &*documents,
        wanted: &|_| true,
        tokens: &|text| encoder.tokens(text),
        total: documents.len() as u64,
        label: &format!("encoding {}", args.documents.name()),
    };
    let done = drive(&job, &*encoder, progress, &mut |_, id, terms| match terms {
        Some(terms) => builder.add(id.as_str(), &terms).map_err(from_core),
        None => Ok(()),
    })?;
    Ok((builder, done))
}

/// Takes weights that were made elsewhere.
fn of_weights(
    args: &Sparse,
    file: &Path,
    progress: &Progress,
    summary: &mut Summary,
) -> anyhow::Result<SparseBuilder> {
    let started = Instant::now();
    let place = |error: Error| from_core(error.at(file.display()));
    let lines = File::open(file).map_err(|error| {
        let message = format!("reading {} failed: {error}; check the path", file.display());
        wrong(message)
    })?;
    let bytes = lines.metadata().map_or(0, |it| it.len());
    let encoder = open(args).map_err(from_core)?;
    let tokenizer = tokenizer(args).map_err(from_core)?;
    let mut builder = builder(args, &encoder, &json!({"weights": bytes}))?;
    let lines = BufReader::with_capacity(1 << 20, lines);
    let read = import_jsonl(
        lines,
        |term| tokenizer.id(term),
        &mut builder,
        |count| {
            progress.tell("reading weights", count, count, Unit::Items);
            true
        },
    )
    .map_err(place)?;
    progress.finish();
    let mut documents = grouped(read.documents);
    if read.empty > 0 {
        documents.push_str(&format!(" ({} without weights)", grouped(read.empty)));
    }
    summary.line("documents", documents);
    summary.line("time", time(started.elapsed()));
    Ok(builder)
}

fn builder(args: &Sparse, encoder: &SparseEncoder, of: &Value) -> anyhow::Result<SparseBuilder> {
    let stamp = json!({
        "model": args.model.model,
        "model_file": args.model.model_file,
        "max_tokens": args.model.max_tokens,
        "max_terms": args.max_terms,
        "documents_of": of,
    });
    let options = SparseOptions {
        // A graph that does not say how many terms it has.
        vocabulary: match encoder.terms() {
            0 => MAX_VOCABULARY,
            terms => terms,
        },
        model: args.model.model.clone(),
        stamp: stamp.to_string(),
        keep_order: false,
        replace: args.overwrite,
    };
    SparseBuilder::create(&args.output, options).map_err(from_core)
}

/// The model's tokenizer, which knows the terms by name.
fn tokenizer(args: &Sparse) -> routir_core::Result<Arc<TextTokenizer>> {
    let source = ModelSource::parse(&args.model.model)?;
    let files = source.files(&crate::hub::hub(), &[])?;
    compute(&args.model).tokenizer(&files.tokenizer())
}

fn open(args: &Sparse) -> routir_core::Result<Arc<SparseEncoder>> {
    let spec = SparseSpec {
        file: args.model.model_file.clone(),
        max_tokens: args.model.max_tokens.map(|it| it as usize),
        max_terms: args.max_terms.map(|it| it as usize),
        ..SparseSpec::new(ModelSource::parse(&args.model.model)?)
    };
    compute(&args.model).sparse(&spec)
}
