//! The measures of one topic.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::num::NonZeroU32;

use routir_core::DocId;

use crate::{EvalOptions, Measure, RunEntry};

/// A topic's ranking as its judgements see it.
pub(crate) struct JudgedTopic {
    /// The grade at each rank; `None` where there is no judgement, which a negative grade is too.
    ranked: Vec<Option<u32>>,
    /// The grades above 0 of all judged documents, best first.
    ideal: Vec<u32>,
    level: u32,
    relevant: usize,
    judged_not_relevant: usize,
}

impl JudgedTopic {
    pub(crate) fn new(
        grades: &HashMap<DocId, i32>,
        entries: &[RunEntry],
        options: &EvalOptions,
    ) -> Self {
        let level = options.relevance_level;
        let mut order: Vec<&RunEntry> = entries.iter().collect();
        order.sort_unstable_by(|a, b| trec_eval_order(a, b, options.single_precision));
        let grade = |entry: &&RunEntry| grades.get(&entry.doc).and_then(|g| u32::try_from(*g).ok());
        let judged = || {
            grades
                .values()
                .filter_map(|grade| u32::try_from(*grade).ok())
        };
        let mut ideal: Vec<u32> = judged().filter(|grade| *grade > 0).collect();
        ideal.sort_unstable_by(|a, b| b.cmp(a));
        Self {
            ranked: order.iter().map(grade).collect(),
            ideal,
            level,
            relevant: judged().filter(|grade| *grade >= level).count(),
            judged_not_relevant: judged().filter(|grade| *grade < level).count(),
        }
    }

    pub(crate) fn value(&self, measure: Measure) -> f64 {
        match measure {
            Measure::NumQ => 1.0,
            Measure::NumRet => self.ranked.len() as f64,
            Measure::NumRel => self.relevant as f64,
            Measure::NumRelRet => self.found(self.ranked.len()) as f64,
            Measure::Map => self.average_precision(self.ranked.len()),
            Measure::MapCut(k) => self.average_precision(cut(k)),
            Measure::Rprec => ratio(self.found(self.relevant) as f64, self.relevant),
            Measure::Bpref => self.bpref(),
            Measure::RecipRank => self.reciprocal_rank(self.ranked.len()),
            Measure::RecipRankCut(k) => self.reciprocal_rank(cut(k)),
            Measure::P(k) => self.found(cut(k)) as f64 / f64::from(k.get()),
            Measure::Recall(k) => ratio(self.found(cut(k)) as f64, self.relevant),
            Measure::Success(k) => f64::from(u8::from(self.found(cut(k)) > 0)),
            Measure::Ndcg => self.ndcg(usize::MAX),
            Measure::NdcgCut(k) => self.ndcg(cut(k)),
        }
    }

    fn is_relevant(&self, grade: &Option<u32>) -> bool {
        grade.is_some_and(|grade| grade >= self.level)
    }

    /// The ranks of the relevant documents among the first `k`, from 1.
    fn relevant_ranks(&self, k: usize) -> impl Iterator<Item = usize> {
        let ranks = self.ranked.iter().take(k).zip(1..);
        ranks
            .filter(|(grade, _)| self.is_relevant(grade))
            .map(|(_, rank)| rank)
    }

    fn found(&self, k: usize) -> usize {
        self.relevant_ranks(k).count()
    }

    fn average_precision(&self, k: usize) -> f64 {
        let precisions = self.relevant_ranks(k).zip(1u32..);
        ratio(
            precisions
                .map(|(rank, found)| f64::from(found) / rank as f64)
                .fold(0.0, |sum, precision| sum + precision),
            self.relevant,
        )
    }

    fn reciprocal_rank(&self, k: usize) -> f64 {
        self.relevant_ranks(k)
            .next()
            .map_or(0.0, |rank| 1.0 / rank as f64)
    }

    fn ndcg(&self, k: usize) -> f64 {
        let gained = dcg(self.ranked.iter().map(|grade| grade.unwrap_or(0)), k);
        let ideal = dcg(self.ideal.iter().copied(), k);
        if ideal > 0.0 { gained / ideal } else { 0.0 }
    }

    fn bpref(&self) -> f64 {
        let most = self.judged_not_relevant.min(self.relevant);
        let mut above = 0usize;
        let mut sum = 0.0;
        for grade in &self.ranked {
            match grade {
                None => {}
                Some(grade) if *grade < self.level => above += 1,
                Some(_) if above == 0 => sum += 1.0,
                Some(_) => sum += 1.0 - above.min(self.relevant) as f64 / most as f64,
            }
        }
        ratio(sum, self.relevant)
    }
}

/// Score descending, then document id descending, as trec_eval sorts.
fn trec_eval_order(a: &RunEntry, b: &RunEntry, single_precision: bool) -> Ordering {
    let scores = if single_precision {
        (b.score as f32).partial_cmp(&(a.score as f32))
    } else {
        b.score.partial_cmp(&a.score)
    };
    // Scores are finite, so they compare; -0.0 and 0.0 are equal, as they are to trec_eval.
    scores
        .unwrap_or(Ordering::Equal)
        .then_with(|| b.doc.cmp(&a.doc))
}

fn cut(k: NonZeroU32) -> usize {
    usize::try_from(k.get()).unwrap_or(usize::MAX)
}

fn dcg(grades: impl Iterator<Item = u32>, k: usize) -> f64 {
    let ranks = grades.take(k).zip(1u32..);
    ranks
        .filter(|(grade, _)| *grade > 0)
        .map(|(grade, rank)| f64::from(grade) / f64::from(rank + 1).log2())
        // Not `sum`: of nothing, that is -0.0.
        .fold(0.0, |sum, gain| sum + gain)
}

/// 0 where there is nothing to divide by, as trec_eval has it.
fn ratio(part: f64, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part / whole as f64 }
}
