//! The bodies of a call: a request that must arrive in time, and an answer that keeps what ends
//! with it.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Sleep, sleep};
use tonic::{Code, Status};

use super::session::Session;
use crate::record::Record;

/// A request's body, which must be there within `patience` of the first time that it is waited for.
pub(crate) struct Paced<B> {
    body: B,
    patience: Duration,
    /// Runs from the first wait on.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<B> Paced<B> {
    /// `body`, waited for no longer than `patience`.
    pub(crate) fn new(body: B, patience: Duration) -> Self {
        Self {
            body,
            patience,
            waiting: None,
        }
    }
}

impl<B: HttpBody<Data = Bytes, Error: fmt::Display> + Unpin> HttpBody for Paced<B> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            let broken = |why: B::Error| {
                let message = format!("the request could not be read: {why}");
                Status::new(Code::Cancelled, message)
            };
            return Poll::Ready(frame.map(|frame| frame.map_err(broken)));
        }
        let patience = self.patience;
        let waiting = self
            .waiting
            .get_or_insert_with(|| Box::pin(sleep(patience)));
        waiting.as_mut().poll(cx).map(|()| {
            let seconds = patience.as_secs_f64();
            let message = format!("the request did not arrive within {seconds} s");
            Some(Err(Status::deadline_exceeded(message)))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer's body with what is kept until its last byte is taken, or nobody wants it any more.
pub(crate) struct Answer {
    body: Body,
    session: Arc<Session>,
    record: Record,
    _place: Option<OwnedSemaphorePermit>,
}

impl Answer {
    /// `body`, with the call's record and its tenant's place.
    pub(crate) fn new(
        body: Body,
        session: Arc<Session>,
        record: Record,
        place: Option<OwnedSemaphorePermit>,
    ) -> Self {
        Self {
            body,
            session,
            record,
            _place: place,
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(code) = self.session.outcome() {
            self.record.code = code;
        }
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
