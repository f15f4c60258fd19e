//! Devices that search: GPUs and their memory, kernels of our own, and what runs on them: exact
//! search, search in product-quantised codes, MaxSim, and vectors of texts out of what a model left
//! there. Each has a twin on the processor, which is what it must equal.
//!
//! Guards: a machine without a device or driver is no error until somebody asks for one; memory is
//! reserved before it is taken, and a refusal shows the sum; a device that failed once is never asked
//! again, fails those that ask for it clearly, and harms nobody else; equal scores are ordered by
//! position, wherever they were computed; what is no finite number neither enters nor leaves.
//! Must never know: services, requests, models, the async runtime. Everything here blocks.
//!
//! The only room that links cudarc, which loads the driver when it is first asked for.

mod accelerator;
mod budget;
mod choice;
mod cuda;
mod device;
mod devices;
mod exact;
mod faiss;
mod kernels;
mod maxsim;
mod order;
mod peaks;
mod pq;
mod queue;
mod rows;
mod texts;

pub use accelerator::{Accelerator, Arg, Fault, Launch, Memory, Stream};
pub use budget::{Budget, Reservation};
pub use choice::{DeviceChoice, Placement};
pub use device::{Device, DeviceMemory, Session};
pub use devices::{DeviceInfo, Devices, DriverInfo, FailedDevice};
pub use exact::{ExactOnCpu, ExactOnDevice, ExactSearch, ExactSplit, Share, split};
pub use faiss::{FaissRows, FaissVectors, IndexFile, faiss_pq};
pub use kernels::{Compiled, KernelCache, Nvrtc, SOURCES, Source};
pub use maxsim::{
    CodedTokens, MAX_QUERY_ROWS, MaxSim, MaxSimOfTexts, MaxSimOnCpu, MaxSimOnDevice, TokenRows,
};
pub use order::Found;
pub use peaks::Peaks;
pub use pq::{Coarse, PqList, PqOnCpu, PqOnDevice, PqParts, PqSearch, PqVectors};
pub use queue::Queued;
pub use rows::{Element, MAX_DIM, MAX_K, Metric, Rows};
pub use texts::{DeviceVector, Join, Number, Pooled, Pooling, Workspace, pool_on_cpu};
