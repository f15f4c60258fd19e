//! Cross-encoders: a classifier that reads query and passage together.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use routir_core::{Load, Result};

use super::common::{files, finite, limit, misshapen, name, output};
use crate::calls::run_calls;
use crate::compute::Compute;
use crate::{Model, ModelSource, TextModel, Tokens};

/// The longest pair of a model whose files say nothing, or something larger.
const USUAL_TOKENS: usize = 8192;

/// Which cross-encoder, and how it is used.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CrossEncoderSpec {
    /// Where it comes from.
    pub source: ModelSource,
    /// The graph's file in there; otherwise the first of [`crate::GRAPH_FILES`].
    pub file: Option<String>,
    /// The most tokens of a pair, special ones included; otherwise as the model's files say.
    pub max_tokens: Option<usize>,
    /// Whether scores are chances between 0 and 1. Otherwise they are what the logistic function
    /// makes chances of: in the same order, and high ones do not become equal.
    pub sigmoid: bool,
}

impl CrossEncoderSpec {
    /// The model as its own files say, with scores as they come.
    #[must_use]
    pub fn new(source: ModelSource) -> Self {
        Self {
            source,
            file: None,
            max_tokens: None,
            sigmoid: false,
        }
    }
}

/// A cross-encoder with one label, or with two of which the second means "relevant".
#[derive(Debug)]
pub struct CrossEncoder {
    name: String,
    model: TextModel,
    output: String,
    sigmoid: bool,
    max_batch_tokens: usize,
}

impl CrossEncoder {
    /// Loads it and runs it once, so that what does not fit is told now and not by the first query.
    pub(crate) fn open(compute: &Compute, spec: &CrossEncoderSpec) -> Result<Self> {
        let files = files(compute, &spec.source, spec.file.as_deref())?;
        let max_tokens = limit(&spec.source, &files, spec.max_tokens, USUAL_TOKENS)?;
        let model = compute.text_model(&files, max_tokens, &[])?;
        let encoder = Self {
            name: name(&spec.source, &files),
            output: output(model.graph(), &["logits"])?,
            model,
            sigmoid: spec.sigmoid,
            max_batch_tokens: compute.max_batch_tokens(),
        };
        let pair = encoder.tokens("warm", "up")?;
        encoder.scores(&[&pair])?;
        Ok(encoder)
    }

    /// A query and a passage as the model reads them. Of a pair that is too long, the longer text is
    /// cut first.
    ///
    /// # Errors
    /// When the tokenizer fails.
    pub fn tokens(&self, query: &str, passage: &str) -> Result<Tokens> {
        self.model.pair(query.trim(), passage.trim(), usize::MAX)
    }

    fn scores(&self, batch: &[&Tokens]) -> Result<Vec<Result<f32>>> {
        let outputs = self.model.run_padded(batch, &[&self.output])?;
        let logits = outputs.floats(0)?;
        let score = |row: &[f32]| match *row {
            [one] => Some(one),
            [no, yes] => Some(yes - no),
            _ => None,
        };
        let scores: Option<Vec<f32>> = logits.rows().take(batch.len()).map(score).collect();
        let wanted = "one score or two for each pair";
        let scores = scores.ok_or_else(|| misshapen(self.model.graph(), &logits, wanted))?;
        let scores = scores.into_iter().map(|score| match self.sigmoid {
            true => 1.0 / (1.0 + (-score).exp()),
            false => score,
        });
        Ok(scores.map(finite).collect())
    }
}

impl Model for CrossEncoder {
    type Output = f32;

    fn name(&self) -> &str {
        &self.name
    }

    fn max_batch_tokens(&self) -> usize {
        self.max_batch_tokens
    }

    fn load(&self) -> Option<Arc<dyn Load>> {
        self.model.graph().load()
    }

    fn run(&self, texts: &[Tokens], cancelled: &AtomicBool) -> Vec<Result<f32>> {
        let calls = self.model.calls(self.max_batch_tokens);
        run_calls(texts, calls, cancelled, |batch| self.scores(batch))
    }
}
