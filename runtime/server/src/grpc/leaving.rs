//! Answers over gRPC on their way to their clients, with what ends with them. A stream, which has its
//! place among the requests that are worked on until its end, also ends when its time is over, however
//! much of it is taken in.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::Bytes;
use axum::http::HeaderMap;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use routir_core::ErrorCode;
use routir_listen::{Ended, Ends, Leaver};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;

use super::session::Session;
use crate::record::Record;

/// How much of an answer is handed over at once; the rest can still be taken back.
const PIECE: usize = 16 << 10;

/// A body and what ends with it.
pub(crate) struct Kept {
    body: Body,
    /// Of the body, what has not been handed over yet.
    rest: Bytes,
    session: Arc<Session>,
    record: Record,
    cut: bool,
    _place: Option<OwnedSemaphorePermit>,
}

impl Ends for Kept {
    fn end(&mut self, why: Ended) {
        self.cut = true;
        if why == Ended::Late {
            self.record.code = ErrorCode::DeadlineExceeded.name();
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // Of one that is cut off, nobody had all.
        if let Some(code) = self.session.outcome().filter(|_| !self.cut) {
            self.record.code = code;
        }
    }
}

impl Kept {
    /// The next frame, and whether it is of the body.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<(Next, bool)> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                None => return Poll::Ready((None, false)),
                Some(Err(why)) => return Poll::Ready((Some(Err(why)), false)),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(trailers) => return Poll::Ready((Some(Ok(trailers)), false)),
                },
            }
        }
        let length = self.rest.len().min(PIECE);
        let piece = self.rest.split_to(length);
        Poll::Ready((Some(Ok(Frame::data(piece))), true))
    }
}

type Next = Option<Result<Frame<Bytes>, Status>>;

/// An answer's body with what is kept until its last byte is taken, or nobody wants it any more.
pub(crate) struct Answer(Leaver<Kept>);

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
        let leaving = Arc::clone(&session.app.leaving);
        let kept = Kept {
            body,
            rest: Bytes::new(),
            session,
            record,
            cut: false,
            _place: place,
        };
        Self(leaving.hold(kept, until))
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Next> {
        Poll::Ready(match ready!(self.0.poll(|kept| kept.poll_next(cx))) {
            Ok(next) => next,
            Err(None) => None,
            Err(Some(Ended::Stalled)) => {
                let why = "the client did not take the answer in";
                Some(Err(Status::cancelled(why)))
            }
            Err(Some(Ended::Late)) => {
                let why = Status::deadline_exceeded("the deadline passed before all was taken in");
                let mut trailers = HeaderMap::new();
                Some(
                    why.add_header(&mut trailers)
                        .map(|()| Frame::trailers(trailers)),
                )
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.0
            .is_over(|kept| kept.rest.is_empty() && kept.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
