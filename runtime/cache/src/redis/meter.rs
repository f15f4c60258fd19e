//! Bounds how much a peer can make this process hold: it may send what the requests on their way
//! allow, and a little more.

use std::collections::BTreeSet;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What may come without being asked for: the handshake, and errors.
const UNASKED: u64 = 64 << 10;

/// How many bytes have come, and how many may. Clones are one.
#[derive(Clone, Debug)]
pub(super) struct Meter {
    counts: Arc<Mutex<Counts>>,
    /// The largest answer to one request.
    answer: u64,
}

#[derive(Debug)]
struct Counts {
    read: u64,
    allowed: u64,
    /// How many answers were asked for, which come in that order: also those that nobody waits for
    /// any more.
    asked: u64,
    /// The largest number of an answer that has come; the first is 1.
    answered: u64,
    /// The numbers of the answers that are waited for.
    waiting: BTreeSet<u64>,
}

impl Meter {
    /// For answers of at most `answer` bytes each.
    pub(super) fn new(answer: usize) -> Self {
        let counts = Counts {
            read: 0,
            allowed: UNASKED,
            asked: 0,
            answered: 0,
            waiting: BTreeSet::new(),
        };
        Self {
            counts: Arc::new(Mutex::new(counts)),
            answer: answer as u64,
        }
    }

    /// Allows one more answer; dropped when it has come or is not waited for any more.
    pub(super) fn ask(&self) -> Asked {
        let mut counts = self.counts.lock();
        counts.asked += 1;
        counts.allowed += self.answer;
        let number = counts.asked;
        counts.waiting.insert(number);
        drop(counts);
        Asked {
            meter: self.clone(),
            number,
        }
    }

    /// A stream that ends in an error when more comes than may.
    pub(super) fn around<S>(&self, stream: S) -> Metered<S> {
        Metered {
            stream,
            meter: self.clone(),
        }
    }

    /// Counts what came; whether that may be.
    fn came(&self, bytes: usize) -> bool {
        let mut counts = self.counts.lock();
        counts.read += bytes as u64;
        counts.read <= counts.allowed
    }
}

/// An answer that is waited for.
pub(super) struct Asked {
    meter: Meter,
    number: u64,
}

impl Asked {
    /// The answer has come, and with it all before it. What they did not use is nobody's; all after
    /// it are still to come, whoever waits for them.
    pub(super) fn answered(self) {
        let Meter { counts, answer } = &self.meter;
        let mut counts = counts.lock();
        counts.waiting.remove(&self.number);
        counts.answered = counts.answered.max(self.number);
        // Two that ask at the same time may be sent the other way round.
        let before = counts.waiting.range(..counts.answered).count() as u64;
        let to_come = counts.asked - counts.answered + before;
        counts.allowed = counts.read + to_come * answer + UNASKED;
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.meter.counts.lock().waiting.remove(&self.number);
    }
}

/// A stream whose input is metered.
pub(super) struct Metered<S> {
    stream: S,
    meter: Meter,
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let poll = Pin::new(&mut self.stream).poll_read(context, buffer);
        if !self.meter.came(buffer.filled().len() - before) {
            let why = "it sends more than it was asked for";
            return Poll::Ready(Err(io::Error::other(why)));
        }
        poll
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn a_flood_ends_the_stream() {
        let meter = Meter::new(1 << 20);
        let (mut peer, stream) = duplex(1 << 22);
        let mut metered = meter.around(stream);
        let mut sink = vec![0; 1 << 20];
        let asked = meter.ask();
        peer.write_all(&vec![b'x'; 1 << 20]).await.unwrap();
        metered.read_exact(&mut sink).await.unwrap();
        asked.answered();
        // Nothing is asked for now.
        peer.write_all(&vec![b'x'; 1 << 20]).await.unwrap();
        let flooded = metered.read_exact(&mut sink).await.unwrap_err();
        assert!(flooded.to_string().contains("more than it was asked for"));
    }

    #[tokio::test]
    async fn an_answer_that_nobody_waits_for_may_still_come() {
        let meter = Meter::new(1 << 20);
        let (mut peer, stream) = duplex(1 << 22);
        let mut metered = meter.around(stream);
        let mut sink = vec![0; 1 << 20];
        let [first, second, third] = [meter.ask(), meter.ask(), meter.ask()];
        peer.write_all(&vec![b'x'; 3 << 20]).await.unwrap();
        metered.read_exact(&mut sink).await.unwrap();
        drop(second);
        first.answered();
        metered.read_exact(&mut sink).await.unwrap();
        metered.read_exact(&mut sink).await.unwrap();
        third.answered();
        peer.write_all(&vec![b'x'; 1 << 20]).await.unwrap();
        assert!(metered.read_exact(&mut sink).await.is_err());
    }

    #[tokio::test]
    async fn answers_to_two_that_ask_at_once_come_in_any_order() {
        let meter = Meter::new(1 << 20);
        let (mut peer, stream) = duplex(1 << 22);
        let mut metered = meter.around(stream);
        let mut sink = vec![0; 1 << 20];
        let (first, second) = (meter.ask(), meter.ask());
        peer.write_all(&vec![b'x'; 2 << 20]).await.unwrap();
        metered.read_exact(&mut sink).await.unwrap();
        second.answered();
        metered.read_exact(&mut sink).await.unwrap();
        first.answered();
    }
}
