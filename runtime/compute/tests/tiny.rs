//! Every architecture against the numbers of an independent reference: the tiny models of
//! `tests/models/tiny.py`, one text at a time there and many at once here.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use std::cell::RefCell;
use std::fmt::Debug;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use common::host::Host;
use routir_compute::{
    Compute, CrossEncoderSpec, DenseNumbers, DenseSpec, GpuOptions, Model, ModelSource, SparseSpec,
    TokenEncoder, TokenSpec, Tokens, YesNoKind, YesNoScore, YesNoSpec,
};
use routir_core::Result;
use serde::Deserialize;
use serde::de::DeserializeOwned;

thread_local! {
    /// How models are run on a "GPU" by this thread's tests, if they are.
    static PLACE: RefCell<Option<GpuOptions>> = const { RefCell::new(None) };
}

/// Opens models and answers what a tiny one is expected to say; `None`, told loudly, when it was not
/// set up.
fn tiny<T: DeserializeOwned>(name: &str) -> Option<(Compute, ModelSource, T)> {
    let folder = common::checkout().join(".cache/models/tiny").join(name);
    let Ok(expected) = std::fs::read(folder.join("expected.json")) else {
        let folder = folder.display();
        // Not `eprintln!`, which the runner hides when the test passes.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: there is no {folder}; run configs/models/setup.sh and tests/models/tiny.py"
        );
        return None;
    };
    let source = ModelSource::Folder(PathBuf::from(&folder));
    let compute = common::compute(4096)?;
    let place = PLACE.with_borrow(Clone::clone);
    Some((
        match place {
            Some(options) => compute.on(Host::default().place(options)),
            None => compute,
        },
        source,
        serde_json::from_slice(&expected).unwrap(),
    ))
}

/// Everything again, as on a GPU: with inputs and outputs bound, texts filled up to few lengths, and
/// recorded runs or not.
#[test]
fn every_kind_of_model_answers_the_same_as_on_a_gpu() {
    for cuda_graphs in [false, true] {
        PLACE.set(Some(GpuOptions {
            cuda_graphs,
            ..GpuOptions::default()
        }));
        dense_encoders_of_each_pooling();
        cross_encoders_with_one_label_and_with_two();
        sequence_to_sequence_rerankers_in_one_graph_and_in_two();
        causal_rerankers_with_and_without_a_cache();
        learned_sparse_encoders();
        late_interaction_models_as_colbert_and_as_pylate_describe_them();
    }
}

fn run<M: Model>(model: &M, texts: &[Tokens]) -> Vec<M::Output> {
    let answers = model.run(texts, &AtomicBool::new(false));
    assert_eq!(answers.len(), texts.len());
    answers.into_iter().map(Result::unwrap).collect()
}

fn assert_ids(tokens: &[Tokens], expected: &[Vec<u32>], texts: &[impl Debug]) {
    for ((tokens, expected), text) in tokens.iter().zip(expected).zip(texts) {
        assert_eq!(tokens.ids[..], expected[..], "{text:?}");
    }
    assert_eq!(tokens.len(), expected.len());
}

fn assert_close(got: &[f32], expected: &[f64], what: &impl Debug) {
    assert_eq!(got.len(), expected.len(), "{what:?}");
    for (got, expected) in got.iter().zip(expected) {
        assert!(
            (f64::from(*got) - expected).abs() < 2e-5,
            "{what:?}: {got} is not {expected}"
        );
    }
}

#[derive(Deserialize)]
struct Dense {
    prompt: Option<String>,
    texts: Vec<String>,
    ids: Vec<Vec<u32>>,
    vectors: Vec<Vec<f64>>,
}

#[test]
fn dense_encoders_of_each_pooling() {
    for name in [
        "dense-mean",
        "dense-cls",
        "dense-max",
        "dense-last",
        "dense-cache",
    ] {
        let Some((compute, source, expected)) = tiny::<Dense>(name) else {
            return;
        };
        let encoder = compute.dense(&DenseSpec::new(source)).unwrap();
        let prompt = encoder.prompt(expected.prompt.as_deref()).unwrap();
        let read = |text: &String| encoder.tokens(&format!("{prompt}{text}")).unwrap();
        let tokens: Vec<Tokens> = expected.texts.iter().map(read).collect();
        assert_ids(&tokens, &expected.ids, &expected.texts);
        let vectors = run(&DenseNumbers(encoder), &tokens);
        for ((got, expected), text) in vectors.iter().zip(&expected.vectors).zip(&expected.texts) {
            assert_close(got, expected, &(name, text));
        }
    }
}

#[derive(Deserialize)]
struct Pairs {
    pairs: Vec<(String, String)>,
    ids: Vec<Vec<u32>>,
    segments: Vec<Vec<u8>>,
    raw: Vec<f64>,
    sigmoid: Vec<f64>,
}

#[test]
fn cross_encoders_with_one_label_and_with_two() {
    for name in ["cross-encoder", "cross-encoder-two"] {
        let Some((compute, source, expected)) = tiny::<Pairs>(name) else {
            return;
        };
        let mut spec = CrossEncoderSpec::new(source);
        for (sigmoid, scores) in [(false, &expected.raw), (true, &expected.sigmoid)] {
            spec.sigmoid = sigmoid;
            let encoder = compute.cross_encoder(&spec).unwrap();
            let read =
                |(query, passage): &(String, String)| encoder.tokens(query, passage).unwrap();
            let tokens: Vec<Tokens> = expected.pairs.iter().map(read).collect();
            assert_ids(&tokens, &expected.ids, &expected.pairs);
            for (tokens, segments) in tokens.iter().zip(&expected.segments) {
                assert_eq!(tokens.segments[..], segments[..]);
            }
            assert_close(&run(&*encoder, &tokens), scores, &name);
        }
    }
}

#[derive(Deserialize)]
struct YesNo {
    max_tokens: usize,
    pairs: Vec<(String, String)>,
    ids: Vec<Vec<u32>>,
    scores: Vec<f64>,
}

fn yes_no(name: &str, kind: YesNoKind, words: Option<[&str; 2]>) {
    let Some((compute, source, expected)) = tiny::<YesNo>(name) else {
        return;
    };
    let mut spec = YesNoSpec::new(source, kind);
    spec.max_tokens = Some(expected.max_tokens);
    if let Some([no, yes]) = words {
        let unknown = compute.yes_no(&spec).unwrap_err();
        assert!(unknown.message().contains("▁true"), "{unknown}");
        (spec.no, spec.yes) = (Some(no.to_owned()), Some(yes.to_owned()));
    }
    let scorer = compute.yes_no(&spec).unwrap();
    let read = |(query, passage): &(String, String)| scorer.tokens(query, passage).unwrap();
    let tokens: Vec<Tokens> = expected.pairs.iter().map(read).collect();
    assert_ids(&tokens, &expected.ids, &expected.pairs);
    let scores = run(&*scorer, &tokens);
    assert_close(&scores, &expected.scores, &name);

    spec.score = YesNoScore::Difference;
    let differences = run(&*compute.yes_no(&spec).unwrap(), &tokens);
    for (difference, score) in differences.iter().zip(scores) {
        let probability = if kind == YesNoKind::Causal {
            score
        } else {
            score.exp()
        };
        let odds = (probability / (1.0 - probability)).ln();
        assert!(
            (odds - difference).abs() < 1e-3,
            "{odds} is not {difference}"
        );
    }
    let long = scorer
        .tokens("what is honey", &"bees ".repeat(100_000))
        .unwrap();
    assert_eq!((long.len(), long.cut), (expected.max_tokens, true));
    assert!(run(&*scorer, &[long])[0].is_finite());
}

#[test]
fn sequence_to_sequence_rerankers_in_one_graph_and_in_two() {
    for name in ["seq2seq", "seq2seq-split"] {
        yes_no(name, YesNoKind::Seq2Seq, Some(["▁false", "▁true"]));
    }
}

#[test]
fn causal_rerankers_with_and_without_a_cache() {
    for name in ["causal", "causal-cache", "causal-last"] {
        yes_no(name, YesNoKind::Causal, None);
    }
}

#[derive(Deserialize)]
struct Sparse {
    texts: Vec<String>,
    ids: Vec<Vec<u32>>,
    weights: Vec<Vec<(u32, f64)>>,
}

#[test]
fn learned_sparse_encoders() {
    let Some((compute, source, expected)) = tiny::<Sparse>("splade") else {
        return;
    };
    let mut spec = SparseSpec::new(source);
    let encoder = compute.sparse(&spec).unwrap();
    let read = |text: &String| encoder.tokens(text).unwrap();
    let tokens: Vec<Tokens> = expected.texts.iter().map(read).collect();
    assert_ids(&tokens, &expected.ids, &expected.texts);
    for ((got, expected), text) in run(&*encoder, &tokens)
        .iter()
        .zip(&expected.weights)
        .zip(&expected.texts)
    {
        let (got_ids, got): (Vec<u32>, Vec<f32>) = got.iter().copied().unzip();
        let (ids, weights): (Vec<u32>, Vec<f64>) = expected.iter().copied().unzip();
        assert_eq!(got_ids, ids, "{text:?}");
        assert_close(&got, &weights, text);
    }
    assert_eq!(encoder.table_query("honey").unwrap(), None);
    spec.max_terms = Some(5);
    let few = run(&*compute.sparse(&spec).unwrap(), &tokens);
    for (few, all) in few.iter().zip(&expected.weights) {
        let least = few
            .iter()
            .map(|it| f64::from(it.1))
            .fold(f64::INFINITY, f64::min);
        assert_eq!(few.len(), 5);
        assert!(all.iter().filter(|it| it.1 > least + 1e-4).count() < 5);
    }
}

#[test]
fn a_sparse_model_with_a_table_computes_nothing_for_queries() {
    let Some((compute, ModelSource::Folder(folder), _)) = tiny::<Sparse>("splade") else {
        return;
    };
    let copy = tempfile::tempdir().unwrap();
    for name in ["model.onnx", "tokenizer.json", "config.json"] {
        std::fs::copy(folder.join(name), copy.path().join(name)).unwrap();
    }
    let table = r#"{"honey": 2.5, "bees": 1.5, "the": 0.0, "no such token": 9.0}"#;
    std::fs::write(copy.path().join("idf.json"), table).unwrap();
    let spec = SparseSpec::new(ModelSource::Folder(copy.path().to_owned()));
    let encoder = compute.sparse(&spec).unwrap();
    let weights = encoder
        .table_query("The honey, honey of bees")
        .unwrap()
        .unwrap();
    let honey = encoder.tokens("honey").unwrap().ids[1];
    assert!(weights.contains(&(honey, 2.5)) && weights.iter().all(|it| it.1 > 0.0));
    assert!(weights.is_sorted_by(|a, b| a.0 < b.0), "{weights:?}");
    assert_eq!(encoder.table_query("").unwrap().unwrap(), []);
    std::fs::write(copy.path().join("idf.json"), "[1]").unwrap();
    drop(encoder);
    assert!(
        compute
            .sparse(&spec)
            .unwrap_err()
            .message()
            .contains("idf.json")
    );
}

#[derive(Deserialize)]
struct Rows {
    texts: Vec<String>,
    ids: Vec<Vec<u32>>,
    rows: Vec<Vec<Vec<f64>>>,
}

#[derive(Deserialize)]
struct Late {
    queries: Rows,
    documents: Rows,
}

fn assert_rows(encoder: &TokenEncoder, tokens: &[Tokens], expected: &Rows) {
    assert_ids(tokens, &expected.ids, &expected.texts);
    for ((got, rows), text) in run(encoder, tokens)
        .iter()
        .zip(&expected.rows)
        .zip(&expected.texts)
    {
        assert_close(got, &rows.concat(), text);
    }
}

#[test]
fn late_interaction_models_as_colbert_and_as_pylate_describe_them() {
    for name in ["multi-vector", "multi-vector-pylate"] {
        let Some((compute, source, expected)) = tiny::<Late>(name) else {
            return;
        };
        let encoder = compute.late(&TokenSpec::new(source)).unwrap();
        assert_eq!(encoder.dim(), 8);
        let queries = &expected.queries.texts;
        let mut tokens: Vec<Tokens> = queries
            .iter()
            .map(|it| encoder.query(it).unwrap())
            .collect();
        assert_rows(&encoder, &tokens, &expected.queries);
        let documents = &expected.documents.texts;
        let read: Vec<Tokens> = documents
            .iter()
            .map(|it| encoder.document(it).unwrap())
            .collect();
        assert_rows(&encoder, &read, &expected.documents);
        // Queries and documents may share a call.
        let alone: Vec<Vec<f32>> = [run(&*encoder, &tokens), run(&*encoder, &read)].concat();
        tokens.extend(read);
        for (alone, together) in alone.iter().zip(run(&*encoder, &tokens)) {
            let alone: Vec<f64> = alone.iter().copied().map(f64::from).collect();
            assert_close(&together, &alone, &name);
        }
    }
}

#[test]
fn windows_cover_a_document_and_overlap() {
    let Some((compute, source, _)) = tiny::<Late>("multi-vector") else {
        return;
    };
    let encoder = compute.late(&TokenSpec::new(source)).unwrap();
    let insides = |words: usize| {
        let text = "honey ".repeat(words);
        let windows = encoder.windows(&text, 6, 3).unwrap();
        windows
            .iter()
            .map(|window| window.len() - 3)
            .collect::<Vec<_>>()
    };
    assert_eq!(insides(0), [0]);
    assert_eq!(insides(6), [6]);
    assert_eq!(insides(7), [6, 4]);
    assert_eq!(insides(9), [6, 6]);
    assert_eq!(insides(10), [6, 6, 4]);
    // A window is what the document alone would be.
    let windows = encoder.windows("bees dance", 6, 3).unwrap();
    assert_eq!(windows[0].ids, encoder.document("bees dance").unwrap().ids);
    let long = encoder.windows(&"honey ".repeat(100_000), 6, 3).unwrap();
    assert!(long.len() == 4096 && long[4095].cut);
    for (size, stride) in [(0, 1), (1, 0), (100_000, 1)] {
        assert!(encoder.windows("bees", size, stride).is_err());
    }
}

#[test]
fn a_model_of_another_kind_is_refused_when_it_is_opened() {
    let Some((compute, source, _)) = tiny::<Sparse>("splade") else {
        return;
    };
    let cross = compute
        .cross_encoder(&CrossEncoderSpec::new(source.clone()))
        .unwrap_err();
    assert!(cross.message().contains("one score or two"), "{cross}");
    let mut long = SparseSpec::new(source.clone());
    long.max_tokens = Some(100_000);
    let long = compute.sparse(&long).unwrap_err();
    assert!(
        long.message().contains("100000 tokens are more than"),
        "{long}"
    );
    let Some((_, dense, _)) = tiny::<Dense>("dense-mean") else {
        return;
    };
    let causal = compute
        .yes_no(&YesNoSpec::new(dense, YesNoKind::Causal))
        .unwrap_err();
    assert!(causal.message().contains("dense-mean"), "{causal}");
    let seq2seq = compute
        .yes_no(&YesNoSpec::new(source, YesNoKind::Seq2Seq))
        .unwrap_err();
    assert!(seq2seq.message().contains("splade"), "{seq2seq}");
}
