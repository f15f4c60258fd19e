//! Measures a dense encoder alone, tokenizing included, for comparison with other ways of running
//! the same model:
//!
//! ```text
//! cargo run --release --example encode -- --model .cache/models/minilm --texts texts.json \
//!     [--file model_int8.onnx] [--batch 32] [--threads 2] [--seconds 10] [--clients 1]
//! ```
//!
//! `texts` is a JSON array of strings. They are encoded again and again, `batch` of them at a time by
//! each of `clients` threads, for at least `seconds`. Prints one line of JSON.
#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use routir_compute::{
    Compute, ComputeSettings, DenseEncoder, DenseSpec, Embedding, Model, ModelSource, Tokens,
};
use routir_core::{Error, Result};

/// The words of the command line, by name.
struct Arguments(Vec<String>);

impl Arguments {
    fn text(&self, name: &str) -> Option<&str> {
        let at = self
            .0
            .iter()
            .position(|it| it.strip_prefix("--") == Some(name))?;
        self.0.get(at + 1).map(String::as_str)
    }

    fn number(&self, name: &str, usual: usize) -> Result<usize> {
        let parse = |text: &str| {
            text.parse()
                .map_err(|_| Error::invalid(format!("--{name} {text} is no number")))
        };
        self.text(name).map_or(Ok(usual), parse)
    }

    fn needed(&self, name: &str) -> Result<&str> {
        self.text(name)
            .ok_or_else(|| Error::invalid(format!("--{name} is missing")))
    }
}

fn main() -> Result<()> {
    let arguments = Arguments(std::env::args().collect());
    let texts = texts(Path::new(arguments.needed("texts")?))?;
    let batch = arguments.number("batch", 32)?.max(1);
    let clients = arguments.number("clients", 1)?.max(1);
    let seconds = arguments.number("seconds", 10)?;
    let threads = arguments.number("threads", 2)?;
    let compute = Compute::new(ComputeSettings {
        threads: Some(threads),
        max_batch_tokens: arguments.number("tokens", 4096)?,
        ..ComputeSettings::default()
    });
    let mut spec = DenseSpec::new(ModelSource::parse(arguments.needed("model")?)?);
    spec.file = arguments.text("file").map(str::to_owned);
    let encoder = compute.dense(&spec)?;

    let calls: Vec<&[String]> = texts.chunks(batch).collect();
    for call in calls.iter().take(2) {
        encode(&encoder, call)?;
    }
    let (next, encoded) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let start = Instant::now();
    let end = start + Duration::from_secs(seconds as u64);
    let client = || -> Result<()> {
        while Instant::now() < end {
            let at = next.fetch_add(1, Ordering::Relaxed) % calls.len().max(1);
            let call = calls.get(at).copied().unwrap_or_default();
            encode(&encoder, call)?;
            encoded.fetch_add(call.len(), Ordering::Relaxed);
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..clients).map(|_| scope.spawn(client)).collect();
        let lost = |_| Err(Error::internal("a client panicked"));
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().unwrap_or_else(lost))
    })?;
    let took = start.elapsed().as_secs_f64();
    let encoded = encoded.into_inner();
    println!(
        "{}",
        serde_json::json!({
            "model": encoder.name(),
            "onnxruntime": compute.runtime()?.version(),
            "threads": threads,
            "clients": clients,
            "batch": batch,
            "sentences": encoded,
            "seconds": took,
            "sentences_per_second": encoded as f64 / took,
        })
    );
    Ok(())
}

fn encode(encoder: &DenseEncoder, texts: &[String]) -> Result<Vec<Vec<f32>>> {
    let tokens = texts.iter().map(|text| encoder.tokens(text));
    let tokens = tokens.collect::<Result<Vec<Tokens>>>()?;
    encoder
        .run(&tokens, &AtomicBool::new(false))
        .into_iter()
        .map(|answer| answer.and_then(Embedding::numbers))
        .collect()
}

fn texts(path: &Path) -> Result<Vec<String>> {
    let wrong =
        |why: &dyn std::fmt::Display| Error::invalid(format!("`{}`: {why}", path.display()));
    let text = std::fs::read(path).map_err(|why| wrong(&why))?;
    let texts: Vec<String> = serde_json::from_slice(&text).map_err(|why| wrong(&why))?;
    if texts.is_empty() {
        return Err(wrong(&"there are no texts in it"));
    }
    Ok(texts)
}
