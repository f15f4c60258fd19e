//! What a model uses of a device beside its graph: a stream, memory that is kept from one call to the
//! next, and what makes vectors of texts out of what the graph left there.

use std::collections::HashMap;
use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::Arc;

use routir_core::{Error, Result};

use super::places::Places;
use super::{DeviceVector, Join, Number, Pooling};
use crate::{Arg, Device, DeviceMemory, MAX_DIM, Session};

/// Vectors that wait for their search; those that find no place go over the processor.
const PLACES: u32 = 1024;

/// Threads of a block, and its shared memory beside a row.
const THREADS: u32 = 256;
const OF_WARPS: usize = 32;

/// A text's vector.
#[derive(Debug)]
pub enum Pooled {
    /// On the processor.
    Here(Vec<f32>),
    /// Where it was made.
    There(DeviceVector),
}

/// A stream with its memory.
pub struct Workspace {
    session: Session,
    what: String,
    memory: HashMap<usize, DeviceMemory>,
    places: Option<Arc<Places>>,
}

impl Workspace {
    /// A stream of its own, for `what`.
    ///
    /// # Errors
    /// When the device is lost.
    pub fn new(device: &Arc<Device>, what: &str) -> Result<Self> {
        Ok(Self {
            session: device.session()?,
            what: what.to_owned(),
            memory: HashMap::new(),
            places: None,
        })
    }

    /// The stream as CUDA knows it, while this lives.
    #[must_use]
    pub fn native(&self) -> Option<NonNull<c_void>> {
        self.session.native()
    }

    /// The address of memory number `slot`, of at least `bytes`. It stays there until more is asked
    /// for; then what was in it is gone.
    ///
    /// # Errors
    /// [`routir_core::ErrorCode::Unavailable`] when there is not so much left, or the device is lost.
    pub fn memory(&mut self, slot: usize, bytes: usize) -> Result<u64> {
        if let Some(memory) = self.memory.get(&slot)
            && memory.bytes() >= bytes
        {
            return Ok(memory.address());
        }
        self.memory.remove(&slot);
        let bytes = bytes.next_power_of_two().max(256);
        let memory = self.session.device().memory(&self.what, bytes)?;
        let address = memory.address();
        self.memory.insert(slot, memory);
        Ok(address)
    }

    /// Copies bytes into memory number `slot`.
    ///
    /// # Errors
    /// When there is none of that size, or the device is lost.
    pub fn upload(&mut self, slot: usize, bytes: &[u8]) -> Result<()> {
        match self.memory.get(&slot) {
            Some(memory) => self.session.upload(memory, 0, bytes),
            None => Err(Error::internal(format!("memory {slot} was not asked for"))),
        }
    }

    /// Copies bytes from an address, after all that was asked for before.
    ///
    /// # Safety
    /// So many bytes there belong to memory that lives until this returns.
    ///
    /// # Errors
    /// When the device is lost.
    pub unsafe fn download(&mut self, address: u64, into: &mut [u8]) -> Result<()> {
        // SAFETY: as the caller says.
        unsafe { self.session.download_from(address, into) }
    }

    /// Whether vectors can be made so.
    #[must_use]
    pub fn takes(&self, how: &Pooling) -> bool {
        (1..=MAX_DIM).contains(&how.width) && (1..=how.width).contains(&how.dim)
    }

    /// Makes a vector of each text, whose states lie at `states`: its number of tokens, and whether the
    /// vector stays. `None` for one with numbers that are not finite. All is done when this returns.
    ///
    /// # Safety
    /// At `states` there are as many numbers as texts times `length` times `width`, in memory that lives
    /// until this returns; what makes them was asked for on this stream or is done.
    ///
    /// # Errors
    /// [`Error::internal`] for what [`Workspace::takes`] does not;
    /// [`routir_core::ErrorCode::Unavailable`] when memory does not suffice or the device is lost.
    pub unsafe fn pool(
        &mut self,
        states: u64,
        how: &Pooling,
        texts: &[(usize, bool)],
    ) -> Result<Vec<Option<Pooled>>> {
        let fits = |&(tokens, _): &(usize, bool)| (1..=how.length).contains(&tokens);
        if !self.takes(how) || !texts.iter().all(fits) {
            return Err(Error::internal(format!(
                "texts that do not fit {how:?} cannot be pooled on a device"
            )));
        }
        if texts.is_empty() {
            return Ok(Vec::new());
        }
        let places: Vec<Option<DeviceVector>> = match texts.iter().any(|(_, stays)| *stays) {
            true => {
                // Where memory does not suffice for them, vectors go over the processor.
                let free = self.places(how.dim).ok();
                let take = |(_, stays): &(usize, bool)| free.filter(|_| *stays)?.take();
                texts.iter().map(take).collect()
            }
            false => texts.iter().map(|_| None).collect(),
        };
        let row = how.dim * 4;
        let here = self.session.scratch("vectors", texts.len() * row)?;
        let at = |(number, place): (usize, &Option<DeviceVector>)| match place {
            Some(place) => place.address(),
            None => here.address() + (number * row) as u64,
        };
        let out: Vec<u64> = places.iter().enumerate().map(at).collect();
        let counts: Vec<u32> = texts.iter().map(|(tokens, _)| *tokens as u32).collect();
        let counts_at = self.session.scratch("tokens of texts", counts.len() * 4)?;
        let out_at = self.session.scratch("places of vectors", out.len() * 8)?;
        let bad_at = self.session.scratch("bad vectors", counts.len() * 4)?;
        let session = &mut self.session;
        session.upload(&counts_at, 0, bytemuck::cast_slice(&counts))?;
        session.upload(&out_at, 0, bytemuck::cast_slice(&out))?;
        let args = [
            Arg::U64(states),
            Arg::U32(how.number as u32),
            Arg::U32(how.length as u32),
            Arg::U32(how.width as u32),
            Arg::U32(how.dim as u32),
            Arg::U32(how.join as u32),
            Arg::U32(u32::from(how.scale) + 2 * u32::from(how.scale_last)),
            counts_at.arg(),
            out_at.arg(),
            bad_at.arg(),
        ];
        let shared = OF_WARPS + how.width * 4;
        session.launch("pool_tokens", [texts.len(), 1], THREADS, shared, &args)?;
        let mut bad = vec![0_u8; counts.len() * 4];
        session.download(&bad_at, 0, &mut bad)?;
        let mut numbers = vec![
            0_f32;
            if places.iter().all(Option::is_some) {
                0
            } else {
                texts.len() * how.dim
            }
        ];
        session.download(&here, 0, bytemuck::cast_slice_mut(&mut numbers))?;
        let (bad, _) = bad.as_chunks::<4>();
        let mut rows = numbers.chunks_exact(how.dim);
        let pooled = places.into_iter().zip(bad).map(|(place, bad)| {
            let row = rows.next().unwrap_or_default();
            (*bad == [0; 4]).then(|| match place {
                Some(place) => Pooled::There(place),
                None => Pooled::Here(row.to_vec()),
            })
        });
        Ok(pooled.collect())
    }

    /// Where vectors of `dim` numbers lie until they were searched for.
    fn places(&mut self, dim: usize) -> Result<&Arc<Places>> {
        if self.places.as_ref().is_none_or(|it| it.dim() != dim) {
            let what = format!("{} (vectors)", self.what);
            self.places = Some(Places::new(self.session.device(), &what, dim, PLACES)?);
        }
        let none = || Error::internal("there are no places for vectors");
        self.places.as_ref().ok_or_else(none)
    }
}

// What kernels call them: `kernels/vectors.cu`.
const _: () = {
    assert!(Number::Single as u32 == 0 && Number::Half as u32 == 1 && Number::Brain as u32 == 2);
    assert!(Join::First as u32 == 0 && Join::Last as u32 == 1 && Join::Mean as u32 == 2);
    assert!(Join::Most as u32 == 3 && Join::MeanSqrt as u32 == 4);
};
