//! A graph's place on a GPU: ONNX Runtime's provider for CUDA, its memory, and its failures.

use std::any::Any;
use std::path::Path;
use std::sync::Arc;

use ort::ep::{ArenaExtendStrategy, CUDA, ExecutionProvider as _};
use ort::session::Session;
use ort::session::builder::SessionBuilder;
use parking_lot::Mutex;
use routir_core::{Error, ErrorCode, Result};

use crate::library::guarded;
use crate::{Gpu, OnGpu, OnnxRuntime};

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
    /// One run at a time: each takes memory of its own, and kernels of two would only take turns.
    turn: Mutex<()>,
    _reserved: Box<dyn Any + Send + Sync>,
}

impl Seat {
    /// Takes what the graph in `path` may use of the GPU's memory.
    pub(super) fn take(place: &OnGpu, path: &Path) -> Result<Self> {
        let memory = match place.memory {
            Some(memory) => memory,
            None => {
                let files = bytes_of(path);
                files.saturating_add(files / 4).saturating_add(FOR_RUNS)
            }
        };
        place.gpu.health()?;
        let what = format!("the model `{}`", path.display());
        Ok(Self {
            _reserved: place.gpu.reserve(&what, memory)?,
            gpu: Arc::clone(&place.gpu),
            memory,
            turn: Mutex::default(),
        })
    }

    /// Has the session of `builder` compute there.
    pub(super) fn register(&self, builder: &mut SessionBuilder) -> ort::Result<()> {
        let memory = usize::try_from(self.memory).unwrap_or(usize::MAX);
        CUDA::default()
            .with_device_id(i32::try_from(self.gpu.number()).unwrap_or(i32::MAX))
            .with_memory_limit(memory)
            // Texts have all lengths: an arena that doubles would take twice what is needed.
            .with_arena_extend_strategy(ArenaExtendStrategy::SameAsRequested)
            .register(builder)
    }

    /// Does `work` when it is its turn. A GPU that fails at it is lost.
    pub(super) fn run<T>(
        &self,
        work: impl FnOnce() -> Result<T, String>,
    ) -> Result<Result<T, String>> {
        let _turn = self.turn.lock();
        self.gpu.health()?;
        match work() {
            Err(why) if is_fault(&why) => Err(self.gpu.lost(&format!("a model: {why}"))),
            outcome => Ok(outcome),
        }
    }
}

fn is_fault(why: &str) -> bool {
    FAULTS.iter().any(|fault| why.contains(fault)) && !why.contains(FULL)
}

/// Whether ONNX Runtime computes on GPUs at all: told before a graph is loaded, in words of its own.
pub(super) fn check(runtime: &OnnxRuntime, seat: &Seat) -> Result<()> {
    let tried = guarded(|| {
        let mut builder = Session::builder(runtime.environment())?;
        seat.register(&mut builder)
    });
    let why = match tried {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(why)) => why.message().to_owned(),
        Err(why) => why,
    };
    Err(Error::new(
        ErrorCode::Unavailable,
        format!(
            "ONNX Runtime {} in `{}` runs no models on `cuda:{}`: {}; get one that does with `pip \
             install onnxruntime-gpu[cuda,cudnn]` (`libonnxruntime_providers_cuda.so` lies beside \
             it), name it in `rt.models.onnxruntime`, or leave models on the processor with \
             `device`: \"cpu\"",
            runtime.version(),
            runtime.path().display(),
            seat.gpu.number(),
            why.trim()
        ),
    ))
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
    fn weights_beside_a_graph_count() {
        let dir = tempfile::tempdir().unwrap();
        let graph = dir.path().join("model.onnx");
        std::fs::write(&graph, [0; 10]).unwrap();
        std::fs::write(dir.path().join("model.onnx_data"), [0; 100]).unwrap();
        assert_eq!(bytes_of(&graph), 110);
    }
}
