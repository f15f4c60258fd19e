//! Late interaction: one vector per token, of queries and of documents.
//!
//! ColBERT (Khattab and Zaharia, 2020) and its successors: a marker after the first token tells
//! queries from documents, a query is filled up with mask tokens that become vectors of their own,
//! and a document's punctuation leaves none.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use routir_core::{Error, Load, Result};

use super::common::{files, misshapen, name, output, positions_limit};
use super::late_config::{Frame, LateConfig};
use crate::calls::run_calls;
use crate::compute::Compute;
use crate::pooling::normalize;
use crate::{Model, ModelSource, TextModel, Tokens};

/// The longest document of a model whose files say nothing, or something larger.
const USUAL_TOKENS: usize = 8192;

/// The most windows of one document; what lies beyond is cut.
const MOST_WINDOWS: usize = 4096;

/// Which late-interaction model, and what differs from how its files say that it is used.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TokenSpec {
    /// Where it comes from.
    pub source: ModelSource,
    /// The graph's file in there; otherwise the first of [`crate::GRAPH_FILES`].
    pub file: Option<String>,
    /// To how many tokens a query is cut, and filled up if the model fills up queries.
    pub query_tokens: Option<usize>,
    /// To how many tokens a document is cut.
    pub document_tokens: Option<usize>,
    /// The token that marks a query; empty for none.
    pub query_marker: Option<String>,
    /// The token that marks a document; empty for none.
    pub document_marker: Option<String>,
    /// Whether queries are filled up with mask tokens.
    pub expand: Option<bool>,
    /// Whether a query's tokens attend to those that fill it up.
    pub attend_to_expansion: Option<bool>,
    /// Whether a document's punctuation makes no vectors.
    pub skip_punctuation: Option<bool>,
}

impl TokenSpec {
    /// The model as its own files say.
    #[must_use]
    pub fn new(source: ModelSource) -> Self {
        Self {
            source,
            file: None,
            query_tokens: None,
            document_tokens: None,
            query_marker: None,
            document_marker: None,
            expand: None,
            attend_to_expansion: None,
            skip_punctuation: None,
        }
    }
}

/// A model that makes a vector of length 1 for each token of a text: row after row of
/// [`TokenEncoder::dim`] numbers.
#[derive(Debug)]
pub struct TokenEncoder {
    name: String,
    model: TextModel,
    output: String,
    config: LateConfig,
    frame: Frame,
    dim: usize,
    max_batch_tokens: usize,
}

impl TokenEncoder {
    /// Loads it and runs it once, so that what does not fit is told now and not by the first query.
    pub(crate) fn open(compute: &Compute, spec: &TokenSpec) -> Result<Self> {
        let files = files(compute, &spec.source, spec.file.as_deref())?;
        let longest = spec.query_tokens.max(spec.document_tokens);
        let usual = positions_limit(&spec.source, &files, None, USUAL_TOKENS)?;
        let asked = longest.map(|longest| longest.max(usual));
        let max_tokens = positions_limit(&spec.source, &files, asked, usual)?;
        let model = compute.text_model(&files, max_tokens, &[])?;
        let at = |why: Error| why.at(format_args!("model `{}`", spec.source));
        let config = LateConfig::read(&files, spec, model.tokenizer(), max_tokens).map_err(at)?;
        let names = [
            "contextual",
            "token_embeddings",
            "last_hidden_state",
            "logits",
        ];
        let mut encoder = Self {
            name: name(&spec.source, &files),
            output: output(model.graph(), &names)?,
            frame: Frame::of(model.tokenizer()).map_err(at)?,
            model,
            config,
            dim: 0,
            max_batch_tokens: compute.max_batch_tokens(),
        };
        encoder.warm_up()?;
        Ok(encoder)
    }

    /// How many numbers the vector of a token has.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// The longest document that it reads, in tokens.
    #[must_use]
    pub fn document_tokens(&self) -> usize {
        self.config.document_tokens
    }

    /// A query as the model reads it: marked, cut, filled up.
    ///
    /// # Errors
    /// When the tokenizer fails.
    pub fn query(&self, text: &str) -> Result<Tokens> {
        let mut tokens = self.framed(text, self.config.query_marker, self.config.query_tokens)?;
        if let Some(mask) = self.config.mask {
            let mut ids = tokens.ids.into_vec();
            ids.resize(self.config.query_tokens.max(ids.len()), mask);
            tokens.ids = ids.into();
        }
        Ok(tokens)
    }

    /// A document as the model reads it: marked and cut.
    ///
    /// # Errors
    /// When the tokenizer fails.
    pub fn document(&self, text: &str) -> Result<Tokens> {
        self.framed(
            text,
            self.config.document_marker,
            self.config.document_tokens,
        )
    }

    /// A document of any length as windows of `size` tokens, each marked and with the special tokens
    /// around it, which do not count; a window begins `stride` tokens after the one before. There is
    /// always one, and none lies wholly inside of another. A document's score is that of its best
    /// window.
    ///
    /// # Errors
    /// When a window is empty or longer than the model reads, or the tokenizer fails.
    pub fn windows(&self, text: &str, size: usize, stride: usize) -> Result<Vec<Tokens>> {
        let marker = self.config.document_marker;
        let around = self.frame.len() + usize::from(marker.is_some());
        let longest = self.model.max_tokens().saturating_sub(around);
        if size == 0 || size > longest || stride == 0 {
            return Err(Error::invalid(format!(
                "windows of {size} tokens every {stride} cannot be made; a window has 1 to {longest} \
                 tokens under model `{}`, and the next one begins at least 1 later",
                self.name
            )));
        }
        let most = stride.saturating_mul(MOST_WINDOWS - 1).saturating_add(size);
        let (ids, cut) = self.model.tokenizer().plain(text.trim(), most)?;
        let last = ids.len().saturating_sub(size).div_ceil(stride);
        let windows = (0..=last).map(|number| {
            let inside = ids.iter().skip(number * stride).take(size).copied();
            Tokens {
                ids: self.frame.around(marker, inside),
                cut: cut && number == last,
                ..Tokens::default()
            }
        });
        Ok(windows.collect())
    }

    fn framed(&self, text: &str, marker: Option<u32>, max: usize) -> Result<Tokens> {
        let around = self.frame.len() + usize::from(marker.is_some());
        let room = max.saturating_sub(around);
        let (ids, cut) = self.model.tokenizer().plain(text.trim(), room)?;
        Ok(Tokens {
            ids: self.frame.around(marker, ids),
            cut,
            ..Tokens::default()
        })
    }

    /// How many of a text's tokens are attended to: all but those that fill up a query.
    fn attended(&self, tokens: &Tokens) -> usize {
        let filling = |mask| {
            tokens
                .ids
                .iter()
                .rev()
                .take_while(|&&id| id == mask)
                .count()
        };
        match self
            .config
            .mask
            .filter(|_| !self.config.attend_to_expansion)
        {
            Some(mask) if self.is_query(tokens) => tokens.len() - filling(mask),
            _ => tokens.len(),
        }
    }

    /// A model that skips or fills up has markers, and no text can move the one at its place.
    fn is_query(&self, tokens: &Tokens) -> bool {
        let marker = self.config.query_marker;
        marker.is_some() && tokens.ids.get(self.frame.marker_at()).copied() == marker
    }

    fn warm_up(&mut self) -> Result<()> {
        let (query, document) = (self.query("warm")?, self.document("up")?);
        self.dim = {
            let padded = self.model.padded(&[&document]);
            let outputs = self.model.run_with(&padded, &[], &[&self.output])?;
            let rows = outputs.floats(0)?;
            match *rows.shape() {
                [texts, length, dim] if [texts, length] == padded.shape() && dim > 0 => dim,
                _ => {
                    return Err(misshapen(
                        self.model.graph(),
                        &rows,
                        "a vector for each token",
                    ));
                }
            }
        };
        for answer in self.rows(&[&query, &document])? {
            answer?;
        }
        Ok(())
    }

    fn rows(&self, batch: &[&Tokens]) -> Result<Vec<Result<Vec<f32>>>> {
        let mut padded = self.model.padded(batch);
        for (row, tokens) in batch.iter().enumerate() {
            padded.hide(row, self.attended(tokens));
        }
        let outputs = self.model.run_with(&padded, &[], &[&self.output])?;
        let vectors = outputs.floats(0)?;
        let [texts, length] = padded.shape();
        if vectors.shape() != [texts, length, self.dim] {
            return Err(misshapen(
                self.model.graph(),
                &vectors,
                "a vector for each token",
            ));
        }
        let texts = batch.iter().zip(vectors.rows());
        Ok(texts
            .map(|(tokens, rows)| self.finish(tokens, rows))
            .collect())
    }

    fn finish(&self, tokens: &Tokens, rows: &[f32]) -> Result<Vec<f32>> {
        let skipped: &[u32] = if self.is_query(tokens) {
            &[]
        } else {
            &self.config.skipped
        };
        let rows = tokens.ids.iter().zip(rows.chunks_exact(self.dim.max(1)));
        let kept = rows.filter(|(id, _)| skipped.binary_search(id).is_err());
        let mut vectors: Vec<f32> = kept.flat_map(|(_, row)| row).copied().collect();
        vectors
            .chunks_exact_mut(self.dim.max(1))
            .for_each(normalize);
        if vectors.iter().all(|value| value.is_finite()) {
            return Ok(vectors);
        }
        Err(Error::engine(format!(
            "model `{}` made a vector with numbers that are not finite of a text of {} tokens",
            self.name,
            tokens.len()
        )))
    }
}

impl Model for TokenEncoder {
    type Output = Vec<f32>;

    fn name(&self) -> &str {
        &self.name
    }

    fn max_batch_tokens(&self) -> usize {
        self.max_batch_tokens
    }

    fn load(&self) -> Option<Arc<dyn Load>> {
        self.model.graph().load()
    }

    fn run(&self, texts: &[Tokens], cancelled: &AtomicBool) -> Vec<Result<Vec<f32>>> {
        let calls = self.model.calls(self.max_batch_tokens);
        run_calls(texts, calls, cancelled, |batch| self.rows(batch))
    }
}
