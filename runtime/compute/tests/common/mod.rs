//! Models that are made on the spot: a graph of a few nodes and a tokenizer of a few words.
#![expect(dead_code, reason = "each test file uses a part of it")]

pub(crate) mod host;
pub(crate) mod onnx;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use routir_compute::{Compute, ComputeSettings, DenseSpec, ModelSource, OnnxRuntime};
use routir_hub::Hub;

/// The words of [`tokenizer`], by id.
pub(crate) const WORDS: [&str; 7] = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "a", "b", "bad"];

/// A `tokenizer.json` that splits at spaces and puts a text between `[CLS]` and `[SEP]`. It asks for a
/// truncation to 2 tokens, which nobody should heed.
pub(crate) fn tokenizer() -> String {
    let words = WORDS
        .iter()
        .zip(0..)
        .map(|(word, id)| (word.to_string(), serde_json::json!(id)));
    let vocabulary: serde_json::Map<_, _> = words.collect();
    let special = |id: usize| {
        let word = WORDS.get(id);
        serde_json::json!({"id": word, "ids": [id], "tokens": [word]})
    };
    serde_json::json!({
        "version": "1.0",
        "truncation": {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0},
        "padding": null,
        "added_tokens": [],
        "normalizer": null,
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [
                {"SpecialToken": {"id": "[CLS]", "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": "[SEP]", "type_id": 0}}
            ],
            "pair": [
                {"SpecialToken": {"id": "[CLS]", "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
                {"Sequence": {"id": "B", "type_id": 1}},
                {"SpecialToken": {"id": "[SEP]", "type_id": 1}}
            ],
            "special_tokens": {"[CLS]": special(1), "[SEP]": special(2)}
        },
        "decoder": null,
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"}
    })
    .to_string()
}

/// A folder with files.
pub(crate) fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    dir
}

/// A model of a graph and [`tokenizer`].
pub(crate) fn model(graph: &[u8]) -> tempfile::TempDir {
    folder(&[
        ("model.onnx", graph),
        ("tokenizer.json", tokenizer().as_bytes()),
    ])
}

pub(crate) fn spec(dir: &Path) -> DenseSpec {
    DenseSpec::new(ModelSource::Folder(dir.to_owned()))
}

/// Where the checkout is.
pub(crate) fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What opens models; `None`, told loudly, on a machine without ONNX Runtime.
pub(crate) fn compute(max_batch_tokens: usize) -> Option<Compute> {
    let settings = ComputeSettings {
        threads: Some(2),
        max_batch_tokens,
        hub: Hub::new("http://localhost:1", std::env::temp_dir(), true),
        ..ComputeSettings::default()
    };
    let compute = Compute::new(settings);
    let runtime: Result<Arc<OnnxRuntime>, _> = compute.runtime();
    match runtime {
        Ok(_) => Some(compute),
        Err(why) => {
            let _ = writeln!(std::io::stderr(), "SKIPPED: what needs ONNX Runtime: {why}");
            None
        }
    }
}
