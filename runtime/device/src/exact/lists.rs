//! What kernels find, per block and query, and how it becomes the best k of each query: merged in
//! groups, then all groups. See `kernels/candidates.cuh` and `kernels/merge.cu`.

use std::sync::Arc;

use routir_core::Result;

use crate::order::found;
use crate::{Arg, DeviceMemory, Found, Session};

/// Lists that one block merges.
const GROUP: usize = 32;
/// Keys that the merge reads at once.
const READ: usize = 256;
/// Memory for what blocks find, in bytes, at most; one share at least fits in any case.
const BUFFERS: usize = 256 << 20;

/// Places in a buffer, of which `coming` are filled between two looks at it.
pub(crate) fn capacity(k: usize, coming: usize) -> usize {
    (k + coming).max(2 * k).next_power_of_two()
}

/// Shared memory of what blocks find: `kernels/candidates.cuh::candidates_bytes`.
pub(crate) fn shared(queries: usize, capacity: usize) -> usize {
    capacity * 8 + queries * 12 + 16
}

/// The device memory for searches of at most so many queries and results.
pub(crate) struct Lists {
    queries: usize,
    k: usize,
    /// The shares that `buffers` has places for, of `row` queries and `capacity` keys each.
    pub(crate) shares: usize,
    row: usize,
    pub(crate) capacity: usize,
    buffers: Arc<DeviceMemory>,
    /// Results that are known before, then one per group.
    groups: Arc<DeviceMemory>,
    results: Arc<DeviceMemory>,
    floors: Arc<DeviceMemory>,
}

impl Lists {
    /// Bytes of it, for the sum before it is made.
    fn sizes(row: usize, k: usize, capacity: usize, shares: usize) -> [usize; 3] {
        let of_k = row * k.max(1) * 8;
        let groups = shares.div_ceil(GROUP) + 1;
        [shares * row * capacity * 8, groups * of_k, of_k]
    }

    /// Memory for `queries` queries, which kernels take `at_once`, with what `shares` shares of the
    /// work find; fewer when that were too much memory.
    pub(crate) fn new(
        session: &mut Session,
        queries: usize,
        at_once: usize,
        k: usize,
        coming: usize,
        shares: usize,
    ) -> Result<Self> {
        let row = queries.next_multiple_of(at_once).max(1);
        let capacity = capacity(k, coming);
        let shares = shares.clamp(1, (BUFFERS / (row * capacity * 8)).max(1));
        let [buffers, groups, results] = Self::sizes(row, k, capacity, shares);
        Ok(Self {
            queries,
            k,
            shares,
            row,
            capacity,
            buffers: session.scratch("buffers", buffers)?,
            groups: session.scratch("groups", groups)?,
            results: session.scratch("results", results)?,
            floors: session.scratch("floors", row * 8)?,
        })
    }

    pub(crate) fn buffers(&self) -> Arg {
        self.buffers.arg()
    }

    /// The floor of each query, once [`Lists::note`] was called.
    pub(crate) fn floors(&self) -> Arg {
        self.floors.arg()
    }

    fn slot(&self, group: usize) -> Arg {
        self.groups.arg_at(group * self.queries * self.k * 8)
    }

    fn merge(
        &self,
        session: &mut Session,
        keys: Arg,
        lists: usize,
        group: usize,
        strides: [usize; 2],
        out: Arg,
    ) -> Result<()> {
        let capacity = capacity(self.k, READ);
        let [of_list, of_query] = strides;
        let args = [
            keys,
            Arg::U32(lists as u32),
            Arg::U32(group as u32),
            Arg::U64(of_list as u64),
            Arg::U64(of_query as u64),
            Arg::U32(self.k as u32),
            Arg::U32(capacity as u32),
            out,
        ];
        let bytes = capacity * 8 + shared(1, capacity);
        let blocks = [self.queries, lists.div_ceil(group)];
        session.launch("merge", blocks, 256, bytes, &args)
    }

    /// Merges what was found; `known` says that [`Lists::note`] was called before.
    fn merge_all(&self, session: &mut Session, known: bool, out: Arg) -> Result<()> {
        let strides = [self.row * self.capacity, self.capacity];
        self.merge(
            session,
            self.buffers.arg(),
            self.shares,
            GROUP,
            strides,
            self.slot(1),
        )?;
        let groups = self.shares.div_ceil(GROUP);
        let (first, count) = if known { (0, groups + 1) } else { (1, groups) };
        let strides = [self.queries * self.k, self.k];
        self.merge(session, self.slot(first), count, count, strides, out)
    }

    /// Keeps what a sample of the vectors gave, and makes floors of it: with those, hardly anything
    /// of the rest goes through a buffer.
    pub(crate) fn note(&self, session: &mut Session) -> Result<()> {
        self.merge_all(session, false, self.slot(0))?;
        let args = [
            self.slot(0),
            Arg::U32(self.queries as u32),
            Arg::U32(self.k as u32),
            self.floors.arg(),
        ];
        session.launch("floors", [self.queries.div_ceil(256), 1], 256, 0, &args)
    }

    /// The results of each query.
    ///
    /// # Errors
    /// When the device failed, or a score is not finite.
    pub(crate) fn found(&self, session: &mut Session, known: bool) -> Result<Vec<Vec<Found>>> {
        self.merge_all(session, known, self.results.arg())?;
        let mut bytes = vec![0; self.queries * self.k * 8];
        session.download(&self.results, 0, &mut bytes)?;
        let (keys, _) = bytes.as_chunks();
        let of_query = |keys: &[[u8; 8]]| {
            let keys = keys.iter().map(|it| u64::from_le_bytes(*it));
            keys.take_while(|key| *key != 0).map(found).collect()
        };
        keys.chunks_exact(self.k.max(1)).map(of_query).collect()
    }
}
