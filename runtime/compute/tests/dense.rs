//! Dense encoders over graphs whose answers are known by heart.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use common::onnx::{self, GraphFile};
use routir_compute::{DenseEncoder, Embedding, Model, Pooling, Tokens};
use routir_core::{ErrorCode, Result};

fn encode(encoder: &DenseEncoder, texts: &[&str]) -> Vec<Result<Vec<f32>>> {
    let tokens: Vec<Tokens> = texts
        .iter()
        .map(|text| encoder.tokens(text).unwrap())
        .collect();
    let answers = encoder.run(&tokens, &AtomicBool::new(false)).into_iter();
    answers.map(|it| it.and_then(Embedding::numbers)).collect()
}

#[test]
fn every_kind_of_numbers_and_ids_gives_the_same_vectors() {
    let Some(compute) = common::compute(4096) else {
        return;
    };
    let floats = [onnx::F32, onnx::F64, onnx::F16, onnx::BF16];
    for (ids, hidden) in floats
        .iter()
        .flat_map(|&it| [(onnx::I64, it), (onnx::I32, it)])
    {
        let dir = common::model(&onnx::lookup(ids, hidden));
        let encoder = compute.dense(&common::spec(dir.path())).unwrap();
        assert_eq!(encoder.dim(), 3);
        let answers = encode(&encoder, &["a b", "", "b"]);
        // [CLS] is 1, [SEP] 2, a 4, b 5; the vector of n is (n, 1, -n/2).
        assert_eq!(answers[0].as_ref().unwrap(), &[3.0, 1.0, -1.5]);
        assert_eq!(answers[1].as_ref().unwrap(), &[1.5, 1.0, -0.75]);
        let mean = answers[2].as_ref().unwrap();
        assert!((mean[0] - 8.0 / 3.0).abs() < 1e-6 && (mean[1] - 1.0).abs() < 1e-6);
    }
}

#[test]
fn a_graph_in_half_precision_is_run_as_it_is() {
    let Some(compute) = common::compute(4096) else {
        return;
    };
    let dir = common::model(&onnx::half_lookup());
    let encoder = compute.dense(&common::spec(dir.path())).unwrap();
    let answers = encode(&encoder, &["a b", ""]);
    assert_eq!(answers[0].as_ref().unwrap(), &[6.0, 2.0, -3.0]);
    assert_eq!(answers[1].as_ref().unwrap(), &[3.0, 2.0, -1.5]);
}

#[test]
fn the_files_and_the_specification_say_how_it_is_used() {
    let Some(compute) = common::compute(4096) else {
        return;
    };
    let graph = onnx::lookup(onnx::I64, onnx::F32);
    let modules = br#"[{"type": "x.Transformer", "path": ""}, {"type": "x.Pooling", "path": "1_Pooling"}, {"type": "x.Normalize", "path": "2_Normalize"}]"#;
    let dir = common::folder(&[
        ("model.onnx", &graph),
        ("tokenizer.json", common::tokenizer().as_bytes()),
        ("modules.json", modules),
        (
            "1_Pooling/config.json",
            br#"{"pooling_mode_lasttoken": true}"#,
        ),
        (
            "config_sentence_transformers.json",
            br#"{"prompts": {"query": "b "}}"#,
        ),
        ("sentence_bert_config.json", br#"{"max_seq_length": 4}"#),
    ]);
    let spec = common::spec(dir.path());
    let encoder = compute.dense(&spec).unwrap();
    let length = |vector: &[f32]| vector.iter().map(|it| it * it).sum::<f32>().sqrt();
    let vector = encode(&encoder, &["a"]).remove(0).unwrap();
    assert!((length(&vector) - 1.0).abs() < 1e-6);
    assert!(
        (vector[0] / vector[1] - 2.0).abs() < 1e-6,
        "the last token is [SEP]"
    );
    assert_eq!(
        (encoder.query_prompt(), encoder.document_prompt()),
        ("b ", "")
    );
    assert!(
        encoder
            .prompt(Some("passage"))
            .unwrap_err()
            .message()
            .contains("it has query")
    );
    let tokens = encoder.tokens("a a a a").unwrap();
    assert_eq!((tokens.len(), tokens.cut), (4, true));

    let mut own = spec;
    own.pooling = Some(Pooling::Max);
    own.truncate_dim = Some(2);
    own.max_tokens = Some(9);
    let encoder = compute.dense(&own).unwrap();
    let vector = encode(&encoder, &["a a a a"]).remove(0).unwrap();
    assert_eq!(vector.len(), 2);
    assert!((vector[0] / vector[1] - 4.0).abs() < 1e-6 && length(&vector) < 1.0);
    own.normalize = Some(true);
    let encoder = compute.dense(&own).unwrap();
    let vector = encode(&encoder, &["a a a a"]).remove(0).unwrap();
    assert!((length(&vector) - 1.0).abs() < 1e-6);
}

#[test]
fn a_text_whose_vector_is_not_finite_fails_alone() {
    let Some(compute) = common::compute(4096) else {
        return;
    };
    let dir = common::model(&onnx::lookup(onnx::I64, onnx::F32));
    let encoder = compute.dense(&common::spec(dir.path())).unwrap();
    let answers = encode(&encoder, &["a", "a bad", "b"]);
    assert!(answers[0].is_ok() && answers[2].is_ok());
    let error = answers[1].as_ref().unwrap_err();
    assert_eq!(error.code(), ErrorCode::EngineFailure);
    assert!(error.message().contains("not finite"), "{error}");
}

#[test]
fn a_text_that_the_graph_refuses_fails_alone() {
    let Some(compute) = common::compute(4096) else {
        return;
    };
    let dir = common::model(&onnx::lookup(onnx::I64, onnx::F32));
    let encoder = compute.dense(&common::spec(dir.path())).unwrap();
    let tokens = |ids: &[u32]| Tokens {
        ids: ids.into(),
        ..Tokens::default()
    };
    let texts = [tokens(&[4, 5]), tokens(&[99]), tokens(&[]), tokens(&[4])];
    let answers = encoder.run(&texts, &AtomicBool::new(false));
    let good: Vec<bool> = answers.iter().map(Result::is_ok).collect();
    assert_eq!(good, [true, false, false, true]);
    assert!(encoder.run(&[], &AtomicBool::new(false)).is_empty());
}

#[test]
fn nobody_waits_for_a_cancelled_batch() {
    let Some(compute) = common::compute(4096) else {
        return;
    };
    let dir = common::model(&onnx::lookup(onnx::I64, onnx::F32));
    let encoder = compute.dense(&common::spec(dir.path())).unwrap();
    let answers = encoder.run(&[encoder.tokens("a").unwrap()], &AtomicBool::new(true));
    assert_eq!(
        answers[0].as_ref().unwrap_err().code(),
        ErrorCode::Cancelled
    );
}

#[test]
fn equal_specifications_are_one_encoder_and_others_share_its_graph() {
    let Some(compute) = common::compute(4096) else {
        return;
    };
    let dir = common::model(&onnx::lookup(onnx::I64, onnx::F32));
    let spec = common::spec(dir.path());
    let (one, same) = (compute.dense(&spec).unwrap(), compute.dense(&spec).unwrap());
    assert!(Arc::ptr_eq(&one, &same));
    let path = dir.path().join("model.onnx");
    let graph = compute.graph(&path).unwrap();
    // Gone from the disk, it can only be the one that is in memory.
    std::fs::remove_file(&path).unwrap();
    assert!(Arc::ptr_eq(&graph, &compute.graph(&path).unwrap()));
}

#[test]
fn what_does_not_fit_is_told_when_it_is_opened() {
    let Some(compute) = common::compute(4096) else {
        return;
    };
    let lookup = onnx::lookup(onnx::I64, onnx::F32);
    let any = [None, None];
    let refuse = |graph: &[u8], change: &dyn Fn(&mut routir_compute::DenseSpec)| {
        let dir = common::model(graph);
        let config = br#"{"max_position_embeddings": 16}"#;
        std::fs::write(dir.path().join("config.json"), config).unwrap();
        let mut spec = common::spec(dir.path());
        change(&mut spec);
        compute.dense(&spec).unwrap_err().message().to_owned()
    };
    let whole = |_: &mut routir_compute::DenseSpec| {};
    let cut = &lookup[..lookup.len() / 2];
    assert!(refuse(cut, &whole).contains("does not load"));
    assert!(refuse(b"", &whole).contains("does not load"));
    assert!(
        refuse(&lookup, &|spec| spec.file = Some("other.onnx".into()))
            .contains("its graphs are model.onnx")
    );
    assert!(refuse(&lookup, &|spec| spec.max_tokens = Some(17)).contains("16 positions"));
    assert!(refuse(&lookup, &|spec| spec.max_tokens = Some(2)).contains("leave no room"));
    assert!(refuse(&lookup, &|spec| spec.truncate_dim = Some(4)).contains("have 3 numbers"));
    assert!(
        refuse(&lookup, &|spec| spec.output = Some("other".into())).contains("last_hidden_state")
    );
    let needs_more = GraphFile::default()
        .input("input_ids", onnx::I64, &any)
        .input("pixel_values", onnx::F32, &any)
        .cast("input_ids", "last_hidden_state", onnx::F32)
        .output("last_hidden_state", onnx::F32, &any)
        .finish();
    assert!(refuse(&needs_more, &whole).contains("pixel_values"));
    let wrong_shape = GraphFile::default()
        .input("input_ids", onnx::I64, &any)
        .cast("input_ids", "last_hidden_state", onnx::F32)
        .output("last_hidden_state", onnx::F32, &[None, None, None])
        .finish();
    let said = refuse(&wrong_shape, &whole);
    assert!(
        said.contains("shape") || said.contains("does not load"),
        "{said}"
    );
    let whole_numbers = GraphFile::default()
        .input("input_ids", onnx::I64, &any)
        .cast("input_ids", "sentence_embedding", onnx::I32)
        .output("sentence_embedding", onnx::I32, &any)
        .finish();
    assert!(refuse(&whole_numbers, &whole).contains("floats are wanted"));
}

#[test]
fn a_model_with_a_dense_module_needs_it_in_its_graph() {
    let Some(compute) = common::compute(4096) else {
        return;
    };
    let graph = onnx::lookup(onnx::I64, onnx::F32);
    let dir = common::folder(&[
        ("model.onnx", &graph),
        ("tokenizer.json", common::tokenizer().as_bytes()),
        (
            "modules.json",
            br#"[{"type": "x.Dense", "path": "2_Dense"}]"#,
        ),
    ]);
    let error = compute.dense(&common::spec(dir.path())).unwrap_err();
    assert!(error.message().contains("a module Dense"), "{error}");
}

#[test]
fn graphs_get_positions_and_segments_if_they_want_them() {
    let Some(compute) = common::compute(4096) else {
        return;
    };
    let any = [None, None];
    let graph = GraphFile::default()
        .input("input_ids", onnx::I64, &any)
        .input("token_type_ids", onnx::I32, &any)
        .input("position_ids", onnx::I64, &any)
        .cast("token_type_ids", "segments", onnx::I64)
        .node("Add", &["input_ids", "position_ids"], "sum")
        .node("Add", &["sum", "segments"], "more")
        .cast("more", "sentence_embedding", onnx::F32)
        .output("sentence_embedding", onnx::F32, &any)
        .finish();
    let dir = common::model(&graph);
    let encoder = compute.dense(&common::spec(dir.path())).unwrap();
    // The vector is as long as the text: four tokens, as many as of the warm-up.
    let answers = encode(&encoder, &["a b"]);
    assert_eq!(answers[0].as_ref().unwrap(), &[1.0, 5.0, 7.0, 5.0]);
}
