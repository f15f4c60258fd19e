//! The model of `encode` and `index`, opened as the flags say.

use std::sync::Arc;

use routir_compute::{Compute, ComputeSettings, DenseEncoder, DenseSpec, ModelSource, Tokens};
use serde_json::{Map, Value, json};

use super::args::{Encode, ModelArgs};
use crate::failure::from_core;

/// What opens models as `args` say.
pub(crate) fn compute(args: &ModelArgs) -> Compute {
    Compute::new(ComputeSettings {
        onnxruntime: args.onnxruntime.clone(),
        threads: args.threads.map(|it| it as usize),
        max_batch_tokens: args.batch_tokens as usize,
        hub: crate::hub::hub(),
    })
}

/// A dense encoder, with what stands before every text.
pub(crate) struct Dense {
    pub(crate) encoder: Arc<DenseEncoder>,
    prompt: String,
}

impl Dense {
    /// Opens it.
    ///
    /// # Errors
    /// When ONNX Runtime or the model is missing or damaged, or has no such prompt.
    pub(crate) fn open(args: &Encode) -> anyhow::Result<Self> {
        let model = &args.model;
        let open = || -> routir_core::Result<Self> {
            let spec = DenseSpec {
                file: model.model_file.clone(),
                pooling: args.pooling,
                truncate_dim: args.truncate_dim.map(|it| it as usize),
                normalize: args.normalize.then_some(true),
                max_tokens: model.max_tokens.map(|it| it as usize),
                ..DenseSpec::new(ModelSource::parse(&model.model)?)
            };
            let encoder = compute(model).dense(&spec)?;
            let prompt = match args.prompt.as_deref() {
                None => encoder.document_prompt(),
                Some("") => "",
                Some(name) => encoder.prompt(Some(name))?,
            };
            let prompt = prompt.to_owned();
            Ok(Self { encoder, prompt })
        };
        open().map_err(from_core)
    }

    /// A document's text as the model reads it.
    pub(crate) fn tokens(&self, text: &str) -> routir_core::Result<Tokens> {
        if self.prompt.is_empty() {
            return self.encoder.tokens(text);
        }
        self.encoder
            .tokens(&format!("{}{}", self.prompt, text.trim()))
    }

    /// What decides about the vectors.
    pub(crate) fn settings(&self, args: &Encode) -> Map<String, Value> {
        let settings = json!({
            "kind": "dense",
            "model": args.model.model,
            "model_file": args.model.model_file,
            "prompt": self.prompt,
            "max_tokens": self.encoder.max_tokens(),
            "pooling": args.pooling.map(|it| format!("{it:?}")),
            "normalize": args.normalize,
            "dimension": self.encoder.dim(),
        });
        match settings {
            Value::Object(settings) => settings,
            _ => Map::new(),
        }
    }
}
