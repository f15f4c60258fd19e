//! A worker's answer on its way to the client.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use routir_listen::hushed;
use tokio::time::Instant;

use super::clock::Rung;
use super::held::Held;
use super::lane::Lane;
use super::line::Line;
use super::upload::Source;
use crate::metrics::Metrics;
use crate::worker::Outcome;

/// The body of a worker's answer. It drives the connection that it comes over, gives it back when
/// it ends, and closes it when it is dropped before.
pub(super) struct Download {
    body: Incoming,
    /// The request's own body.
    source: Arc<Source>,
    /// What was read ahead.
    ahead: Option<Bytes>,
    lane: Arc<Lane>,
    line: Option<Line>,
    held: Option<Held>,
    idle: Duration,
    /// Since when nothing comes.
    waiting: Option<Instant>,
    /// Whether a piece of it has come.
    begun: bool,
    metrics: Arc<Metrics>,
}

/// An answer that ended before its end.
#[derive(Debug)]
pub(crate) enum Cut {
    /// The worker closed the connection.
    Closed(hyper::Error),
    /// The worker sent nothing for too long.
    Stalled,
    /// The request's time is over.
    Deadline,
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(why) => write!(f, "the worker's answer was cut: {why}"),
            Self::Stalled => f.write_str("the worker's answer did not go on arriving"),
            Self::Deadline => f.write_str("the request's time was over amid the answer"),
        }
    }
}

impl std::error::Error for Cut {}

impl Download {
    pub(super) fn new(
        body: Incoming,
        source: Arc<Source>,
        (lane, line): (Arc<Lane>, Line),
        idle: Duration,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            body,
            source,
            ahead: None,
            lane,
            line: Some(line),
            held: None,
            idle,
            waiting: None,
            begun: false,
            metrics,
        }
    }

    /// Reads the answer to its end, if that comes within `most` bytes and a second; otherwise what
    /// was read comes first when it is read as a body.
    ///
    /// # Errors
    /// When it is cut.
    pub(super) async fn read(&mut self, most: usize) -> Result<Option<Bytes>, Cut> {
        let mut whole = BytesMut::new();
        let reading = async {
            while let Some(frame) = poll_fn(|cx| self.poll_piece(cx)).await {
                if let Ok(piece) = frame?.into_data() {
                    whole.extend_from_slice(&piece);
                }
                if whole.len() > most {
                    return Ok(false);
                }
            }
            Ok(true)
        };
        let read = tokio::time::timeout(Duration::from_secs(1), reading).await;
        let whole = whole.freeze();
        match read {
            Ok(Ok(true)) => Ok(Some(whole)),
            Ok(Err(cut)) => Err(cut),
            Ok(Ok(false)) | Err(_) => {
                self.ahead = Some(whole).filter(|ahead| !ahead.is_empty());
                Ok(None)
            }
        }
    }

    /// Holds the request until the answer ends.
    pub(super) fn hold(&mut self, held: Held) {
        self.held = Some(held);
        // Nobody asks for more of what is whole from the start.
        if self.body.is_end_stream() {
            self.end();
        }
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        // Whoever takes a little now and then never waits for the worker. Most answers are one piece,
        // for which nobody looks at the clock.
        if self.begun
            && let Some(line) = &self.line
            && Instant::now() >= line.clock.deadline
        {
            return Poll::Ready(Some(Err(self.cut(Cut::Deadline))));
        }
        loop {
            let mut polled = self.poll_body(cx);
            if polled.is_pending()
                && let Some(line) = &mut self.line
            {
                line.drive(cx);
                polled = self.poll_body(cx);
            }
            return match polled {
                Poll::Ready(Some(Ok(frame))) => {
                    self.waiting = None;
                    self.begun = true;
                    // Trailers go from hop to hop.
                    if !frame.is_data() {
                        continue;
                    }
                    if self.body.is_end_stream() {
                        self.end();
                    }
                    Poll::Ready(Some(Ok(frame)))
                }
                Poll::Ready(None) => {
                    self.end();
                    Poll::Ready(None)
                }
                Poll::Ready(Some(Err(why))) => Poll::Ready(Some(Err(self.cut(Cut::Closed(why))))),
                Poll::Pending => {
                    let Some(line) = &mut self.line else {
                        return Poll::Ready(None);
                    };
                    let waiting = *self.waiting.get_or_insert_with(Instant::now);
                    let cut = match ready!(line.clock.poll(waiting + self.idle, cx)) {
                        Rung::Due => Cut::Stalled,
                        Rung::Deadline => Cut::Deadline,
                    };
                    Poll::Ready(Some(Err(self.cut(cut))))
                }
            };
        }
    }

    /// The next frame out of the connection, which is driven before this is waited for.
    fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let (polled, missed) = hushed(|| Pin::new(&mut self.body).poll_frame(cx));
        missed.ignore();
        polled
    }

    /// The answer is whole: the next request may have the connection, unless the worker answered
    /// before it had the request.
    fn end(&mut self) {
        if let Some(line) = self.line.take()
            && self.source.is_sent()
        {
            self.lane.give(line);
        }
        if let Some(held) = self.held.take() {
            held.done();
        }
    }

    fn cut(&mut self, cut: Cut) -> Cut {
        self.line = None;
        self.metrics.cut.inc();
        if let Some(held) = self.held.take() {
            match cut {
                Cut::Closed(_) => held.settle(Outcome::Reset),
                Cut::Stalled => held.settle(Outcome::TimedOut),
                Cut::Deadline => held.done(),
            }
        }
        cut
    }
}

impl hyper::body::Body for Download {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if let Some(ahead) = self.ahead.take() {
            return Poll::Ready(Some(Ok(Frame::data(ahead))));
        }
        self.poll_piece(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.ahead.is_none() && self.line.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.ahead {
            // The length that the worker announced goes on in its header.
            Some(_) => SizeHint::default(),
            None => self.body.size_hint(),
        }
    }
}
