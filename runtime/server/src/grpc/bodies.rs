//! The body of a call's request, which must arrive in time.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use tokio::time::{Sleep, sleep};
use tonic::{Code, Status};

/// A request's body, which must be there within `patience` of the first time that it is waited for.
pub(crate) struct Paced {
    body: Incoming,
    patience: Duration,
    /// Runs from the first wait on.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Paced {
    /// `body`, waited for no longer than `patience`.
    pub(crate) fn new(body: Incoming, patience: Duration) -> Self {
        Self {
            body,
            patience,
            waiting: None,
        }
    }
}

impl HttpBody for Paced {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            let broken = |why: hyper::Error| {
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
