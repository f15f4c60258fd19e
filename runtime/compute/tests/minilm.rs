//! all-MiniLM-L6-v2 against sentence-transformers, over the texts and vectors of
//! `tests/golden/minilm` (made by `tests/golden/minilm_reference.py`).
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use half::f16;
use routir_compute::{Compute, DenseEncoder, Model, Tokens};

/// The encoder of that graph; `None`, told loudly, when it was not set up.
fn minilm(max_batch_tokens: usize, file: &str) -> Option<(Compute, Arc<DenseEncoder>)> {
    let compute = common::compute(max_batch_tokens)?;
    let folder = common::checkout().join(".cache/models/minilm");
    if !folder.join(file).is_file() {
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: what needs MiniLM: there is no {file} in {}; run configs/models/setup.sh",
            folder.display()
        );
        return None;
    }
    let mut spec = common::spec(&folder);
    spec.file = Some(file.to_owned());
    let encoder = compute.dense(&spec).unwrap();
    assert_eq!((encoder.dim(), encoder.max_tokens()), (384, 256));
    Some((compute, encoder))
}

fn texts() -> Vec<String> {
    let path = common::checkout().join("tests/golden/minilm/texts.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The reference's vectors: an array of NumPy in half precision, row by row.
fn reference(count: usize) -> Vec<Vec<f32>> {
    let path = common::checkout().join("tests/golden/minilm/vectors.npy");
    let bytes = std::fs::read(path).unwrap();
    let header = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let said = std::str::from_utf8(&bytes[10..header]).unwrap();
    assert!(
        said.contains("'<f2'") && said.contains("'fortran_order': False"),
        "{said}"
    );
    assert!(said.contains(&format!("({count}, 384)")), "{said}");
    let number = |pair: &[u8]| f16::from_le_bytes([pair[0], pair[1]]).to_f32();
    let numbers: Vec<f32> = bytes[header..].chunks_exact(2).map(number).collect();
    numbers.chunks_exact(384).map(<[f32]>::to_vec).collect()
}

fn encode(encoder: &DenseEncoder, texts: &[String]) -> Vec<Vec<f32>> {
    let tokens: Vec<Tokens> = texts
        .iter()
        .map(|text| encoder.tokens(text).unwrap())
        .collect();
    let answers = encoder.run(&tokens, &AtomicBool::new(false)).into_iter();
    answers.map(|it| it.unwrap().numbers().unwrap()).collect()
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// The least cosine with the reference, and whose.
fn worst(vectors: &[Vec<f32>]) -> (f32, usize) {
    let cosines = vectors.iter().zip(reference(vectors.len())).enumerate();
    cosines
        .map(|(at, (ours, theirs))| (cosine(ours, &theirs), at))
        .min_by(|a, b| a.0.total_cmp(&b.0))
        .unwrap()
}

#[test]
fn equals_sentence_transformers() {
    let Some((_compute, encoder)) = minilm(4096, "model.onnx") else {
        return;
    };
    let texts = texts();
    assert!(texts.len() > 300);
    let (cosine, at) = worst(&encode(&encoder, &texts));
    assert!(cosine >= 0.9999, "{cosine} for text {at}: {:?}", texts[at]);
}

#[test]
fn stays_close_in_eight_bits() {
    let Some((_compute, encoder)) = minilm(4096, "model_int8.onnx") else {
        return;
    };
    let texts = texts();
    let (cosine, at) = worst(&encode(&encoder, &texts));
    assert!(cosine >= 0.98, "{cosine} for text {at}: {:?}", texts[at]);
}

#[test]
fn a_vector_does_not_depend_on_the_company_of_its_text() {
    let Some((_compute, encoder)) = minilm(2048, "model.onnx") else {
        return;
    };
    let texts: Vec<String> = texts().into_iter().step_by(7).collect();
    let together = encode(&encoder, &texts);
    for (text, vector) in texts.iter().zip(&together) {
        let alone = encode(&encoder, std::slice::from_ref(text)).remove(0);
        let apart = vector
            .iter()
            .zip(&alone)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f32::max);
        assert!(apart < 1e-5, "{apart} for {text:?}");
    }
}

#[test]
fn threads_may_use_it_at_once() {
    let Some((_compute, encoder)) = minilm(4096, "model.onnx") else {
        return;
    };
    let texts: Vec<String> = texts()
        .into_iter()
        .filter(|text| text.len() < 200)
        .take(24)
        .collect();
    let expected = encode(&encoder, &texts);
    std::thread::scope(|scope| {
        for shift in 0..6 {
            let (encoder, texts, expected) = (&encoder, &texts, &expected);
            scope.spawn(move || {
                for at in (0..texts.len()).map(|at| (at + shift * 4) % texts.len()) {
                    let vector = encode(encoder, &texts[at..=at]).remove(0);
                    assert!(cosine(&vector, &expected[at]) > 0.99999, "{:?}", texts[at]);
                }
            });
        }
    });
}

#[test]
fn a_text_of_a_hundred_thousand_tokens_is_cut() {
    let Some((_compute, encoder)) = minilm(4096, "model.onnx") else {
        return;
    };
    let long = "honey bees dance ".repeat(40_000);
    let tokens = encoder.tokens(&long).unwrap();
    assert_eq!((tokens.len(), tokens.cut), (256, true));
    let start = "honey bees dance ".repeat(200);
    let vectors = encode(&encoder, &[long, start]);
    assert!(cosine(&vectors[0], &vectors[1]) > 0.99999);
}
