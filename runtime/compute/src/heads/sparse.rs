//! Learned sparse encoders: a masked language model whose scores of terms become their weights.
//!
//! SPLADE (Formal et al., 2021): a term's weight is the logarithm of one plus its highest positive
//! score over the tokens of the text. Models without inference for queries (OpenSearch's "doc"
//! models) weigh a query's own terms from a table instead.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use routir_core::{Error, Load, Result};
use serde::Deserialize;

use super::common::{batch_tokens, files, finite, limit, misshapen, name, output, width};
use crate::calls::run_calls;
use crate::compute::Compute;
use crate::files::ModelFiles;
use crate::{Model, ModelSource, TextModel, TextTokenizer, Tokens};

/// The longest text of a model whose files say nothing, or something larger.
const USUAL_TOKENS: usize = 512;

/// A query's weights of terms, by token.
const TABLE: &str = "idf.json";

/// Pairs of a token's id and its weight.
type Weights = Vec<(u32, f32)>;

/// Which learned sparse encoder, and how it is used.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SparseSpec {
    /// Where it comes from.
    pub source: ModelSource,
    /// The graph's file in there; otherwise the first of [`crate::GRAPH_FILES`].
    pub file: Option<String>,
    /// The longest text in tokens, special ones included; otherwise as the model's files say, at most
    /// 512.
    pub max_tokens: Option<usize>,
    /// How many terms a text keeps, those with the largest weights; otherwise all.
    pub max_terms: Option<usize>,
    /// Whether the logarithm is taken twice; otherwise as the model's files say.
    pub twice: Option<bool>,
}

impl SparseSpec {
    /// The model as its own files say.
    #[must_use]
    pub fn new(source: ModelSource) -> Self {
        Self {
            source,
            file: None,
            max_tokens: None,
            max_terms: None,
            twice: None,
        }
    }
}

/// A model that makes weights of terms of a text: pairs of a token's id and its weight, above 0, by
/// id.
#[derive(Debug)]
pub struct SparseEncoder {
    name: String,
    model: TextModel,
    output: String,
    twice: bool,
    max_terms: usize,
    table: Option<Vec<f32>>,
    max_batch_tokens: usize,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct SpladePooling {
    pooling_strategy: Option<String>,
    activation_function: Option<String>,
}

impl SparseEncoder {
    /// Loads it and runs it once, so that what does not fit is told now and not by the first query.
    pub(crate) fn open(compute: &Compute, spec: &SparseSpec) -> Result<Self> {
        let files = files(compute, &spec.source, spec.file.as_deref())?;
        let max_tokens = limit(&spec.source, &files, spec.max_tokens, USUAL_TOKENS)?;
        let model = compute.text_model(&files, max_tokens, &[])?;
        let output = output(model.graph(), &["logits", "sparse_embedding"])?;
        let pooling = pooling(&files)?;
        if pooling
            .pooling_strategy
            .as_deref()
            .is_some_and(|it| it != "max")
        {
            return Err(Error::invalid(format!(
                "model `{}` does not take the maximum over its tokens, which is the only way known here",
                spec.source
            )));
        }
        let encoder = Self {
            name: name(&spec.source, &files),
            twice: spec
                .twice
                .unwrap_or_else(|| pooling.activation_function.as_deref() == Some("log1p_relu")),
            max_terms: spec.max_terms.unwrap_or(usize::MAX),
            table: table(&files, model.tokenizer())?,
            max_batch_tokens: batch_tokens(compute, width(model.graph(), &output)),
            output,
            model,
        };
        let text = encoder.tokens("warm up")?;
        encoder.weights(&[&text])?;
        Ok(encoder)
    }

    /// A text as the model reads it.
    ///
    /// # Errors
    /// When the tokenizer fails.
    pub fn tokens(&self, text: &str) -> Result<Tokens> {
        self.model.tokens(text.trim(), usize::MAX)
    }

    /// The weights of a query under a model that computes nothing for queries; `None` when this one
    /// reads queries as it reads documents.
    ///
    /// # Errors
    /// When the tokenizer fails.
    pub fn table_query(&self, query: &str) -> Result<Option<Weights>> {
        let Some(table) = &self.table else {
            return Ok(None);
        };
        let most = self.model.max_tokens();
        let (mut ids, _) = self.model.tokenizer().plain(query.trim(), most)?;
        ids.sort_unstable();
        ids.dedup();
        let weight = |id: u32| Some((id, *table.get(usize::try_from(id).ok()?)?));
        let weights = ids.into_iter().filter_map(weight).filter(|it| it.1 > 0.0);
        Ok(Some(largest(weights.collect(), self.max_terms)))
    }

    /// The longest text that it reads, in tokens.
    #[must_use]
    pub fn max_tokens(&self) -> usize {
        self.model.max_tokens()
    }

    /// Whether it computes nothing for queries.
    #[must_use]
    pub fn has_table(&self) -> bool {
        self.table.is_some()
    }

    /// How many terms there are: ids are below. 0 when the graph does not say.
    #[must_use]
    pub fn terms(&self) -> usize {
        width(self.model.graph(), &self.output)
    }

    fn weights(&self, batch: &[&Tokens]) -> Result<Vec<Result<Weights>>> {
        let outputs = self.model.run_padded(batch, &[&self.output])?;
        let scores = outputs.floats(0)?;
        let width = match *scores.shape() {
            // Pooled in the graph.
            [_, _] => {
                let rows = scores.rows().take(batch.len());
                let rows = rows.map(|row| self.finish(row, |score| score));
                return Ok(rows.collect());
            }
            [_, _, width] if width > 0 => width,
            _ => {
                return Err(misshapen(
                    self.model.graph(),
                    &scores,
                    "a score for each token and term",
                ));
            }
        };
        let texts = batch.iter().zip(scores.rows());
        let pooled = texts.map(|(tokens, rows)| {
            let highest = highest(rows, tokens.len(), width);
            self.finish(&highest, |score| {
                let weight = score.max(0.0).ln_1p();
                if self.twice { weight.ln_1p() } else { weight }
            })
        });
        Ok(pooled.collect())
    }

    fn finish(&self, scores: &[f32], weigh: impl Fn(f32) -> f32) -> Result<Weights> {
        let mut weights = Vec::new();
        for (id, &score) in (0_u32..).zip(scores) {
            let weight = weigh(finite(score)?);
            if weight > 0.0 {
                weights.push((id, weight));
            }
        }
        Ok(largest(weights, self.max_terms))
    }
}

impl Model for SparseEncoder {
    type Output = Vec<(u32, f32)>;

    fn name(&self) -> &str {
        &self.name
    }

    fn max_batch_tokens(&self) -> usize {
        self.max_batch_tokens
    }

    fn load(&self) -> Option<Arc<dyn Load>> {
        self.model.graph().load()
    }

    fn run(&self, texts: &[Tokens], cancelled: &AtomicBool) -> Vec<Result<Self::Output>> {
        let calls = self.model.calls(self.max_batch_tokens);
        run_calls(texts, calls, cancelled, |batch| self.weights(batch))
    }
}

/// The highest score of each term over the first `count` tokens. What becomes a weight of it grows
/// with it, so it needs to be done once per term and not per token.
fn highest(rows: &[f32], count: usize, width: usize) -> Vec<f32> {
    let mut highest = vec![f32::NEG_INFINITY; width];
    for row in rows.chunks_exact(width.max(1)).take(count) {
        for (highest, &score) in highest.iter_mut().zip(row) {
            // Not `max`, which hides what is no number.
            if score > *highest || score.is_nan() {
                *highest = score;
            }
        }
    }
    highest
}

/// The `most` terms with the largest weights, by id.
fn largest(mut weights: Weights, most: usize) -> Weights {
    if most < weights.len() {
        weights.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        weights.truncate(most);
        weights.sort_unstable_by_key(|it| it.0);
    }
    weights
}

fn pooling(files: &ModelFiles) -> Result<SpladePooling> {
    for folder in ["1_SpladePooling", "document_1_SpladePooling"] {
        if let Some(pooling) = files.json(&format!("{folder}/config.json"))? {
            return Ok(pooling);
        }
    }
    Ok(SpladePooling::default())
}

/// The weights of terms for queries, by id.
fn table(files: &ModelFiles, tokenizer: &TextTokenizer) -> Result<Option<Vec<f32>>> {
    let Some(named) = files.json::<BTreeMap<String, f32>>(TABLE)? else {
        return Ok(None);
    };
    let mut table = Vec::new();
    for (token, weight) in named {
        if let Some(id) = tokenizer.id(&token).and_then(|id| usize::try_from(id).ok()) {
            finite(weight).map_err(|why| why.at(TABLE))?;
            if table.len() <= id {
                table.resize(id + 1, 0.0);
            }
            if let Some(place) = table.get_mut(id) {
                *place = weight;
            }
        }
    }
    Ok(Some(table))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_has_its_highest_score_over_the_text_and_no_padding() {
        let rows = [1.0, -5.0, 0.5, 3.0, 9.0, 9.0];
        assert_eq!(highest(&rows, 2, 2), [1.0, 3.0]);
        assert!(highest(&[1.0, f32::NAN], 2, 1)[0].is_nan());
    }

    #[test]
    fn the_largest_weights_stay_by_id() {
        let weights = vec![(1, 0.5), (4, 2.0), (6, 0.5), (9, 1.0)];
        assert_eq!(largest(weights.clone(), 3), [(1, 0.5), (4, 2.0), (9, 1.0)]);
        assert_eq!(largest(weights.clone(), 9), weights);
    }
}
