//! Rerankers that are asked whether a passage answers a query, and are read by how much more likely
//! "yes" is than "no" as their first word.
//!
//! Sequence-to-sequence models as monoT5 (Nogueira et al., 2020) and mT5, and causal ones as
//! Qwen3-Reranker. One step of generation is all that is done, so no keys and values are kept.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use routir_core::{Error, Load, Result};

use super::causal::Causal;
use super::common::{batch_tokens, files, finite, misshapen, name, positions_limit};
use super::seq2seq::{self, Seq2Seq};
use super::template::Template;
use crate::calls::run_calls;
use crate::compute::Compute;
use crate::presets::{RETRIEVAL_TASK, yes_no_preset};
use crate::{Graph, Model, ModelSource, TensorView, TextModel, TextTokenizer, Tokens};

/// What monoT5 is asked.
const ASK_SEQ2SEQ: &str = "Query: {query} Document: {document} Relevant:";
/// What Qwen3-Reranker is asked, and what stands before and after it.
const ASK_CAUSAL: &str = "<Instruct>: {instruction}\n<Query>: {query}\n<Document>: {document}";
const BEFORE_CAUSAL: &str = "<|im_start|>system\nJudge whether the Document meets the requirements \
    based on the Query and the Instruct provided. Note that the answer can only be \"yes\" or \
    \"no\".<|im_end|>\n<|im_start|>user\n";
const AFTER_CAUSAL: &str = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n";

/// The most tokens that are read when nobody says: RoutIR's 180 of a query, 512 of a passage and 9
/// around them, and its 8192 of Qwen3-Reranker.
const SEQ2SEQ_TOKENS: usize = 701;
const CAUSAL_TOKENS: usize = 8192;

/// How a reranker of this kind speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum YesNoKind {
    /// It reads with an encoder and answers with a decoder.
    Seq2Seq,
    /// It goes on where the text ends.
    Causal,
}

/// What is answered of the two words' chances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum YesNoScore {
    /// That of "yes" among both, between 0 and 1.
    Probability,
    /// Its logarithm, at most 0.
    LogProbability,
    /// How much the score of "yes" is above that of "no": the same order, and high ones do not become
    /// equal.
    Difference,
}

/// Which reranker, and how it is asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct YesNoSpec {
    /// Where it comes from.
    pub source: ModelSource,
    /// How it speaks.
    pub kind: YesNoKind,
    /// The graph's file in there; otherwise the first of [`crate::GRAPH_FILES`], or encoder and
    /// decoder as optimum names them.
    pub file: Option<String>,
    /// The most tokens of query, passage and all that is around them; otherwise RoutIR's 701 for
    /// sequence-to-sequence models and 8192 for causal ones, at most the model's positions.
    pub max_tokens: Option<usize>,
    /// What it is asked, with `{query}`, `{document}` and, if it has it, `{instruction}`.
    pub template: Option<String>,
    /// What the task is, for templates that say it.
    pub instruction: Option<String>,
    /// What stands before the template, special tokens included.
    pub before: Option<String>,
    /// What stands after it.
    pub after: Option<String>,
    /// The token for "no"; otherwise by the model's name.
    pub no: Option<String>,
    /// The token for "yes"; otherwise by the model's name.
    pub yes: Option<String>,
    /// What is answered.
    pub score: YesNoScore,
}

impl YesNoSpec {
    /// The model as it is usually asked, and as RoutIR reads it: log probabilities of
    /// sequence-to-sequence models, probabilities of causal ones.
    #[must_use]
    pub fn new(source: ModelSource, kind: YesNoKind) -> Self {
        Self {
            source,
            kind,
            file: None,
            max_tokens: None,
            template: None,
            instruction: None,
            before: None,
            after: None,
            no: None,
            yes: None,
            score: match kind {
                YesNoKind::Seq2Seq => YesNoScore::LogProbability,
                YesNoKind::Causal => YesNoScore::Probability,
            },
        }
    }
}

/// The id of a word in the vocabulary.
pub(super) type Word = u32;

/// A model that can be asked for its first word.
pub(super) trait FirstWord: fmt::Debug + Send + Sync {
    fn model(&self) -> &TextModel;

    /// For each text the scores of the two words as the next one.
    fn scores(&self, batch: &[&Tokens], words: [Word; 2]) -> Result<Vec<[f32; 2]>>;

    /// How many numbers a run answers for each token; 0 when not for each.
    fn width(&self) -> usize;
}

/// A reranker that says yes or no.
#[derive(Debug)]
pub struct YesNoScorer {
    name: String,
    net: Box<dyn FirstWord>,
    template: Template,
    before: Vec<u32>,
    after: Vec<u32>,
    /// Whether the tokenizer's own special tokens go around the template.
    framed: bool,
    max_tokens: usize,
    no_yes: [Word; 2],
    score: YesNoScore,
    max_batch_tokens: usize,
}

impl YesNoScorer {
    /// Loads it and runs it once, so that what does not fit is told now and not by the first query.
    pub(crate) fn open(compute: &Compute, spec: &YesNoSpec) -> Result<Self> {
        let file = spec.file.as_deref();
        let (files, usual) = match spec.kind {
            YesNoKind::Seq2Seq => (seq2seq::files(compute, &spec.source, file)?, SEQ2SEQ_TOKENS),
            YesNoKind::Causal => (files(compute, &spec.source, file)?, CAUSAL_TOKENS),
        };
        let max_tokens = positions_limit(&spec.source, &files, spec.max_tokens, usual)?;
        let net: Box<dyn FirstWord> = match spec.kind {
            YesNoKind::Seq2Seq => Box::new(Seq2Seq::open(compute, &files, max_tokens)?),
            YesNoKind::Causal => Box::new(Causal::open(compute, &files, max_tokens)?),
        };
        let at = |why: Error| why.at(format_args!("model `{}`", spec.source));
        let (ask, before, after) = match spec.kind {
            YesNoKind::Seq2Seq => (ASK_SEQ2SEQ, "", ""),
            YesNoKind::Causal => (ASK_CAUSAL, BEFORE_CAUSAL, AFTER_CAUSAL),
        };
        let ask = spec.template.as_deref().unwrap_or(ask);
        let ask = ask.replace(
            "{instruction}",
            spec.instruction.as_deref().unwrap_or(RETRIEVAL_TASK),
        );
        let tokenizer = net.model().tokenizer();
        let plain = |text: &Option<String>, usual: &str| {
            let text = text.as_deref().unwrap_or(usual);
            tokenizer.plain(text, usize::MAX).map(|(ids, _)| ids)
        };
        let scorer = Self {
            name: name(&spec.source, &files),
            template: Template::parse(&ask).map_err(at)?,
            before: plain(&spec.before, before)?,
            after: plain(&spec.after, after)?,
            framed: spec.kind == YesNoKind::Seq2Seq,
            max_tokens,
            no_yes: words(tokenizer, spec).map_err(at)?,
            score: spec.score,
            max_batch_tokens: batch_tokens(compute, net.width()),
            net,
        };
        let pair = scorer.tokens("warm", "up").map_err(at)?;
        scorer.scores(&[&pair])?;
        Ok(scorer)
    }

    /// The question about a query and a passage as the model reads it. Of what is too long, the two
    /// texts are cut, the longer one first; what is around them stays.
    ///
    /// # Errors
    /// When the tokenizer fails, or there is no room for texts.
    pub fn tokens(&self, query: &str, passage: &str) -> Result<Tokens> {
        let around = self.before.len() + self.after.len();
        let room = self.max_tokens.saturating_sub(around);
        let tokenizer = self.net.model().tokenizer();
        let (inside, cut) = self
            .template
            .fill(tokenizer, query, passage, room, self.framed)?;
        let ids = self.before.iter().chain(&inside).chain(&self.after);
        Ok(Tokens {
            ids: ids.copied().collect(),
            cut,
            ..Tokens::default()
        })
    }

    fn scores(&self, batch: &[&Tokens]) -> Result<Vec<Result<f32>>> {
        let scores = self.net.scores(batch, self.no_yes)?;
        let scores = scores.into_iter().map(|[no, yes]| match self.score {
            YesNoScore::Difference => yes - no,
            YesNoScore::Probability => 1.0 / (1.0 + (no - yes).exp()),
            YesNoScore::LogProbability => -softplus(no - yes),
        });
        Ok(scores.map(finite).collect())
    }
}

impl Model for YesNoScorer {
    type Output = f32;

    fn name(&self) -> &str {
        &self.name
    }

    fn max_batch_tokens(&self) -> usize {
        self.max_batch_tokens
    }

    fn load(&self) -> Option<Arc<dyn Load>> {
        self.net.model().graph().load()
    }

    fn run(&self, texts: &[Tokens], cancelled: &AtomicBool) -> Vec<Result<f32>> {
        let calls = self.net.model().calls(self.max_batch_tokens);
        run_calls(texts, calls, cancelled, |batch| self.scores(batch))
    }
}

/// The ids of "no" and "yes".
fn words(tokenizer: &TextTokenizer, spec: &YesNoSpec) -> Result<[Word; 2]> {
    let usual = match spec.kind {
        YesNoKind::Seq2Seq => yes_no_preset(&spec.source.to_string()),
        YesNoKind::Causal => Some(["no", "yes"]),
    };
    let [no, yes] = match (&spec.no, &spec.yes, usual) {
        (Some(no), Some(yes), _) => [no.as_str(), yes.as_str()],
        (None, None, Some(usual)) => usual,
        _ => {
            return Err(Error::invalid(
                "which tokens mean no and yes is not known of this model; set both, such as `▁false` \
                 and `▁true`",
            ));
        }
    };
    let id = |token: &str| {
        let id = tokenizer.id(token);
        id.ok_or_else(|| Error::invalid(format!("its vocabulary has no token `{token}`")))
    };
    Ok([id(no)?, id(yes)?])
}

/// The scores of two words, of each text at its own column.
pub(super) fn two_scores(
    graph: &Graph,
    scores: &TensorView<'_>,
    columns: &[usize],
    words: [Word; 2],
) -> Result<Vec<[f32; 2]>> {
    let width = match *scores.shape() {
        [_, width] | [_, _, width] => width,
        _ => 0,
    };
    let wanted = "a score for each token of the vocabulary";
    let texts = scores.rows().zip(columns).map(|(row, &column)| {
        let row = row.get(column * width..(column + 1) * width)?;
        let [no, yes] = words.map(|word| row.get(usize::try_from(word).ok()?).copied());
        Some([no?, yes?])
    });
    let texts: Option<Vec<[f32; 2]>> = texts.collect();
    texts
        .filter(|texts| texts.len() == columns.len())
        .ok_or_else(|| misshapen(graph, scores, wanted))
}

/// ln(1 + eˣ) without overflow.
fn softplus(x: f32) -> f32 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_of_chances_hold_for_scores_of_any_size() {
        assert_eq!(softplus(-200.0), 0.0);
        assert_eq!(softplus(200.0), 200.0);
        assert!((softplus(0.0) - 2.0_f32.ln()).abs() < 1e-7);
    }
}
