//! What a device can do, as the rest of the room sees it: a GPU, or the emulator of the tests.

use std::ffi::c_void;
use std::fmt;
use std::ptr::NonNull;

/// Something went wrong on a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It has no more memory.
    OutOfMemory(String),
    /// A kernel failed, or the device is not there any more.
    Failed(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfMemory(why) => write!(f, "it is out of memory: {why}"),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

/// A device.
pub trait Accelerator: Send + Sync {
    /// Shared memory that one block may have, in bytes.
    fn shared_memory(&self) -> usize;

    /// How many blocks run side by side, at one per multiprocessor.
    fn processors(&self) -> usize;

    /// Whether its memory is the processor's, as that of an emulator is: then whatever computes on the
    /// processor can compute on it.
    fn on_processor(&self) -> bool {
        false
    }

    /// Memory on the device; what is in it is undefined.
    ///
    /// # Errors
    /// When there is none, or the device failed.
    fn memory(&self, bytes: usize) -> Result<Box<dyn Memory>, Fault>;

    /// A queue of work of its own.
    ///
    /// # Errors
    /// When the device failed.
    fn stream(&self) -> Result<Box<dyn Stream>, Fault>;
}

/// Memory on a device, freed when it is dropped.
pub trait Memory: Send + Sync {
    /// Where it begins.
    fn address(&self) -> u64;
}

/// What is done in order on a device.
pub trait Stream: Send {
    /// The stream as CUDA knows it, for others who compute on the device: what they ask for is done in
    /// order with what is asked for here.
    fn native(&self) -> Option<NonNull<c_void>> {
        None
    }

    /// Copies bytes to an address on the device. They may be gone when this returns.
    ///
    /// # Safety
    /// So many bytes there belong to memory that lives until the stream was waited for.
    ///
    /// # Errors
    /// When the device failed.
    unsafe fn upload(&mut self, to: u64, bytes: &[u8]) -> Result<(), Fault>;

    /// Copies bytes from an address on the device, after all that was asked for before.
    ///
    /// # Safety
    /// As for [`Stream::upload`].
    ///
    /// # Errors
    /// When the device failed, now or in what was asked for before.
    unsafe fn download(&mut self, from: u64, bytes: &mut [u8]) -> Result<(), Fault>;

    /// Runs a kernel.
    ///
    /// # Safety
    /// The arguments are what the kernel takes, and memory that it reads and writes lives until the
    /// stream was waited for.
    ///
    /// # Errors
    /// When the device failed.
    unsafe fn launch(&mut self, launch: &Launch<'_>) -> Result<(), Fault>;

    /// Waits for all that was asked for.
    ///
    /// # Errors
    /// When any of it failed.
    fn wait(&mut self) -> Result<(), Fault>;
}

/// A kernel with how it is run.
#[derive(Clone, Copy, Debug)]
pub struct Launch<'a> {
    /// Its name.
    pub kernel: &'a str,
    /// Blocks in two directions.
    pub blocks: [u32; 2],
    /// Threads of a block.
    pub threads: u32,
    /// Bytes of shared memory of a block.
    pub shared: usize,
    /// What it is given.
    pub args: &'a [Arg],
}

/// An argument of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arg {
    /// A number.
    U32(u32),
    /// A number, or an address on the device.
    U64(u64),
}
