//! Building the index of a collection at start, for those who ask for it: what all kinds of index have
//! in common.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use routir_compute::{Model, Tokens};
use routir_core::{DocId, DocumentScan, Error, ErrorCode, Result};

use crate::bm25::only;
use crate::build::{BuildEnv, Progress};

/// Documents that are encoded together.
const BATCH: usize = 256;

/// The documents of which the index of a service is built.
pub(crate) struct Corpus<'a> {
    documents: Arc<dyn DocumentScan>,
    stamp: String,
    service: &'a str,
    env: &'a BuildEnv<'a>,
}

impl<'a> Corpus<'a> {
    /// The view of the collection, which may be left out where there is one alone.
    ///
    /// # Errors
    /// When it cannot be read, or is not named and there are several.
    pub(crate) fn open(
        collection: Option<&str>,
        view: Option<&str>,
        service: &'a str,
        env: &'a BuildEnv<'a>,
    ) -> Result<Self> {
        let collection = match collection {
            Some(collection) => collection.to_owned(),
            None => only(env.collections.names())?,
        };
        let documents = env.collections.scan(&collection, view)?;
        let stamp = documents.stamp()?;
        Ok(Self {
            documents,
            stamp,
            service,
            env,
        })
    }

    /// What tells it from others.
    pub(crate) fn stamp(&self) -> &str {
        &self.stamp
    }

    /// How many documents there are.
    pub(crate) fn len(&self) -> u64 {
        self.documents.len() as u64
    }

    /// The index that was `found`, if it `fits`; `None` if it is to be built.
    ///
    /// # Errors
    /// When there is one that cannot be opened.
    pub(crate) fn kept<I>(
        &self,
        found: Result<I>,
        fits: impl FnOnce(&I) -> bool,
    ) -> Result<Option<I>> {
        match found {
            Ok(index) if fits(&index) => Ok(Some(index)),
            Ok(_) => {
                tracing::info!(
                    service = self.service,
                    "the collection or the model has changed; building the index again"
                );
                Ok(None)
            }
            Err(error) if error.code() == ErrorCode::Unavailable => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Encodes all documents, which the model is to `read`, and has them added to the index.
    ///
    /// # Errors
    /// When one cannot be encoded or added, or the corpus changed meanwhile.
    pub(crate) fn encode<M: Model>(
        &self,
        model: &M,
        read: impl Fn(&str) -> Result<Tokens>,
        mut add: impl FnMut(&DocId, &M::Output) -> Result<()>,
    ) -> Result<()> {
        let mut done = 0;
        let mut batch: Vec<(DocId, Tokens)> = Vec::with_capacity(BATCH);
        let mut failure = None;
        let mut flush = |batch: &mut Vec<(DocId, Tokens)>| -> Result<()> {
            done += batch.len() as u64;
            let (ids, texts): (Vec<_>, Vec<_>) = batch.drain(..).unzip();
            let answers = model.run(&texts, &AtomicBool::new(false));
            for (id, answer) in ids.iter().zip(answers) {
                let answer = answer.map_err(|error| error.at(format!("document `{id}`")))?;
                add(id, &answer)?;
            }
            self.report("encoding documents", done, self.len());
            Ok(())
        };
        self.documents.scan(&mut |document| {
            let step = read(&document.text).and_then(|tokens| {
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
            Some(error) => return Err(error),
            None => flush(&mut batch)?,
        }
        if self.documents.stamp()? != self.stamp {
            return Err(Error::engine(
                "the corpus changed while it was read; start again when it is whole",
            ));
        }
        Ok(())
    }

    /// Tells how far building is.
    pub(crate) fn report(&self, task: &'static str, done: u64, total: u64) {
        (self.env.progress)(Progress {
            service: self.service,
            task,
            done,
            total: total.max(done),
        });
    }
}
