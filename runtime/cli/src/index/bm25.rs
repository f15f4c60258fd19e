//! `index bm25`: an inverted index of documents.

use std::time::Instant;

use routir_index::{Bm25Index, Bm25Params, BuildOptions, BuildPhase};

use super::args::Bm25;
use crate::encode::summary::{Summary, bytes, folder_bytes, grouped, rate, time};
use crate::failure::from_core;
use crate::out;
use crate::progress::{Progress, Unit};

/// Builds the index, unless one that fits the documents is there.
pub(crate) fn run(args: &Bm25) -> anyhow::Result<()> {
    let started = Instant::now();
    let progress = Progress::default();
    let documents = args.documents.open(&progress)?;
    let defaults = BuildOptions::default();
    let options = BuildOptions {
        threads: args.threads.map_or(defaults.threads, usize::from),
        memory_bytes: args.memory_mb.map_or(defaults.memory_bytes, |it| {
            (it as usize).saturating_mul(1_000_000)
        }),
    };
    let mut built = false;
    let index = Bm25Index::open_or_build(
        &args.output,
        &*documents,
        Bm25Params::default(),
        options,
        &mut |now| {
            built = true;
            let label = match now.phase {
                BuildPhase::Reading => "reading documents",
                _ => "merging the index",
            };
            progress.tell(label, now.done, now.total, Unit::Items);
        },
    )
    .map_err(from_core)?;
    progress.finish();
    let (count, elapsed) = (index.len(), started.elapsed());
    let mut summary = Summary::default();
    summary.line("documents", grouped(count));
    if built {
        let rate = rate(count, elapsed);
        summary.line("time", format!("{} ({rate} documents/s)", time(elapsed)));
    }
    let size = bytes(folder_bytes(&args.output));
    let kept = if built {
        ""
    } else {
        ", as it was: it fits the documents"
    };
    summary.line("index", format!("{} ({size}){kept}", args.output.display()));
    Ok(out::print(&summary.into_text())?)
}
