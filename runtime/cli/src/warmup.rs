//! `warmup`: everything that a start would have to build first, built ahead.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;

use crate::args::CacheDir;
use crate::progress::Progress;
use crate::wire::{self, Blueprint, Places, Warmth};
use crate::{out, reactor};

/// What to build ahead.
#[derive(Debug, Args)]
#[command(
    after_help = "Builds the sidecars of all collections, and the indices that engines build of \
    collections, so that a server with the same configuration and --cache_dir starts at once. What \
    is there and fits is left as it is. May run beside a server."
)]
pub(crate) struct Warmup {
    /// The configuration: a path, or the JSON itself.
    #[arg(value_name = "CONFIG")]
    config: String,
    /// Only the views of this name, in every collection that has one; no indices of engines.
    #[arg(long, value_name = "NAME")]
    view: Option<String>,
    /// How many threads read a corpus; as many as there are processors, at most 8, unless said.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: Option<u16>,
    /// Build sidecars anew that are there and fit.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    cache: CacheDir,
}

/// Builds, and tells what.
pub(crate) fn run(args: &Warmup) -> anyhow::Result<()> {
    let reactor = reactor()?;
    let _within = reactor.enter();
    let started = Instant::now();
    let blueprint = Blueprint::draw(wire::load(&args.config)?, Places::scratch()?)?;
    let warmth = Warmth {
        view: args.view.as_deref(),
        workers: args.workers.map(usize::from),
        force: args.force,
    };
    let cache_dir: &PathBuf = &args.cache.cache_dir;
    let warmed = blueprint.warm_up(cache_dir, &warmth, &Progress::default())?;
    let mut text = String::new();
    for it in &warmed.views {
        let (collection, view) = (&it.collection, &it.view);
        let documents = it
            .documents
            .map_or_else(String::new, |count| format!("{count} documents, "));
        let took = it.took.as_secs_f64();
        let _ = writeln!(
            text,
            "collection {collection}, view {view}: {documents}{took:.1} s"
        );
    }
    let took = started.elapsed().as_secs_f64();
    let (views, services) = (warmed.views.len(), warmed.services);
    let _ = writeln!(
        text,
        "{views} views and {services} services are warm, {took:.1} s"
    );
    Ok(out::print(&text)?)
}
