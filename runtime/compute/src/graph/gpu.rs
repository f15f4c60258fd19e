//! A graph's place on a GPU: ONNX Runtime's provider for CUDA, its memory, and its failures.

use std::any::Any;
use std::path::Path;
use std::sync::Arc;

use ort::ep::{ArenaExtendStrategy, CUDA, ExecutionProvider as _, TensorRT};
use ort::memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType};
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{RunOptions, Session};
use ort::value::Outlet;
use parking_lot::Mutex;
use routir_core::{Error, ErrorCode, Load, Result};

use super::Port;
use super::one_thread::OneThread;
use super::there::Recordings;
use crate::gpu::{Gpu, GpuOptions, GpuQueue, GpuWork, OnGpu, Provider};
use crate::library::guarded;
use crate::{Buckets, OnnxRuntime};

/// What a graph may use beside its weights, unless that is configured.
const FOR_RUNS: u64 = 2 << 30;

/// What errors of ONNX Runtime say when the GPU itself failed.
const FAULTS: [&str; 4] = [
    "CUDA failure",
    "CUDA error",
    "CUBLAS failure",
    "CUDNN failure",
];

/// How they say that it is only full, after which it goes on.
const FULL: &str = "out of memory";

/// A place on a GPU.
pub(super) struct Seat {
    gpu: Arc<dyn Gpu>,
    memory: u64,
    options: GpuOptions,
    /// The most tokens of a call.
    most: usize,
    queue: GpuQueue,
    /// One run at a time: each takes memory of its own, and kernels of two would only take turns.
    turn: Mutex<Turn>,
    /// Where all runs are made, if that must be one thread.
    thread: Option<OneThread>,
    _reserved: Box<dyn Any + Send + Sync>,
}

// SAFETY: the stream is only told to ONNX Runtime; nothing here looks behind it.
unsafe impl Send for Seat {}
// SAFETY: as above.
unsafe impl Sync for Seat {}

/// What whoever's turn it is has for itself.
pub(super) struct Turn {
    pub(super) work: Box<dyn GpuWork>,
    pub(super) recordings: Recordings,
}

impl Seat {
    /// Takes what the graph in `path` may use of the GPU's memory.
    pub(super) fn take(place: &OnGpu, path: &Path, most: usize) -> Result<Self> {
        let memory = match place.memory {
            Some(memory) => memory,
            None => {
                let files = bytes_of(path);
                files.saturating_add(files / 4).saturating_add(FOR_RUNS)
            }
        };
        place.gpu.health()?;
        let what = format!("the model `{}`", path.display());
        let reserved = place.gpu.reserve(&what, memory)?;
        let work = place.gpu.work(&what)?;
        // What ONNX Runtime records for a shape, it keeps for the thread that it was recorded on.
        let thread = place.options.cuda_graphs.then(OneThread::new).transpose()?;
        Ok(Self {
            _reserved: reserved,
            gpu: Arc::clone(&place.gpu),
            memory,
            options: place.options.clone(),
            most,
            queue: work.queue(),
            turn: Mutex::new(Turn {
                work,
                recordings: Recordings::default(),
            }),
            thread,
        })
    }

    /// Has the session of `builder`, of the graph in `path`, compute there.
    pub(super) fn register(&self, builder: &mut SessionBuilder, path: &Path) -> ort::Result<()> {
        let stream = match self.queue {
            GpuQueue::Processor => return Ok(()),
            GpuQueue::Cuda(stream) => stream.map(|stream| stream.as_ptr().cast::<()>()),
        };
        if let Provider::TensorRt { half, cache } = &self.options.provider {
            self.tensor_rt(builder, path, *half, cache.as_deref(), stream)?;
        }
        self.cuda(builder, stream)
    }

    fn device(&self) -> i32 {
        i32::try_from(self.gpu.number()).unwrap_or(i32::MAX)
    }

    fn cuda(&self, builder: &mut SessionBuilder, stream: Option<*mut ()>) -> ort::Result<()> {
        let memory = usize::try_from(self.memory).unwrap_or(usize::MAX);
        let alone = self.options.provider == Provider::Cuda;
        let mut provider = CUDA::default()
            .with_device_id(self.device())
            .with_memory_limit(memory)
            .with_cuda_graph(alone && self.options.cuda_graphs)
            // Texts have all lengths: an arena that doubles would take twice what is needed.
            .with_arena_extend_strategy(ArenaExtendStrategy::SameAsRequested);
        if let Some(stream) = stream {
            // SAFETY: the stream lives as long as the seat, which outlives the session.
            provider = unsafe { provider.with_compute_stream(stream) };
        }
        provider.register(builder)
    }

    fn tensor_rt(
        &self,
        builder: &mut SessionBuilder,
        path: &Path,
        half: bool,
        cache: Option<&Path>,
        stream: Option<*mut ()>,
    ) -> ort::Result<()> {
        let memory = usize::try_from(self.memory).unwrap_or(usize::MAX);
        let mut provider = TensorRT::default()
            .with_device_id(self.device())
            .with_fp16(half)
            .with_max_workspace_size(memory)
            .with_cuda_graph(self.options.cuda_graphs);
        if let Some(cache) = cache {
            let cache = cache.display();
            provider = provider
                .with_engine_cache(true)
                .with_engine_cache_path(&cache)
                .with_timing_cache(true)
                .with_timing_cache_path(&cache);
        }
        let names = text_inputs(builder, path)?;
        let lengths = self.options.buckets.lengths();
        if let Some([least, usual, most]) = profile(&names, lengths, self.most) {
            provider = provider
                .with_profile_min_shapes(least)
                .with_profile_opt_shapes(usual)
                .with_profile_max_shapes(most);
        }
        if let Some(stream) = stream {
            // SAFETY: as above.
            provider = unsafe { provider.with_compute_stream(stream) };
        }
        provider.register(builder)
    }

    /// Whether others wait for the GPU or use it.
    pub(super) fn load(&self) -> Arc<dyn Load> {
        self.gpu.load()
    }

    /// The lengths that texts are filled up to.
    pub(super) fn buckets(&self) -> &Buckets {
        &self.options.buckets
    }

    /// The shape of a call of so many texts, of which the longest has so many tokens.
    pub(super) fn shape(&self, texts: usize, longest: usize, max_tokens: usize) -> [usize; 2] {
        let length = self.options.buckets.length(longest, max_tokens);
        match self.options.cuda_graphs {
            true => [Buckets::rows(texts, length, self.most), length],
            false => [texts, length],
        }
    }

    /// The longest texts that it is built for.
    pub(super) fn longest(&self) -> Option<usize> {
        match self.options.provider {
            Provider::Cuda => None,
            Provider::TensorRt { .. } => self.options.buckets.lengths().last().copied(),
        }
    }

    /// Whether runs of a shape are recorded.
    pub(super) fn records(&self) -> bool {
        self.options.cuda_graphs
    }

    /// Where memory of the GPU is, as ONNX Runtime calls it.
    pub(super) fn memory_info(&self) -> ort::Result<MemoryInfo<'static>> {
        let (device, number) = match self.queue {
            GpuQueue::Processor => (AllocationDevice::CPU, 0),
            GpuQueue::Cuda(_) => (AllocationDevice::CUDA, self.device()),
        };
        MemoryInfo::new(device, number, AllocatorType::Device, MemoryType::Default)
    }

    /// How a run goes: it is not waited for where what follows is done in order with it.
    pub(super) fn run_options(&self, recording: Option<i32>) -> ort::Result<RunOptions> {
        let mut options = RunOptions::new()?;
        if matches!(self.queue, GpuQueue::Cuda(Some(_))) {
            options.disable_device_sync()?;
        }
        if let Some(number) = recording {
            options.set("gpu_graph_id", number.to_string())?;
        }
        Ok(options)
    }

    /// Does `work` when it is its turn. A GPU that fails at it is lost.
    pub(super) fn run<T: Send>(
        &self,
        work: impl FnOnce(&mut Turn) -> Result<Result<T, String>> + Send,
    ) -> Result<Result<T, String>> {
        let _queued = self.gpu.queued();
        let run = || {
            let mut turn = self.turn.lock();
            self.gpu.health()?;
            match work(&mut turn)? {
                Err(why) if is_fault(&why) => Err(self.gpu.lost(&format!("a model: {why}"))),
                outcome => Ok(outcome),
            }
        };
        match &self.thread {
            None => run(),
            Some(thread) => thread.run(run)?,
        }
    }
}

/// The inputs of the graph in `path`, if each has a row per text and a column per token.
fn text_inputs(builder: &SessionBuilder, path: &Path) -> ort::Result<Vec<String>> {
    let session = builder
        .clone()
        .with_optimization_level(GraphOptimizationLevel::Disable)
        .unwrap_or_else(ort::Error::recover)
        .commit_from_file(path)?;
    let of_text = |outlet: &Outlet| Port::of(outlet).is_some_and(|port| port.dims().len() == 2);
    if !session.inputs().iter().all(of_text) {
        return Ok(Vec::new());
    }
    let inputs = session.inputs().iter();
    Ok(inputs.map(|outlet| outlet.name().to_owned()).collect())
}

/// The least, usual and largest shape of inputs: TensorRT builds for what lies between.
fn profile(names: &[String], lengths: &[usize], most: usize) -> Option<[String; 3]> {
    let (shortest, longest) = (*lengths.first()?, *lengths.last()?);
    let usual = lengths.get(lengths.len() / 2).copied()?;
    let rows = |length: usize| most.checked_div(length).unwrap_or(1).max(1);
    let shapes = [
        (1, 1),
        (rows(usual).min(8), usual),
        (rows(shortest), longest),
    ];
    let all = |(rows, length): (usize, usize)| {
        let each = names.iter().map(|name| format!("{name}:{rows}x{length}"));
        each.collect::<Vec<_>>().join(",")
    };
    (!names.is_empty()).then(|| shapes.map(all))
}

fn is_fault(why: &str) -> bool {
    FAULTS.iter().any(|fault| why.contains(fault)) && !why.contains(FULL)
}

/// Whether ONNX Runtime computes on GPUs at all: told before a graph is loaded, in words of its own.
pub(super) fn check(runtime: &OnnxRuntime, seat: &Seat) -> Result<()> {
    if seat.queue == GpuQueue::Processor {
        return Ok(());
    }
    let tried = |provider: &dyn Fn(&mut SessionBuilder) -> ort::Result<()>| {
        let tried = guarded(|| {
            let mut builder = Session::builder(runtime.environment())?;
            provider(&mut builder)
        });
        match tried {
            Ok(Ok(())) => None,
            Ok(Err(why)) => Some(why.message().trim().to_owned()),
            Err(why) => Some(why.trim().to_owned()),
        }
    };
    let refused = |advice: String| Err(Error::new(ErrorCode::Unavailable, advice));
    let (version, path, number) = (
        runtime.version(),
        runtime.path().display(),
        seat.gpu.number(),
    );
    if let Some(why) = tried(&|builder| seat.cuda(builder, None)) {
        return refused(format!(
            "ONNX Runtime {version} in `{path}` runs no models on `cuda:{number}`: {why}; get one              that does with `pip install onnxruntime-gpu[cuda,cudnn]`              (`libonnxruntime_providers_cuda.so` lies beside it), name it in              `rt.models.onnxruntime`, or leave models on the processor with `device`: \"cpu\""
        ));
    }
    let tensor_rt = |builder: &mut SessionBuilder| {
        let provider = TensorRT::default().with_device_id(seat.device());
        provider.register(builder)
    };
    if seat.options.provider != Provider::Cuda
        && let Some(why) = tried(&tensor_rt)
    {
        return refused(format!(
            "ONNX Runtime {version} in `{path}` has no TensorRT: {why}; it needs              `libonnxruntime_providers_tensorrt.so` beside it and TensorRT's own libraries              (`pip install tensorrt`), or leave `provider` out"
        ));
    }
    Ok(())
}

/// What the graph and the weights beside it take on disk.
fn bytes_of(path: &Path) -> u64 {
    let size = |path: &Path| std::fs::metadata(path).map_or(0, |about| about.len());
    let beside = path.file_name().and_then(|name| name.to_str());
    let weights = beside.into_iter().flat_map(|name| {
        let stem = name.strip_suffix(".onnx").unwrap_or(name);
        [
            format!("{name}_data"),
            format!("{name}.data"),
            format!("{stem}.data"),
        ]
    });
    weights
        .map(|name| size(&path.with_file_name(name)))
        .fold(size(path), u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gpu_that_is_full_is_not_lost() {
        assert!(is_fault("CUDA failure 700: an illegal memory access"));
        assert!(is_fault(
            "CUBLAS failure 13: CUBLAS_STATUS_EXECUTION_FAILED"
        ));
        assert!(!is_fault("CUDA failure 2: out of memory ; GPU=0"));
        assert!(!is_fault(
            "Available memory of 5 is smaller than requested bytes of 7"
        ));
    }

    #[test]
    fn tensorrt_is_told_between_which_shapes_calls_are() {
        let names = ["ids".to_owned(), "mask".to_owned()];
        let [least, usual, most] = profile(&names, &[16, 256, 512], 1024).unwrap();
        assert_eq!(least, "ids:1x1,mask:1x1");
        assert_eq!(usual, "ids:4x256,mask:4x256");
        assert_eq!(most, "ids:64x512,mask:64x512");
        assert!(profile(&names, &[], 1024).is_none() && profile(&[], &[16], 1024).is_none());
    }

    #[test]
    fn weights_beside_a_graph_count() {
        let dir = tempfile::tempdir().unwrap();
        let graph = dir.path().join("model.onnx");
        std::fs::write(&graph, [0; 10]).unwrap();
        std::fs::write(dir.path().join("model.onnx_data"), [0; 100]).unwrap();
        assert_eq!(bytes_of(&graph), 110);
    }
}
