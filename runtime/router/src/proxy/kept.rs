//! The beginning of a body, kept for as long as it may have to be sent again.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How much of bodies may be kept to be sent again, all requests together, in KiB. What is over it
/// is sent once.
pub(super) const REPLAYS: usize = 1 << 20;
/// How much of a body is kept without being counted, in bytes.
pub(super) const UNCOUNTED: usize = 16 << 10;

/// The pieces of a body that were read, while they are little.
pub(super) struct Kept {
    pub(super) pieces: Vec<Bytes>,
    bytes: usize,
    /// The most to keep.
    most: usize,
    /// Where keeping much is counted, of a body that may be large; and what was counted.
    replays: Option<Arc<Semaphore>>,
    counted: Option<OwnedSemaphorePermit>,
    /// Whether all that was read is there.
    pub(super) whole: bool,
}

impl Kept {
    /// Up to `most` bytes, as far as `replays` has room for what is more than little.
    pub(super) fn new(most: usize, replays: Option<&Arc<Semaphore>>) -> Self {
        Self {
            pieces: Vec::new(),
            bytes: 0,
            most,
            replays: replays.map(Arc::clone),
            counted: None,
            whole: true,
        }
    }

    /// Keeps a piece that is being sent. If there is no room for it, nothing is kept any more.
    pub(super) fn keep(&mut self, piece: &Bytes) {
        if self.whole && !self.push(piece) {
            self.drop_all();
        }
    }

    /// Keeps a piece if there is room for it.
    pub(super) fn push(&mut self, piece: &Bytes) -> bool {
        let bytes = self.bytes + piece.len();
        // Pieces may be of a byte each.
        let memory = bytes + (self.pieces.len() + 1) * size_of::<Bytes>();
        if bytes > self.most || !self.count(memory) {
            return false;
        }
        self.bytes = bytes;
        self.pieces.push(piece.clone());
        true
    }

    /// Keeps no more, and once all of it is among the first `sent` pieces, nothing.
    pub(super) fn end(&mut self, sent: usize) {
        self.most = 0;
        if sent >= self.pieces.len() {
            self.drop_all();
        }
    }

    /// Whether there is room for that much memory of this body.
    fn count(&mut self, memory: usize) -> bool {
        let Some(replays) = self.replays.as_ref().filter(|_| memory > UNCOUNTED) else {
            return true;
        };
        let counted = self.counted.as_ref().map_or(0, |it| it.num_permits());
        let missing = (memory / 1024 + 1).saturating_sub(counted);
        if missing == 0 {
            return true;
        }
        let missing = u32::try_from(missing).unwrap_or(u32::MAX);
        let Ok(more) = Arc::clone(replays).try_acquire_many_owned(missing) else {
            return false;
        };
        match &mut self.counted {
            Some(counted) => counted.merge(more),
            None => self.counted = Some(more),
        }
        true
    }

    fn drop_all(&mut self) {
        self.whole = false;
        self.pieces = Vec::new();
        self.counted = None;
    }
}
