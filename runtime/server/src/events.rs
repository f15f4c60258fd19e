//! A pipeline's answer as server-sent events: each stage's result as soon as it is there, then the
//! answer, or the error that came in between.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, header};
use futures_util::stream::{BoxStream, Stream, StreamExt};
use routir_core::{Error, ErrorCode, Result};
use routir_exec::{PipelineEvent, PipelineStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use crate::encode::{Asked, RankingReply, StageReply};
use crate::failure::Failure;
use crate::record::Record;

/// The type of such an answer.
pub(crate) const TYPE: &str = "text/event-stream";
/// How long nothing may be heard of a pipeline before a comment says that it still runs, so that
/// nobody on the way takes the connection for dead.
const BEAT: Duration = Duration::from_secs(15);
/// How much is handed over at once. Before each piece it is seen whether time is over, since a client
/// may take in a little now and then for as long as it likes.
const PIECE: usize = 64 << 10;

/// Whether a client asks for events.
pub(crate) fn wanted(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter();
    accepted
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|range| range.split(';').next())
        .any(|kind| kind.trim().eq_ignore_ascii_case(TYPE))
}

/// The events of one pipeline. Dropping them, which is what happens when the client leaves, ends
/// the run.
pub(crate) struct Events {
    run: Option<BoxStream<'static, Result<PipelineEvent>>>,
    /// Of the last event, what has not been handed over yet.
    rest: Bytes,
    /// When all must be over.
    until: Option<std::time::Instant>,
    asked: Asked,
    id: Arc<str>,
    beat: Interval,
    record: Option<Record>,
    /// Places among the requests that are worked on, of all and of the tenant's.
    _permit: OwnedSemaphorePermit,
    place: Option<OwnedSemaphorePermit>,
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

impl Events {
    /// The events of `run`, which answers what was `asked`, `until` a time.
    pub(crate) fn new(
        run: PipelineStream,
        until: Option<std::time::Instant>,
        asked: Asked,
        id: Arc<str>,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        let mut beat = interval_at(Instant::now() + BEAT, BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            run: Some(unbroken(run).boxed()),
            rest: Bytes::new(),
            until,
            asked,
            id,
            beat,
            record: None,
            _permit: permit,
            place: None,
        }
    }

    /// Keeps what ends with the last event: the request's record and its tenant's place.
    pub(crate) fn keep(&mut self, mut record: Record, place: Option<OwnedSemaphorePermit>) {
        record.code = ErrorCode::Cancelled.name();
        self.record = Some(record);
        self.place = place;
    }

    /// The event as it is written. After the last one there is no run any more.
    fn write(&mut self, event: Result<PipelineEvent>) -> Bytes {
        let written = event.and_then(|event| match event {
            PipelineEvent::Stage(stage) => Ok((json("stage", &StageReply::new(&stage))?, None)),
            PipelineEvent::Answer(answer) => {
                let reply = RankingReply::of_pipeline(&self.asked, &answer);
                Ok((json("result", &reply)?, Some("ok")))
            }
        });
        let (bytes, end) = written.unwrap_or_else(|error| {
            tracing::warn!(id = &*self.id, ?error, "a streamed pipeline failed");
            let body = Failure::body(&error, &self.id);
            (frame("error", &body), Some(error.code().name()))
        });
        if let Some(code) = end {
            self.run = None;
            if let Some(record) = &mut self.record {
                record.code = code;
            }
        }
        bytes
    }
}

impl Stream for Events {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let now = std::time::Instant::now();
        let late = this.until.is_some_and(|until| now >= until);
        if this.rest.is_empty() {
            let Some(run) = &mut this.run else {
                return Poll::Ready(None);
            };
            let event = match run.poll_next_unpin(cx) {
                Poll::Ready(Some(Ok(_))) if late => Err(too_late()),
                Poll::Ready(Some(event)) => event,
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => {
                    ready!(this.beat.poll_tick(cx));
                    return Poll::Ready(Some(Ok(Bytes::from_static(b": still running\n\n"))));
                }
            };
            this.beat.reset();
            this.rest = this.write(event);
        } else if late {
            // Amid an event nothing can be said: the connection ends.
            this.run = None;
            this.rest.clear();
            if let Some(record) = &mut this.record {
                record.code = ErrorCode::DeadlineExceeded.name();
            }
            return Poll::Ready(Some(Err(too_late())));
        }
        let length = this.rest.len().min(PIECE);
        Poll::Ready(Some(Ok(this.rest.split_to(length))))
    }
}

fn too_late() -> Error {
    let message = "the deadline passed before all was taken in";
    Error::new(ErrorCode::DeadlineExceeded, message)
}

/// `run`, whose panics are errors.
pub(crate) fn unbroken(run: PipelineStream) -> impl Stream<Item = Result<PipelineEvent>> {
    let broken = |_| {
        // The panic hook has logged what and where.
        tracing::error!("a streamed pipeline panicked");
        Err(Error::internal(
            "the server made a mistake; its log says which",
        ))
    };
    AssertUnwindSafe(run)
        .catch_unwind()
        .map(move |event| event.unwrap_or_else(broken))
}

fn json(event: &str, value: &impl serde::Serialize) -> Result<Bytes> {
    let data = serde_json::to_vec(value)
        .map_err(|why| Error::internal(format!("the answer cannot be written: {why}")))?;
    Ok(frame(event, &data))
}

/// JSON on one line, as the format wants its data.
fn frame(event: &str, data: &[u8]) -> Bytes {
    [b"event: ", event.as_bytes(), b"\ndata: ", data, b"\n\n"]
        .concat()
        .into()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn events_come_to_those_who_ask_for_them() {
        let accepts = |value: &'static str| {
            wanted(&HeaderMap::from_iter([(
                header::ACCEPT,
                HeaderValue::from_static(value),
            )]))
        };
        for yes in [
            "text/event-stream",
            "application/json;q=0.5, Text/Event-Stream;q=0.9",
        ] {
            assert!(accepts(yes), "{yes}");
        }
        for no in ["", "*/*", "text/*", "application/json"] {
            assert!(!accepts(no), "{no}");
        }
        assert!(!wanted(&HeaderMap::new()));
    }
}
