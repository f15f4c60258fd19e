//! Models that are hosted for others: what engines say of those that they open, and what their
//! encoders have in common.

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use routir_compute::{Model, ModelSource, Tokens};
use routir_core::{
    Encoded, Error, ErrorCode, Health, HostedEncoder, HostedModel, ModelState, RequestContext,
    Result, Vectors,
};

use super::{ModelQueue, SharedModels, within};
use crate::build::EngineSpec;
use crate::pool::EnginePool;

/// The most bytes of numbers that one request is answered.
const MAX_ANSWER: usize = 64 << 20;

impl SharedModels {
    /// Notes that the entry of `spec` uses the model of `source`, which the configuration calls
    /// `named`; as an encoder, if it is one.
    pub(crate) fn host(
        &self,
        spec: EngineSpec<'_>,
        named: &str,
        source: &ModelSource,
        encoder: Option<HostedEncoder>,
    ) {
        let id = match source {
            ModelSource::Hub { repo, .. } => Arc::from(repo.as_str()),
            ModelSource::Folder(folder) => match folder.file_name() {
                Some(name) => Arc::from(&*name.to_string_lossy()),
                None => Arc::from(named),
            },
        };
        let source = named.strip_prefix("hf:").unwrap_or(named);
        self.hosted.lock().push(HostedModel {
            id,
            source: Arc::from(source),
            entry: Arc::from(spec.name),
            service: true,
            state: ModelState::Loaded,
            encoder,
            health: Vec::new(),
        });
    }

    /// All models that were noted, in the order in which they were.
    #[must_use]
    pub fn hosted(&self) -> Arc<[HostedModel]> {
        Arc::from(&**self.hosted.lock())
    }

    /// What `open` notes are no services, and need what it answers.
    pub(crate) fn alone(&self, open: impl FnOnce() -> Result<Vec<Arc<dyn Health>>>) -> Result<()> {
        let first = self.hosted.lock().len();
        let health = open()?;
        let mut hosted = self.hosted.lock();
        hosted.iter_mut().skip(first).for_each(|model| {
            model.service = false;
            model.health.clone_from(&health);
        });
        Ok(())
    }
}

/// Refuses an answer of so many numbers, which take four bytes each.
///
/// # Errors
/// [`ErrorCode::TooLarge`].
pub(crate) fn fits(numbers: usize) -> Result<()> {
    if numbers.saturating_mul(4) <= MAX_ANSWER {
        return Ok(());
    }
    let message = format!(
        "the vectors of so many texts take more than the {MAX_ANSWER} bytes that one request is \
         answered; send fewer at once"
    );
    Err(Error::new(ErrorCode::TooLarge, message))
}

/// Makes tokens of texts and vectors of tokens, with the times that this takes. `read` runs where it
/// may take long.
pub(crate) async fn encoded<M: Model>(
    place: (&ModelQueue<M>, &EnginePool),
    context: &RequestContext,
    texts: &[Arc<str>],
    read: impl FnOnce() -> Result<Vec<Tokens>> + Send + 'static,
    check: impl FnOnce(&[Tokens]) -> Result<()>,
    gather: impl FnOnce(Vec<M::Output>) -> Vectors,
) -> Result<Encoded> {
    try_encoded(place, context, texts, read, check, |answers| {
        Ok(gather(answers))
    })
    .await
}

/// As [`encoded`], for answers that may not be what was asked for.
pub(crate) async fn try_encoded<M: Model>(
    (queue, pool): (&ModelQueue<M>, &EnginePool),
    context: &RequestContext,
    texts: &[Arc<str>],
    read: impl FnOnce() -> Result<Vec<Tokens>> + Send + 'static,
    check: impl FnOnce(&[Tokens]) -> Result<()>,
    gather: impl FnOnce(Vec<M::Output>) -> Result<Vectors>,
) -> Result<Encoded> {
    let started = Instant::now();
    let bytes = texts.iter().map(|text| text.len()).sum();
    let tokens = pool.read(bytes, read).await??;
    check(&tokens)?;
    let (count, tokenized) = (tokens.iter().map(Tokens::len).sum(), started.elapsed());
    let started = Instant::now();
    let (answers, queued) = queue.timed(context, tokens).await?;
    Ok(Encoded {
        vectors: gather(answers)?,
        tokens: count,
        tokenized,
        queued,
        computed: started.elapsed().saturating_sub(queued),
    })
}

/// Refuses an instruction to a model that knows none.
///
/// # Errors
/// [`ErrorCode::InvalidArgument`].
pub(crate) fn no_instruction(instruction: Option<&str>) -> Result<()> {
    match instruction {
        None => Ok(()),
        Some(_) => Err(Error::invalid(
            "the model takes no `instruction`; leave it out",
        )),
    }
}

/// A future within the caller's deadline; for what computes outside of queues.
pub(crate) async fn by<T>(
    context: &RequestContext,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    within(context.deadline, work).await
}
