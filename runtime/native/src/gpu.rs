//! What the driver of NVIDIA's GPUs says of them, by its own library (NVML).

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::sync::{Arc, RwLock, Weak};
use std::time::Duration;

use libloading::Library;

/// The driver installs it where the system looks for libraries.
const LIBRARY: &str = "libnvidia-ml.so.1";

/// How old what is known may be.
const EVERY: Duration = Duration::from_secs(1);

/// The most GPUs that are looked at.
const MOST: c_uint = 64;

/// A GPU.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gpu {
    /// As its maker calls it.
    pub name: String,
    /// How busy it was lately, in hundredths.
    pub busy_percent: u32,
    /// Memory that is taken, in bytes.
    pub memory_used: u64,
    /// Memory in all, in bytes.
    pub memory_total: u64,
}

impl Gpu {
    /// Its name in short, as machines are told apart by it: `l4`, `a100-80gb`.
    #[must_use]
    pub fn kind(&self) -> String {
        let name = self.name.to_lowercase();
        let words = name.split([' ', '-', '_']);
        // Who made it and how it is plugged in says nothing about what it can do.
        let plain = |word: &&str| {
            let maker = ["", "nvidia", "tesla", "geforce", "quadro"].contains(word);
            let plug = word.starts_with("sxm") || ["pcie", "nvl", "hbm2e", "hbm3"].contains(word);
            !maker && !plug
        };
        let words: Vec<&str> = words.filter(plain).collect();
        match *words.as_slice() {
            ["h100", ..] => "h100".to_owned(),
            ["a100"] => "a100-40gb".to_owned(),
            _ => words.join("-"),
        }
    }
}

/// The GPUs of this machine, looked at once a second.
#[derive(Debug)]
pub struct Gpus(RwLock<Vec<Gpu>>);

impl Gpus {
    /// Looks for GPUs; `None` when there are none, or no driver.
    #[must_use]
    pub fn find() -> Option<Arc<Self>> {
        let driver = Driver::load()?;
        let first = driver.gpus();
        if first.is_empty() {
            return None;
        }
        let found = Arc::new(Self(RwLock::new(first)));
        let known = Arc::downgrade(&found);
        let look = move || watch(&driver, &known);
        let looking = std::thread::Builder::new().name("gpus".to_owned());
        // Without a thread what is known stays as it is.
        let _ = looking.spawn(look);
        Some(found)
    }

    /// How they were within the last second or so.
    #[must_use]
    pub fn now(&self) -> Vec<Gpu> {
        self.0.read().map(|known| known.clone()).unwrap_or_default()
    }
}

/// Looks again and again, as long as somebody wants to know.
fn watch(driver: &Driver, known: &Weak<Gpus>) {
    loop {
        std::thread::sleep(EVERY);
        let now = driver.gpus();
        let Some(known) = known.upgrade() else {
            return;
        };
        if let Ok(mut known) = known.0.write() {
            *known = now;
        }
    }
}

#[repr(C)]
#[derive(Default)]
struct Memory {
    total: u64,
    free: u64,
    used: u64,
}

#[repr(C)]
#[derive(Default)]
struct Utilization {
    gpu: c_uint,
    memory: c_uint,
}

type Device = *mut c_void;

/// The library, and those of its functions that are called. All answer 0 when they succeed.
struct Driver {
    count: unsafe extern "C" fn(*mut c_uint) -> c_int,
    device: unsafe extern "C" fn(c_uint, *mut Device) -> c_int,
    name: unsafe extern "C" fn(Device, *mut c_char, c_uint) -> c_int,
    memory: unsafe extern "C" fn(Device, *mut Memory) -> c_int,
    utilization: unsafe extern "C" fn(Device, *mut Utilization) -> c_int,
    _library: Library,
}

impl Driver {
    fn load() -> Option<Self> {
        // SAFETY: the library is the driver's own; loading it runs its constructors, as for every
        // program that asks for GPUs.
        let library = unsafe { Library::new(LIBRARY) }.ok()?;
        // SAFETY: the types are those of `nvml.h`, whose functions of these names never change
        // theirs; they are called while the library is loaded, since it is kept beside them.
        unsafe {
            let begin: unsafe extern "C" fn() -> c_int = *library.get(b"nvmlInit_v2\0").ok()?;
            let driver = Self {
                count: *library.get(b"nvmlDeviceGetCount_v2\0").ok()?,
                device: *library.get(b"nvmlDeviceGetHandleByIndex_v2\0").ok()?,
                name: *library.get(b"nvmlDeviceGetName\0").ok()?,
                memory: *library.get(b"nvmlDeviceGetMemoryInfo\0").ok()?,
                utilization: *library.get(b"nvmlDeviceGetUtilizationRates\0").ok()?,
                _library: library,
            };
            (begin() == 0).then_some(driver)
        }
    }

    fn gpus(&self) -> Vec<Gpu> {
        let mut count = 0;
        // SAFETY: the place is one for the type; NVML is initialised.
        if unsafe { (self.count)(&raw mut count) } != 0 {
            return Vec::new();
        }
        (0..count.min(MOST))
            .filter_map(|index| self.gpu(index))
            .collect()
    }

    fn gpu(&self, index: c_uint) -> Option<Gpu> {
        let mut device: Device = std::ptr::null_mut();
        // SAFETY: as in `gpus`.
        if unsafe { (self.device)(index, &raw mut device) } != 0 {
            return None;
        }
        let mut name = [0 as c_char; 96];
        let (mut memory, mut utilization) = (Memory::default(), Utilization::default());
        // What one of them does not tell stays 0.
        // SAFETY: `device` is what NVML gave; the places are those of the types, and the text's
        // length is told less its last byte, which stays 0.
        unsafe {
            (self.name)(device, name.as_mut_ptr(), 95);
            (self.memory)(device, &raw mut memory);
            (self.utilization)(device, &raw mut utilization);
        }
        // SAFETY: the last byte is 0 whatever was written before it.
        let name = unsafe { CStr::from_ptr(name.as_ptr()) };
        Some(Gpu {
            name: name.to_string_lossy().into_owned(),
            busy_percent: utilization.gpu.min(100),
            memory_used: memory.used,
            memory_total: memory.total,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_are_told_apart_by_short_names() {
        for (name, kind) in [
            ("NVIDIA L4", "l4"),
            ("Tesla T4", "t4"),
            ("NVIDIA A10G", "a10g"),
            ("NVIDIA A100-SXM4-80GB", "a100-80gb"),
            ("NVIDIA A100-PCIE-40GB", "a100-40gb"),
            ("NVIDIA H100 80GB HBM3", "h100"),
            ("NVIDIA GeForce RTX 4090", "rtx-4090"),
        ] {
            let gpu = Gpu {
                name: name.to_owned(),
                ..Gpu::default()
            };
            assert_eq!(gpu.kind(), kind, "{name}");
        }
    }
}
