//! A request's texts in parts, which wait in a queue side by side with those of other requests.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use routir_core::{CallStats, Error, ErrorCode, Result};

/// Some texts of one request.
pub(crate) struct Part<T> {
    /// Where they stand among the request's.
    pub(crate) positions: Vec<usize>,
    pub(crate) texts: Vec<T>,
}

/// The answers to all parts, `at_once` of them asked for at once, in the order of the texts. A part for
/// which the queue has no place waits
/// for an earlier one of the same request; the request is refused when it has none. Beside each part
/// stands what it counts. Also answers how long the first of them waited.
pub(crate) async fn answers<T, U, F>(
    mut parts: Vec<(usize, Arc<Part<T>>)>,
    mut at_once: usize,
    submit: impl Fn(&(usize, Arc<Part<T>>)) -> F,
) -> Result<(Vec<U>, Duration)>
where
    F: Future<Output = Result<(Vec<Result<U>>, CallStats)>>,
{
    let count = parts.iter().map(|(_, part)| part.texts.len()).sum();
    let mut all: Vec<Option<U>> = std::iter::repeat_with(|| None).take(count).collect();
    let mut queued: Option<Duration> = None;
    let mut asked = FuturesUnordered::new();
    loop {
        while asked.len() < at_once
            && let Some(part) = parts.pop()
        {
            let answer = submit(&part);
            asked.push(async move { (part, answer.await) });
        }
        match asked.next().await {
            None => break,
            Some((part, Ok((answers, stats)))) => {
                queued = Some(queued.map_or(stats.queued, |least| least.min(stats.queued)));
                for (position, answer) in part.1.positions.iter().zip(answers) {
                    if let Some(place) = all.get_mut(*position) {
                        *place = Some(answer?);
                    }
                }
            }
            Some((part, Err(error))) => {
                if error.code() != ErrorCode::Overloaded || asked.is_empty() {
                    return Err(error);
                }
                at_once = asked.len();
                parts.push(part);
            }
        }
    }
    let all = all.into_iter().map(|answer| answer.ok_or_else(too_few));
    Ok((all.collect::<Result<_>>()?, queued.unwrap_or_default()))
}

/// A part had fewer answers than texts.
pub(crate) fn too_few() -> Error {
    Error::engine("the model did not answer every text")
}
