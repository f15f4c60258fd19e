//! A request's body on its way to a worker, the beginning of which can be sent again.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as _, Frame, SizeHint};
use parking_lot::Mutex;
use routir_listen::hushed;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::kept::{Kept, UNCOUNTED};

/// Why a body could not be read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The client went, or sent something that is no body.
    Cut,
    /// It is larger than allowed.
    TooLarge,
    /// Nothing came for too long.
    Stalled,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cut => "the request body ended before its end",
            Self::TooLarge => "the request body is over the router's limit",
            Self::Stalled => "the request body did not go on arriving",
        })
    }
}

impl std::error::Error for Broken {}

/// A client's body, and its beginning for as long as it may have to be sent again.
pub(super) struct Source(Mutex<Inner>);

struct Inner {
    body: Body,
    /// What was read, while it is little.
    kept: Kept,
    /// What was read ahead and is too much to keep, until it is sent.
    ahead: Option<Bytes>,
    /// How many of the kept pieces the latest sending has sent.
    sent: usize,
    read: u64,
    most: u64,
    ended: bool,
    broken: Option<Broken>,
    /// Whether the client is what is being waited for.
    waiting: bool,
    /// When something last went on.
    progress: Instant,
}

impl Source {
    /// `body`, of which `keep` bytes can be sent again, if all that are kept leave so much room, and
    /// that may have `most`.
    pub(super) fn new(
        body: Body,
        keep: usize,
        most: u64,
        replays: &Arc<Semaphore>,
        now: Instant,
    ) -> Arc<Self> {
        let ended = body.is_end_stream();
        let upper = body.size_hint().upper();
        let may_be_large = upper.is_none_or(|upper| upper > UNCOUNTED as u64);
        Arc::new(Self(Mutex::new(Inner {
            body,
            kept: Kept::new(keep, may_be_large.then_some(replays)),
            ahead: None,
            sent: 0,
            read: 0,
            most,
            ended,
            broken: None,
            waiting: false,
            progress: now,
        })))
    }

    /// The body from its beginning, if that is still there, to be sent `now`.
    pub(super) fn upload(self: &Arc<Self>, now: Instant) -> Option<Upload> {
        let mut inner = self.0.lock();
        inner.progress = now;
        inner.sent = 0;
        inner.waiting = false;
        let possible = inner.kept.whole && inner.broken.is_none();
        possible.then(|| Upload {
            source: Arc::clone(self),
            at: 0,
        })
    }

    /// Whether the body could be sent to another.
    pub(super) fn can_replay(&self) -> bool {
        let inner = self.0.lock();
        inner.kept.whole && inner.broken.is_none()
    }

    /// Nobody will ask for the beginning again: what was sent of it need not be kept.
    pub(super) fn forget(&self) {
        let mut inner = self.0.lock();
        let sent = inner.sent;
        inner.kept.end(sent);
    }

    /// Why the client's side failed, if it did.
    pub(super) fn broken(&self) -> Option<Broken> {
        self.0.lock().broken
    }

    /// Bytes that the client has sent.
    pub(super) fn read(&self) -> u64 {
        self.0.lock().read
    }

    /// Whether all of it was sent.
    pub(super) fn is_sent(&self) -> bool {
        self.0.lock().is_sent()
    }

    /// Takes in what the client sends while nobody is there to be sent it, as much as may be kept:
    /// whoever does not read a client's body is not told that the client left. Why that failed, if it
    /// did.
    pub(super) fn read_ahead(&self, cx: &mut Context<'_>) -> Option<Broken> {
        let mut inner = self.0.lock();
        inner.read_ahead(cx);
        inner.broken
    }

    /// How things stand with a sending. Reads ahead while the worker is what is waited for.
    pub(super) fn state(&self, cx: &mut Context<'_>) -> State {
        let mut inner = self.0.lock();
        if !inner.waiting {
            inner.read_ahead(cx);
        }
        State {
            sent: inner.is_sent(),
            client: inner.waiting,
            broken: inner.broken,
            progress: inner.progress,
        }
    }
}

/// How things stand with a sending.
#[derive(Clone, Copy, Debug)]
pub(super) struct State {
    /// Whether all was sent.
    pub(super) sent: bool,
    /// Whether the client is waited for.
    pub(super) client: bool,
    /// Why the client's side failed, if it did.
    pub(super) broken: Option<Broken>,
    /// Since when nothing has moved.
    pub(super) progress: Instant,
}

/// One sending of a [`Source`].
pub(super) struct Upload {
    source: Arc<Source>,
    /// How many of the kept pieces were sent.
    at: usize,
}

impl hyper::body::Body for Upload {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = &mut *self;
        let mut inner = this.source.0.lock();
        let inner = &mut *inner;
        if let Some(piece) = inner.kept.pieces.get(this.at) {
            this.at += 1;
            inner.sent = this.at;
            inner.progress = Instant::now();
            return Poll::Ready(Some(Ok(Frame::data(piece.clone()))));
        }
        let piece = match inner.ahead.take() {
            Some(piece) => piece,
            None => {
                let ended = inner.ended;
                let pulled = inner.pull(cx);
                inner.waiting = pulled.is_pending();
                match ready!(pulled) {
                    Some(Ok(piece)) => piece,
                    Some(Err(broken)) => return Poll::Ready(Some(Err(broken))),
                    None => {
                        if !ended {
                            inner.progress = Instant::now();
                        }
                        return Poll::Ready(None);
                    }
                }
            }
        };
        inner.progress = Instant::now();
        inner.kept.keep(&piece);
        this.at = inner.kept.pieces.len();
        inner.sent = this.at;
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        let inner = self.source.0.lock();
        inner.ended && inner.ahead.is_none() && self.at >= inner.kept.pieces.len()
    }

    fn size_hint(&self) -> SizeHint {
        // The length that the client announced goes on in its header.
        SizeHint::default()
    }
}

impl Inner {
    fn is_sent(&self) -> bool {
        self.ended && self.ahead.is_none() && self.sent >= self.kept.pieces.len()
    }

    /// The next piece from the client.
    fn pull(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        if let Some(broken) = self.broken {
            return Poll::Ready(Some(Err(broken)));
        }
        while !self.ended {
            let (polled, missed) = hushed(|| Pin::new(&mut self.body).poll_frame(cx));
            // Whoever reads the client's connection has this to do again only if there is more.
            match self.body.is_end_stream() {
                true => missed.ignore(),
                false => missed.ring(),
            }
            let frame = match ready!(polled) {
                None => {
                    self.ended = true;
                    break;
                }
                Some(Err(_)) => {
                    self.broken = Some(Broken::Cut);
                    return Poll::Ready(Some(Err(Broken::Cut)));
                }
                Some(Ok(frame)) => frame,
            };
            // Trailers go from hop to hop.
            let Ok(piece) = frame.into_data() else {
                continue;
            };
            self.ended = self.body.is_end_stream();
            self.read = self.read.saturating_add(piece.len() as u64);
            if self.read > self.most {
                self.broken = Some(Broken::TooLarge);
                return Poll::Ready(Some(Err(Broken::TooLarge)));
            }
            return Poll::Ready(Some(Ok(piece)));
        }
        Poll::Ready(None)
    }

    fn read_ahead(&mut self, cx: &mut Context<'_>) {
        while self.kept.whole && self.ahead.is_none() && !self.ended {
            let Poll::Ready(Some(Ok(piece))) = self.pull(cx) else {
                return;
            };
            // What is kept has not been sent yet.
            if !self.kept.push(&piece) {
                self.ahead = Some(piece);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use futures_util::{FutureExt, stream};
    use http_body_util::BodyExt;

    use super::*;

    fn body(pieces: &[&str]) -> Body {
        let pieces: Vec<_> = pieces
            .iter()
            .map(|piece| Ok::<_, std::io::Error>(Bytes::copy_from_slice(piece.as_bytes())))
            .collect();
        Body::from_stream(stream::iter(pieces))
    }

    fn room() -> Arc<Semaphore> {
        Arc::new(Semaphore::new(0))
    }

    fn read(upload: Upload) -> Result<Bytes, Broken> {
        let whole = upload.collect().now_or_never().unwrap()?;
        Ok(whole.to_bytes())
    }

    #[tokio::test]
    async fn a_small_body_is_sent_twice_from_any_point() {
        let source = Source::new(
            body(&["one", "two", "three"]),
            11,
            100,
            &room(),
            Instant::now(),
        );
        let mut first = source.upload(Instant::now()).unwrap();
        first.frame().await.unwrap().unwrap();
        assert!(source.can_replay());
        assert_eq!(
            read(source.upload(Instant::now()).unwrap()).unwrap(),
            "onetwothree"
        );
        assert_eq!(
            read(source.upload(Instant::now()).unwrap()).unwrap(),
            "onetwothree"
        );
        assert_eq!(source.read(), 11);
    }

    #[tokio::test]
    async fn a_larger_one_is_sent_once() {
        let source = Source::new(
            body(&["one", "two", "three"]),
            10,
            100,
            &room(),
            Instant::now(),
        );
        assert_eq!(
            read(source.upload(Instant::now()).unwrap()).unwrap(),
            "onetwothree"
        );
        assert!(!source.can_replay() && source.upload(Instant::now()).is_none());
    }

    #[tokio::test]
    async fn so_much_is_kept_of_all_bodies_and_small_ones_always_are() {
        let replays = Arc::new(Semaphore::new(64));
        let large = |length: usize| {
            let piece = Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; length]));
            let body = Body::from_stream(stream::iter([piece]));
            let source = Source::new(body, 1 << 20, 1 << 30, &replays, Instant::now());
            assert_eq!(
                read(source.upload(Instant::now()).unwrap()).unwrap().len(),
                length
            );
            source
        };
        let first = large(40 << 10);
        assert!(first.can_replay() && !large(40 << 10).can_replay());
        let small = large(10 << 10);
        assert!(small.can_replay());
        assert_eq!(replays.available_permits(), 23);
        // Once somebody answers, nothing is sent again.
        first.forget();
        assert_eq!(replays.available_permits(), 64);
        assert!(large(40 << 10).can_replay());
        // Those of a byte each take more than their bytes.
        let pieces = (0..1000).map(|_| Ok::<_, std::io::Error>(Bytes::from_static(b"x")));
        let body = Body::from_stream(stream::iter(pieces.collect::<Vec<_>>()));
        let source = Source::new(body, 1 << 20, 1 << 30, &replays, Instant::now());
        read(source.upload(Instant::now()).unwrap()).unwrap();
        assert!(replays.available_permits() < 64 - 30);
        drop(source);
        assert_eq!(replays.available_permits(), 64);
    }

    #[tokio::test]
    async fn what_is_read_ahead_is_sent_as_it_came() {
        let mut cx = Context::from_waker(Waker::noop());
        // No more is read than may be kept, but for the piece that was too much.
        for (keep, ahead) in [(0, 3), (3, 6), (8, 11), (11, 11)] {
            let source = Source::new(
                body(&["one", "two", "three"]),
                keep,
                100,
                &Arc::new(Semaphore::new(64)),
                Instant::now(),
            );
            assert_eq!(source.read_ahead(&mut cx), None);
            assert_eq!(source.read(), ahead, "{keep}");
            assert!(!source.is_sent() && source.can_replay(), "{keep}");
            assert_eq!(
                read(source.upload(Instant::now()).unwrap()).unwrap(),
                "onetwothree"
            );
            assert!(source.is_sent(), "{keep}");
            assert_eq!(source.can_replay(), keep == 11, "{keep}");
        }
        // Where there is no room among all, what was read is sent all the same.
        let replays = Arc::new(Semaphore::new(30));
        let piece = "x".repeat(20 << 10);
        let source = Source::new(
            body(&[&piece, &piece]),
            1 << 20,
            1 << 20,
            &replays,
            Instant::now(),
        );
        assert_eq!(source.read_ahead(&mut cx), None);
        assert_eq!(source.read(), 40 << 10);
        assert_eq!(
            read(source.upload(Instant::now()).unwrap()).unwrap(),
            piece.repeat(2)
        );
        assert!(!source.can_replay());
    }

    #[tokio::test]
    async fn one_over_the_limit_is_not_sent() {
        let source = Source::new(body(&["one", "two"]), 10, 5, &room(), Instant::now());
        assert_eq!(
            read(source.upload(Instant::now()).unwrap()),
            Err(Broken::TooLarge)
        );
        assert_eq!(source.broken(), Some(Broken::TooLarge));
        assert!(source.upload(Instant::now()).is_none());
        let source = Source::new(
            body(&["one", "two"]),
            10,
            5,
            &Arc::new(Semaphore::new(64)),
            Instant::now(),
        );
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(source.read_ahead(&mut cx), Some(Broken::TooLarge));
        assert!(source.upload(Instant::now()).is_none());
    }
}
