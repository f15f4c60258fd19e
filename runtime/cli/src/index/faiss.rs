//! `index faiss`: vectors to a FAISS index, with the files that RoutIR's engines read.
//!
//! In the order of the work: look at all inputs, learn from a sample, add block after block, write.
//! What was learned is kept in the folder that is built, so that a build that was interrupted while
//! it added does not learn again.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use routir_index::faiss::{DenseIndexBuilder, Faiss};
use routir_vectors::{IdWriter, NewFile};

use super::args::Vectors;
use super::duplicates::Duplicates;
use super::inputs::{Block, Inputs};
use super::place::{self, NewIndex};
use super::training;
use crate::encode::summary::{Summary, bytes, counted, folder_bytes, grouped, rate, time};
use crate::failure::{from_core, wrong};
use crate::out;
use crate::progress::{Progress, Unit};

/// RoutIR's names.
const INDEX: &str = "index.faiss";
const IDS: &str = "index.ids";

/// What was learned, and from what.
const LEARNED: &str = "learned.faiss";
const LEARNED_FROM: &str = "learned.txt";

/// Builds the index.
pub(crate) fn run(args: &Vectors) -> anyhow::Result<()> {
    let started = Instant::now();
    let is_index = |dir: &Path| dir.join(INDEX).is_file() && dir.join(IDS).is_file();
    place::check(&args.output, is_index, args.overwrite)?;
    let progress = Progress::default();
    let inputs = Inputs::open(&args.vectors, args.tensor.clone(), &progress)?;
    let rate_asked = args.sampling_rate;
    let sample = training::sample_size(&args.index_string, inputs.rows, args.sample, rate_asked);
    training::check(&args.index_string, sample)?;
    let faiss = Faiss::load(args.faiss.as_deref()).map_err(from_core)?;
    let new = NewIndex::create(&args.output, is_index, args.overwrite)?;
    let cores = || thread::available_parallelism().map_or(1, usize::from);
    let job = Job {
        args,
        threads: args.threads.map_or_else(cores, usize::from),
        inputs: &inputs,
        faiss: &faiss,
        dir: new.dir(),
        progress: &progress,
        sample,
    };
    let (mut builder, learned) = job.learned(&new)?;
    let added = job.add(&mut builder)?;
    tracing::info!("writing the index");
    builder.write(&new.dir().join(INDEX)).map_err(from_core)?;
    for left in [LEARNED, LEARNED_FROM] {
        let _ = fs::remove_file(new.dir().join(left));
    }
    let told = added.duplicates.told(&new.dir().join(IDS))?;
    new.commit()?;

    if let Some(told) = told {
        out::complain(&format!(
            "warning: {told}; a search may answer such a document more than once\n"
        ));
    }
    let mut summary = Summary::default();
    let mut vectors = format!(
        "{} from {}",
        grouped(added.rows),
        counted(inputs.files(), "file")
    );
    if added.dropped > 0 {
        let dropped = grouped(added.dropped);
        vectors.push_str(&format!(
            " ({dropped} with numbers that are not finite left out)"
        ));
    }
    summary.line("vectors", vectors);
    summary.line("learned", learned);
    let elapsed = started.elapsed();
    let rate = rate(added.rows, elapsed);
    summary.line("time", format!("{} ({rate} vectors/s)", time(elapsed)));
    summary.line(
        "index",
        format!(
            "{} ({}): {}, {} numbers a vector; FAISS for {}",
            args.output.display(),
            bytes(folder_bytes(&args.output)),
            args.index_string,
            inputs.dim,
            faiss.variant().name()
        ),
    );
    Ok(out::print(&summary.into_text())?)
}

struct Job<'a> {
    args: &'a Vectors,
    inputs: &'a Inputs,
    faiss: &'a Arc<Faiss>,
    threads: usize,
    dir: &'a Path,
    progress: &'a Progress,
    sample: u64,
}

struct Added {
    rows: u64,
    dropped: u64,
    duplicates: Duplicates,
}

impl Job<'_> {
    /// A builder that has learned, and what to tell of it.
    fn learned(&self, new: &NewIndex) -> anyhow::Result<(DenseIndexBuilder, String)> {
        let args = self.args;
        let from = format!(
            "{} {:?} {}\n{}",
            args.index_string,
            args.metric,
            self.sample,
            self.inputs.stamp()?
        );
        let (learned, learned_from) = (self.dir.join(LEARNED), self.dir.join(LEARNED_FROM));
        if fs::read_to_string(&learned_from).is_ok_and(|found| found == from) {
            let builder =
                DenseIndexBuilder::open(self.faiss, &learned, self.threads).map_err(from_core)?;
            tracing::info!("going on with what an interrupted build has learned");
            return Ok((
                builder,
                "before, by a build that was interrupted".to_owned(),
            ));
        }
        new.clear()?;
        let (dim, metric) = (self.inputs.dim, args.metric.metric());
        let factory = &args.index_string;
        let mut builder = DenseIndexBuilder::new(self.faiss, dim, factory, metric, self.threads)
            .map_err(from_core)?;
        if !builder.wants_training().map_err(from_core)? {
            return Ok((builder, "nothing: this index does not".to_owned()));
        }
        let started = Instant::now();
        let sample = self.inputs.sample(self.sample, self.progress)?;
        let rows = (sample.len() / dim) as u64;
        if rows == 0 {
            return Err(no_numbers());
        }
        training::check(&args.index_string, rows)?;
        if let Some(warning) = training::warning(&args.index_string, rows) {
            tracing::warn!("{warning}");
        }
        tracing::info!(
            "learning `{}` from {} vectors",
            args.index_string,
            grouped(rows)
        );
        builder.train(&sample).map_err(from_core)?;
        drop(sample);
        builder.write(&learned).map_err(from_core)?;
        let mut file = NewFile::create(&learned_from).map_err(from_core)?;
        file.write(from.as_bytes()).map_err(from_core)?;
        file.commit().map_err(from_core)?;
        let told = format!(
            "from {} vectors in {}",
            grouped(rows),
            time(started.elapsed())
        );
        Ok((builder, told))
    }

    /// Adds all vectors, and writes their ids.
    fn add(&self, builder: &mut DenseIndexBuilder) -> anyhow::Result<Added> {
        let mut ids = IdWriter::create(&self.dir.join(IDS)).map_err(from_core)?;
        let mut added = Added {
            rows: 0,
            dropped: 0,
            duplicates: Duplicates::default(),
        };
        let dim = self.inputs.dim;
        let mut finite = Vec::new();
        let total = self.inputs.rows;
        self.inputs.blocks(|block: Block<'_>| {
            finite.clear();
            for (id, row) in block.ids.iter().zip(block.vectors.chunks_exact(dim)) {
                if row.iter().all(|number| number.is_finite()) {
                    finite.extend_from_slice(row);
                    ids.push(id).map_err(from_core)?;
                    added.duplicates.push(id);
                } else {
                    added.dropped += 1;
                }
            }
            builder.add(&finite).map_err(from_core)?;
            added.rows += (finite.len() / dim) as u64;
            let done = added.rows + added.dropped;
            self.progress
                .tell("adding vectors", done, total, Unit::Items);
            Ok(())
        })?;
        self.progress.finish();
        if added.rows == 0 {
            return Err(no_numbers());
        }
        ids.commit().map_err(from_core)?;
        Ok(added)
    }
}

fn no_numbers() -> anyhow::Error {
    wrong("there is nothing to index: no vector has only finite numbers")
}
