//! FAISS's own indices on GPUs: the C interface of `native/gpu.h`, made safe. A library that was built
//! without CUDA has none of it.

use std::ffi::c_char;
use std::path::Path;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use libloading::Library;
use routir_core::{Error, Result};

use super::raw::{MESSAGE_BYTES, Opaque, RawIndex, answer, functions, whole};
use super::{Faiss, Metric};

/// The most results of one query, and the most lists that are read for it.
pub const MOST_ON_GPU: usize = 2048;

/// The answer that says that the device failed.
const LOST: i32 = 2;

/// An index on a GPU, known only to the library.
#[repr(C)]
pub(super) struct OpaqueOnGpu {
    _private: [u8; 0],
}

/// Where an index goes; as in the header.
#[repr(C)]
struct Place {
    device: i32,
    half: i32,
    scratch: i64,
}

functions! {
    /// The library's functions for GPUs.
    GpuFunctions:
    bytes = b"routir_faiss_gpu_bytes\0":
        unsafe extern "C" fn(*const Opaque, i32, *mut i64, *mut c_char) -> i32;
    place = b"routir_faiss_gpu_place\0": unsafe extern "C" fn(
        *const Opaque, *const Place, *mut *mut OpaqueOnGpu, *mut i64, *mut c_char,
    ) -> i32;
    search = b"routir_faiss_gpu_search\0": unsafe extern "C" fn(
        *mut OpaqueOnGpu, i64, *const f32, i64, i64, *mut f32, *mut i64, *mut c_char,
    ) -> i32;
    free = b"routir_faiss_gpu_free\0": unsafe extern "C" fn(*mut OpaqueOnGpu);
}

/// How something fails on a GPU.
#[derive(Debug)]
pub enum GpuFailure {
    /// The call failed; the device is well.
    Call(Error),
    /// The device failed, and what it answers from now on is not to be believed.
    Device(String),
}

impl From<Error> for GpuFailure {
    fn from(error: Error) -> Self {
        Self::Call(error)
    }
}

fn outcome(
    code: i32,
    message: &[c_char; MESSAGE_BYTES],
    error: impl FnOnce(String) -> Error,
) -> Result<(), GpuFailure> {
    answer(code, message).map_err(|why| match code {
        LOST => GpuFailure::Device(why),
        _ => GpuFailure::Call(error(why)),
    })
}

/// What there is of an index, wherever it lies.
#[derive(Clone, Debug)]
struct About {
    dim: usize,
    vectors: usize,
    metric: Metric,
    description: String,
    /// Lists of an inverted file; 0 when there is none.
    lists: usize,
}

/// An index that was read, to be copied to a GPU.
pub struct ForGpu {
    faiss: Arc<Faiss>,
    raw: RawIndex,
    about: About,
}

impl ForGpu {
    /// Reads an index; what its format allows stays in the file.
    ///
    /// # Errors
    /// When FAISS cannot read it, or it compares vectors neither by inner product nor by L2.
    pub fn read(faiss: &Arc<Faiss>, path: &Path) -> Result<Self> {
        let raw = RawIndex::read(faiss, path, true)?;
        let facts = raw.facts()?;
        Ok(Self {
            faiss: Arc::clone(faiss),
            about: About {
                dim: usize::try_from(facts.dimensions).unwrap_or_default(),
                vectors: usize::try_from(facts.vectors).unwrap_or_default(),
                metric: facts.metric(path)?,
                lists: usize::try_from(facts.lists).unwrap_or_default(),
                description: raw.describe()?,
            },
            raw,
        })
    }

    /// What kind of index it is.
    #[must_use]
    pub fn description(&self) -> &str {
        &self.about.description
    }

    /// About how many bytes of a device it takes, with numbers of 16 bits if `half`.
    ///
    /// # Errors
    /// [`routir_core::ErrorCode::InvalidArgument`] when FAISS has no index of this kind for GPUs.
    pub fn bytes(&self, half: bool) -> Result<u64> {
        let (mut bytes, mut message) = (0, [0; MESSAGE_BYTES]);
        let functions = self.functions()?;
        // SAFETY: the index is alive and the places are of their types.
        let code = unsafe {
            (functions.bytes)(
                self.raw.pointer(),
                half.into(),
                &raw mut bytes,
                message.as_mut_ptr(),
            )
        };
        answer(code, &message).map_err(Error::invalid)?;
        Ok(u64::try_from(bytes).unwrap_or_default())
    }

    /// Copies it to a device, where its searches share `scratch` bytes. Answers also how many bytes it
    /// has taken besides.
    ///
    /// # Errors
    /// When FAISS refuses it, when there is no such device or not enough memory, and when the device
    /// fails.
    pub fn place(
        self,
        device: usize,
        half: bool,
        scratch: u64,
    ) -> Result<(OnGpu, u64), GpuFailure> {
        let place = Place {
            device: i32::try_from(device).unwrap_or(-1),
            half: half.into(),
            scratch: i64::try_from(scratch).unwrap_or(i64::MAX),
        };
        let (mut placed, mut bytes) = (ptr::null_mut(), 0);
        let mut message = [0; MESSAGE_BYTES];
        let functions = self.functions()?;
        // SAFETY: as in `bytes`.
        let code = unsafe {
            (functions.place)(
                self.raw.pointer(),
                &raw const place,
                &raw mut placed,
                &raw mut bytes,
                message.as_mut_ptr(),
            )
        };
        outcome(code, &message, Error::invalid)?;
        let index = NonNull::new(placed);
        let index = index.ok_or_else(|| Error::internal("FAISS answered no index"))?;
        let placed = OnGpu {
            faiss: self.faiss,
            index,
            about: self.about,
        };
        Ok((placed, u64::try_from(bytes).unwrap_or_default()))
    }

    fn functions(&self) -> Result<&GpuFunctions> {
        self.faiss.on_gpus().ok_or_else(without_cuda)
    }
}

/// An index of FAISS on a GPU.
pub struct OnGpu {
    faiss: Arc<Faiss>,
    index: NonNull<OpaqueOnGpu>,
    about: About,
}

// SAFETY: the library keeps nothing of a thread's for it.
unsafe impl Send for OnGpu {}
// SAFETY: the library searches it for one caller after another.
unsafe impl Sync for OnGpu {}

impl Drop for OnGpu {
    fn drop(&mut self) {
        if let Some(functions) = self.faiss.on_gpus() {
            // SAFETY: it came from the library and is not used again.
            unsafe { (functions.free)(self.index.as_ptr()) }
        }
    }
}

impl OnGpu {
    /// Numbers of a vector.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.about.dim
    }

    /// How many vectors there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.about.vectors
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.about.vectors == 0
    }

    /// How they are compared.
    #[must_use]
    pub fn metric(&self) -> Metric {
        self.about.metric
    }

    /// What kind of index it is.
    #[must_use]
    pub fn description(&self) -> &str {
        &self.about.description
    }

    /// Scores and positions of the `limit` nearest of each query, best first; a position below 0 is
    /// none. `nprobe` lists are read of an inverted file, or as many as the index says.
    ///
    /// # Errors
    /// When more than [`MOST_ON_GPU`] are wanted or queries have other dimensions, when FAISS refuses
    /// or finds no memory, and when the device fails.
    pub fn search(
        &self,
        queries: &[f32],
        limit: usize,
        nprobe: Option<usize>,
    ) -> Result<(Vec<f32>, Vec<i64>), GpuFailure> {
        let lists = nprobe.unwrap_or_default().min(self.about.lists);
        for (wanted, what) in [
            (limit, "results of one search"),
            (lists, "lists that one search reads"),
        ] {
            if wanted > MOST_ON_GPU {
                let message = format!(
                    "{wanted} {what} are too many; {MOST_ON_GPU} are the most with FAISS on a GPU"
                );
                return Err(Error::invalid(message).into());
            }
        }
        let count = whole(queries.len(), self.about.dim)?;
        let places = (queries.len() / self.about.dim.max(1)).saturating_mul(limit);
        let (mut scores, mut positions) = (vec![0.0_f32; places], vec![-1_i64; places]);
        if places == 0 {
            return Ok((scores, positions));
        }
        let functions = self.faiss.on_gpus().ok_or_else(without_cuda)?;
        let mut message = [0; MESSAGE_BYTES];
        // SAFETY: `queries` has `count` rows of the index's dimensions, both outputs `count * limit`
        // places; the library lets one caller in at a time.
        let code = unsafe {
            (functions.search)(
                self.index.as_ptr(),
                count,
                queries.as_ptr(),
                // At most 2048, as was looked at.
                limit as i64,
                lists as i64,
                scores.as_mut_ptr(),
                positions.as_mut_ptr(),
                message.as_mut_ptr(),
            )
        };
        outcome(code, &message, |why| {
            Error::engine(format!("FAISS failed: {why}"))
        })?;
        Ok((scores, positions))
    }
}

fn without_cuda() -> Error {
    Error::internal("this FAISS was built without CUDA")
}
