//! Models on a GPU, as far as a machine without one can show.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;

use std::any::Any;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use common::host::{Host, Idle};
use common::onnx;
use routir_compute::{
    Buckets, DenseEncoder, Embedding, Gpu, GpuOptions, GpuQueue, GpuWork, Model, OnGpu, PoolStates,
    Provider, Tokens,
};
use routir_core::{Error, ErrorCode, Load, Result};

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

    fn work(&self, _: &str) -> Result<Box<dyn GpuWork>> {
        Ok(Box::new(NoWork))
    }

    fn load(&self) -> Arc<dyn Load> {
        Arc::new(Idle)
    }

    fn health(&self) -> Result<()> {
        Ok(())
    }

    fn lost(&self, why: &str) -> Error {
        Error::new(ErrorCode::Unavailable, why)
    }
}

struct NoWork;

impl GpuWork for NoWork {
    fn queue(&self) -> GpuQueue {
        GpuQueue::Cuda(None)
    }

    fn memory(&mut self, _: usize, _: usize) -> Result<u64> {
        panic!("nobody computes there")
    }

    fn upload(&mut self, _: usize, _: &[u8]) -> Result<()> {
        panic!("nobody computes there")
    }

    unsafe fn download(&mut self, _: u64, _: &mut [u8]) -> Result<()> {
        panic!("nobody computes there")
    }

    fn takes(&self, _: &PoolStates) -> bool {
        false
    }

    unsafe fn pool(
        &mut self,
        _: u64,
        _: &PoolStates,
        _: &[(usize, bool)],
    ) -> Result<Vec<Option<Embedding>>> {
        panic!("nobody computes there")
    }
}

fn tokens(encoder: &DenseEncoder, texts: &[&str], stays: bool) -> Vec<Tokens> {
    let tokens = texts.iter().map(|text| Tokens {
        stays,
        ..encoder.tokens(text).unwrap()
    });
    tokens.collect()
}

/// The vectors of texts, wherever they are.
fn encode(encoder: &DenseEncoder, texts: &[&str], stays: bool) -> Vec<Result<Vec<f32>>> {
    let answers = encoder.run(&tokens(encoder, texts, stays), &AtomicBool::new(false));
    let vector = |vector| match vector {
        Embedding::OnGpu(there) if stays => *there.downcast::<Vec<f32>>().unwrap(),
        Embedding::Numbers(numbers) if !stays => numbers,
        other => panic!("{other:?}"),
    };
    answers.into_iter().map(|it| it.map(vector)).collect()
}

#[test]
fn what_a_graph_leaves_on_a_gpu_becomes_vectors_there_and_none_of_it_comes_back() {
    let Some(compute) = common::compute(4096) else {
        return;
    };
    let graphs = [
        onnx::lookup(onnx::I64, onnx::F32),
        onnx::lookup(onnx::I32, onnx::F16),
        onnx::lookup(onnx::I64, onnx::BF16),
        onnx::half_lookup(),
    ];
    for graph in graphs {
        let dir = common::model(&graph);
        let spec = common::spec(dir.path());
        let host = Host::default();
        let there = compute.on(host.place(GpuOptions::default()));
        let encoder = there.dense(&spec).unwrap();
        let here = compute.dense(&spec).unwrap();
        assert!(encoder.load().is_some() && here.load().is_none());
        let after_start = host.seen.lock().downloaded;
        let texts = [
            "a b",
            "",
            "b b b b b b b b b b b b b b b b b",
            "a bad b",
            "a",
        ];
        for stays in [false, true] {
            let got = encode(&encoder, &texts, stays);
            let wanted = encode(&here, &texts, false);
            for (got, wanted) in got.iter().zip(&wanted) {
                match (got, wanted) {
                    (Ok(got), Ok(wanted)) => {
                        let pairs = got.iter().zip(wanted);
                        assert!(pairs.into_iter().all(|(a, b)| (a - b).abs() < 1e-5));
                    }
                    (Err(got), Err(wanted)) => assert_eq!(got.message(), wanted.message()),
                    other => panic!("{other:?}"),
                }
            }
        }
        assert_eq!(host.seen.lock().downloaded, after_start);
        assert_eq!(host.waiting.load(Ordering::SeqCst), 0);
    }
}

#[test]
fn texts_are_filled_up_to_few_lengths_on_a_gpu() {
    let Some(compute) = common::compute(512) else {
        return;
    };
    let dir = common::model(&onnx::lookup(onnx::I64, onnx::F32));
    let host = Host::default();
    let options = GpuOptions {
        buckets: Buckets::new(vec![32, 64]).unwrap(),
        ..GpuOptions::default()
    };
    let encoder = compute
        .on(host.place(options))
        .dense(&common::spec(dir.path()))
        .unwrap();
    host.seen.lock().pooled.clear();
    // Two more each with what stands around them.
    let words = [20_u8, 80, 30, 60, 62];
    let texts = words.map(|words| "a ".repeat(usize::from(words)));
    let got = encode(&encoder, &texts.each_ref().map(String::as_str), false);
    for (words, vector) in words.map(f32::from).into_iter().zip(got) {
        let mean = (1.0 + 2.0 + 4.0 * words) / (words + 2.0);
        assert!((vector.unwrap().first().unwrap() - mean).abs() < 1e-5);
    }
    // Behind the last length its multiples follow.
    assert_eq!(host.seen.lock().pooled, [(1, 128), (2, 64), (2, 32)]);
}

#[test]
fn recorded_runs_use_the_same_memory_on_one_thread_and_answer_the_same() {
    let Some(compute) = common::compute(256) else {
        return;
    };
    let dir = common::model(&onnx::lookup(onnx::I64, onnx::F32));
    let spec = common::spec(dir.path());
    let options = GpuOptions {
        cuda_graphs: true,
        ..GpuOptions::default()
    };
    let host = Host::default();
    let encoder = compute
        .on(host.place(options.clone()))
        .dense(&spec)
        .unwrap();
    let here = compute.dense(&spec).unwrap();
    let long = "b ".repeat(40);
    let calls: [&[&str]; 4] = [&["a"], &["a", "b", "a b"], &["b"], &[&long]];
    for round in 0..4 {
        host.seen.lock().states.clear();
        for texts in calls {
            let (got, wanted) = (encode(&encoder, texts, true), encode(&here, texts, false));
            for (got, wanted) in got.into_iter().zip(wanted) {
                let (got, wanted) = (got.unwrap(), wanted.unwrap());
                let pairs = got.iter().zip(&wanted);
                assert!(
                    pairs.into_iter().all(|(a, b)| (a - b).abs() < 1e-5),
                    "{round}"
                );
            }
        }
        let states = host.seen.lock().states.clone();
        // The first and the third call have the same shape, which the start of the model recorded.
        assert_eq!(states.first(), states.get(2));
        let mut different = states.clone();
        different.sort_unstable();
        different.dedup();
        assert!(round == 0 || different.len() == 3, "{states:?}");
    }
    let threads = host.seen.lock().threads.clone();
    let first = threads.first().unwrap();
    assert!(threads.iter().all(|it| it == first));
    assert_ne!(*first, std::thread::current().id());

    // Where memory does not suffice, runs are as usual.
    drop(encoder);
    let full = Host {
        full: true,
        ..Host::default()
    };
    let encoder = compute.on(full.place(options)).dense(&spec).unwrap();
    for _ in 0..3 {
        let vector = encode(&encoder, &["a b"], true).remove(0).unwrap();
        assert_eq!(vector, [3.0, 1.0, -1.5]);
    }
}

#[test]
fn tensorrt_that_is_not_there_is_told() {
    let Some(compute) = common::compute(4096) else {
        return;
    };
    let dir = common::model(&onnx::lookup(onnx::I64, onnx::F32));
    let spec = common::spec(dir.path());
    let options = GpuOptions {
        provider: Provider::TensorRt {
            half: true,
            cache: None,
        },
        ..GpuOptions::default()
    };
    let place = OnGpu {
        gpu: Arc::new(Nowhere::default()),
        memory: Some(64 << 20),
        options: options.clone(),
    };
    let Err(error) = compute.on(place).dense(&spec) else {
        let _ = writeln!(std::io::stderr(), "SKIPPED: this ONNX Runtime has TensorRT");
        return;
    };
    assert_eq!(error.code(), ErrorCode::Unavailable);
    // Texts that no engine is built for are told before one is built.
    let mut long = spec;
    long.max_tokens = Some(2000);
    let there = compute.on(Host::default().place(options));
    let error = there.dense(&long).map(drop).unwrap_err();
    assert!(error.message().contains("`length_buckets`"), "{error}");
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
            options: GpuOptions::default(),
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
    let answers = encode(&encoder, &["a b"], false);
    assert_eq!(
        answers.first().unwrap().as_ref().unwrap(),
        &[3.0, 1.0, -1.5]
    );
}
