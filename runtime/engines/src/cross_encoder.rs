//! `CrossEncoder`: scores passages with a classifier that reads query and passage together.
//!
//! | key | means | default |
//! |---|---|---|
//! | `model_name_or_path` | the model: a folder, or `hf:owner/name` | required |
//! | `file` | which of its graphs | `model.onnx`, `onnx/model.onnx`, … |
//! | `max_length` | the most tokens of a pair; longer ones are cut | as its files say |
//! | `sigmoid` | whether scores are between 0 and 1 | false |
//!
//! With `upstream_service` it searches, too: see [`crate::search_rerank`].

use routir_compute::CrossEncoderSpec;
use routir_core::{Result, Roles};

use crate::build::{BuildEnv, EngineSpec};
use crate::models::{ModelKeys, source};
use crate::options::Options;
use crate::rerank::reranker;
use crate::search_rerank::SearchKeys;

pub(crate) fn build(spec: EngineSpec<'_>, env: &BuildEnv<'_>) -> Result<Roles> {
    let mut options = Options::new(spec.config);
    let model = options.text("model_name_or_path");
    let model = options
        .require("model_name_or_path", model)
        .unwrap_or_default();
    let keys = ModelKeys::read(&mut options);
    let max_tokens = options.count("max_length");
    let sigmoid = options.flag("sigmoid").unwrap_or(false);
    let search = SearchKeys::read(&mut options);
    options.finish()?;
    let opened = CrossEncoderSpec {
        file: keys.file.map(str::to_owned),
        max_tokens,
        sigmoid,
        ..CrossEncoderSpec::new(source(model, keys.file, env)?)
    };
    let named = (model, &opened.source, keys.place);
    reranker(spec, env, search, named, |compute| {
        compute.cross_encoder(&opened)
    })
}
