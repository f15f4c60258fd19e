//! What a device can do at most, measured; see `kernels/peaks.cu`. Measurements are shares of it.

use std::sync::Arc;

use parking_lot::Mutex;
use routir_core::Result;

use crate::{Arg, Device, DeviceMemory, Session};

/// Rounds of eight products that each warp multiplies.
const ROUNDS: usize = 20_000;
/// Warps of a block, and blocks per multiprocessor.
const WARPS: usize = 8;
const BLOCKS: usize = 4;
/// Shared memory for the matrices of wide products.
const MATRICES: usize = 8 << 10;

/// Memory to copy, and what copies and multiplies.
pub struct Peaks {
    from: DeviceMemory,
    to: DeviceMemory,
    session: Mutex<Session>,
}

impl Peaks {
    /// Takes twice so many bytes, a multiple of 16.
    ///
    /// # Errors
    /// When they do not fit.
    pub fn new(device: &Arc<Device>, bytes: usize) -> Result<Self> {
        Ok(Self {
            from: device.memory("memory to copy", bytes)?,
            to: device.memory("memory to copy", bytes)?,
            session: Mutex::new(device.session()?),
        })
    }

    /// Copies the bytes, and waits.
    ///
    /// # Errors
    /// When the device failed.
    pub fn copy(&self) -> Result<()> {
        let mut session = self.session.lock();
        let units = Arg::U64(self.from.bytes() as u64 / 16);
        let args = [self.from.arg(), self.to.arg(), units];
        session.launch("peak_copy", [4096, 1], 256, 0, &args)?;
        session.wait()
    }

    /// Multiplies on so many multiprocessors, and waits: as searches do, or `wide`, which only compute
    /// capability 9.0 has and is faster there.
    ///
    /// # Errors
    /// When the device failed, or there are more multiprocessors than memory.
    pub fn multiply(&self, processors: usize, wide: bool) -> Result<()> {
        let mut session = self.session.lock();
        let args = [Arg::U32(ROUNDS as u32), self.to.arg()];
        let (kernel, shared) = match wide {
            true => ("peak_multiply_wide", MATRICES),
            false => ("peak_multiply", 0),
        };
        let most = self.to.bytes() / (WARPS * 32 * 4);
        let blocks = (processors * BLOCKS).min(most);
        session.launch(kernel, [blocks, 1], (WARPS * 32) as u32, shared, &args)?;
        session.wait()
    }

    /// Operations of [`Peaks::multiply`]: a product is of 16 x 8 x 16.
    #[must_use]
    pub fn operations(&self, processors: usize) -> f64 {
        let products = processors * BLOCKS * WARPS * ROUNDS * 8;
        products as f64 * 2.0 * 16.0 * 8.0 * 16.0
    }
}
