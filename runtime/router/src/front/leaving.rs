//! Answers over gRPC on their way to their clients.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Bytes;
use hyper::Response;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use routir_listen::{Ended, Ends, Leaver};
use tokio::time::Instant;

use super::State;
use super::record::Tracked;

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// When an answer must be over; travels in the response's extensions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Until(pub(crate) Instant);

/// The body of an answer over gRPC, which is ended when it must be.
pub(crate) struct Answer(Leaver<Tracked>);

impl State {
    /// The response, which is ended when it must be.
    pub(super) fn leave(&self, mut response: Response<Tracked>) -> Response<Answer> {
        let until = response.extensions_mut().remove::<Until>();
        let until = until.map(|Until(until)| until);
        response.map(|answer| Answer(self.leaving.hold(answer, until)))
    }
}

impl Ends for Tracked {
    fn end(&mut self, _: Ended) {
        // That its record does not say that it is complete says all.
    }
}

fn trailers(why: Ended) -> HeaderMap {
    let (status, message) = match why {
        Ended::Late => ("4", "the deadline passed before the answer was taken in"),
        Ended::Stalled => ("1", "the client did not take the answer in"),
    };
    HeaderMap::from_iter([
        (STATUS, HeaderValue::from_static(status)),
        (MESSAGE, HeaderValue::from_static(message)),
    ])
}

impl Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let next = self.0.poll(|answer| {
            let next = ready!(Pin::new(answer).poll_frame(cx));
            let of_body = matches!(&next, Some(Ok(frame)) if frame.is_data());
            Poll::Ready((next, of_body))
        });
        Poll::Ready(match ready!(next) {
            Ok(next) => next,
            Err(ended) => ended.map(|why| Ok(Frame::trailers(trailers(why)))),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_over(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
