//! `SentenceTransformerEngine`: dense retrieval with an encoder of sentence-transformers' kind, and
//! scoring by its vectors. Keys as in RoutIR; those of the index are in [`crate::dense`].
//!
//! | key | means | default |
//! |---|---|---|
//! | `embedding_model_name` | the model: a folder, or `hf:owner/name` | `sentence-transformers/all-MiniLM-L6-v2` |
//! | `file` | which of its graphs | `model.onnx`, `onnx/model.onnx`, … |
//! | `instruction` | what stands around a query, with `{query}` in its place | nothing |
//! | `prompt_name_query` | the model's prompt that stands before a query | the model's default |
//! | `prompt_name_document` | the model's prompt that stands before a passage | what it has for documents, if queries have words of their own |
//! | `encode_based_on_type` | whether a query gets the prompt that the model has for queries | false |
//! | `normalize_embeddings` | whether vectors get length 1 whatever the model's files say | as they say |
//! | `pooling`, `max_length`, `truncate_dim` | how a text becomes a vector | as the model's files say |
//!
//! With `embedding_base_url` a server makes the vectors: see [`crate::dense`]. Then
//! `embedding_model_name` is required, and of these keys only `instruction`, `normalize_embeddings`
//! (false unless given) and `truncate_dim` have a meaning.

use routir_compute::{DenseSpec, Pooling};
use routir_core::{Error, Result, Roles};

use crate::build::{BuildEnv, EngineSpec};
use crate::dense::{
    ApiSetup, DenseSetup, IndexKeys, Instruction, InstructionParam, Prompt, WordingSpec,
};
use crate::models::{ModelKeys, source};
use crate::options::Options;

const DEFAULT_MODEL: &str = "sentence-transformers/all-MiniLM-L6-v2";

const POOLINGS: [(&str, Pooling); 5] = [
    ("mean", Pooling::Mean),
    ("cls", Pooling::Cls),
    ("last_token", Pooling::LastToken),
    ("max", Pooling::Max),
    ("mean_sqrt_len", Pooling::MeanSqrtLen),
];

pub(crate) fn build(spec: EngineSpec<'_>, env: &BuildEnv<'_>) -> Result<Roles> {
    let mut options = Options::new(spec.config);
    if let Some(api) = ApiSetup::read(&mut options, None) {
        return on_a_server(api, options, spec, env);
    }
    let model = options
        .text("embedding_model_name")
        .unwrap_or(DEFAULT_MODEL);
    let keys = ModelKeys::read(&mut options);
    let normalize = options.flag("normalize_embeddings");
    let pooling = options.choice("pooling", &POOLINGS);
    let max_tokens = options.count("max_length");
    let truncate_dim = options.count("truncate_dim");
    let wording = wording(&mut options);
    options.refuse(
        "task_query",
        "the weights of a task are chosen inside the graph, which has no input for it; export the \
         model for the task that you need",
    );
    let index = IndexKeys::read(&mut options, Some(&keys.place));
    options.finish()?;
    let encoder = DenseSpec {
        file: keys.file.map(str::to_owned),
        pooling,
        normalize,
        max_tokens,
        truncate_dim,
        ..DenseSpec::new(source(model, keys.file, env)?)
    };
    let setup = DenseSetup {
        model,
        encoder,
        place: keys.place,
        usual_tokens: None,
        wording,
        index,
        ignored: &[],
    };
    setup.build(spec, env)
}

/// The same with a server's vectors. The words that a model has for queries and documents are in its
/// files, which are not here.
fn on_a_server(
    mut api: ApiSetup<'_>,
    mut options: Options<'_>,
    spec: EngineSpec<'_>,
    env: &BuildEnv<'_>,
) -> Result<Roles> {
    api.normalize = options.flag("normalize_embeddings").unwrap_or(false);
    api.instruction = instruction(&mut options);
    for key in ["prompt_name_query", "prompt_name_document", "task_query"] {
        options.refuse(key, "the server knows no names of prompts; write what stands around a query into `instruction`");
    }
    if options.flag("encode_based_on_type") == Some(true) {
        options.problem(
            "`encode_based_on_type` is not possible with a server; write what stands around a query \
             into `instruction`",
        );
    }
    options.finish()?;
    api.build(spec, env)
}

fn instruction(options: &mut Options<'_>) -> Option<Instruction> {
    let parsed = options.text("instruction").map(Instruction::parse)?;
    let told = |why: Error| options.problem(why.message());
    parsed.map_err(told).ok()
}

fn wording(options: &mut Options<'_>) -> WordingSpec {
    let instruction = instruction(options);
    let named = |name: &str| Prompt::Named(name.to_owned());
    let query = options.text("prompt_name_query").map(named);
    let passage = options.text("prompt_name_document").map(named);
    let by_type = options.flag("encode_based_on_type") == Some(true);
    // Whoever has words for queries of their own has them for documents, too.
    let apart = by_type || query.is_some();
    WordingSpec {
        query: query.unwrap_or(if by_type {
            Prompt::Query
        } else {
            Prompt::Default
        }),
        instruction,
        param: InstructionParam::Template,
        passage: passage.unwrap_or(if apart {
            Prompt::Document
        } else {
            Prompt::Default
        }),
    }
}
