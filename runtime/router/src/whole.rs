//! Bodies that are held whole: all of them together take no more memory than there is room for.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// How much of bodies that are held whole may be in memory at once, in KiB.
const ROOM: usize = 512 << 10;

/// Room for bodies that are held whole. Clones are one.
#[derive(Clone, Debug)]
pub(crate) struct Room(Arc<Semaphore>);

/// A body that is held whole, and the room that it takes.
#[derive(Debug)]
pub(crate) struct Whole {
    bytes: Bytes,
    taken: OwnedSemaphorePermit,
}

/// Why a body was not read to its end.
#[derive(Debug)]
pub(crate) enum Unread {
    /// It is larger than allowed.
    TooLarge,
    /// Others take the room.
    Full,
    /// It did not come in time.
    Late,
    /// The client went, or sent something that is no body.
    Cut(axum::Error),
}

impl Room {
    pub(crate) fn new() -> Self {
        Self::of(ROOM)
    }

    fn of(kib: usize) -> Self {
        Self(Arc::new(Semaphore::new(kib)))
    }

    /// Reads `body`, which may have `most` bytes, within `patience`. Room is taken as bytes come:
    /// who only says that many will come takes none.
    ///
    /// # Errors
    /// When it was not read to its end; the room is free again then.
    pub(crate) async fn read(
        &self,
        body: Body,
        most: usize,
        patience: Duration,
    ) -> Result<Whole, Unread> {
        if body.size_hint().lower() > most as u64 {
            return Err(Unread::TooLarge);
        }
        let read = timeout(patience, self.collect(body, most));
        read.await.unwrap_or(Err(Unread::Late))
    }

    async fn collect(&self, mut body: Body, most: usize) -> Result<Whole, Unread> {
        let mut taken = self.take(1)?;
        let mut first = Bytes::new();
        // One buffer, and not a list of pieces: who sends byte by byte takes no more than others.
        let mut more = BytesMut::new();
        while let Some(frame) = body.frame().await {
            // Trailers go from hop to hop.
            let Ok(piece) = frame.map_err(Unread::Cut)?.into_data() else {
                continue;
            };
            let length = first.len() + more.len() + piece.len();
            if length > most {
                return Err(Unread::TooLarge);
            }
            let missing = (length / 1024 + 1).saturating_sub(taken.num_permits());
            if missing > 0 {
                taken.merge(self.take(missing)?);
            }
            match first.is_empty() && more.is_empty() {
                true => first = piece,
                false => {
                    more.extend_from_slice(&std::mem::take(&mut first));
                    more.extend_from_slice(&piece);
                }
            }
        }
        let bytes = match more.is_empty() {
            true => first,
            false => more.freeze(),
        };
        Ok(Whole { bytes, taken })
    }

    fn take(&self, kib: usize) -> Result<OwnedSemaphorePermit, Unread> {
        let kib = u32::try_from(kib).map_err(|_| Unread::Full)?;
        let taken = Arc::clone(&self.0).try_acquire_many_owned(kib);
        taken.map_err(|_| Unread::Full)
    }
}

impl Whole {
    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The body; the room is free again when nobody holds any of it.
    pub(crate) fn into_bytes(self) -> Bytes {
        Bytes::from_owner(Kept {
            bytes: self.bytes,
            _taken: self.taken,
        })
    }

    /// Another body in the place of this one, about as large.
    pub(crate) fn with(self, bytes: Bytes) -> Self {
        Self { bytes, ..self }
    }
}

struct Kept {
    bytes: Bytes,
    _taken: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::{FutureExt, StreamExt, stream};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn pieces(size: usize, count: usize) -> Body {
        let piece = Bytes::from(vec![b'x'; size]);
        let piece = move |_| Ok::<_, Infallible>(piece.clone());
        Body::from_stream(stream::iter((0..count).map(piece)))
    }

    /// What comes, and then nothing more.
    fn stalled(size: usize) -> Body {
        let piece = Ok::<_, Infallible>(Bytes::from(vec![b'x'; size]));
        Body::from_stream(stream::iter([piece]).chain(stream::pending()))
    }

    fn free(room: &Room) -> usize {
        room.0.available_permits()
    }

    #[tokio::test(start_paused = true)]
    async fn room_is_taken_for_what_came_until_nobody_holds_it() {
        let room = Room::of(16);
        let small = room.read(Body::from("{}"), 1 << 20, PATIENCE).await;
        let small = small.unwrap();
        assert_eq!(free(&room), 15);
        let large = room.read(pieces(1000, 10), 10_000, PATIENCE).await;
        let large = large.unwrap();
        assert_eq!((large.bytes().len(), free(&room)), (10_000, 5));
        let other = small.with(Bytes::from_static(b"[]")).into_bytes();
        assert_eq!((&*other, free(&room)), (&b"[]"[..], 5));
        let part = large.into_bytes().slice(..10);
        assert_eq!(free(&room), 5);
        drop(part);
        assert_eq!(free(&room), 15);
        drop(other);
        assert_eq!(free(&room), 16);
    }

    #[tokio::test(start_paused = true)]
    async fn who_sends_little_takes_little_and_what_is_full_is_refused() {
        let room = Room::of(16);
        let slow: Vec<_> = (0..8)
            .map(|_| Box::pin(room.read(stalled(1000), 1 << 20, PATIENCE)))
            .collect();
        let mut slow: Vec<_> = slow
            .into_iter()
            .map(|mut it| {
                assert!((&mut it).now_or_never().is_none());
                it
            })
            .collect();
        assert_eq!(free(&room), 8);
        let large = || room.read(pieces(1000, 10), 1 << 20, PATIENCE);
        assert!(matches!(large().await, Err(Unread::Full)));
        assert_eq!(free(&room), 8);
        slow.truncate(2);
        assert!(large().await.is_ok());
        for slow in slow {
            assert!(matches!(slow.await, Err(Unread::Late)));
        }
        assert_eq!(free(&room), 16);
    }

    #[tokio::test]
    async fn what_is_too_large_or_breaks_is_told_apart() {
        let room = Room::of(16);
        let read = |body| room.read(body, 2000, PATIENCE);
        let announced = read(Body::from(vec![0; 2001])).await;
        assert!(matches!(announced, Err(Unread::TooLarge)));
        assert!(matches!(read(pieces(1000, 3)).await, Err(Unread::TooLarge)));
        let broken = stream::iter([Err::<Bytes, _>(std::io::Error::other("gone"))]);
        let broken = read(Body::from_stream(broken)).await;
        assert!(matches!(broken, Err(Unread::Cut(_))));
        assert_eq!(free(&room), 16);
    }
}
