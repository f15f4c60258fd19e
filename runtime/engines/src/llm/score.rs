//! How relevant a passage is: how much more likely the model begins its answer with one word than with
//! another.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use futures_util::future::join_all;
use routir_core::{
    Batching, BoxFuture, Error, ParamsSpec, Result, ScoreEngine, ScoreRequest, shorten,
};
use routir_remote::openai::{ChatRequest, TopToken};

use super::Llm;
use super::prompts::{PROMPT_BYTES, word};
use crate::api::ApiQueue;
use crate::template::Template;

/// What RoutIR takes as the log probability of a word that is not among the likeliest tokens.
const ABSENT: f64 = -10.0;

/// A query and a passage.
pub(super) struct ScoreJob {
    template: Arc<Template>,
    query: Arc<str>,
    passage: Arc<str>,
}

/// What the model says of a passage.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    /// Between 0 and 1.
    Score(f64),
    /// Neither of the words is among the likeliest tokens, which begin with this one.
    Neither(String),
}

impl Llm {
    /// Asks the model about one passage.
    pub(super) async fn ask(
        self: &Arc<Self>,
        job: &Arc<ScoreJob>,
        deadline: Option<Instant>,
    ) -> Result<Verdict> {
        let prompt = {
            let (llm, job) = (Arc::clone(self), Arc::clone(job));
            let bytes = job.passage.len();
            let read = move || llm.prompt(&job);
            self.pool.read(bytes, read).await??
        };
        let request = ChatRequest {
            model: &self.model,
            prompt: &prompt,
            more: &self.score_body,
        };
        let answer = self.client.chat(&request, deadline).await?;
        let first = answer.first.ok_or_else(|| {
            Error::engine(
                "the server answers without log probabilities, of which scores are made; use a \
                 server and model that have them (`logprobs`, `top_logprobs`)",
            )
        })?;
        Ok(verdict(&first, &self.prompts.yes, &self.prompts.no))
    }

    fn prompt(&self, job: &ScoreJob) -> Result<String> {
        let passage = self.documents.cut(&job.passage)?;
        let values = [&*job.query, passage, &self.prompts.yes, &self.prompts.no];
        job.template.fill_within(&values, PROMPT_BYTES)
    }
}

/// p(yes) / (p(yes) + p(no)). Tokens that differ from a word only in case or in white space around them
/// count for it together. A word that is not there counts as e⁻¹⁰, or as the least likely token that is
/// there if that is less: it can be no likelier than that.
fn verdict(tokens: &[TopToken], yes: &str, no: &str) -> Verdict {
    let mut words: BTreeMap<String, f64> = BTreeMap::new();
    for token in tokens {
        *words.entry(word(&token.token)).or_default() += token.logprob.exp();
    }
    let least = tokens
        .iter()
        .map(|token| token.logprob)
        .fold(ABSENT, f64::min);
    let (yes, no) = (words.get(&word(yes)), words.get(&word(no)));
    if yes.is_none() && no.is_none() {
        let likeliest = tokens.iter().max_by(|a, b| a.logprob.total_cmp(&b.logprob));
        return Verdict::Neither(likeliest.map_or_else(String::new, |it| it.token.clone()));
    }
    let (yes, no) = (
        yes.copied().unwrap_or_else(|| least.exp()),
        no.copied().unwrap_or_else(|| least.exp()),
    );
    if yes + no > 0.0 {
        Verdict::Score(yes / (yes + no))
    } else {
        // Both too unlikely to be told apart.
        Verdict::Score(0.5)
    }
}

/// As a scorer.
pub(super) struct Scorer {
    pub(super) llm: Arc<Llm>,
    pub(super) queue: ApiQueue<Arc<ScoreJob>, Verdict>,
    pub(super) params: ParamsSpec,
}

impl Scorer {
    async fn answer(&self, request: ScoreRequest) -> Result<Vec<f64>> {
        let template = self.llm.prompts.score(&request.params)?;
        let job = |passage: Arc<str>| {
            let job = ScoreJob {
                template: Arc::clone(&template),
                query: Arc::clone(&request.query),
                passage,
            };
            (Arc::new(job), 1)
        };
        let passages = request.passages.into_texts()?;
        let jobs = passages.into_iter().map(job).collect();
        let verdicts = self.queue.run(&request.context, jobs).await?;
        self.scores(verdicts)
    }

    /// A passage of which the model says neither word is in the middle, as in RoutIR. Where it says
    /// neither of any, it was not understood, and there is no score.
    fn scores(&self, verdicts: Vec<Verdict>) -> Result<Vec<f64>> {
        let said = verdicts.iter().find_map(|verdict| match verdict {
            Verdict::Neither(token) => Some(token.trim()),
            Verdict::Score(_) => None,
        });
        if let Some(said) = said.map(shorten) {
            let prompts = &self.llm.prompts;
            let neither = |it: &&Verdict| matches!(it, Verdict::Neither(_));
            let count = verdicts.iter().filter(neither).count();
            if count == verdicts.len() {
                return Err(Error::engine(format!(
                    "the model begins its answers with neither `{}` nor `{}` (but with `{said}`): \
                     the prompt must make it answer with one of them at once, and a model that \
                     reasons first must be told not to (`request_kwargs`)",
                    prompts.yes, prompts.no
                )));
            }
            tracing::warn!(count, %said, "the model answers neither word of some passages: 0.5");
        }
        let score = |verdict| match verdict {
            Verdict::Score(score) => score,
            Verdict::Neither(_) => 0.5,
        };
        Ok(verdicts.into_iter().map(score).collect())
    }
}

impl ScoreEngine for Scorer {
    fn score(&self, batch: Vec<ScoreRequest>) -> BoxFuture<'_, Vec<Result<Vec<f64>>>> {
        Box::pin(join_all(
            batch.into_iter().map(|request| self.answer(request)),
        ))
    }

    fn params(&self) -> ParamsSpec {
        self.params.clone()
    }

    fn batching(&self) -> Batching {
        Batching::Inside
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(tokens: &[(&str, f64)]) -> Verdict {
        let tokens: Vec<_> = tokens
            .iter()
            .map(|(token, logprob)| TopToken {
                token: (*token).to_owned(),
                logprob: *logprob,
            })
            .collect();
        verdict(&tokens, "Yes", "No")
    }

    fn score(tokens: &[(&str, f64)]) -> f64 {
        match of(tokens) {
            Verdict::Score(score) => score,
            Verdict::Neither(said) => panic!("neither: {said}"),
        }
    }

    fn near(one: f64, other: f64) -> bool {
        (one - other).abs() < 1e-12
    }

    #[test]
    fn is_the_part_of_yes_in_both() {
        let (yes, no) = (0.6_f64, 0.2_f64);
        let given = [("Yes", yes.ln()), ("Maybe", -2.0), ("No", no.ln())];
        assert!(near(score(&given), 0.75));
    }

    #[test]
    fn what_differs_in_case_and_space_counts_together() {
        // RoutIR keeps the last of them: a token of nearly no probability in the place of the answer.
        let given = [
            ("Yes", 0.5_f64.ln()),
            (" yes", 0.1_f64.ln()),
            ("NO", 0.3_f64.ln()),
        ];
        assert!(near(score(&given), 0.6 / 0.9));
    }

    #[test]
    fn a_word_that_is_not_there_is_no_likelier_than_those_that_are() {
        let absent = (-10.0_f64).exp();
        assert!(near(
            score(&[("Yes", -0.1)]),
            (-0.1_f64).exp() / ((-0.1_f64).exp() + absent)
        ));
        // RoutIR would have the unlikely yes lose against the no that is not even there.
        let unlikely = score(&[("Hm", -0.01), ("yes", -12.0), ("x", -14.0)]);
        assert!(near(
            unlikely,
            (-12.0_f64).exp() / ((-12.0_f64).exp() + (-14.0_f64).exp())
        ));
        assert_eq!(score(&[("Yes", -9999.0), ("No", -9999.0)]), 0.5);
    }

    #[test]
    fn neither_is_no_score() {
        let said = of(&[("a", -3.0), ("<think>", -0.1)]);
        assert_eq!(said, Verdict::Neither("<think>".to_owned()));
        assert_eq!(of(&[]), Verdict::Neither(String::new()));
    }
}
