//! Where vectors lie on a device until they were searched for.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use routir_core::Result;

use crate::{Device, DeviceMemory};

/// Memory for so many vectors, taken once: freeing memory waits for all that a device does.
pub(super) struct Places {
    device: Arc<Device>,
    memory: DeviceMemory,
    dim: usize,
    free: Mutex<Vec<u32>>,
}

impl Places {
    /// # Errors
    /// When the device has not so much memory left, or is lost.
    pub(super) fn new(
        device: &Arc<Device>,
        what: &str,
        dim: usize,
        count: u32,
    ) -> Result<Arc<Self>> {
        let bytes = stride(dim).saturating_mul(count as usize);
        Ok(Arc::new(Self {
            memory: device.memory(what, bytes)?,
            device: Arc::clone(device),
            dim,
            free: Mutex::new((0..count).rev().collect()),
        }))
    }

    pub(super) fn dim(&self) -> usize {
        self.dim
    }

    /// A free place, if there is one.
    pub(super) fn take(self: &Arc<Self>) -> Option<DeviceVector> {
        let place = self.free.lock().pop()?;
        Some(DeviceVector {
            places: Arc::clone(self),
            place,
        })
    }
}

/// Bytes from one vector to the next.
fn stride(dim: usize) -> usize {
    dim.saturating_mul(4).next_multiple_of(16)
}

/// A vector on a device, in single precision. What made it was waited for. Its place is another's once
/// it is dropped.
pub struct DeviceVector {
    places: Arc<Places>,
    place: u32,
}

impl DeviceVector {
    /// How many numbers it has.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.places.dim
    }

    /// Where it lies.
    #[must_use]
    pub fn device(&self) -> &Arc<Device> {
        &self.places.device
    }

    pub(super) fn address(&self) -> u64 {
        self.places.memory.address() + (self.place as usize * stride(self.places.dim)) as u64
    }
}

impl Drop for DeviceVector {
    fn drop(&mut self) {
        self.places.free.lock().push(self.place);
    }
}

impl fmt::Debug for DeviceVector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceVector")
            .field("dim", &self.places.dim)
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}
