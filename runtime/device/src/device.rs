//! A device with its budget and its health: the one way to its memory and its kernels.

use std::collections::HashMap;
use std::ffi::c_void;
use std::fmt;
use std::ptr::NonNull;
use std::sync::{Arc, OnceLock};

use routir_core::{BoxFuture, Error, ErrorCode, Gauge, Health, Load, Result};

use crate::queue::{Queue, Queued};
use crate::{Accelerator, Arg, Budget, Fault, Launch, Memory, Reservation, Stream};

/// What scratch memory is rounded up to where it is large.
const SCRATCH_STEP: usize = 1 << 20;

/// A device that was opened.
///
/// After its first fault it is lost: contexts do not survive a failed kernel, and what a device
/// answers after one is not to be believed. Every later call fails at once.
pub struct Device {
    name: String,
    accelerator: Arc<dyn Accelerator>,
    budget: Budget,
    lost: OnceLock<String>,
    queue: Arc<Queue>,
}

impl Device {
    /// A device that people know as `name`, of which `bytes` may be used.
    #[must_use]
    pub fn new(name: impl Into<String>, accelerator: Arc<dyn Accelerator>, bytes: u64) -> Self {
        let name = name.into();
        Self {
            budget: Budget::new(name.clone(), bytes),
            name,
            accelerator,
            lost: OnceLock::new(),
            queue: Arc::default(),
        }
    }

    /// What people know it as.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its memory.
    #[must_use]
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Whether it can be asked. Readiness depends on it.
    ///
    /// # Errors
    /// [`ErrorCode::Unavailable`] with what went wrong, once anything did.
    pub fn health(&self) -> Result<()> {
        match self.lost.get() {
            None => Ok(()),
            Some(why) => Err(self.unavailable(why)),
        }
    }

    fn unavailable(&self, why: &str) -> Error {
        Error::new(
            ErrorCode::Unavailable,
            format!(
                "{} failed and is not used any more: {why}; look at the driver's log and restart \
                 the server, or configure `device`: \"cpu\"",
                self.name
            ),
        )
    }

    /// Joins those who wait for it or use it: calls of models, searches and comparisons.
    #[must_use]
    pub fn queue(&self) -> Queued {
        self.queue.join()
    }

    /// Has the number of those be shown from now on; the first who asks for it says where.
    pub fn show_queue(&self, shown: impl FnOnce() -> [Gauge; 2]) {
        self.queue.show(shown);
    }

    /// How many those are.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Whether its memory is the processor's: an emulator's.
    #[must_use]
    pub fn on_processor(&self) -> bool {
        self.accelerator.on_processor()
    }

    pub(crate) fn shared_memory(&self) -> usize {
        self.accelerator.shared_memory()
    }

    pub(crate) fn processors(&self) -> usize {
        self.accelerator.processors().max(1)
    }

    /// Memory for `what`, within the budget. What is in it is undefined.
    ///
    /// # Errors
    /// [`ErrorCode::Unavailable`] when the budget has not so much, or the device is lost.
    pub fn memory(self: &Arc<Self>, what: &str, bytes: usize) -> Result<DeviceMemory> {
        self.health()?;
        let reservation = self.budget.reserve(what, bytes as u64)?;
        let memory = self.guard(what, self.accelerator.memory(bytes.max(16)))?;
        Ok(DeviceMemory {
            memory,
            bytes,
            _reservation: reservation,
        })
    }

    /// A queue of work of its own.
    ///
    /// # Errors
    /// [`ErrorCode::Unavailable`] when the device is lost.
    pub fn session(self: &Arc<Self>) -> Result<Session> {
        self.health()?;
        let stream = self.guard("a stream", self.accelerator.stream())?;
        Ok(Session {
            device: Arc::clone(self),
            stream,
            scratch: HashMap::new(),
        })
    }

    /// Gives it up, for who computes on it by other means and found that it failed: what everybody is
    /// told from now on.
    pub fn lose(&self, why: &str) -> Error {
        let why = self.lost.get_or_init(|| {
            tracing::error!(device = self.name, "device lost: {why}");
            why.to_owned()
        });
        self.queue.lose();
        self.unavailable(why)
    }

    fn guard<T>(&self, what: &str, outcome: Result<T, Fault>) -> Result<T> {
        outcome.map_err(|fault| {
            let why = self.lost.get_or_init(|| {
                tracing::error!(device = self.name, %fault, "device lost at {what}");
                format!("{what}: {fault}")
            });
            self.queue.lose();
            self.unavailable(why)
        })
    }
}

impl Health for Device {
    fn check(&self) -> Result<()> {
        self.health()
    }
}

/// Nobody need wait for a device that is lost: it fails at once.
impl Load for Device {
    fn busy(&self) -> Option<BoxFuture<'static, ()>> {
        self.queue.busy()
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Device");
        shown
            .field("name", &self.name)
            .field("lost", &self.lost)
            .finish_non_exhaustive()
    }
}

/// Memory on a device, and its part of the budget.
pub struct DeviceMemory {
    memory: Box<dyn Memory>,
    bytes: usize,
    _reservation: Reservation,
}

impl DeviceMemory {
    /// How much it is.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Where it begins.
    pub(crate) fn address(&self) -> u64 {
        self.memory.address()
    }

    pub(crate) fn arg(&self) -> Arg {
        Arg::U64(self.memory.address())
    }

    pub(crate) fn arg_at(&self, offset: usize) -> Arg {
        Arg::U64(self.memory.address() + offset as u64)
    }

    fn range(&self, offset: usize, bytes: usize) -> Result<u64> {
        match offset.checked_add(bytes).filter(|end| *end <= self.bytes) {
            Some(_) => Ok(self.memory.address() + offset as u64),
            None => Err(Error::internal(format!(
                "{bytes} bytes at {offset} are not within {} bytes of device memory",
                self.bytes
            ))),
        }
    }
}

/// What is done in order on a device.
pub struct Session {
    device: Arc<Device>,
    stream: Box<dyn Stream>,
    scratch: HashMap<&'static str, Arc<DeviceMemory>>,
}

impl Session {
    /// Memory of at least `bytes` that is called `name`, until the next call with that name. It is
    /// kept from one search to the next, because freeing memory waits for all that the device does.
    pub(crate) fn scratch(
        &mut self,
        name: &'static str,
        bytes: usize,
    ) -> Result<Arc<DeviceMemory>> {
        if let Some(memory) = self.scratch.get(name)
            && memory.bytes() >= bytes
        {
            return Ok(Arc::clone(memory));
        }
        self.scratch.remove(name);
        // Rounded, so that searches of growing sizes do not get new memory each time.
        let bytes = match bytes {
            0..=SCRATCH_STEP => bytes.next_power_of_two().max(256),
            _ => bytes.next_multiple_of(SCRATCH_STEP),
        };
        let memory = Arc::new(self.device.memory(&format!("searches ({name})"), bytes)?);
        self.scratch.insert(name, Arc::clone(&memory));
        Ok(memory)
    }

    /// Copies bytes into memory.
    ///
    /// # Errors
    /// [`ErrorCode::Unavailable`] when the device is lost; an internal error when they do not fit.
    pub fn upload(&mut self, to: &DeviceMemory, offset: usize, bytes: &[u8]) -> Result<()> {
        self.device.health()?;
        if bytes.is_empty() {
            return Ok(());
        }
        let to = to.range(offset, bytes.len())?;
        // SAFETY: the range was checked, and users of a session wait for it before memory goes, as
        // freeing waits for the device.
        let outcome = unsafe { self.stream.upload(to, bytes) };
        self.device.guard("copying to it", outcome)
    }

    /// Copies bytes out of memory, after all that was asked for before.
    ///
    /// # Errors
    /// As [`Session::upload`].
    pub fn download(&mut self, from: &DeviceMemory, offset: usize, into: &mut [u8]) -> Result<()> {
        self.device.health()?;
        if into.is_empty() {
            return Ok(());
        }
        let from = from.range(offset, into.len())?;
        // SAFETY: as above.
        let outcome = unsafe { self.stream.download(from, into) };
        self.device.guard("copying from it", outcome)
    }

    /// Copies bytes from an address on the device, after all that was asked for before.
    ///
    /// # Safety
    /// So many bytes there belong to memory that lives until this returns.
    ///
    /// # Errors
    /// As [`Session::upload`].
    pub(crate) unsafe fn download_from(&mut self, address: u64, into: &mut [u8]) -> Result<()> {
        self.device.health()?;
        if into.is_empty() {
            return Ok(());
        }
        // SAFETY: the caller says so, and a download waits.
        let outcome = unsafe { self.stream.download(address, into) };
        self.device.guard("copying from it", outcome)
    }

    /// The stream as CUDA knows it.
    pub(crate) fn native(&self) -> Option<NonNull<c_void>> {
        self.stream.native()
    }

    pub(crate) fn device(&self) -> &Arc<Device> {
        &self.device
    }

    /// Runs a kernel.
    pub(crate) fn launch(
        &mut self,
        kernel: &str,
        blocks: [usize; 2],
        threads: u32,
        shared: usize,
        args: &[Arg],
    ) -> Result<()> {
        self.device.health()?;
        if blocks.contains(&0) {
            return Ok(());
        }
        let [x, y] = blocks.map(u32::try_from);
        let (Ok(x), Ok(y @ ..=65_535)) = (x, y) else {
            return Err(Error::internal(format!(
                "too many blocks of `{kernel}`: {blocks:?}"
            )));
        };
        let launch = Launch {
            kernel,
            blocks: [x, y],
            threads,
            shared,
            args,
        };
        // SAFETY: the callers, all in this room, give each kernel what it takes, and hold the memory.
        let outcome = unsafe { self.stream.launch(&launch) };
        self.device.guard(kernel, outcome)
    }

    /// Waits for all that was asked for.
    ///
    /// # Errors
    /// [`ErrorCode::Unavailable`] when any of it failed.
    pub fn wait(&mut self) -> Result<()> {
        self.device.health()?;
        let outcome = self.stream.wait();
        self.device.guard("waiting for it", outcome)
    }
}
