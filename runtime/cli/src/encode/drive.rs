//! Runs a model over documents: reading and computing at the same time, one window after another.

use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use routir_compute::{Model, Tokens};
use routir_core::{DocId, DocumentScan, Error, Result};

use super::feed::{Feed, Item, Passed, WINDOWS_AHEAD, Window};
use super::summary::{Summary, counted, grouped, rate, time};
use crate::failure::{Told, from_core};
use crate::out;
use crate::progress::{Progress, Unit};

/// How many calls of the model make a window: enough that texts of like length find each other.
const CALLS_PER_WINDOW: usize = 32;

/// How many documents that failed are named.
const NAMED: usize = 20;

/// What is to be done.
pub(crate) struct Job<'a> {
    pub(crate) documents: &'a dyn DocumentScan,
    /// Whether the document with this ordinal, counted over those with text, is to be encoded.
    pub(crate) wanted: &'a (dyn Fn(u64) -> bool + Sync),
    /// How the model reads a text.
    pub(crate) tokens: &'a (dyn Fn(&str) -> Result<Tokens> + Sync),
    /// How many documents there are, for the bar, and what it says.
    pub(crate) total: u64,
    pub(crate) label: &'a str,
}

/// Gets what the model makes of a document, which is counted by its ordinal; nothing of one that
/// failed.
pub(crate) type Take<'t, T> = dyn FnMut(u64, &DocId, Option<T>) -> anyhow::Result<()> + 't;

/// What was done.
#[derive(Debug, Default)]
pub(crate) struct Done {
    pub(crate) passed: Passed,
    pub(crate) encoded: u64,
    pub(crate) tokens: u64,
    /// Documents whose text was longer than the model reads.
    pub(crate) cut: u64,
    pub(crate) time: Duration,
    failed: u64,
    /// The first that failed, with why.
    failures: Vec<(String, String)>,
}

/// Encodes the documents of `job`; `take` gets what the model makes of each, in their order.
///
/// A document that fails is left out and told at the end; when all of a window fail, the model does
/// not work, and nothing more is tried.
///
/// # Errors
/// When documents cannot be read, or the model does not work; what `take` answers.
pub(crate) fn drive<M: Model>(
    job: &Job<'_>,
    model: &M,
    progress: &Progress,
    take: &mut Take<'_, M::Output>,
) -> anyhow::Result<Done> {
    let started = Instant::now();
    let passed = AtomicU64::new(0);
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let feed = Feed {
        documents: job.documents,
        wanted: job.wanted,
        tokens: job.tokens,
        window_tokens: model.max_batch_tokens().saturating_mul(CALLS_PER_WINDOW),
        // Making tokens takes a small part of the time that the model takes.
        threads: (cores / 4).max(1),
        passed: &passed,
    };
    let mut done = Done::default();
    progress.tell(job.label, 0, job.total, Unit::Items);
    let fed = thread::scope(|scope| {
        let (send, receive) = mpsc::sync_channel(WINDOWS_AHEAD);
        let feeding = scope.spawn(move || feed.run(&send));
        let mut encoded = Ok(());
        for window in &receive {
            encoded = done.window(window, model, job, progress, take);
            if encoded.is_err() {
                break;
            }
        }
        // Whoever feeds sees that nobody takes any more.
        drop(receive);
        let fed = feeding.join();
        encoded.map(|()| fed)
    })?;
    progress.finish();
    done.passed = fed
        .map_err(|_| anyhow::anyhow!("reading the documents broke off"))?
        .map_err(from_core)?;
    done.time = started.elapsed();
    Ok(done)
}

impl Done {
    fn window<M: Model>(
        &mut self,
        window: Window,
        model: &M,
        job: &Job<'_>,
        progress: &Progress,
        take: &mut Take<'_, M::Output>,
    ) -> anyhow::Result<()> {
        let last = window.last().map_or(0, |item| item.ordinal + 1);
        let (count, mut failed) = (window.len(), 0);
        let (mut places, mut texts) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for Item {
            ordinal,
            id,
            tokens,
        } in window
        {
            let read = tokens.map(|tokens| {
                self.tokens += tokens.len() as u64;
                self.cut += u64::from(tokens.cut);
                texts.push(tokens);
            });
            places.push((ordinal, id, read));
        }
        let mut outputs = model.run(&texts, &AtomicBool::new(false)).into_iter();
        let missing = || Error::internal("the model answered too few texts");
        let mut first = None;
        for (ordinal, id, read) in places {
            let output = read.and_then(|()| outputs.next().ok_or_else(missing)?);
            match output {
                Ok(output) => {
                    take(ordinal, &id, Some(output))?;
                    self.encoded += 1;
                }
                Err(error) => {
                    take(ordinal, &id, None)?;
                    failed += 1;
                    self.fail(&id, &error);
                    first = first.or(Some(error));
                }
            }
        }
        progress.tell(job.label, last.min(job.total), job.total, Unit::Items);
        match first {
            Some(error) if failed == count => Err(from_core(error)),
            _ => Ok(()),
        }
    }

    fn fail(&mut self, id: &DocId, error: &Error) {
        self.failed += 1;
        if self.failures.len() < NAMED {
            let why = error.message().to_owned();
            self.failures.push((id.to_string(), why));
        }
    }

    /// Adds what was done to `summary`.
    pub(crate) fn summarise(&self, summary: &mut Summary) {
        let mut documents = grouped(self.encoded);
        let mut aside = Vec::new();
        if self.cut > 0 {
            aside.push(format!("{} cut to the model's length", grouped(self.cut)));
        }
        if self.passed.blank > 0 {
            aside.push(format!(
                "{} without text left out",
                grouped(self.passed.blank)
            ));
        }
        if self.failed > 0 {
            aside.push(format!("{} failed", grouped(self.failed)));
        }
        if !aside.is_empty() {
            documents.push_str(&format!(" ({})", aside.join(", ")));
        }
        summary.line("documents", documents);
        summary.line("tokens", grouped(self.tokens));
        summary.line(
            "time",
            format!(
                "{} ({} documents/s, {} tokens/s)",
                time(self.time),
                rate(self.encoded, self.time),
                rate(self.tokens, self.time)
            ),
        );
    }

    /// Names the documents that failed.
    ///
    /// # Errors
    /// [`Told`] when there are some.
    pub(crate) fn report(&self) -> anyhow::Result<()> {
        if self.failed == 0 {
            return Ok(());
        }
        let mut text = format!(
            "error: {} failed and left out:\n",
            counted(self.failed, "document")
        );
        for (id, why) in &self.failures {
            text.push_str(&format!("  {id}: {why}\n"));
        }
        let more = self.failed - self.failures.len() as u64;
        if more > 0 {
            text.push_str(&format!("  and {more} more\n"));
        }
        out::complain(&text);
        Err(Told.into())
    }
}
