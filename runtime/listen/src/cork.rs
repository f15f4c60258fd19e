//! One write for all that a connection says in one go.
//!
//! HTTP/2's code hands an answer over in pieces (head and message, then trailers) and flushes each,
//! which would be a system call, a packet and a wake-up of the client for each. Here the pieces are
//! kept until the connection's task has nothing more to say for now.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::Patient;

/// The most that is kept; what is larger is written through.
const MOST: usize = 16 << 10;
/// A buffer that grew larger than this is given back when it is empty.
const KEPT: usize = 8 << 10;

/// `stream` as the connection sees it, and the handle that lets out what it said.
pub(crate) fn corked(stream: Patient) -> (Corked, Cork) {
    let held = Arc::new(Mutex::new(Held {
        stream,
        bytes: Vec::new(),
        gone: 0,
    }));
    (Corked(Arc::clone(&held)), Cork(held))
}

/// A stream whose writes leave when its [`Cork`] is drained.
#[derive(Debug)]
pub(crate) struct Corked(Arc<Mutex<Held>>);

/// Lets out what a [`Corked`] stream holds. One task has both, so nobody waits for the lock.
#[derive(Debug)]
pub(crate) struct Cork(Arc<Mutex<Held>>);

#[derive(Debug)]
struct Held {
    stream: Patient,
    bytes: Vec<u8>,
    /// How many of the bytes are written.
    gone: usize,
}

impl Cork {
    /// Writes what is held, as far as the client takes it in.
    pub(crate) fn drain(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.lock().drain(cx)
    }
}

impl Held {
    fn drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(left) = self.bytes.get(self.gone..).filter(|left| !left.is_empty()) {
            let count = ready!(Pin::new(&mut self.stream).poll_write(cx, left))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.gone += count;
        }
        self.gone = 0;
        if self.bytes.capacity() > KEPT {
            self.bytes = Vec::new();
        }
        self.bytes.clear();
        Poll::Ready(Ok(()))
    }

    /// Whether `more` can be kept. What is held has left if it cannot.
    fn holds(&mut self, cx: &mut Context<'_>, more: usize) -> Poll<io::Result<bool>> {
        if self.bytes.len() + more > MOST {
            ready!(self.drain(cx))?;
        }
        Poll::Ready(Ok(more <= MOST))
    }
}

impl AsyncRead for Corked {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.lock().stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Corked {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut held = self.0.lock();
        if !ready!(held.holds(cx, bytes.len()))? {
            return Pin::new(&mut held.stream).poll_write(cx, bytes);
        }
        held.bytes.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut held = self.0.lock();
        let count = slices.iter().map(|slice| slice.len()).sum();
        if !ready!(held.holds(cx, count))? {
            return Pin::new(&mut held.stream).poll_write_vectored(cx, slices);
        }
        for slice in slices {
            held.bytes.extend_from_slice(slice);
        }
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        self.0.lock().stream.is_write_vectored()
    }

    /// What is held leaves later, so that the next piece leaves with it.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut held = self.0.lock();
        ready!(held.drain(cx))?;
        Pin::new(&mut held.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    async fn pair(patience: Duration) -> (Corked, Cork, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (client, accepted) = tokio::join!(client, listener.accept());
        let (stream, cork) = corked(Patient::new(accepted.unwrap().0, patience));
        (stream, cork, client.unwrap())
    }

    async fn drained(cork: &Cork) -> io::Result<()> {
        poll_fn(|cx| cork.drain(cx)).await
    }

    #[tokio::test]
    async fn pieces_leave_together_and_in_order() {
        let (mut stream, cork, mut client) = pair(Duration::from_secs(10)).await;
        stream.write_all(b"head ").await.unwrap();
        stream.flush().await.unwrap();
        let slices = [IoSlice::new(b"body "), IoSlice::new(b"and ")];
        assert_eq!(stream.write_vectored(&slices).await.unwrap(), 9);
        stream.write_all(b"trailers").await.unwrap();
        let mut there = [0; 1];
        assert_eq!(
            client.try_read(&mut there).unwrap_err().kind(),
            io::ErrorKind::WouldBlock
        );
        drained(&cork).await.unwrap();
        let mut told = [0; 22];
        client.read_exact(&mut told).await.unwrap();
        assert_eq!(&told, b"head body and trailers");
    }

    #[tokio::test]
    async fn what_is_large_is_written_through_after_what_is_held() {
        let (mut stream, _cork, mut client) = pair(Duration::from_secs(10)).await;
        let large = vec![b'x'; 4 * MOST];
        let say = async {
            stream.write_all(b"first").await.unwrap();
            stream.write_all(&large).await.unwrap();
        };
        let mut told = vec![0; 5 + large.len()];
        let (_, heard) = tokio::join!(say, client.read_exact(&mut told));
        heard.unwrap();
        assert_eq!(&told[..5], b"first");
        assert!(told[5..] == large);
    }

    #[tokio::test]
    async fn a_client_that_reads_nothing_is_left() {
        let (mut stream, cork, _client) = pair(Duration::from_millis(50)).await;
        // As much as the system takes for it, and then some that is held.
        let error = async {
            loop {
                stream.write_all(&[b'x'; MOST]).await?;
                drained(&cork).await?;
            }
        };
        let error: io::Result<()> = error.await;
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn what_is_held_leaves_before_the_end() {
        let (mut stream, _cork, mut client) = pair(Duration::from_secs(10)).await;
        stream.write_all(b"goodbye").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut told = String::new();
        client.read_to_string(&mut told).await.unwrap();
        assert_eq!(told, "goodbye");
    }
}
