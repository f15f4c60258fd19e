//! MaxSim on a device. See `kernels/maxsim.cu`.

use std::sync::Arc;

use parking_lot::Mutex;
use routir_core::{Error, Result};

use super::{MaxSim, TokenRows, check, finite};
use crate::{Arg, Device, DeviceMemory, Session};

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
    /// Units of 16 bytes of a row.
    chunks: usize,
    rows: DeviceMemory,
    starts: DeviceMemory,
    session: Mutex<Session>,
}

impl MaxSimOnDevice {
    /// Copies `documents` to the device.
    ///
    /// # Errors
    /// [`routir_core::ErrorCode::Unavailable`] when they do not fit the budget or the device fails;
    /// [`routir_core::ErrorCode::InvalidArgument`] when their rows are too long for it.
    pub fn new(device: &Arc<Device>, what: &str, documents: &TokenRows) -> Result<Self> {
        let chunks = documents.rows().stride() / 16;
        if shared(chunks) > device.shared_memory() {
            return Err(Error::invalid(format!(
                "{what}: rows of {} numbers are too long for {}",
                documents.dim(),
                device.name()
            )));
        }
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
            chunks,
            rows,
            starts,
            session: Mutex::new(session),
        })
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
        let starts: Vec<u32> = queries.starts().iter().map(|it| *it as u32).collect();
        let at_once = pairs.len().min(PAIRS);
        let mut session = self.session.lock();
        let rows = session.scratch("queries", queries.rows().data().len())?;
        let starts_at = session.scratch("starts", starts.len() * 4)?;
        let pairs_at = session.scratch("pairs", at_once * 8)?;
        let scores_at = session.scratch("scores", at_once * 4)?;
        session.upload(&rows, 0, queries.rows().data())?;
        session.upload(&starts_at, 0, bytemuck::cast_slice(&starts))?;
        let mut scores = vec![0.0_f32; pairs.len()];
        for (pairs, scores) in pairs.chunks(PAIRS).zip(scores.chunks_mut(PAIRS)) {
            session.upload(&pairs_at, 0, bytemuck::cast_slice(pairs))?;
            let args = [
                rows.arg(),
                starts_at.arg(),
                self.rows.arg(),
                self.starts.arg(),
                pairs_at.arg(),
                Arg::U32(self.chunks as u32),
                scores_at.arg(),
            ];
            session.launch(
                "maxsim_f16",
                [pairs.len(), 1],
                128,
                shared(self.chunks),
                &args,
            )?;
            session.download(&scores_at, 0, bytemuck::cast_slice_mut(scores))?;
        }
        finite(scores)
    }
}

/// Shared memory of a block: query rows, and the best product of each with each warp's rows.
fn shared(chunks: usize) -> usize {
    let stride = if chunks % 8 == 4 { chunks } else { chunks + 4 };
    ROWS * stride * 16 + WARPS * ROWS * 4
}
