//! A run measured against judgements, per topic and over all.

use std::collections::HashMap;
use std::sync::Arc;

use crate::values::JudgedTopic;
use crate::{Error, Measure, Qrels, Result, Run};

/// How to evaluate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvalOptions {
    /// The lowest grade that counts as relevant (trec_eval's `-l`), 1 unless told otherwise.
    pub relevance_level: u32,
    /// Whether a judged topic that the run does not have counts with 0 for every measure
    /// (trec_eval's `-c`). True unless told otherwise, which trec_eval's own default is not: a
    /// system that fails on hard topics must not look better for it.
    pub complete: bool,
    /// Whether scores are compared as 32-bit numbers, as trec_eval did before version 10 (and
    /// pytrec_eval does): scores closer than that tie, and are ordered by id. False unless told
    /// otherwise.
    pub single_precision: bool,
}

impl Default for EvalOptions {
    fn default() -> Self {
        Self {
            relevance_level: 1,
            complete: true,
            single_precision: false,
        }
    }
}

/// The measures of one topic.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicValues {
    /// The topic's id.
    pub topic: Arc<str>,
    /// Whether the run has this topic; otherwise the values are those of an empty ranking.
    pub in_run: bool,
    /// One value per measure, in [`Evaluation::measures`]' order.
    pub values: Vec<f64>,
}

/// What [`evaluate`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// The measures, in the order in which they were asked for.
    pub measures: Vec<Measure>,
    /// The evaluated topics, in the judgements' order.
    pub topics: Vec<TopicValues>,
    /// One value per measure over all evaluated topics: the sum of counts, the mean of the rest.
    pub overall: Vec<f64>,
    /// Judged topics that the run does not have, whether they count or not.
    pub missing: Vec<Arc<str>>,
    /// Topics of the run without judgements; they count nowhere.
    pub unjudged: Vec<Arc<str>>,
}

impl Evaluation {
    /// The value over all topics of a measure that was asked for.
    #[must_use]
    pub fn overall(&self, measure: Measure) -> Option<f64> {
        let place = self.measures.iter().position(|asked| *asked == measure)?;
        self.overall.get(place).copied()
    }

    /// The value for one topic of a measure that was asked for.
    #[must_use]
    pub fn value(&self, topic: &str, measure: Measure) -> Option<f64> {
        let place = self.measures.iter().position(|asked| *asked == measure)?;
        self.topics
            .iter()
            .find(|found| &*found.topic == topic)?
            .values
            .get(place)
            .copied()
    }
}

/// Measures `run` against `qrels`.
///
/// # Errors
/// [`Error::NothingToEvaluate`] when no topic is in both.
pub fn evaluate(
    qrels: &Qrels,
    run: &Run,
    measures: &[Measure],
    options: &EvalOptions,
) -> Result<Evaluation> {
    let mut topics = Vec::with_capacity(qrels.len());
    let mut missing = Vec::new();
    let none = HashMap::new();
    for topic in qrels.topics() {
        let entries = run.entries(topic);
        if entries.is_none() {
            missing.push(Arc::clone(topic));
            if !options.complete {
                continue;
            }
        }
        let grades = qrels.grades(topic).unwrap_or(&none);
        let judged = JudgedTopic::new(grades, entries.unwrap_or_default(), options);
        topics.push(TopicValues {
            topic: Arc::clone(topic),
            in_run: entries.is_some(),
            values: measures
                .iter()
                .map(|measure| judged.value(*measure))
                .collect(),
        });
    }
    if missing.len() == qrels.len() {
        return Err(Error::NothingToEvaluate);
    }
    let overall = measures.iter().enumerate().map(|(place, measure)| {
        let sum: f64 = topics
            .iter()
            .filter_map(|topic| topic.values.get(place))
            .sum();
        if measure.is_count() {
            sum
        } else {
            sum / topics.len() as f64
        }
    });
    Ok(Evaluation {
        measures: measures.to_vec(),
        overall: overall.collect(),
        missing,
        unjudged: run
            .topics()
            .iter()
            .filter(|found| qrels.grades(&found.topic).is_none())
            .map(|found| Arc::clone(&found.topic))
            .collect(),
        topics,
    })
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn overall(
        qrels: &'static str,
        run: &'static str,
        measure: &str,
        options: &EvalOptions,
    ) -> f64 {
        let qrels = Qrels::from_reader("qrels", Cursor::new(qrels)).unwrap();
        let run = Run::from_reader("run", Cursor::new(run)).unwrap();
        let measure = measure.parse().unwrap();
        evaluate(&qrels, &run, &[measure], options)
            .unwrap()
            .overall(measure)
            .unwrap()
    }

    const QRELS: &str = "1 0 a 1\n1 0 b 0\n2 0 a 2\n";

    #[test]
    fn a_topic_that_the_run_misses_counts_with_zero_unless_told_otherwise() {
        let run = "1 Q0 a 1 1.0 s\n9 Q0 a 1 1.0 s\n";
        let complete = EvalOptions::default();
        let partial = EvalOptions {
            complete: false,
            ..EvalOptions::default()
        };
        assert_eq!(overall(QRELS, run, "map", &complete), 0.5);
        assert_eq!(overall(QRELS, run, "num_q", &complete), 2.0);
        assert_eq!(overall(QRELS, run, "num_rel", &complete), 2.0);
        assert_eq!(overall(QRELS, run, "map", &partial), 1.0);
        assert_eq!(overall(QRELS, run, "num_q", &partial), 1.0);
        assert_eq!(overall(QRELS, run, "num_rel", &partial), 1.0);
    }

    #[test]
    fn missing_and_unjudged_topics_are_named() {
        let qrels = Qrels::from_reader("qrels", Cursor::new(QRELS)).unwrap();
        let run = Run::from_reader("run", Cursor::new("1 Q0 a 1 1 s\n9 Q0 a 1 1 s\n")).unwrap();
        let found = evaluate(&qrels, &run, &[Measure::Map], &EvalOptions::default()).unwrap();
        assert_eq!(found.missing, ["2".into()]);
        assert_eq!(found.unjudged, ["9".into()]);
        assert_eq!(found.value("1", Measure::Map), Some(1.0));
        assert_eq!(found.value("2", Measure::Map), Some(0.0));
        assert_eq!(found.value("2", Measure::Bpref), None);
        assert!(found.topics[0].in_run && !found.topics[1].in_run);
    }

    #[test]
    fn no_common_topic_is_an_error_and_not_a_zero() {
        let qrels = Qrels::from_reader("qrels", Cursor::new(QRELS)).unwrap();
        let run = Run::from_reader("run", Cursor::new("q1 Q0 a 1 1 s\n")).unwrap();
        for (qrels, run) in [
            (&qrels, &run),
            (&qrels, &Run::default()),
            (&Qrels::default(), &run),
        ] {
            let error = evaluate(qrels, run, &[Measure::Map], &EvalOptions::default()).unwrap_err();
            assert!(matches!(error, Error::NothingToEvaluate), "{error}");
        }
    }

    #[test]
    fn ties_go_to_the_larger_id_and_ranks_are_ignored() {
        let run = "1 Q0 a 1 1.0 s\n1 Q0 b 2 1.0 s\n";
        assert_eq!(
            overall("1 0 a 1\n", run, "mrr", &EvalOptions::default()),
            0.5
        );
        let run = "1 Q0 a 7 1.0 s\n1 Q0 b 1 0.5 s\n";
        assert_eq!(
            overall("1 0 a 1\n", run, "mrr", &EvalOptions::default()),
            1.0
        );
    }

    #[test]
    fn single_precision_ties_what_is_nearer_than_that() {
        let run = "1 Q0 a 1 1.000000001 s\n1 Q0 b 2 1.0 s\n";
        let single = EvalOptions {
            single_precision: true,
            ..EvalOptions::default()
        };
        assert_eq!(
            overall("1 0 a 1\n", run, "mrr", &EvalOptions::default()),
            1.0
        );
        assert_eq!(overall("1 0 a 1\n", run, "mrr", &single), 0.5);
    }

    #[test]
    fn the_relevance_level_moves_what_counts_but_not_ndcg() {
        let qrels = "1 0 a 1\n1 0 b 2\n";
        let run = "1 Q0 a 1 2.0 s\n1 Q0 b 2 1.0 s\n";
        let two = EvalOptions {
            relevance_level: 2,
            ..EvalOptions::default()
        };
        assert_eq!(overall(qrels, run, "mrr", &two), 0.5);
        assert_eq!(overall(qrels, run, "num_rel", &two), 1.0);
        let ndcg = overall(qrels, run, "ndcg", &EvalOptions::default());
        assert!(ndcg < 1.0);
        assert_eq!(overall(qrels, run, "ndcg", &two), ndcg);
    }

    #[test]
    fn a_topic_without_anything_relevant_is_zero_not_nan() {
        for measure in [
            "map", "ndcg", "ndcg@5", "bpref", "Rprec", "R@5", "mrr", "P@5",
        ] {
            let value = overall(
                "1 0 a 0\n1 0 b -1\n",
                "1 Q0 a 1 2 s\n",
                measure,
                &EvalOptions::default(),
            );
            assert_eq!(value, 0.0, "{measure}");
        }
    }
}
