//! `Qwen3`: dense retrieval with a Qwen3 embedding model, which is told its task with every query.
//! Keys as in RoutIR; those of the index are in [`crate::dense`].
//!
//! | key | means | default |
//! |---|---|---|
//! | `embedding_model_name` | the model: a folder, or `hf:owner/name` | required |
//! | `file` | which of its graphs | `model.onnx`, `onnx/model.onnx`, … |
//! | `max_length` | where texts are cut, in tokens | 8192, or what the model has |
//! | `instruction` | the task that the model is told | RoutIR's |
//! | `truncate_dim` | how many of a vector's first numbers are kept | all |
//!
//! Vectors are the last token's, of length 1.
//!
//! With `embedding_base_url` a server makes them: see [`crate::dense`]. Then `embedding_model_name` is
//! RoutIR's `Qwen/Qwen3-Embedding-8B` unless given, and `file` and `max_length` have no meaning.

use routir_compute::{DenseSpec, Pooling, RETRIEVAL_TASK};
use routir_core::{ParamKind, ParamSpec, Result, Roles};

use crate::build::{BuildEnv, EngineSpec};
use crate::dense::{self, ApiSetup, DenseSetup, IndexKeys, InstructionParam, Prompt, WordingSpec};
use crate::models::{ModelKeys, source};
use crate::options::Options;

/// RoutIR's, where texts are cut.
const USUAL_TOKENS: usize = 8192;

/// RoutIR's, at a server.
const USUAL_MODEL: &str = "Qwen/Qwen3-Embedding-8B";

/// RoutIR's engine takes it and does nothing with it.
const IGNORED: &[ParamSpec] = &[ParamSpec::new(
    "maxp",
    ParamKind::Flag,
    "none; taken because RoutIR's engine takes it",
)];

pub(crate) fn build(spec: EngineSpec<'_>, env: &BuildEnv<'_>) -> Result<Roles> {
    let mut options = Options::new(spec.config);
    if let Some(mut api) = ApiSetup::read(&mut options, Some(USUAL_MODEL)) {
        let instruction = options.text("instruction").unwrap_or(RETRIEVAL_TASK);
        options.finish()?;
        api.normalize = true;
        api.instruction = Some(dense::task(instruction));
        api.param = InstructionParam::Task;
        api.ignored = IGNORED;
        return api.build(spec, env);
    }
    let model = options.text("embedding_model_name");
    let model = options
        .require("embedding_model_name", model)
        .unwrap_or_default();
    let keys = ModelKeys::read(&mut options);
    let max_tokens = options.count("max_length");
    let truncate_dim = options.count("truncate_dim");
    let instruction = options.text("instruction").unwrap_or(RETRIEVAL_TASK);
    let index = IndexKeys::read(&mut options, Some(&keys.place));
    options.finish()?;
    let encoder = DenseSpec {
        file: keys.file.map(str::to_owned),
        pooling: Some(Pooling::LastToken),
        normalize: Some(true),
        max_tokens,
        truncate_dim,
        ..DenseSpec::new(source(model, keys.file, env)?)
    };
    let wording = WordingSpec {
        query: Prompt::No,
        instruction: Some(dense::task(instruction)),
        param: InstructionParam::Task,
        passage: Prompt::No,
    };
    let setup = DenseSetup {
        model,
        encoder,
        place: keys.place,
        usual_tokens: Some(USUAL_TOKENS),
        wording,
        index,
        ignored: IGNORED,
    };
    setup.build(spec, env)
}
