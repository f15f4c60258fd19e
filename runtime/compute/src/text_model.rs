//! A graph that reads texts: tokens in, padded to a rectangle; tensors out.

use std::sync::Arc;

use routir_core::{Error, Result};

use crate::calls::Calls;
use crate::generation::Past;
use crate::gpu::GpuWork;
use crate::graph::{Data, Feed, Graph, Left, Outputs};
use crate::tokenizer::TextTokenizer;
use crate::{OnnxRuntime, Tokens};

const IDS: &str = "input_ids";
const MASK: &str = "attention_mask";
const SEGMENTS: &str = "token_type_ids";
const POSITIONS: &str = "position_ids";

/// A graph with the tokenizer that it was trained with.
#[derive(Debug)]
pub struct TextModel {
    graph: Arc<Graph>,
    tokenizer: Arc<TextTokenizer>,
    max_tokens: usize,
    past: Past,
}

impl TextModel {
    /// Puts both together. `max_tokens` is the longest text that the model can read; `more` names the
    /// inputs beside those of a text that the caller feeds itself.
    ///
    /// # Errors
    /// When the graph reads no texts, or has an input that nobody feeds.
    pub fn new(
        graph: Arc<Graph>,
        tokenizer: Arc<TextTokenizer>,
        max_tokens: usize,
        more: &[&str],
    ) -> Result<Self> {
        let past = Past::of(&graph)?;
        let known = [IDS, MASK, SEGMENTS, POSITIONS];
        let unknown = graph.inputs().iter().map(|port| port.name()).find(|name| {
            !known.contains(name) && !more.contains(name) && !past.names().contains(name)
        });
        let wrong = match unknown {
            Some(name) => {
                format!("wants an input `{name}`, which this kind of model does not have")
            }
            None if graph.input(IDS).is_none() => format!("has no input `{IDS}`"),
            None if graph.longest().is_some_and(|longest| longest < max_tokens) => {
                return Err(Error::invalid(format!(
                    "the model `{}` reads texts of up to {max_tokens} tokens, and TensorRT builds for \
                     those of `length_buckets`, which end before; add {max_tokens} there, or have \
                     texts cut to what is there",
                    graph.path().display()
                )));
            }
            None => {
                return Ok(Self {
                    graph,
                    tokenizer,
                    max_tokens,
                    past,
                });
            }
        };
        Err(Error::invalid(format!(
            "the model `{}` {wrong}; export it for the task that it is used for here",
            graph.path().display()
        )))
    }

    /// The graph.
    #[must_use]
    pub fn graph(&self) -> &Arc<Graph> {
        &self.graph
    }

    /// The tokenizer.
    #[must_use]
    pub fn tokenizer(&self) -> &Arc<TextTokenizer> {
        &self.tokenizer
    }

    /// The longest text that the model can read, in tokens with the special ones.
    #[must_use]
    pub fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    /// What the graph wants of tokens before a text, of which there are none.
    pub(crate) fn past(&self) -> &Past {
        &self.past
    }

    /// The runtime that it runs in.
    #[must_use]
    pub fn runtime(&self) -> &OnnxRuntime {
        self.graph.runtime()
    }

    /// A text as the model reads it, cut to `max` tokens or the model's own length, whichever is
    /// less.
    ///
    /// # Errors
    /// As [`TextTokenizer::tokens`].
    pub fn tokens(&self, text: &str, max: usize) -> Result<Tokens> {
        self.tokenizer.tokens(text, max.min(self.max_tokens))
    }

    /// A pair of texts likewise.
    ///
    /// # Errors
    /// As [`TextTokenizer::pair`].
    pub fn pair(&self, first: &str, second: &str, max: usize) -> Result<Tokens> {
        self.tokenizer.pair(first, second, max.min(self.max_tokens))
    }

    /// Runs the graph once over these texts, the shorter ones padded at the end, and answers the named
    /// outputs, each with one row per text and, where it has them, one column per token of the
    /// longest.
    ///
    /// # Errors
    /// When the run fails.
    pub fn run_padded(&self, batch: &[&Tokens], outputs: &[&str]) -> Result<Outputs<'_>> {
        self.run_with(&self.padded(batch), &[], outputs)
    }

    /// Texts as the graph reads them, padded at the end: to the longest, or on a GPU to a shape that
    /// comes again.
    pub(crate) fn padded(&self, batch: &[&Tokens]) -> Padded {
        let longest = longest(batch);
        let shape = match self.graph.shape(batch.len(), longest, self.max_tokens) {
            Some(shape) => shape,
            None => [batch.len(), longest],
        };
        Padded::to(batch, self.tokenizer.pad(), shape)
    }

    /// How calls of texts are made, of at most `max_tokens` tokens.
    pub(crate) fn calls(&self, max_tokens: usize) -> Calls<'_> {
        let buckets = self.graph.buckets();
        Calls {
            max_tokens,
            threads: self.runtime().threads(),
            buckets: buckets.map(|buckets| (buckets, self.max_tokens)),
        }
    }

    /// As [`TextModel::run_with`], but the output stays on the GPU, for `then` to use.
    ///
    /// # Errors
    /// When the run fails, and those of `then`; also when the graph is on none.
    pub(crate) fn run_there<T: Send>(
        &self,
        texts: &Padded,
        output: &str,
        then: impl FnOnce(&mut dyn GpuWork, &Left<'_>) -> Result<T> + Send,
    ) -> Result<T> {
        let [count, _] = texts.shape();
        let caches = self.past.shapes(count);
        let mut feeds = texts.feeds(&self.graph);
        feeds.extend(self.past.feeds(&caches));
        self.graph
            .run_there(&feeds, &[output], |work, left| match left {
                [left] => then(work, left),
                _ => Err(Error::internal("a run left no output")),
            })
    }

    /// Runs the graph over padded texts and what else it is fed.
    ///
    /// # Errors
    /// When the run fails.
    pub fn run_with(
        &self,
        texts: &Padded,
        more: &[Feed<'_>],
        outputs: &[&str],
    ) -> Result<Outputs<'_>> {
        let [count, _] = texts.shape();
        let caches = self.past.shapes(count);
        let mut feeds = texts.feeds(&self.graph);
        feeds.extend(self.past.feeds(&caches));
        feeds.extend_from_slice(more);
        self.graph.run(&feeds, outputs)
    }
}

/// Texts as a rectangle of tokens, row by row, padded at the end.
#[derive(Clone, Debug)]
pub struct Padded {
    shape: [usize; 2],
    ids: Vec<i64>,
    mask: Vec<i64>,
    segments: Vec<i64>,
    positions: Vec<i64>,
}

impl Padded {
    /// Pads texts with `pad` to the longest.
    #[must_use]
    pub fn new(batch: &[&Tokens], pad: u32) -> Self {
        Self::to(batch, pad, [batch.len(), longest(batch)])
    }

    /// Pads texts with `pad` to so many rows of so many tokens, at least what they need. Rows that are
    /// no text attend to one token: where there is none to attend to, some graphs divide by zero.
    pub(crate) fn to(batch: &[&Tokens], pad: u32, [rows, width]: [usize; 2]) -> Self {
        let (rows, width) = (rows.max(batch.len()), width.max(longest(batch)));
        let size = rows * width;
        let (mut ids, mut mask) = (Vec::with_capacity(size), Vec::with_capacity(size));
        let mut segments = Vec::with_capacity(size);
        for tokens in batch {
            let end = ids.len() + width;
            ids.extend(tokens.ids.iter().map(|&id| i64::from(id)));
            mask.resize(ids.len(), 1);
            segments.extend(tokens.segments.iter().map(|&segment| i64::from(segment)));
            ids.resize(end, i64::from(pad));
            mask.resize(end, 0);
            segments.resize(end, 0);
        }
        for _ in batch.len()..rows {
            let end = ids.len() + width;
            mask.resize(ids.len() + width.min(1), 1);
            ids.resize(end, i64::from(pad));
            mask.resize(end, 0);
            segments.resize(end, 0);
        }
        let positions = (0..rows).flat_map(|_| (0_i64..).take(width)).collect();
        Self {
            shape: [rows, width],
            ids,
            mask,
            segments,
            positions,
        }
    }

    /// The same, padded at the beginnings.
    pub(crate) fn before(batch: &[&Tokens], pad: u32) -> Self {
        let mut padded = Self::new(batch, pad);
        let width = padded.shape[1];
        for (row, tokens) in batch.iter().enumerate() {
            let gap = width - tokens.len();
            let places = row * width..(row + 1) * width;
            for column in [&mut padded.ids, &mut padded.mask, &mut padded.segments] {
                if let Some(cells) = column.get_mut(places.clone()) {
                    cells.rotate_right(gap);
                }
            }
            let positions = std::iter::repeat_n(0, gap).chain(0..);
            let cells = padded.positions.get_mut(places).into_iter().flatten();
            for (cell, position) in cells.zip(positions) {
                *cell = position;
            }
        }
        padded
    }

    /// Lets nothing attend to the tokens of text `row` from number `from` on.
    pub(crate) fn hide(&mut self, row: usize, from: usize) {
        let width = self.shape[1];
        let cells = self
            .mask
            .get_mut(row * width + from.min(width)..(row + 1) * width);
        cells.into_iter().flatten().for_each(|cell| *cell = 0);
    }

    /// How many rows, and how many tokens each has with those that fill it up.
    #[must_use]
    pub fn shape(&self) -> [usize; 2] {
        self.shape
    }

    /// The tokens' ids.
    #[must_use]
    pub fn ids(&self) -> &[i64] {
        &self.ids
    }

    /// 1 for a token, 0 for padding.
    #[must_use]
    pub fn mask(&self) -> &[i64] {
        &self.mask
    }

    /// What of a text the graph has inputs for.
    #[must_use]
    pub fn feeds<'a>(&'a self, graph: &Graph) -> Vec<Feed<'a>> {
        let all = [
            (IDS, &self.ids),
            (MASK, &self.mask),
            (SEGMENTS, &self.segments),
            (POSITIONS, &self.positions),
        ];
        all.into_iter()
            .filter(|(name, _)| graph.input(name).is_some())
            .map(|(name, data)| Feed {
                name,
                shape: &self.shape,
                data: Data::Ints(data),
            })
            .collect()
    }
}

/// How many tokens the longest text has.
fn longest(batch: &[&Tokens]) -> usize {
    let lengths = batch.iter().map(|tokens| tokens.len());
    lengths.max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shorter_texts_are_filled_up_and_masked() {
        let tokens = |ids: &[u32], segments: &[u8]| Tokens {
            ids: ids.into(),
            segments: segments.into(),
            ..Tokens::default()
        };
        let (first, second) = (tokens(&[7, 8, 9], &[0, 1, 1]), tokens(&[5], &[]));
        let padded = Padded::new(&[&first, &second], 2);
        assert_eq!(padded.shape(), [2, 3]);
        assert_eq!(padded.ids(), [7, 8, 9, 5, 2, 2]);
        assert_eq!(padded.mask(), [1, 1, 1, 1, 0, 0]);
        assert_eq!(padded.segments, [0, 1, 1, 0, 0, 0]);
        assert_eq!(padded.positions, [0, 1, 2, 0, 1, 2]);
        assert_eq!(Padded::new(&[], 0).shape(), [0, 0]);
        let shaped = Padded::to(&[&second], 2, [2, 3]);
        assert_eq!(shaped.shape(), [2, 3]);
        assert_eq!(shaped.ids(), [5, 2, 2, 2, 2, 2]);
        assert_eq!(shaped.mask(), [1, 0, 0, 1, 0, 0]);
        assert_eq!(shaped.positions, [0, 1, 2, 0, 1, 2]);
        assert_eq!(Padded::to(&[&first], 2, [0, 0]).shape(), [1, 3]);
    }

    #[test]
    fn padding_may_come_first_and_tokens_may_be_hidden() {
        let tokens = |ids: &[u32]| Tokens {
            ids: ids.into(),
            ..Tokens::default()
        };
        let mut padded = Padded::before(&[&tokens(&[7, 8, 9]), &tokens(&[5])], 2);
        assert_eq!(padded.ids(), [7, 8, 9, 2, 2, 5]);
        assert_eq!(padded.mask(), [1, 1, 1, 0, 0, 1]);
        assert_eq!(padded.positions, [0, 1, 2, 0, 0, 0]);
        padded.hide(0, 1);
        padded.hide(1, 5);
        assert_eq!(padded.mask(), [1, 0, 0, 0, 0, 1]);
    }
}
