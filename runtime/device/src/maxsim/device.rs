//! MaxSim on a device. See `kernels/maxsim.cu`.

use std::sync::Arc;

use parking_lot::Mutex;
use routir_core::{Error, Result};

use super::coded::LEVELS;
use super::places::Places;
use super::{CodedTokens, MaxSim, TokenRows, check, finite, same};
use crate::{Arg, Device, DeviceMemory, Element, Session};

/// Pairs that are scored at once.
const PAIRS: usize = 1 << 20;
/// Query rows that a block holds at once, and warps of a block.
const ROWS: usize = 64;
const WARPS: usize = 4;

/// Documents on a device.
pub struct MaxSimOnDevice {
    device: Arc<Device>,
    dim: usize,
    len: usize,
    documents: Documents,
    session: Mutex<Session>,
}

/// How documents lie there.
enum Documents {
    Rows {
        rows: DeviceMemory,
        starts: DeviceMemory,
    },
    Coded {
        memory: DeviceMemory,
        places: Places,
        bits: usize,
    },
}

/// A kernel with what it is told of documents.
struct Scored {
    kernel: &'static str,
    documents: Vec<Arg>,
    starts: Arg,
    shared: usize,
}

impl MaxSimOnDevice {
    /// Copies `documents` to the device.
    ///
    /// # Errors
    /// [`routir_core::ErrorCode::Unavailable`] when they do not fit the budget or the device fails;
    /// [`routir_core::ErrorCode::InvalidArgument`] when their rows are too long for it.
    pub fn new(device: &Arc<Device>, what: &str, documents: &TokenRows) -> Result<Self> {
        fits(device, what, documents.dim(), 0)?;
        let rows = device.memory(what, documents.rows().data().len())?;
        let starts = device.memory(what, documents.starts().len() * 8)?;
        let mut session = device.session()?;
        session.upload(&rows, 0, documents.rows().data())?;
        session.upload(&starts, 0, bytemuck::cast_slice(documents.starts()))?;
        session.wait()?;
        Ok(Self {
            device: Arc::clone(device),
            dim: documents.dim(),
            len: documents.len(),
            documents: Documents::Rows { rows, starts },
            session: Mutex::new(session),
        })
    }

    /// Copies the documents of a late-interaction index to the device, as the index keeps them.
    ///
    /// # Errors
    /// As [`MaxSimOnDevice::new`]; [`routir_core::ErrorCode::EngineFailure`] when the index is damaged
    /// or has numbers that half precision does not hold.
    pub fn coded(device: &Arc<Device>, what: &str, documents: &CodedTokens<'_>) -> Result<Self> {
        documents.check(what)?;
        let numbers = match documents.is_whole() {
            true => 0,
            false => documents.padded() + LEVELS,
        };
        fits(device, what, documents.dim, numbers)?;
        let places = Places::new(documents);
        let memory = device.memory(what, places.bytes())?;
        let mut session = device.session()?;
        places.fill(&mut session, &memory, documents, what)?;
        Ok(Self {
            device: Arc::clone(device),
            dim: documents.dim,
            len: documents.ends.len(),
            documents: Documents::Coded {
                memory,
                places,
                bits: documents.bits,
            },
            session: Mutex::new(session),
        })
    }

    /// The device.
    #[must_use]
    pub fn device(&self) -> &Arc<Device> {
        &self.device
    }

    /// Bytes of device memory that the documents take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match &self.documents {
            Documents::Rows { rows, starts } => rows.bytes() + starts.bytes(),
            Documents::Coded { memory, .. } => memory.bytes(),
        }
    }

    fn scored(&self) -> Scored {
        let plain = shared(self.dim, 0);
        match &self.documents {
            Documents::Rows { rows, starts } => Scored {
                kernel: "maxsim_f16",
                documents: vec![rows.arg()],
                starts: starts.arg(),
                shared: plain,
            },
            Documents::Coded {
                memory,
                places,
                bits: 16,
            } => Scored {
                kernel: "maxsim_f16",
                documents: vec![places.whole(memory)],
                starts: places.starts(memory),
                shared: plain,
            },
            Documents::Coded {
                memory,
                places,
                bits,
            } => Scored {
                kernel: match bits {
                    2 => "maxsim_coded_2",
                    _ => "maxsim_coded_4",
                },
                documents: places.coded(memory).to_vec(),
                starts: places.starts(memory),
                shared: shared(self.dim, Element::F16.padded(self.dim) + LEVELS),
            },
        }
    }
}

impl MaxSim for MaxSimOnDevice {
    fn dim(&self) -> usize {
        self.dim
    }

    fn len(&self) -> usize {
        self.len
    }

    fn score(&self, queries: &TokenRows, pairs: &[[u32; 2]]) -> Result<Vec<f32>> {
        check(queries, pairs, self.dim, self.len)?;
        self.device.health()?;
        let _queued = self.device.queue();
        let mut session = self.session.lock();
        run(&mut session, &self.scored(), queries, pairs)
    }
}

/// MaxSim of documents that come with their queries, on a device.
pub struct MaxSimOfTexts {
    device: Arc<Device>,
    dim: usize,
    session: Mutex<Session>,
}

impl MaxSimOfTexts {
    /// For rows of `dim` numbers.
    ///
    /// # Errors
    /// As [`MaxSimOnDevice::new`].
    pub fn new(device: &Arc<Device>, dim: usize) -> Result<Self> {
        fits(device, "MaxSim", dim, 0)?;
        Ok(Self {
            device: Arc::clone(device),
            dim,
            session: Mutex::new(device.session()?),
        })
    }

    /// The score of each pair of a query and a document, as [`MaxSim::score`].
    ///
    /// # Errors
    /// As there; also when the documents do not fit the budget.
    pub fn score(
        &self,
        queries: &TokenRows,
        documents: &TokenRows,
        pairs: &[[u32; 2]],
    ) -> Result<Vec<f32>> {
        check(queries, pairs, self.dim, documents.len())?;
        same(documents, self.dim)?;
        self.device.health()?;
        let _queued = self.device.queue();
        let mut session = self.session.lock();
        let rows = session.scratch("documents", documents.rows().data().len())?;
        let starts = session.scratch("document starts", documents.starts().len() * 8)?;
        session.upload(&rows, 0, documents.rows().data())?;
        session.upload(&starts, 0, bytemuck::cast_slice(documents.starts()))?;
        let scored = Scored {
            kernel: "maxsim_f16",
            documents: vec![rows.arg()],
            starts: starts.arg(),
            shared: shared(self.dim, 0),
        };
        run(&mut session, &scored, queries, pairs)
    }
}

/// Scores pairs that were checked.
fn run(
    session: &mut Session,
    scored: &Scored,
    queries: &TokenRows,
    pairs: &[[u32; 2]],
) -> Result<Vec<f32>> {
    let starts: Vec<u32> = queries.starts().iter().map(|it| *it as u32).collect();
    let at_once = pairs.len().min(PAIRS);
    let rows = session.scratch("queries", queries.rows().data().len())?;
    let starts_at = session.scratch("starts", starts.len() * 4)?;
    let pairs_at = session.scratch("pairs", at_once * 8)?;
    let scores_at = session.scratch("scores", at_once * 4)?;
    session.upload(&rows, 0, queries.rows().data())?;
    session.upload(&starts_at, 0, bytemuck::cast_slice(&starts))?;
    let chunks = Element::F16.padded(queries.dim()) / 8;
    let mut scores = vec![0.0_f32; pairs.len()];
    for (pairs, scores) in pairs.chunks(PAIRS).zip(scores.chunks_mut(PAIRS)) {
        session.upload(&pairs_at, 0, bytemuck::cast_slice(pairs))?;
        let mut args = vec![rows.arg(), starts_at.arg()];
        args.extend(&scored.documents);
        args.extend([
            scored.starts,
            pairs_at.arg(),
            Arg::U32(chunks as u32),
            scores_at.arg(),
        ]);
        let blocks = [pairs.len(), 1];
        session.launch(scored.kernel, blocks, 128, scored.shared, &args)?;
        session.download(&scores_at, 0, bytemuck::cast_slice_mut(scores))?;
    }
    finite(scores)
}

/// Refuses rows of `dim` numbers that a block cannot hold, beside `numbers` of its own.
fn fits(device: &Device, what: &str, dim: usize, numbers: usize) -> Result<()> {
    if shared(dim, numbers) <= device.shared_memory() {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "{what}: rows of {dim} numbers are too long for {}",
        device.name()
    )))
}

/// Shared memory of a block: query rows, the best product of each with each warp's rows, and
/// `numbers` more.
fn shared(dim: usize, numbers: usize) -> usize {
    let chunks = Element::F16.padded(dim) / 8;
    let stride = if chunks % 8 == 4 { chunks } else { chunks + 4 };
    ROWS * stride * 16 + WARPS * ROWS * 4 + numbers * 4
}
