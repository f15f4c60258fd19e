//! A GPU through CUDA's driver.

use std::collections::HashMap;
use std::ffi::c_void;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::Arc;

use cudarc::driver::{
    CudaContext, CudaFunction, CudaModule, CudaStream, DriverError, PinnedHostSlice, result, sys,
};
use cudarc::nvrtc::Ptx;
use parking_lot::Mutex;

use crate::devices::told;
use crate::{Accelerator, Arg, Compiled, Fault, Launch, Memory, Stream};

/// Bytes that a stream copies at once: its own pinned memory, which the device reads by itself.
const STAGING: usize = 8 << 20;

/// Shared memory that a block has without asking.
const USUAL_SHARED: usize = 48 << 10;

/// A GPU with its kernels.
pub(crate) struct Cuda {
    context: Arc<CudaContext>,
    functions: Arc<Functions>,
    shared: usize,
    processors: usize,
}

/// Kernels by name, and how much shared memory each was allowed.
struct Functions {
    modules: Vec<Arc<CudaModule>>,
    known: Mutex<HashMap<String, (CudaFunction, usize)>>,
}

impl Cuda {
    pub(crate) fn open(number: usize, compiled: &Compiled) -> Result<Self, String> {
        use sys::CUdevice_attribute::{
            CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN as SHARED,
            CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT as PROCESSORS,
        };
        let context = CudaContext::new(number).map_err(told)?;
        let attribute = |which| {
            let value = context.attribute(which).map_err(told)?;
            Ok::<_, String>(usize::try_from(value).unwrap_or_default())
        };
        let (shared, processors) = (attribute(SHARED)?, attribute(PROCESSORS)?);
        let mut modules = Vec::new();
        for (name, image) in compiled.images() {
            let module = context.load_module(Ptx::from_binary(image.to_vec()));
            modules.push(module.map_err(|error| format!("loading {name}: {}", told(error)))?);
        }
        let known = Mutex::default();
        Ok(Self {
            context,
            functions: Arc::new(Functions { modules, known }),
            shared,
            processors,
        })
    }

    pub(crate) fn free_bytes(&self) -> Option<u64> {
        let (free, _) = self.context.mem_get_info().ok()?;
        Some(free as u64)
    }
}

impl Functions {
    /// The kernel, allowed `shared` bytes.
    fn get(&self, name: &str, shared: usize) -> Result<CudaFunction, Fault> {
        let mut known = self.known.lock();
        if let Some((function, allowed)) = known.get(name)
            && shared <= *allowed
        {
            return Ok(function.clone());
        }
        let function = self.find(name)?;
        if shared > USUAL_SHARED {
            use sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES as MOST;
            let bytes = i32::try_from(shared).unwrap_or(i32::MAX);
            function.set_attribute(MOST, bytes).map_err(fault)?;
        }
        let allowed = shared.max(USUAL_SHARED);
        known.insert(name.to_owned(), (function.clone(), allowed));
        Ok(function)
    }

    fn find(&self, name: &str) -> Result<CudaFunction, Fault> {
        for module in &self.modules {
            match module.load_function(name) {
                Err(DriverError(sys::CUresult::CUDA_ERROR_NOT_FOUND)) => {}
                outcome => return outcome.map_err(fault),
            }
        }
        Err(Fault::Failed(format!("there is no kernel `{name}`")))
    }
}

impl Accelerator for Cuda {
    fn shared_memory(&self) -> usize {
        self.shared
    }

    fn processors(&self) -> usize {
        self.processors
    }

    fn memory(&self, bytes: usize) -> Result<Box<dyn Memory>, Fault> {
        self.context.bind_to_thread().map_err(fault)?;
        // SAFETY: nothing is read before it was written: every user uploads or computes first.
        let address = unsafe { result::malloc_sync(bytes) }.map_err(fault)?;
        Ok(Box::new(CudaMemory {
            context: Arc::clone(&self.context),
            address,
        }))
    }

    fn stream(&self) -> Result<Box<dyn Stream>, Fault> {
        let stream = self.context.new_stream().map_err(fault)?;
        // SAFETY: bytes have no invalid values, and are written before they are read.
        let staging = unsafe { self.context.alloc_pinned_with_flags(STAGING, 0) };
        Ok(Box::new(CudaWork {
            stream,
            functions: Arc::clone(&self.functions),
            staging: staging.map_err(fault)?,
            filled: 0,
        }))
    }
}

struct CudaMemory {
    context: Arc<CudaContext>,
    address: sys::CUdeviceptr,
}

impl Memory for CudaMemory {
    fn address(&self) -> u64 {
        self.address
    }
}

impl Drop for CudaMemory {
    fn drop(&mut self) {
        // Waits for the device. Where it fails, the device is lost and its memory with it.
        let _ = self.context.bind_to_thread();
        // SAFETY: the address came from `malloc_sync` and is freed once.
        let _ = unsafe { result::free_sync(self.address) };
    }
}

struct CudaWork {
    stream: Arc<CudaStream>,
    functions: Arc<Functions>,
    staging: PinnedHostSlice<u8>,
    /// How much of it may still be copied from.
    filled: usize,
}

impl Drop for CudaWork {
    fn drop(&mut self) {
        // Its staging memory goes next, which the device may still copy from. Where waiting fails, the
        // device is lost and copies no more.
        let _ = self.stream.synchronize();
    }
}

impl CudaWork {
    /// Takes so many bytes of the staging memory, which nobody copies from or to any more. Waits only
    /// where all of it was taken since the last wait.
    fn take(&mut self, bytes: usize) -> Result<Range<usize>, Fault> {
        if self.filled.saturating_add(bytes) > STAGING {
            self.wait()?;
        }
        let first = self.filled;
        self.filled = first.saturating_add(bytes);
        Ok(first..self.filled)
    }

    fn staging(&mut self, taken: Range<usize>) -> Result<&mut [u8], Fault> {
        let staging = self.staging.as_mut_slice().map_err(fault)?;
        let staging = staging.get_mut(taken);
        staging.ok_or_else(|| Fault::Failed("a piece is larger than staging".to_owned()))
    }
}

impl Stream for CudaWork {
    fn native(&self) -> Option<NonNull<c_void>> {
        NonNull::new(self.stream.cu_stream().cast())
    }

    unsafe fn upload(&mut self, to: u64, bytes: &[u8]) -> Result<(), Fault> {
        self.stream.context().bind_to_thread().map_err(fault)?;
        let stream = self.stream.cu_stream();
        for (number, piece) in bytes.chunks(STAGING).enumerate() {
            let taken = self.take(piece.len())?;
            let staging = self.staging(taken)?;
            staging.copy_from_slice(piece);
            let to = to + (number * STAGING) as u64;
            // SAFETY: the caller says that the bytes there are ours; staging lives with the stream
            // and is not taken again before the copy was waited for.
            unsafe { result::memcpy_htod_async(to, staging, stream) }.map_err(fault)?;
        }
        Ok(())
    }

    unsafe fn download(&mut self, from: u64, bytes: &mut [u8]) -> Result<(), Fault> {
        self.stream.context().bind_to_thread().map_err(fault)?;
        let stream = self.stream.cu_stream();
        for (number, piece) in bytes.chunks_mut(STAGING).enumerate() {
            let taken = self.take(piece.len())?;
            let staging = self.staging(taken.clone())?;
            let from = from + (number * STAGING) as u64;
            // SAFETY: as above.
            unsafe { result::memcpy_dtoh_async(staging, from, stream) }.map_err(fault)?;
            self.wait()?;
            piece.copy_from_slice(self.staging(taken)?);
        }
        Ok(())
    }

    unsafe fn launch(&mut self, launch: &Launch<'_>) -> Result<(), Fault> {
        self.stream.context().bind_to_thread().map_err(fault)?;
        let function = self.functions.get(launch.kernel, launch.shared)?;
        let mut args: Vec<*mut c_void> = launch.args.iter().map(pointer).collect();
        let [x, y] = launch.blocks;
        let shared = u32::try_from(launch.shared)
            .map_err(|_| Fault::Failed("too much shared memory".to_owned()))?;
        // SAFETY: the caller says that the arguments are the kernel's.
        let launched = unsafe {
            result::launch_kernel(
                function.cu_function(),
                (x, y, 1),
                (launch.threads, 1, 1),
                shared,
                self.stream.cu_stream(),
                &mut args,
            )
        };
        launched.map_err(fault)
    }

    fn wait(&mut self) -> Result<(), Fault> {
        self.stream.synchronize().map_err(fault)?;
        self.filled = 0;
        Ok(())
    }
}

fn pointer(arg: &Arg) -> *mut c_void {
    match arg {
        Arg::U32(value) => std::ptr::from_ref(value).cast_mut().cast(),
        Arg::U64(value) => std::ptr::from_ref(value).cast_mut().cast(),
    }
}

fn fault(error: DriverError) -> Fault {
    if error.0 == sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY {
        Fault::OutOfMemory(told(error))
    } else {
        Fault::Failed(told(error))
    }
}
