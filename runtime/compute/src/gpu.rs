//! GPUs as models see them: memory, a stream, and what happens there with what a graph left.

use std::any::Any;
use std::ffi::c_void;
use std::fmt;
use std::path::PathBuf;
use std::ptr::NonNull;
use std::sync::Arc;

use routir_core::{Error, Load, Result};

use crate::{Buckets, Element, Pooling};

/// A GPU that models can be put on.
pub trait Gpu: Send + Sync {
    /// Its number among those that are visible.
    fn number(&self) -> u32;

    /// Takes so much of its memory for `what`, until the answer is dropped.
    ///
    /// # Errors
    /// When there is not so much left.
    fn reserve(&self, what: &str, bytes: u64) -> Result<Box<dyn Any + Send + Sync>>;

    /// A stream with memory, for `what`.
    ///
    /// # Errors
    /// When it failed before.
    fn work(&self, what: &str) -> Result<Box<dyn GpuWork>>;

    /// Notes that somebody waits for it or uses it, until the answer is dropped.
    fn queued(&self) -> Box<dyn Any + Send> {
        Box::new(())
    }

    /// Whether there are any who do.
    fn load(&self) -> Arc<dyn Load>;

    /// Whether it can be asked.
    ///
    /// # Errors
    /// When it failed before.
    fn health(&self) -> Result<()>;

    /// Notes that it failed for good; what whoever asked is told.
    fn lost(&self, why: &str) -> Error;
}

/// What computes in order on a GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GpuQueue {
    /// A stream of CUDA; without one, graphs have streams of their own.
    Cuda(Option<NonNull<c_void>>),
    /// The processor: the memory is the processor's, as that of an emulator is, and ONNX Runtime
    /// computes there without CUDA.
    Processor,
}

/// What a graph uses of a GPU from one run to the next. Runs of the graph are done in order with all
/// that is asked for here.
pub trait GpuWork: Send {
    /// Where its runs go. A stream lives as long as this.
    fn queue(&self) -> GpuQueue;

    /// The address of memory number `slot`, of at least `bytes`. It stays there until more is asked
    /// for; then what was in it is gone.
    ///
    /// # Errors
    /// When there is not so much left, or the GPU failed.
    fn memory(&mut self, slot: usize, bytes: usize) -> Result<u64>;

    /// Copies bytes into memory number `slot`.
    ///
    /// # Errors
    /// When it has no room for them, or the GPU failed.
    fn upload(&mut self, slot: usize, bytes: &[u8]) -> Result<()>;

    /// Copies bytes from an address.
    ///
    /// # Safety
    /// So many bytes there belong to memory that lives until this returns.
    ///
    /// # Errors
    /// When the GPU failed.
    unsafe fn download(&mut self, address: u64, into: &mut [u8]) -> Result<()>;

    /// Whether [`GpuWork::pool`] can do that.
    fn takes(&self, how: &PoolStates) -> bool;

    /// Makes a vector of each text out of the states of its tokens, which lie at `states`. Each text is
    /// its number of tokens, and whether the vector may stay. `None` for one with numbers that are not
    /// finite. All is done when this returns.
    ///
    /// # Safety
    /// At `states` there are as many numbers as texts times `length` times `width`, in memory that
    /// lives until this returns.
    ///
    /// # Errors
    /// When memory does not suffice, or the GPU failed.
    unsafe fn pool(
        &mut self,
        states: u64,
        how: &PoolStates,
        texts: &[(usize, bool)],
    ) -> Result<Vec<Option<Embedding>>>;
}

/// What is made of states of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolStates {
    /// What numbers they are.
    pub element: Element,
    /// Rows of each text, padding among them.
    pub length: usize,
    /// Numbers of a row.
    pub width: usize,
    /// How rows become one.
    pub pooling: Pooling,
    /// Whether that has length 1 then.
    pub normalize: bool,
    /// How many of its first numbers are kept.
    pub dim: usize,
    /// Whether those have length 1 then.
    pub normalize_last: bool,
}

/// A vector of a text.
pub enum Embedding {
    /// Its numbers.
    Numbers(Vec<f32>),
    /// It lies on the GPU where it was made, for who knows what that is.
    OnGpu(Box<dyn Any + Send + Sync>),
}

impl Embedding {
    /// Its numbers, for texts that were not asked to stay.
    ///
    /// # Errors
    /// When it stayed on a GPU.
    pub fn numbers(self) -> Result<Vec<f32>> {
        match self {
            Self::Numbers(numbers) => Ok(numbers),
            Self::OnGpu(_) => Err(Error::internal("a vector stayed on the GPU")),
        }
    }
}

impl fmt::Debug for Embedding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Numbers(numbers) => f.debug_tuple("Numbers").field(numbers).finish(),
            Self::OnGpu(_) => f.debug_tuple("OnGpu").finish_non_exhaustive(),
        }
    }
}

/// Where models are put that are not to compute on the processor.
#[derive(Clone)]
pub struct OnGpu {
    /// The GPU.
    pub gpu: Arc<dyn Gpu>,
    /// How much of its memory each graph may use; `None` is the size of its files, a quarter more,
    /// and 2 GiB.
    pub memory: Option<u64>,
    /// How graphs are run there.
    pub options: GpuOptions,
}

/// How graphs are run on a GPU.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct GpuOptions {
    /// What computes.
    pub provider: Provider,
    /// Whether what was done for a shape once is replayed from then on.
    pub cuda_graphs: bool,
    /// To which lengths texts are filled up.
    pub buckets: Buckets,
}

/// What computes on a GPU.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Provider {
    /// ONNX Runtime's kernels for CUDA.
    #[default]
    Cuda,
    /// Engines that TensorRT builds, and CUDA for what it does not take.
    TensorRt {
        /// Whether it may compute in half precision.
        half: bool,
        /// Where engines are kept, which take minutes to build.
        cache: Option<PathBuf>,
    },
}
