//! What all engines with models are told in the same words, and how opening a model is told.

use std::time::Instant;

use routir_compute::{Buckets, Compute, GpuOptions, ModelFiles, ModelSource, Provider};
use routir_core::{Error, Result};
use routir_device::DeviceChoice;

use crate::build::{BuildEnv, EngineSpec, Progress, Purpose};
use crate::devices::{Opened, Wish, models_on};
use crate::options::Options;

/// Whatever can be run.
const ANY_GRAPH: &[&str] = &["*.onnx", "onnx/*.onnx"];

/// Where engines that TensorRT built lie in the cache directory.
const TENSORRT: &str = "tensorrt";

/// What computes on a GPU.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Computes {
    Cuda,
    TensorRt,
}

const PROVIDERS: [(&str, Computes); 2] =
    [("cuda", Computes::Cuda), ("tensorrt", Computes::TensorRt)];

/// The least memory of a GPU that a model may be given.
const LEAST_MEMORY_MB: usize = 64;

/// Keys of RoutIR's engines with models, the graph's file, and where the model computes.
pub(crate) struct ModelKeys<'a> {
    /// Which of the model's graphs.
    pub(crate) file: Option<&'a str>,
    /// Where it computes.
    pub(crate) place: ModelPlace,
}

impl<'a> ModelKeys<'a> {
    /// Reads `file`, `device`, `device_memory_mb` and how the model is run on a device; `use_gpu` is
    /// another word for a device; takes
    /// `name`, `batch_size` and `trust_remote_code`, which change nothing here.
    pub(crate) fn read(options: &mut Options<'a>) -> Self {
        options.text("name");
        options.count("batch_size");
        options.flag("trust_remote_code");
        let device = choice(options, "device");
        let gpu = options.flag("use_gpu") == Some(true);
        if gpu && device == Some(DeviceChoice::Cpu) {
            options.problem("`use_gpu` is true and `device` is `cpu`; leave one of them out");
        }
        let device = device.or(gpu.then_some(DeviceChoice::Cuda(None)));
        let memory = options.count("device_memory_mb");
        if let Some(memory) = memory.filter(|memory| *memory < LEAST_MEMORY_MB) {
            options.problem(format!(
                "`device_memory_mb` must be at least {LEAST_MEMORY_MB}, not {memory}"
            ));
        }
        let on_gpu = gpu_options(options, device.unwrap_or_default());
        Self {
            file: options.text("file"),
            place: ModelPlace {
                options: on_gpu,
                wish: Wish {
                    key: "device",
                    choice: device.unwrap_or_default(),
                },
                memory: memory.map(|mb| (mb as u64).saturating_mul(1 << 20)),
            },
        }
    }
}

/// Reads `provider`, `tensorrt_fp16`, `cuda_graphs` and `length_buckets`.
fn gpu_options(options: &mut Options<'_>, device: DeviceChoice) -> GpuOptions {
    let provider = options.choice("provider", &PROVIDERS);
    let half = options.flag("tensorrt_fp16");
    let cuda_graphs = options.flag("cuda_graphs");
    let lengths = options.counts("length_buckets");
    let given = [
        ("provider", provider.is_some()),
        ("tensorrt_fp16", half.is_some()),
        ("cuda_graphs", cuda_graphs == Some(true)),
        ("length_buckets", lengths.is_some()),
    ];
    if device == DeviceChoice::Cpu {
        for (key, _) in given.iter().filter(|(_, given)| *given) {
            options.problem(format!(
                "`{key}` is of models on a GPU; say on which in `device`, or leave it out"
            ));
        }
    }
    let tensor_rt = provider == Some(Computes::TensorRt);
    if half.is_some() && !tensor_rt {
        options.problem("`tensorrt_fp16` needs `provider`: \"tensorrt\"");
    }
    let buckets = match lengths.map(Buckets::new) {
        None => Buckets::default(),
        Some(Ok(buckets)) => buckets,
        Some(Err(why)) => {
            options.problem(format!("`length_buckets`: {}", why.message()));
            Buckets::default()
        }
    };
    if tensor_rt && buckets.lengths().is_empty() {
        options.problem("`provider`: \"tensorrt\" needs lengths in `length_buckets` to build for");
    }
    GpuOptions {
        provider: match tensor_rt {
            false => Provider::Cuda,
            true => Provider::TensorRt {
                half: half.unwrap_or(false),
                cache: None,
            },
        },
        cuda_graphs: cuda_graphs.unwrap_or(false),
        buckets,
    }
}

/// The device that `key` names.
fn choice(options: &mut Options<'_>, key: &'static str) -> Option<DeviceChoice> {
    let parsed = options.text(key)?.parse();
    parsed
        .map_err(|why: Error| options.problem(why.message().replacen("device", key, 1)))
        .ok()
}

/// Where a model computes.
#[derive(Clone, Debug)]
pub(crate) struct ModelPlace {
    pub(crate) wish: Wish,
    /// How it runs on a device.
    options: GpuOptions,
    /// How much memory of a device each of its graphs may use, in bytes.
    memory: Option<u64>,
}

impl ModelPlace {
    /// In a check, looks whether the device is there.
    ///
    /// # Errors
    /// When it is not.
    pub(crate) fn check(&self, spec: EngineSpec<'_>, env: &BuildEnv<'_>) -> Result<()> {
        self.wish.place(spec, env).map(drop)
    }

    /// Has `open` open a model there.
    ///
    /// # Errors
    /// When the device is not there or cannot take it, and those of `open`.
    pub(crate) fn open<T>(
        &self,
        spec: EngineSpec<'_>,
        env: &BuildEnv<'_>,
        open: impl Fn(&Compute) -> Result<T>,
    ) -> Result<Opened<T>> {
        let mut options = self.options.clone();
        if let Provider::TensorRt { cache, .. } = &mut options.provider {
            *cache = Some(env.cache_dir.join(TENSORRT));
        }
        self.wish.open(spec, env, |placed| {
            let how = (self.memory, options.clone());
            open(&models_on(env.models.compute(), placed, how)?)
        })
    }
}

/// The model that `name` means: a folder, relative as all paths of the configuration, else one of a
/// hub. In a check, a folder must have the graph called `file`, or some graph, and a tokenizer.
///
/// # Errors
/// When there is no such model.
pub(crate) fn source(name: &str, file: Option<&str>, env: &BuildEnv<'_>) -> Result<ModelSource> {
    let folder = (env.resolve_path)(name);
    let source = if folder.is_dir() {
        ModelSource::Folder(folder)
    } else {
        ModelSource::parse(name)?
    };
    if let (Purpose::Check(_), ModelSource::Folder(folder)) = (env.purpose, &source) {
        let named = file.map(|file| [file]);
        let graphs = named.as_ref().map_or(ANY_GRAPH, <[&str; 1]>::as_slice);
        ModelFiles::open(folder, &[graphs])?;
    }
    Ok(source)
}

/// Opens something large for `service`, telling that it does and how long it took.
///
/// # Errors
/// Those of `open`.
pub(crate) fn opening<T>(
    env: &BuildEnv<'_>,
    service: &str,
    task: &'static str,
    what: &dyn std::fmt::Display,
    open: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let progress = |done| {
        (env.progress)(Progress {
            service,
            task,
            done,
            total: 1,
        });
    };
    progress(0);
    let (started, resident) = (Instant::now(), resident_mb());
    let opened = open()?;
    let seconds = started.elapsed().as_secs_f64();
    let memory_mb = resident_mb()
        .zip(resident)
        .map(|(now, before)| now.saturating_sub(before));
    tracing::info!(
        service,
        %what,
        seconds = (seconds * 100.0).round() / 100.0,
        memory_mb,
        "{task}: done"
    );
    progress(1);
    Ok(opened)
}

/// The memory of this process, in MB, where the system tells.
fn resident_mb() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib >> 10)
}
