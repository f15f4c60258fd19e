//! The queue before a server: the texts of all callers that arrive while it works are asked for
//! together, as far as one call holds them, each tenant gets of it by its weight, and a call that nobody
//! waits for any more is broken off.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use routir_batch::{BatchSettings, Batcher, Flow, Policy};
use routir_core::{BoxFuture, Error, RequestContext, Result};

use crate::build::{BuildEnv, EngineSpec};
use crate::models::{Part, answers, too_few, within};

/// In how many parts a request may fill a call, so that others get in between.
const PARTS_OF_A_CALL: usize = 4;

/// How much goes to the server at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ApiLimits {
    /// Texts in one call.
    pub(crate) texts: usize,
    /// Bytes of text in one call; a longer text goes alone.
    pub(crate) bytes: usize,
    /// Calls at once.
    pub(crate) calls: usize,
}

impl ApiLimits {
    /// How much of a call a text takes, of as many units as there may be texts.
    fn units(self, bytes: usize) -> usize {
        bytes
            .saturating_mul(self.texts)
            .div_ceil(self.bytes.max(1))
            .max(1)
    }
}

/// Part of a request, and until when its caller waits.
struct Asked<T> {
    part: Arc<Part<T>>,
    deadline: Option<Instant>,
}

/// A call that the server refused as a whole, for something in it.
pub(crate) struct Refused(pub(crate) Error);

/// What one call becomes: an answer of each text.
pub(crate) type Called<U> = Result<Vec<Result<U>>, Refused>;

/// What makes one call.
pub(crate) type Call<T, U> =
    dyn Fn(Vec<T>, Option<Instant>) -> BoxFuture<'static, Called<U>> + Send + Sync;

/// A server behind its queue: answers a `T` with a `U`.
pub(crate) struct ApiQueue<T: Clone + Send + Sync + 'static, U: Send + 'static> {
    limits: ApiLimits,
    batcher: Arc<Batcher<Asked<T>, Vec<Result<U>>>>,
}

impl<T: Clone + Send + Sync + 'static, U: Send + 'static> ApiQueue<T, U> {
    /// A queue before `call`, which answers each text, in order. It is counted in the given role, as
    /// the service `api:` and the service's name.
    pub(crate) fn new(
        spec: EngineSpec<'_>,
        env: &BuildEnv<'_>,
        role: &'static str,
        limits: ApiLimits,
        call: Arc<Call<T, U>>,
    ) -> Self {
        let label = format!("api:{}", spec.name);
        let settings = BatchSettings {
            name: Arc::from(label.as_str()),
            policy: Policy {
                max_requests: limits.texts,
                max_tokens: Some(limits.texts),
                max_wait: Duration::ZERO,
            },
            capacity: env.models.settings().capacity,
            concurrency: limits.calls,
        };
        let metrics = env.models.metrics().queue(&label, role);
        let run = move |asked: Vec<Asked<T>>| {
            let call = Arc::clone(&call);
            Box::pin(async move { run(&*call, asked).await }) as _
        };
        Self {
            limits,
            batcher: Arc::new(Batcher::new(settings, metrics, run)),
        }
    }

    /// Answers each text, which is given with its length in bytes. Dropping the future withdraws what
    /// waits, and breaks a call off once nobody waits for it. Must be polled within a tokio runtime.
    ///
    /// # Errors
    /// The server's for the first text that it does not answer; a full queue; the deadline.
    pub(crate) fn run(
        &self,
        context: &RequestContext,
        texts: Vec<(T, usize)>,
    ) -> impl Future<Output = Result<Vec<U>>> + Send + use<T, U> {
        let (limits, batcher) = (self.limits, Arc::clone(&self.batcher));
        let flow = Flow::of(context.tenant.as_ref());
        let deadline = context.deadline;
        let parts = parts(texts, limits);
        async move {
            let submit = |(units, part): &(usize, Arc<Part<T>>)| {
                let part = Arc::clone(part);
                batcher.submit(flow.clone(), Asked { part, deadline }, *units)
            };
            // As many parts as the server works on, and as many that wait to follow them.
            let at_once = limits
                .calls
                .saturating_mul(2 * limits.texts.min(PARTS_OF_A_CALL));
            let all = answers(parts, at_once, submit);
            within(deadline, all).await.map(|(answers, _)| answers)
        }
    }
}

/// The texts in parts of at most a quarter of a call, with how much of one each part takes.
fn parts<T>(texts: Vec<(T, usize)>, limits: ApiLimits) -> Vec<(usize, Arc<Part<T>>)> {
    let most = (limits.texts / PARTS_OF_A_CALL).max(1);
    let mut parts: Vec<(usize, Part<T>)> = Vec::new();
    for (position, (text, bytes)) in texts.into_iter().enumerate() {
        let units = limits.units(bytes);
        match parts.last_mut() {
            Some((taken, part)) if *taken + units <= most => {
                *taken += units;
                part.positions.push(position);
                part.texts.push(text);
            }
            _ => {
                let part = Part {
                    positions: vec![position],
                    texts: vec![text],
                };
                parts.push((units, part));
            }
        }
    }
    // The last is asked for first.
    let parts = parts.into_iter().rev();
    parts.map(|(units, part)| (units, Arc::new(part))).collect()
}

/// One call for all parts; each part gets the answers to its texts. It may take as long as the most
/// patient of its callers waits. Where the server refuses it, each part is asked for alone, once: what
/// one caller brings is no reason to refuse another.
async fn run<T: Clone, U>(call: &Call<T, U>, asked: Vec<Asked<T>>) -> Vec<Result<Vec<Result<U>>>> {
    let whole = together(call, &asked).await;
    let refusal = match whole {
        Ok(answers) => return answers,
        Err(Refused(refusal)) => refusal,
    };
    if asked.len() == 1 {
        return vec![Err(refusal)];
    }
    tracing::debug!(%refusal, parts = asked.len(), "a call was refused; asking for each part alone");
    let alone = async |asked: &Asked<T>| {
        let answers = together(call, std::slice::from_ref(asked)).await;
        let answers = answers.map_err(|Refused(refusal)| refusal)?;
        answers.into_iter().next().unwrap_or_else(|| Err(too_few()))
    };
    join_all(asked.iter().map(alone)).await
}

/// One call for all of some parts.
async fn together<T: Clone, U>(
    call: &Call<T, U>,
    asked: &[Asked<T>],
) -> Result<Vec<Result<Vec<Result<U>>>>, Refused> {
    let deadlines = asked.iter().map(|asked| asked.deadline);
    let deadline = deadlines.collect::<Option<Vec<_>>>();
    let deadline = deadline.and_then(|all| all.into_iter().max());
    let texts = asked
        .iter()
        .flat_map(|asked| asked.part.texts.iter().cloned());
    let texts: Vec<T> = texts.collect();
    let expected = texts.len();
    let answers = call(texts, deadline).await?;
    if answers.len() != expected {
        return Ok(asked.iter().map(|_| Err(too_few())).collect());
    }
    let mut answers = answers.into_iter();
    let part = |asked: &Asked<T>| Ok(answers.by_ref().take(asked.part.texts.len()).collect());
    Ok(asked.iter().map(part).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_hold_at_most_a_quarter_of_a_call_in_texts_and_in_bytes() {
        let limits = ApiLimits {
            texts: 8,
            bytes: 800,
            calls: 1,
        };
        let sizes = |texts: &[usize]| -> Vec<(usize, Vec<usize>)> {
            let texts = texts.iter().map(|bytes| ((), *bytes)).collect();
            let parts = parts(texts, limits).into_iter().rev();
            parts
                .map(|(units, part)| (units, part.positions.clone()))
                .collect()
        };
        let pairs = [(2, vec![0, 1]), (2, vec![2, 3]), (1, vec![4])];
        assert_eq!(sizes(&[0, 100, 1, 1, 1]), pairs);
        let large = [(1, vec![0]), (2, vec![1]), (500, vec![2]), (1, vec![3])];
        assert_eq!(sizes(&[1, 101, 50_000, 1]), large);
        assert!(sizes(&[]).is_empty());
    }
}
