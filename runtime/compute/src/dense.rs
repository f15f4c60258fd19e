//! Dense encoders: one vector per text.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use routir_core::{Error, Load, Result};

use crate::calls::run_calls;
use crate::compute::Compute;
use crate::gpu::{Embedding, PoolStates};
use crate::graph::Graph;
use crate::heads::common::{files, name};
use crate::pooling::{Pooling, normalize};
use crate::presets::dense_preset;
use crate::sentence::{SentenceConfig, positions};
use crate::source::ModelSource;
use crate::text_model::{Padded, TextModel};
use crate::{Model, Tokens};

/// The outputs of graphs that pool by themselves: one vector per text.
const POOLED: &[&str] = &["sentence_embedding"];

/// The outputs with one vector per token.
const PER_TOKEN: &[&str] = &["token_embeddings", "last_hidden_state"];

/// Which dense encoder, and what differs from how its files say that it is used. Two equal ones are
/// one encoder in memory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DenseSpec {
    /// Where it comes from.
    pub source: ModelSource,
    /// The graph's file in there; otherwise the first of [`crate::GRAPH_FILES`].
    pub file: Option<String>,
    /// The graph's output; otherwise `sentence_embedding` if it has that and `pooling` is not given,
    /// else `token_embeddings` or `last_hidden_state`, else its only one.
    pub output: Option<String>,
    /// How the tokens' vectors become the text's; otherwise as `1_Pooling/config.json` says, else the
    /// mean.
    pub pooling: Option<Pooling>,
    /// `true`: vectors of length 1, whatever the model's own files say. Otherwise they decide, as
    /// with `normalize_embeddings` of sentence-transformers: those of a model with a `Normalize`
    /// module have length 1.
    pub normalize: Option<bool>,
    /// The longest text in tokens, special ones included; otherwise as the model's files say. Longer
    /// ones are cut.
    pub max_tokens: Option<usize>,
    /// How many of a vector's first numbers are kept, for models that were trained for it; otherwise
    /// all. Vectors that the model itself made of length 1 are shorter then, unless `normalize` is
    /// `true`.
    pub truncate_dim: Option<usize>,
}

impl DenseSpec {
    /// The model as its own files say.
    #[must_use]
    pub fn new(source: ModelSource) -> Self {
        Self {
            source,
            file: None,
            output: None,
            pooling: None,
            normalize: None,
            max_tokens: None,
            truncate_dim: None,
        }
    }
}

/// A model that makes one vector of a text.
#[derive(Debug)]
pub struct DenseEncoder {
    name: String,
    model: TextModel,
    config: SentenceConfig,
    output: String,
    /// `None` when the graph pools by itself.
    pooling: Option<Pooling>,
    normalize_last: bool,
    /// How many numbers the graph gives, and how many of them are kept.
    width: usize,
    dim: usize,
    max_batch_tokens: usize,
}

impl DenseEncoder {
    /// Loads it and runs it once, so that what does not fit is told now and not by the first query.
    pub(crate) fn open(compute: &Compute, spec: &DenseSpec) -> Result<Self> {
        let files = files(compute, &spec.source, spec.file.as_deref())?;
        let mut config = SentenceConfig::read(&files)?;
        if let Some(preset) = dense_preset(&spec.source.to_string()) {
            config.complete(preset);
        }
        let max_tokens = match (spec.max_tokens, positions(&files)?) {
            (Some(asked), Some(most)) if asked > most => {
                return Err(Error::invalid(format!(
                    "model `{}`: `max_tokens` {asked} is more than the {most} positions that the \
                     model has",
                    spec.source
                )));
            }
            (asked, _) => asked.unwrap_or(config.max_tokens),
        };
        let model = compute.text_model(&files, max_tokens, &[])?;
        let (output, pooled) = output(model.graph(), spec)?;
        if let (false, None, Some(beyond)) = (pooled, spec.pooling, &config.beyond) {
            return Err(Error::invalid(format!(
                "model `{}` has {beyond}, which must be in its graph; export it with an output \
                 `sentence_embedding`",
                spec.source
            )));
        }
        let mut encoder = Self {
            name: name(&spec.source, &files),
            model,
            pooling: (!pooled).then(|| spec.pooling.unwrap_or(config.pooling)),
            config,
            output,
            normalize_last: spec.normalize == Some(true),
            width: 0,
            dim: 0,
            max_batch_tokens: compute.max_batch_tokens(),
        };
        encoder.warm_up(spec.truncate_dim)?;
        Ok(encoder)
    }

    /// How many numbers its vectors have.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// The longest text that it reads, in tokens.
    #[must_use]
    pub fn max_tokens(&self) -> usize {
        self.model.max_tokens()
    }

    /// What to put before a text: the prompt of that name in `config_sentence_transformers.json`;
    /// without a name the default prompt of that file, which most models have not.
    ///
    /// # Errors
    /// When there is no prompt of that name.
    pub fn prompt(&self, name: Option<&str>) -> Result<&str> {
        let Some(name) = name.or(self.config.default_prompt.as_deref()) else {
            return Ok("");
        };
        let prompts = &self.config.prompts;
        prompts.get(name).map(String::as_str).ok_or_else(|| {
            let known: Vec<&str> = prompts.keys().map(String::as_str).collect();
            let known = if known.is_empty() {
                "it has none".to_owned()
            } else {
                format!("it has {}", known.join(", "))
            };
            Error::invalid(format!(
                "model `{}` has no prompt `{name}`; {known}",
                self.name
            ))
        })
    }

    /// What sentence-transformers' `encode_query` puts before a query: the prompt `query` if the
    /// model has it, else its default.
    #[must_use]
    pub fn query_prompt(&self) -> &str {
        self.first_prompt(&["query"])
    }

    /// What `encode_document` puts before a document: the first of the prompts `document`, `passage`
    /// and `corpus` that the model has, else its default.
    #[must_use]
    pub fn document_prompt(&self) -> &str {
        self.first_prompt(&["document", "passage", "corpus"])
    }

    fn first_prompt(&self, names: &[&str]) -> &str {
        let found = names.iter().find_map(|&name| self.config.prompts.get(name));
        found.map_or_else(|| self.prompt(None).unwrap_or_default(), String::as_str)
    }

    /// A text, with what is put before it, as the model reads it. White space around it does not
    /// count. An empty text is a text.
    ///
    /// # Errors
    /// When the tokenizer fails.
    pub fn tokens(&self, text: &str) -> Result<Tokens> {
        let text = text.trim();
        if self.config.lower_case {
            // Long texts are cut by their tokens afterwards: case may change the bytes of a letter.
            self.model.tokens(&text.to_lowercase(), usize::MAX)
        } else {
            self.model.tokens(text, usize::MAX)
        }
    }

    fn warm_up(&mut self, truncate: Option<usize>) -> Result<()> {
        let tokens = self.tokens("warm up")?;
        let padded = self.model.padded(&[&tokens]);
        let width = {
            let outputs = self.model.run_with(&padded, &[], &[&self.output])?;
            let vectors = outputs.floats(0)?;
            let wanted = if self.pooling.is_some() { 3 } else { 2 };
            match *vectors.shape() {
                [1, width] if wanted == 2 => width,
                [1, length, width] if wanted == 3 && [1, length] == padded.shape() => width,
                _ => {
                    return Err(Error::invalid(format!(
                        "model `{}`: the output `{}` has the shape {:?} for one text of {} tokens; \
                         name another one in `output`",
                        self.name,
                        self.output,
                        vectors.shape(),
                        tokens.len()
                    )));
                }
            }
        };
        let dim = truncate.unwrap_or(width);
        if dim == 0 || dim > width {
            return Err(Error::invalid(format!(
                "model `{}`: its vectors have {width} numbers, of which {dim} cannot be kept",
                self.name
            )));
        }
        (self.width, self.dim) = (width, dim);
        self.encode(&[&tokens])?
            .into_iter()
            .collect::<Result<Vec<_>>>()?;
        Ok(())
    }

    fn encode(&self, batch: &[&Tokens]) -> Result<Vec<Result<Embedding>>> {
        let padded = self.model.padded(batch);
        let [rows, length] = padded.shape();
        let expected = match self.pooling {
            Some(_) => vec![rows, length, self.width],
            None => vec![rows, self.width],
        };
        if self.model.graph().on_gpu() {
            return self.encode_there(batch, &padded, &expected);
        }
        let outputs = self.model.run_with(&padded, &[], &[&self.output])?;
        let vectors = outputs.floats(0)?;
        if vectors.shape() != expected {
            return Err(self.misshapen(vectors.shape(), &expected));
        }
        Ok(self.finished(batch, vectors.data(), length))
    }

    /// As [`DenseEncoder::encode`], on a GPU: what the graph leaves there becomes vectors there.
    fn encode_there(
        &self,
        batch: &[&Tokens],
        padded: &Padded,
        expected: &[usize],
    ) -> Result<Vec<Result<Embedding>>> {
        let [_, length] = padded.shape();
        let text = |tokens: &&Tokens| match self.pooling {
            Some(_) => (tokens.len(), tokens.stays),
            None => (1, tokens.stays),
        };
        let texts: Vec<(usize, bool)> = batch.iter().map(text).collect();
        self.model.run_there(padded, &self.output, |work, left| {
            if *left.shape != *expected {
                return Err(self.misshapen(&left.shape, expected));
            }
            let how = PoolStates {
                element: left.element,
                length: self.pooling.map_or(1, |_| length),
                width: self.width,
                pooling: self.pooling.unwrap_or(Pooling::Cls),
                normalize: self.config.normalize,
                dim: self.dim,
                normalize_last: self.normalize_last,
            };
            if !work.takes(&how) {
                return Ok(self.finished(batch, &left.floats(work)?, length));
            }
            // SAFETY: the shape was just looked at, and there are no more texts than rows.
            let vectors = unsafe { work.pool(left.address, &how, &texts) }?;
            let vectors = vectors.into_iter().zip(batch);
            Ok(vectors
                .map(|(vector, tokens)| vector.ok_or_else(|| self.not_finite(tokens)))
                .collect())
        })
    }

    /// The vectors of texts, of which the graph's output is here.
    fn finished(
        &self,
        batch: &[&Tokens],
        numbers: &[f32],
        length: usize,
    ) -> Vec<Result<Embedding>> {
        let row = self.width * self.pooling.map_or(1, |_| length);
        let texts = batch.iter().zip(numbers.chunks(row.max(1)));
        texts
            .map(|(tokens, row)| self.finish(tokens, row).map(Embedding::Numbers))
            .collect()
    }

    fn finish(&self, tokens: &Tokens, row: &[f32]) -> Result<Vec<f32>> {
        let mut vector = match self.pooling {
            Some(pooling) => pooling.pool(row, tokens.len(), self.width),
            None => row.to_vec(),
        };
        if self.config.normalize {
            normalize(&mut vector);
        }
        vector.truncate(self.dim);
        if self.normalize_last {
            normalize(&mut vector);
        }
        if vector.iter().all(|value| value.is_finite()) {
            return Ok(vector);
        }
        Err(self.not_finite(tokens))
    }

    fn not_finite(&self, tokens: &Tokens) -> Error {
        Error::engine(format!(
            "model `{}` made a vector with numbers that are not finite of a text of {} tokens",
            self.name,
            tokens.len()
        ))
    }

    fn misshapen(&self, shape: &[usize], expected: &[usize]) -> Error {
        Error::engine(format!(
            "model `{}` answered the shape {shape:?} where {expected:?} was expected",
            self.name
        ))
    }
}

impl Model for DenseEncoder {
    type Output = Embedding;

    fn name(&self) -> &str {
        &self.name
    }

    fn max_batch_tokens(&self) -> usize {
        self.max_batch_tokens
    }

    fn load(&self) -> Option<Arc<dyn Load>> {
        self.model.graph().load()
    }

    fn run(&self, texts: &[Tokens], cancelled: &AtomicBool) -> Vec<Result<Embedding>> {
        let calls = self.model.calls(self.max_batch_tokens);
        run_calls(texts, calls, cancelled, |batch| self.encode(batch))
    }
}

/// The same model for who wants the numbers of all vectors.
#[derive(Clone, Debug)]
pub struct DenseNumbers(pub Arc<DenseEncoder>);

impl Model for DenseNumbers {
    type Output = Vec<f32>;

    fn name(&self) -> &str {
        self.0.name()
    }

    fn max_batch_tokens(&self) -> usize {
        self.0.max_batch_tokens
    }

    fn load(&self) -> Option<Arc<dyn Load>> {
        self.0.load()
    }

    fn run(&self, texts: &[Tokens], cancelled: &AtomicBool) -> Vec<Result<Vec<f32>>> {
        let answers = self.0.run(texts, cancelled).into_iter();
        answers
            .map(|answer| answer.and_then(Embedding::numbers))
            .collect()
    }
}

/// Which output to take, and whether it is pooled already.
fn output(graph: &Graph, spec: &DenseSpec) -> Result<(String, bool)> {
    let known = |names: &'static [&str]| {
        names
            .iter()
            .copied()
            .find(|name| graph.output(name).is_some())
    };
    let only = || match graph.outputs() {
        [only] => Some(only.name()),
        _ => None,
    };
    let pooled = if spec.pooling.is_none() {
        known(POOLED)
    } else {
        None
    };
    let chosen = match &spec.output {
        Some(name) => Some(name.as_str()),
        None => pooled.or_else(|| known(PER_TOKEN)).or_else(only),
    };
    match chosen.and_then(|name| graph.output(name)) {
        Some(port) => {
            let rank = port.dims().len();
            let pooled = rank == 2 || (rank == 0 && POOLED.contains(&port.name()));
            Ok((port.name().to_owned(), pooled))
        }
        None => {
            let names: Vec<&str> = graph.outputs().iter().map(|port| port.name()).collect();
            Err(Error::invalid(format!(
                "model `{}`: which of its graph's outputs {} has the vectors is not known; name it \
                 in `output`",
                spec.source,
                names.join(", ")
            )))
        }
    }
}
