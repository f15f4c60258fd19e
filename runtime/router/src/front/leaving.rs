//! Answers over gRPC on their way to their clients, each ended when its time is over or its client
//! takes in nothing of it for too long.
//!
//! Hyper asks an answer for more when the client let through what it had, and waits for that as
//! long as the connection lives: a client that answers pings and lets nothing through would hold
//! what the call holds for ever. So answers are looked at from outside, all of a router by one
//! task. What is left of one that was ended is a stream that its client holds up on its own
//! connection.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use hyper::Response;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use parking_lot::Mutex;
use tokio::time::sleep;

use super::record::Tracked;

/// The longest between two looks; looks come more often where patience is short.
const LOOK: Duration = Duration::from_millis(250);
/// Looks while a client may take in nothing.
const LOOKS: u32 = 8;
const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// When an answer must be over; travels in the response's extensions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Until(pub(crate) Instant);

/// The answers of a router that are on their way over gRPC.
#[derive(Default)]
pub(crate) struct Leaving {
    answers: Mutex<HashMap<u64, Arc<Mutex<Turn>>>>,
    next: AtomicU64,
}

/// Whose turn it is: the client's since a time, or the worker's.
struct Turn {
    since: Option<Instant>,
    until: Option<Instant>,
    /// `None` when it was ended.
    answer: Option<Tracked>,
    /// Why it was ended, as long as nobody was told.
    ended: Option<Ended>,
}

#[derive(Clone, Copy, Debug)]
enum Ended {
    /// Its time was over.
    Late,
    /// Its client took in nothing.
    Stalled,
}

impl Leaving {
    /// The response, which is ended when it must be.
    pub(super) fn track(self: &Arc<Self>, mut response: Response<Tracked>) -> Response<Leaver> {
        let until = response.extensions_mut().remove::<Until>();
        response.map(|answer| {
            let turn = Arc::new(Mutex::new(Turn {
                since: Some(Instant::now()),
                until: until.map(|Until(until)| until),
                answer: Some(answer),
                ended: None,
            }));
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            self.answers.lock().insert(number, Arc::clone(&turn));
            Leaver {
                leaving: Arc::clone(self),
                number,
                turn,
            }
        })
    }

    /// Ends answers whose time is over while it is their client's turn, and those of which it takes
    /// in nothing for `patience`, for ever.
    pub(crate) async fn watch(&self, patience: Duration) {
        loop {
            sleep((patience / LOOKS).clamp(Duration::from_millis(1), LOOK)).await;
            let ended = self.end(patience);
            if !ended.is_empty() {
                tracing::info!(
                    answers = ended.len(),
                    "clients do not take their answers in"
                );
            }
        }
    }

    /// What there was of them, to be dropped where nothing is locked.
    fn end(&self, patience: Duration) -> Vec<Tracked> {
        let now = Instant::now();
        let end = |turn: &Arc<Mutex<Turn>>| {
            // One that is locked moves.
            let mut turn = turn.try_lock()?;
            let waits = now.saturating_duration_since(turn.since?);
            let why = match turn.is_late(now) {
                true => Ended::Late,
                false if waits >= patience => Ended::Stalled,
                false => return None,
            };
            turn.end(why)
        };
        self.answers.lock().values().filter_map(end).collect()
    }
}

impl Turn {
    fn is_late(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now >= until)
    }

    fn end(&mut self, why: Ended) -> Option<Tracked> {
        let answer = self.answer.take()?;
        self.ended = Some(why);
        Some(answer)
    }
}

impl Ended {
    fn trailers(self) -> HeaderMap {
        let (status, message) = match self {
            Self::Late => ("4", "the deadline passed before the answer was taken in"),
            Self::Stalled => ("1", "the client did not take the answer in"),
        };
        HeaderMap::from_iter([
            (STATUS, HeaderValue::from_static(status)),
            (MESSAGE, HeaderValue::from_static(message)),
        ])
    }
}

/// The body of an answer over gRPC.
pub(crate) struct Leaver {
    leaving: Arc<Leaving>,
    number: u64,
    turn: Arc<Mutex<Turn>>,
}

impl Drop for Leaver {
    fn drop(&mut self) {
        let turn = self.leaving.answers.lock().remove(&self.number);
        drop(turn);
    }
}

impl HttpBody for Leaver {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let mut turn = self.turn.lock();
        turn.since = None;
        if let Some(answer) = &mut turn.answer {
            let polled = ready!(Pin::new(answer).poll_frame(cx));
            let now = Instant::now();
            let more = matches!(&polled, Some(Ok(frame)) if frame.is_data());
            if !(more && turn.is_late(now)) {
                turn.since = Some(now);
                return Poll::Ready(polled);
            }
            let late = turn.end(Ended::Late);
            drop(late);
        }
        let ended = turn.ended.take();
        Poll::Ready(ended.map(|why| Ok(Frame::trailers(why.trailers()))))
    }

    fn is_end_stream(&self) -> bool {
        let turn = self.turn.lock();
        match &turn.answer {
            Some(answer) => answer.is_end_stream(),
            None => turn.ended.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use futures_util::stream;
    use http_body_util::BodyExt;
    use hyper::Method;

    use super::*;
    use crate::front::Record;
    use crate::metrics::Metrics;

    /// An answer without end.
    fn endless(leaving: &Arc<Leaving>, until: Option<Instant>) -> Leaver {
        let metrics = Arc::new(Metrics::new(
            prometheus_client::registry::Registry::default(),
        ));
        let record = Record::begin(&metrics, "grpc_search", &Method::POST, &Arc::from("id"));
        let pieces = stream::repeat_with(|| Ok::<_, axum::Error>(Bytes::from_static(b"piece")));
        let mut response = Response::new(Body::from_stream(pieces));
        if let Some(until) = until {
            response.extensions_mut().insert(Until(until));
        }
        leaving.track(record.track(response)).into_body()
    }

    async fn status(answer: &mut Leaver) -> Option<String> {
        let frame = answer.frame().await?.unwrap();
        let trailers = frame.into_trailers().ok()?;
        Some(trailers.get(&STATUS)?.to_str().unwrap().to_owned())
    }

    #[tokio::test]
    async fn an_answer_whose_time_is_over_says_so_to_who_goes_on_reading() {
        let leaving = Arc::new(Leaving::default());
        let soon = Instant::now() + Duration::from_millis(50);
        let mut answer = endless(&leaving, Some(soon));
        let mut told = None;
        while told.is_none() && Instant::now() < soon + Duration::from_secs(10) {
            told = status(&mut answer).await;
        }
        assert_eq!(told.as_deref(), Some("4"));
        assert!(answer.frame().await.is_none() && answer.is_end_stream());
    }

    #[tokio::test]
    async fn answers_that_are_not_taken_in_end_and_others_go_on() {
        let leaving = Arc::new(Leaving::default());
        let mut late = endless(&leaving, Some(Instant::now()));
        let mut stalled = endless(&leaving, None);
        let patience = Duration::from_secs(3600);
        assert_eq!(leaving.end(patience).len(), 1);
        assert_eq!(leaving.end(Duration::ZERO).len(), 1);
        assert_eq!(status(&mut late).await.as_deref(), Some("4"));
        assert_eq!(status(&mut stalled).await.as_deref(), Some("1"));
        let mut other = endless(&leaving, Some(Instant::now() + patience));
        assert!(leaving.end(patience).is_empty());
        assert!(other.frame().await.unwrap().unwrap().is_data());
        drop((late, stalled, other));
        assert!(leaving.answers.lock().is_empty());
    }
}
