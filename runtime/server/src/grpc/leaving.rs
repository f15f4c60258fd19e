//! Answers on their way: each keeps what ends with it, until its client has taken it in or takes too
//! long.
//!
//! Hyper asks for no more of an answer than the client's flow control lets through, and waits for a
//! client that lets nothing through for as long as the connection lives. So answers are looked at
//! from outside, all of a server by one task. A stream, which has its place among the requests that
//! are worked on until its end, also ends when its time is over, however much of it is taken in.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::HeaderMap;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use parking_lot::Mutex;
use routir_core::ErrorCode;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep};
use tonic::Status;
use tonic::body::Body;

use super::session::Session;
use crate::record::Record;

/// How much of an answer is handed over at once; the rest can still be taken back.
const PIECE: usize = 16 << 10;
/// How often answers are looked at: so many times while a client may take in nothing.
const LOOKS: u32 = 8;

/// The answers of a server that are on their way.
#[derive(Default)]
pub(crate) struct Leaving {
    answers: Mutex<HashMap<u64, Arc<Mutex<Turn>>>>,
    next: AtomicU64,
}

impl Leaving {
    /// Cuts off answers of which their clients take in nothing for `patience`, for ever.
    pub(crate) async fn watch(&self, patience: Duration) {
        loop {
            sleep((patience / LOOKS).max(Duration::from_millis(1))).await;
            let cut = self.stalled(patience);
            if !cut.is_empty() {
                tracing::debug!(answers = cut.len(), "clients do not take their answers in");
            }
        }
    }

    /// What there was of stalled answers, to be dropped where nothing is locked.
    fn stalled(&self, patience: Duration) -> Vec<Kept> {
        let stalled = |turn: &Arc<Mutex<Turn>>| {
            // One that is locked moves.
            let mut turn = turn.try_lock()?;
            let since = turn.since?;
            match since.elapsed() >= patience || turn.is_late() {
                true => turn.cut(),
                false => None,
            }
        };
        self.answers.lock().values().filter_map(stalled).collect()
    }
}

/// Whose turn it is: the client's since a time, or the server's.
struct Turn {
    since: Option<Instant>,
    /// When it must be over.
    until: Option<Instant>,
    kept: Option<Kept>,
}

impl Turn {
    fn is_late(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() >= until)
    }

    fn cut(&mut self) -> Option<Kept> {
        let late = self.is_late();
        let mut kept = self.kept.take()?;
        kept.cut = true;
        if late {
            kept.record.code = ErrorCode::DeadlineExceeded.name();
        }
        Some(kept)
    }
}

/// A body and what ends with it.
struct Kept {
    body: Body,
    /// Of the body, what has not been handed over yet.
    rest: Bytes,
    session: Arc<Session>,
    record: Record,
    cut: bool,
    _place: Option<OwnedSemaphorePermit>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        // Of one that is cut off, nobody had all.
        if let Some(code) = self.session.outcome().filter(|_| !self.cut) {
            self.record.code = code;
        }
    }
}

/// An answer's body with what is kept until its last byte is taken, or nobody wants it any more.
pub(crate) struct Answer {
    session: Arc<Session>,
    number: u64,
    turn: Arc<Mutex<Turn>>,
}

impl Answer {
    /// `body`, with the call's record and its tenant's place, which must have been taken in by
    /// `until`.
    pub(crate) fn new(
        body: Body,
        session: Arc<Session>,
        record: Record,
        place: Option<OwnedSemaphorePermit>,
        until: Option<Instant>,
    ) -> Self {
        let kept = Kept {
            body,
            rest: Bytes::new(),
            session: Arc::clone(&session),
            record,
            cut: false,
            _place: place,
        };
        let turn = Arc::new(Mutex::new(Turn {
            since: Some(Instant::now()),
            until,
            kept: Some(kept),
        }));
        let leaving = &session.app.leaving;
        let number = leaving.next.fetch_add(1, Ordering::Relaxed);
        leaving.answers.lock().insert(number, Arc::clone(&turn));
        Self {
            session,
            number,
            turn,
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        let turn = self.session.app.leaving.answers.lock().remove(&self.number);
        drop(turn);
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let mut turn = self.turn.lock();
        turn.since = None;
        let Some(kept) = &mut turn.kept else {
            let why = "the client did not take the answer in";
            return Poll::Ready(Some(Err(Status::cancelled(why))));
        };
        if kept.rest.is_empty() {
            match ready!(Pin::new(&mut kept.body).poll_frame(cx)).transpose()? {
                None => return Poll::Ready(None),
                Some(frame) => match frame.into_data() {
                    Ok(data) => kept.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
            }
        }
        if turn.is_late() {
            let late = turn.cut();
            drop(late);
            let why = Status::deadline_exceeded("the deadline passed before all was taken in");
            let mut trailers = HeaderMap::new();
            why.add_header(&mut trailers)?;
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        let Some(kept) = &mut turn.kept else {
            return Poll::Ready(None);
        };
        let length = kept.rest.len().min(PIECE);
        let piece = kept.rest.split_to(length);
        turn.since = Some(Instant::now());
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        let turn = self.turn.lock();
        let kept = turn.kept.as_ref();
        kept.is_some_and(|kept| kept.rest.is_empty() && kept.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
