//! Which devices a machine has. Looking costs nothing and never fails: what is missing is said.

use std::panic;
use std::path::Path;
use std::sync::Arc;

use cudarc::driver::{CudaContext, DriverError, result, sys};
use routir_core::{Error, ErrorCode, Result};
use serde::Serialize;

use crate::cuda::Cuda;
use crate::{Compiled, Device, KernelCache, Nvrtc};

/// The oldest generation that the kernels are compiled for: they copy ahead and multiply as it can.
const LEAST_CAPABILITY: (i32, i32) = (8, 0);

/// What of the free memory is left to others: the driver, libraries, other processes.
const KEPT_FREE: u64 = 512 << 20;

/// The oldest driver that is used, as drivers count: CUDA 12.0.
const LEAST_DRIVER: i32 = 12_000;

/// The GPUs of this machine.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Devices {
    /// The driver, if there is one.
    pub driver: Option<DriverInfo>,
    /// The GPUs, by number.
    pub devices: Vec<DeviceInfo>,
    /// Those that cannot be used.
    pub failed: Vec<FailedDevice>,
    /// Why there are none.
    pub absent: Option<String>,
}

/// A driver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DriverInfo {
    /// The newest CUDA that it knows, such as `12.8`.
    pub cuda: String,
}

/// A GPU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeviceInfo {
    /// Its number among the visible ones: it is `cuda:N`.
    pub number: usize,
    /// What its maker calls it.
    pub name: String,
    /// Its memory.
    pub total_bytes: u64,
    /// What of it is free.
    pub free_bytes: u64,
    /// Its generation, such as 9, 0.
    pub compute_capability: (i32, i32),
    /// Multiprocessors.
    pub processors: usize,
}

/// A GPU that the driver shows, and that cannot be used: it is too old, broken, or has no memory left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FailedDevice {
    /// Its number among the visible ones.
    pub number: usize,
    /// What the driver says.
    pub why: String,
}

impl Devices {
    /// Looks for a driver and its GPUs. Opens each for a moment, to ask what is free.
    #[must_use]
    pub fn discover() -> Self {
        // SAFETY: opens the driver's library by its own name, as every program for GPUs does.
        if !unsafe { sys::is_culib_present() } {
            return Self::none("there is no driver (libcuda.so.1) on this machine");
        }
        // A driver that is older than the functions that are asked of it is a panic in cudarc.
        let looked = panic::catch_unwind(look);
        match looked {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => Self::none(&format!("the driver does not work: {}", told(error))),
            Err(_) => Self::none("the driver is too old: CUDA 12.0 is the oldest that is used"),
        }
    }

    fn none(why: &str) -> Self {
        Self {
            absent: Some(why.to_owned()),
            ..Self::default()
        }
    }

    /// Opens a GPU; its kernels are compiled, or found in `cache`.
    ///
    /// # Errors
    /// [`ErrorCode::Unavailable`] when it is not there or too old, does not answer, or its kernels
    /// cannot be compiled.
    pub fn open(&self, number: usize, cache: Option<&Path>) -> Result<Arc<Device>> {
        let info = self.devices.iter().find(|it| it.number == number);
        let info = info.ok_or_else(|| {
            let failed = self.failed.iter().find(|it| it.number == number);
            unavailable(match failed {
                Some(failed) => format!("`cuda:{number}` cannot be used: {}", failed.why),
                None => {
                    let why = self.absent.as_deref().unwrap_or("it has others");
                    format!("this machine has no `cuda:{number}`: {why}")
                }
            })
        })?;
        let name = format!("`cuda:{number}` ({})", info.name);
        let driver = self.driver.as_ref().map_or("", |it| it.cuda.as_str());
        let compiled =
            compile(info.compute_capability, driver, cache).map_err(|error| error.at(&name))?;
        let opened = panic::catch_unwind(|| Cuda::open(number, &compiled));
        let cuda = match opened {
            Ok(Ok(cuda)) => cuda,
            Ok(Err(why)) => return Err(unavailable(format!("opening {name}: {why}"))),
            Err(_) => {
                return Err(unavailable(format!(
                    "opening {name}: the driver is too old"
                )));
            }
        };
        let free = cuda.free_bytes().unwrap_or(info.free_bytes);
        let device = Device::new(name, Arc::new(cuda), free.saturating_sub(KEPT_FREE));
        Ok(Arc::new(device))
    }
}

/// The kernels for a generation: kept ones, or compiled now.
fn compile(capability: (i32, i32), driver: &str, cache: Option<&Path>) -> Result<Compiled> {
    let nvrtc = Nvrtc::load()?;
    // What 9.0 alone can is known to its own architecture alone.
    let own = if capability == (9, 0) { "a" } else { "" };
    let architecture = format!("sm_{}{}{own}", capability.0, capability.1);
    KernelCache::new(cache).compiled(&nvrtc, &architecture, driver)
}

fn look() -> Result<Devices, DriverError> {
    let mut version = 0;
    // SAFETY: writes a number.
    unsafe { sys::cuDriverGetVersion(&raw mut version) }.result()?;
    let cuda = format!("{}.{}", version / 1000, version % 1000 / 10);
    let mut found = Devices::default();
    if version < LEAST_DRIVER {
        found.absent = Some(format!(
            "the driver is for CUDA {cuda}: 12.0 is the oldest that is used"
        ));
    }
    found.driver = Some(DriverInfo { cuda });
    if found.absent.is_some() {
        return Ok(found);
    }
    let none = sys::CUresult::CUDA_ERROR_NO_DEVICE;
    let count = match result::init().and_then(|()| result::device::get_count()) {
        Err(DriverError(code)) if code == none => 0,
        outcome => usize::try_from(outcome?).unwrap_or_default(),
    };
    for number in 0..count {
        let why = match device(number) {
            Ok(device) if device.compute_capability >= LEAST_CAPABILITY => {
                found.devices.push(device);
                continue;
            }
            Ok(DeviceInfo {
                name,
                compute_capability: (major, minor),
                ..
            }) => format!(
                "{name} has compute capability {major}.{minor}; 8.0 (A100, 2020) is the oldest that \
                 is used"
            ),
            Err(error) => told(error),
        };
        tracing::warn!("`cuda:{number}` cannot be used: {why}");
        found.failed.push(FailedDevice { number, why });
    }
    if found.devices.is_empty() {
        found.absent = Some(match found.failed.first() {
            None => "the driver shows no GPU; see CUDA_VISIBLE_DEVICES".to_owned(),
            Some(it) => format!("`cuda:{}` cannot be used: {}", it.number, it.why),
        });
    }
    Ok(found)
}

fn device(number: usize) -> Result<DeviceInfo, DriverError> {
    use sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT as PROCESSORS;
    let context = CudaContext::new(number)?;
    let (free, total) = context.mem_get_info()?;
    Ok(DeviceInfo {
        number,
        name: context.name()?,
        total_bytes: total as u64,
        free_bytes: free as u64,
        compute_capability: context.compute_capability()?,
        processors: usize::try_from(context.attribute(PROCESSORS)?).unwrap_or(1),
    })
}

/// A driver's error in its own words.
pub(crate) fn told(error: DriverError) -> String {
    let name = error.error_name().ok().map(|it| it.to_string_lossy());
    let text = error.error_string().ok().map(|it| it.to_string_lossy());
    match (name, text) {
        (Some(name), Some(text)) => format!("{text} ({name})"),
        _ => format!("error {}", error.0 as u32),
    }
}

fn unavailable(message: String) -> Error {
    Error::new(ErrorCode::Unavailable, message)
}
