//! Models on a GPU, as far as a machine without one can show.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::any::Any;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use common::onnx;
use routir_compute::{Gpu, Model, OnGpu};
use routir_core::{Error, ErrorCode, Result};

/// A GPU that nobody can compute on.
#[derive(Default)]
struct Nowhere {
    taken: Arc<AtomicU64>,
    most: AtomicU64,
}

struct Reserved(Arc<AtomicU64>, u64);

impl Drop for Reserved {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1, Ordering::SeqCst);
    }
}

impl Gpu for Nowhere {
    fn number(&self) -> u32 {
        0
    }

    fn reserve(&self, what: &str, bytes: u64) -> Result<Box<dyn Any + Send + Sync>> {
        assert!(what.contains("model.onnx"), "{what}");
        self.taken.fetch_add(bytes, Ordering::SeqCst);
        self.most.fetch_max(bytes, Ordering::SeqCst);
        Ok(Box::new(Reserved(Arc::clone(&self.taken), bytes)))
    }

    fn health(&self) -> Result<()> {
        Ok(())
    }

    fn lost(&self, why: &str) -> Error {
        Error::new(ErrorCode::Unavailable, why)
    }
}

#[test]
fn a_library_without_cuda_is_told_clearly_and_gives_the_memory_back() {
    let Some(compute) = common::compute(4096) else {
        return;
    };
    let dir = common::model(&onnx::lookup(onnx::I64, onnx::F32));
    let spec = common::spec(dir.path());
    let gpu = Arc::new(Nowhere::default());
    for (memory, wanted) in [(Some(64 << 20), 64 << 20), (None, 2 << 30)] {
        let place = OnGpu {
            gpu: Arc::clone(&gpu) as Arc<dyn Gpu>,
            memory,
        };
        let Err(error) = compute.on(place).dense(&spec) else {
            let _ = writeln!(std::io::stderr(), "SKIPPED: this ONNX Runtime has CUDA");
            return;
        };
        assert_eq!(error.code(), ErrorCode::Unavailable);
        for part in [
            "runs no models on `cuda:0`",
            "onnxruntime-gpu",
            "libonnxruntime_providers_cuda.so",
            "rt.models.onnxruntime",
            "`device`: \"cpu\"",
        ] {
            assert!(error.message().contains(part), "{part}: {error}");
        }
        assert!(gpu.most.load(Ordering::SeqCst) >= wanted);
        assert_eq!(gpu.taken.load(Ordering::SeqCst), 0);
    }
    // The processor is another place: the same model opens there.
    let encoder = compute.dense(&spec).unwrap();
    let tokens = encoder.tokens("a b").unwrap();
    let answers = encoder.run(&[tokens], &AtomicBool::new(false));
    assert_eq!(
        answers.first().unwrap().as_ref().unwrap(),
        &[3.0, 1.0, -1.5]
    );
}
