//! The devices of this machine, opened for the first engine that is placed on them, and how engines
//! are placed.

use std::any::Any;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::Mutex;
use routir_compute::{
    Compute, Element, Embedding, Gpu, GpuOptions, GpuQueue, GpuWork, OnGpu, PoolStates, Pooling,
    Provider,
};
use routir_core::{Error, Health, Load, Result};
use routir_device::{
    Device, DeviceChoice, DeviceInfo, Devices, Join, MaxSimOnDevice, Number, Placement, Pooled,
    Workspace,
};

use crate::build::{BuildEnv, EngineSpec, Purpose};

/// Where compiled kernels lie in the cache directory.
const KERNELS: &str = "kernels";

/// The GPUs that engines share: those of this machine, which are looked for when the first engine asks
/// for one.
#[derive(Default)]
pub struct SharedDevices {
    found: OnceLock<Devices>,
    opened: Mutex<HashMap<usize, Arc<Device>>>,
    late: Mutex<HashMap<LateFiles, Weak<MaxSimOnDevice>>>,
}

/// Of which folder the token vectors on a device are, on which, and of what they were made.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LateFiles {
    pub(crate) folder: PathBuf,
    pub(crate) device: usize,
    pub(crate) stamp: String,
}

impl SharedDevices {
    /// Devices that were opened already, as `cuda:0` and so on, in place of this machine's.
    #[must_use]
    pub fn of(devices: Vec<Arc<Device>>) -> Self {
        let info = |(number, device): (usize, &Arc<Device>)| DeviceInfo {
            number,
            name: device.name().to_owned(),
            total_bytes: device.budget().total(),
            free_bytes: device.budget().left(),
            compute_capability: (0, 0),
            processors: 1,
        };
        let found = Devices {
            devices: devices.iter().enumerate().map(info).collect(),
            absent: devices.is_empty().then(|| "there is no GPU".to_owned()),
            ..Devices::default()
        };
        Self {
            found: OnceLock::from(found),
            opened: Mutex::new(devices.into_iter().enumerate().collect()),
            late: Mutex::default(),
        }
    }

    /// The numbers of all GPUs.
    pub(crate) fn numbers(&self) -> Vec<usize> {
        self.found().devices.iter().map(|it| it.number).collect()
    }

    /// The token vectors of `files` on their device: once, however many services score with them.
    ///
    /// # Errors
    /// Those of `open`.
    pub(crate) fn late(
        &self,
        files: &LateFiles,
        open: impl FnOnce() -> Result<MaxSimOnDevice>,
    ) -> Result<Arc<MaxSimOnDevice>> {
        let mut late = self.late.lock();
        late.retain(|_, it| it.strong_count() > 0);
        if let Some(vectors) = late.get(files).and_then(Weak::upgrade) {
            return Ok(vectors);
        }
        let vectors = Arc::new(open()?);
        late.insert(files.clone(), Arc::downgrade(&vectors));
        Ok(vectors)
    }

    fn found(&self) -> &Devices {
        self.found.get_or_init(Devices::discover)
    }

    /// A GPU, opened by the first who asks, whose queue is shown from now on.
    pub(crate) fn placed(&self, number: usize, env: &BuildEnv<'_>) -> Result<Placed> {
        let device = self.open(number, &env.cache_dir)?;
        let metrics = env.models.metrics();
        device.show_queue(|| metrics.device_queue(&format!("cuda:{number}")));
        Ok(Placed { number, device })
    }

    /// Its compiled kernels are kept in `cache`.
    fn open(&self, number: usize, cache: &Path) -> Result<Arc<Device>> {
        let mut opened = self.opened.lock();
        if let Some(device) = opened.get(&number) {
            return Ok(Arc::clone(device));
        }
        let device = self.found().open(number, Some(&cache.join(KERNELS)))?;
        opened.insert(number, Arc::clone(&device));
        Ok(device)
    }
}

/// A device with its number.
#[derive(Clone)]
pub(crate) struct Placed {
    pub(crate) number: usize,
    pub(crate) device: Arc<Device>,
}

/// What was opened, and the device that it needs from now on.
pub(crate) struct Opened<T> {
    pub(crate) value: T,
    pub(crate) health: Option<Arc<dyn Health>>,
    /// The device that it is on, if it is on one.
    pub(crate) device: Option<Arc<Device>>,
}

/// Where something runs, as `key` of the configuration says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    pub(crate) key: &'static str,
    pub(crate) choice: DeviceChoice,
}

impl Wish {
    /// Looks whether there is such a device.
    ///
    /// # Errors
    /// When one is asked for that is not there.
    pub(crate) fn place(self, spec: EngineSpec<'_>, env: &BuildEnv<'_>) -> Result<Placement> {
        if self.choice == DeviceChoice::Cpu {
            return Ok(Placement::Cpu(None));
        }
        let placement = self.choice.place(env.devices.found());
        let placement = placement.map_err(|error| {
            let told = error
                .message()
                .replacen("`device`", &format!("`{}`", self.key), 1);
            Error::new(error.code(), told)
        })?;
        // A server checks before it opens, and need not say it twice.
        if let (Placement::Cpu(Some(why)), Purpose::Check(_)) = (&placement, env.purpose) {
            fallen_back(spec, self.key, why);
        }
        Ok(placement)
    }

    /// Has `open` open something on the device, or on the processor where that is `None`. Under
    /// `auto` what cannot be on the device is on the processor.
    ///
    /// # Errors
    /// When the device is not there, and those of `open`.
    pub(crate) fn open<T>(
        self,
        spec: EngineSpec<'_>,
        env: &BuildEnv<'_>,
        open: impl Fn(Option<&Placed>) -> Result<T>,
    ) -> Result<Opened<T>> {
        let on_cpu = || {
            let (health, device) = (None, None);
            open(None).map(|value| Opened {
                value,
                health,
                device,
            })
        };
        let Placement::Cuda(number) = self.place(spec, env)? else {
            return on_cpu();
        };
        let opened = env.devices.placed(number, env).and_then(|placed| {
            let value = open(Some(&placed))?;
            tracing::info!(
                service = spec.name,
                key = self.key,
                device = placed.device.name(),
                "placed on a device"
            );
            Ok(Opened {
                value,
                health: Some(Arc::clone(&placed.device) as Arc<dyn Health>),
                device: Some(placed.device),
            })
        });
        match opened {
            Err(error) if self.choice == DeviceChoice::Auto => {
                fallen_back(spec, self.key, error.message());
                on_cpu()
            }
            outcome => outcome,
        }
    }
}

fn fallen_back(spec: EngineSpec<'_>, key: &str, why: &str) {
    tracing::warn!(
        service = spec.name,
        "`{key}` is `auto`, and the processor is used: {why}"
    );
}

/// What opens models where `placed` says, with so much memory and so run.
///
/// # Errors
/// When the folder for what TensorRT builds cannot be made.
pub(crate) fn models_on(
    compute: &Compute,
    placed: Option<&Placed>,
    (memory, options): (Option<u64>, GpuOptions),
) -> Result<Compute> {
    let Some(placed) = placed else {
        return Ok(compute.clone());
    };
    if let Provider::TensorRt {
        cache: Some(folder),
        ..
    } = &options.provider
    {
        fs::create_dir_all(folder).map_err(|why| {
            Error::invalid(format!(
                "`{}`, where what TensorRT builds is kept, cannot be made: {why}",
                folder.display()
            ))
        })?;
    }
    Ok(compute.on(OnGpu {
        gpu: Arc::new(placed.clone()),
        memory,
        options,
    }))
}

impl Gpu for Placed {
    fn number(&self) -> u32 {
        u32::try_from(self.number).unwrap_or(u32::MAX)
    }

    fn reserve(&self, what: &str, bytes: u64) -> Result<Box<dyn Any + Send + Sync>> {
        let reserved = self.device.budget().reserve(what, bytes)?;
        Ok(Box::new(reserved))
    }

    fn work(&self, what: &str) -> Result<Box<dyn GpuWork>> {
        Ok(Box::new(Work {
            space: Workspace::new(&self.device, what)?,
            on_processor: self.device.on_processor(),
        }))
    }

    fn queued(&self) -> Box<dyn Any + Send> {
        Box::new(self.device.queue())
    }

    fn load(&self) -> Arc<dyn Load> {
        Arc::clone(&self.device) as _
    }

    fn health(&self) -> Result<()> {
        self.device.health()
    }

    fn lost(&self, why: &str) -> Error {
        self.device.lose(why)
    }
}

/// What a model uses of a device.
struct Work {
    space: Workspace,
    on_processor: bool,
}

impl GpuWork for Work {
    fn queue(&self) -> GpuQueue {
        match self.on_processor {
            true => GpuQueue::Processor,
            false => GpuQueue::Cuda(self.space.native()),
        }
    }

    fn memory(&mut self, slot: usize, bytes: usize) -> Result<u64> {
        self.space.memory(slot, bytes)
    }

    fn upload(&mut self, slot: usize, bytes: &[u8]) -> Result<()> {
        self.space.upload(slot, bytes)
    }

    unsafe fn download(&mut self, address: u64, into: &mut [u8]) -> Result<()> {
        // SAFETY: as the caller says.
        unsafe { self.space.download(address, into) }
    }

    fn takes(&self, how: &PoolStates) -> bool {
        pooling(how).is_some_and(|how| self.space.takes(&how))
    }

    unsafe fn pool(
        &mut self,
        states: u64,
        how: &PoolStates,
        texts: &[(usize, bool)],
    ) -> Result<Vec<Option<Embedding>>> {
        let how = pooling(how).ok_or_else(|| Error::internal("no such states are pooled"))?;
        // SAFETY: as the caller says.
        let pooled = unsafe { self.space.pool(states, &how, texts) }?;
        let vector = |pooled| match pooled {
            Pooled::Here(numbers) => Embedding::Numbers(numbers),
            Pooled::There(vector) => Embedding::OnGpu(Box::new(vector)),
        };
        Ok(pooled.into_iter().map(|it| it.map(vector)).collect())
    }
}

/// The same in the device's words.
fn pooling(how: &PoolStates) -> Option<routir_device::Pooling> {
    Some(routir_device::Pooling {
        number: match how.element {
            Element::F32 => Number::Single,
            Element::F16 => Number::Half,
            Element::Bf16 => Number::Brain,
            _ => return None,
        },
        length: how.length,
        width: how.width,
        join: match how.pooling {
            Pooling::Mean => Join::Mean,
            Pooling::Cls => Join::First,
            Pooling::LastToken => Join::Last,
            Pooling::Max => Join::Most,
            Pooling::MeanSqrtLen => Join::MeanSqrt,
        },
        scale: how.normalize,
        dim: how.dim,
        scale_last: how.normalize_last,
    })
}
