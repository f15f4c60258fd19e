//! A connection to a worker, driven by the request that uses it.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use routir_listen::Bell;
use tokio::runtime::{Handle, Id};
use tokio::time::Instant;

use super::clock::{Clock, Rung};
use super::upload::{Broken, Source, Upload};
use crate::dial::Stream;

/// The largest head of an answer.
const MAX_HEAD: usize = 128 << 10;

/// A connection to a worker.
///
/// No task of its own drives it: while a request uses it, that request's task does, and while it is
/// idle nobody needs to. So an answer wakes one task instead of two, and a request that is dropped
/// closes its connection in the same moment, which is how the worker learns that nobody waits.
pub(super) struct Line {
    sender: SendRequest<Upload>,
    connection: Pin<Box<Connection<TokioIo<Stream>, Upload>>>,
    /// What rings when the connection can go on.
    bell: Bell,
    /// What the present request waits by.
    pub(super) clock: Clock,
    /// Whether the connection has ended.
    ended: bool,
    /// Whether it has carried a request before.
    pub(super) used: bool,
    /// Since when nobody uses it.
    pub(super) idle: Instant,
    /// The runtime that is told when bytes come.
    pub(super) home: Id,
}

/// Why there was no answer.
#[derive(Debug)]
pub(super) enum Fault {
    /// The client's body failed.
    Client(Broken),
    /// The worker closed the connection, or spoke nonsense.
    Reset(String),
    /// The worker did not begin to answer.
    TimedOut,
    /// The request's own time is over.
    Deadline,
}

/// How long to wait for what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Until the worker begins to answer, counted from when it has the request.
    pub(super) header: Duration,
    /// Between two pieces of a body.
    pub(super) idle: Duration,
}

impl Line {
    /// A new one over `stream`.
    ///
    /// # Errors
    /// When it cannot be used.
    pub(super) async fn over(stream: Stream) -> hyper::Result<Self> {
        // Most requests are small, and a head with its body leaves soonest in one piece.
        let (sender, connection) = http1::Builder::new()
            .writev(false)
            .max_buf_size(MAX_HEAD.max(512 << 10))
            .max_header_size(MAX_HEAD)
            .handshake(TokioIo::new(stream))
            .await?;
        Ok(Self {
            sender,
            connection: Box::pin(connection),
            bell: Bell::new(),
            clock: Clock::new(),
            ended: false,
            used: false,
            idle: Instant::now(),
            home: Handle::current().id(),
        })
    }

    /// Moves bytes in both directions as far as they go.
    pub(super) fn drive(&mut self, cx: &Context<'_>) {
        let mut cx = self.bell.before(cx);
        if !self.ended && self.connection.as_mut().poll(&mut cx).is_ready() {
            self.ended = true;
        }
    }

    /// Whether, as it is `now`, nobody has used it for `longest`.
    pub(super) fn is_older(&self, now: Instant, longest: Duration) -> bool {
        now.saturating_duration_since(self.idle) >= longest
    }

    /// Whether one that nobody uses is still open, and can take another request.
    pub(super) fn is_open(&mut self) -> bool {
        self.drive(&Context::from_waker(Waker::noop()));
        !self.ended && self.sender.is_ready()
    }

    /// Sends `request`, whose body comes from `source` and which must be over at `deadline`, and waits
    /// for the head of the answer.
    ///
    /// # Errors
    /// Whatever keeps the answer from coming.
    pub(super) async fn exchange(
        &mut self,
        request: Request<Upload>,
        source: &Source,
        patience: Patience,
        deadline: Instant,
    ) -> Result<Response<Incoming>, Fault> {
        let mut answer = pin!(self.sender.send_request(request));
        let fault = |why: Option<hyper::Error>| match source.broken() {
            Some(broken) => Fault::Client(broken),
            None => Fault::Reset(why.map_or_else(|| "it hung up".to_owned(), |why| told(&why))),
        };
        let (connection, ended) = (&mut self.connection, &mut self.ended);
        let (bell, clock) = (&self.bell, &mut self.clock);
        clock.deadline = deadline;
        poll_fn(|cx| {
            if !*ended && connection.as_mut().poll(&mut bell.before(cx)).is_ready() {
                *ended = true;
            }
            // The answer comes out of the connection, which has just been polled.
            let mut nobody = Context::from_waker(Waker::noop());
            match answer.as_mut().poll(&mut nobody) {
                Poll::Ready(Ok(response)) => return Poll::Ready(Ok(response)),
                Poll::Ready(Err(why)) => return Poll::Ready(Err(fault(Some(why)))),
                Poll::Pending if *ended => return Poll::Ready(Err(fault(None))),
                Poll::Pending => {}
            }
            let state = source.state(cx);
            if let Some(broken) = state.broken {
                return Poll::Ready(Err(Fault::Client(broken)));
            }
            let wait = match state.sent {
                true => patience.header,
                false => patience.idle,
            };
            clock.poll(state.progress + wait, cx).map(|rung| {
                Err(match rung {
                    Rung::Deadline => Fault::Deadline,
                    Rung::Due if state.client && !state.sent => Fault::Client(Broken::Stalled),
                    Rung::Due => Fault::TimedOut,
                })
            })
        })
        .await
    }
}

/// An error with what is behind it, since hyper's own text says little.
fn told(why: &hyper::Error) -> String {
    match std::error::Error::source(why) {
        Some(behind) => format!("{why}: {behind}"),
        None => why.to_string(),
    }
}
