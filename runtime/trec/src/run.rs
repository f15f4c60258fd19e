//! A run: what a system returned for each topic.

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use routir_core::{DocId, Hit, Ranking};

use crate::lines::Lines;
use crate::results::parse_results;
use crate::run_io::parse_run_line;
use crate::{Error, Result};

/// One retrieved document.
#[derive(Clone, Debug, PartialEq)]
pub struct RunEntry {
    /// The document.
    pub doc: DocId,
    /// The rank that the file gives it. Information only: order comes from the scores.
    pub rank: u64,
    /// Its score: finite, higher is better.
    pub score: f64,
}

/// What was retrieved for one topic.
#[derive(Clone, Debug, PartialEq)]
pub struct RunTopic {
    /// The topic's id.
    pub topic: Arc<str>,
    /// The documents, in the file's order, each once.
    pub entries: Vec<RunEntry>,
}

impl RunTopic {
    /// The documents in this house's order: score descending, then document id ascending.
    ///
    /// # Errors
    /// [`routir_core::ErrorCode::EngineFailure`] for a score that is not finite, which no reader
    /// lets through.
    pub fn ranking(&self) -> routir_core::Result<Ranking> {
        let hit = |entry: &RunEntry| Hit {
            doc: entry.doc.clone(),
            score: entry.score,
        };
        Ranking::from_hits(self.entries.iter().map(hit).collect())
    }
}

/// A run in memory, topics in the order in which they first appeared.
#[derive(Clone, Debug, Default)]
pub struct Run {
    topics: Vec<RunTopic>,
    places: HashMap<Arc<str>, usize>,
    tag: Option<Arc<str>>,
}

/// Reads a run, plain or gzip-compressed: TREC's six columns
/// (`topic Q0 document rank score tag`) or JSON-lines results, told apart by the first character.
///
/// # Errors
/// A file that cannot be read, a line that does not follow its format, or a document that is
/// listed twice for one topic.
pub fn read_run(path: impl AsRef<Path>) -> Result<Run> {
    read(Lines::open(path.as_ref())?)
}

fn read(mut lines: Lines) -> Result<Run> {
    let mut run = Run::default();
    // The line of every entry, so that a document that stands twice can be shown where it does.
    let mut numbers: Vec<Vec<u64>> = Vec::new();
    let mut json = None;
    while lines.next_line()?.is_some() {
        let (number, line) = (lines.number(), lines.last_line());
        let json = *json.get_or_insert_with(|| line.trim_ascii_start().starts_with('{'));
        let added = if json {
            parse_results(line).map(|results| {
                let place = run.place(&results.query_id);
                for entry in results.results {
                    run.push(&mut numbers, place, entry.into(), number);
                }
            })
        } else {
            parse_run_line(line).map(|line| {
                run.tag.get_or_insert_with(|| line.tag.into());
                let place = run.place(line.topic);
                let entry = RunEntry {
                    doc: line.doc.into(),
                    rank: line.rank,
                    score: line.score,
                };
                run.push(&mut numbers, place, entry, number);
            })
        };
        if let Err(problem) = added {
            return Err(lines.problem(problem));
        }
    }
    for (topic, numbers) in run.topics.iter().zip(&numbers) {
        if let Some((place, problem)) = topic.duplicate() {
            return Err(lines.problem_at(numbers.get(place).copied().unwrap_or(0), problem));
        }
    }
    Ok(run)
}

impl RunTopic {
    /// Where a document stands for the second time, and what to say about it.
    fn duplicate(&self) -> Option<(usize, String)> {
        let mut seen = HashSet::with_capacity(self.entries.len());
        let place = self
            .entries
            .iter()
            .position(|entry| !seen.insert(entry.doc.as_str()))?;
        let doc = &self.entries.get(place)?.doc;
        Some((
            place,
            format!(
                "document `{doc}` is listed twice for topic `{}`",
                self.topic
            ),
        ))
    }
}

impl Run {
    /// Reads a run from `source`, which errors call `name`.
    ///
    /// # Errors
    /// As [`read_run`].
    pub fn from_reader(name: &str, source: impl Read + Send + 'static) -> Result<Self> {
        read(Lines::new(name, source)?)
    }

    /// Its topics, in the order in which they first appeared.
    #[must_use]
    pub fn topics(&self) -> &[RunTopic] {
        &self.topics
    }

    /// What was retrieved for `topic`, or `None` when the run does not have it.
    #[must_use]
    pub fn entries(&self, topic: &str) -> Option<&[RunEntry]> {
        self.places
            .get(topic)
            .and_then(|place| self.topics.get(*place))
            .map(|found| found.entries.as_slice())
    }

    /// The name that the run's first line gives the system.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// Adds what was retrieved for a topic, instead of what was there for it.
    ///
    /// # Errors
    /// When a document stands twice or a score is not finite.
    pub fn insert(&mut self, topic: RunTopic) -> Result<()> {
        if let Some((_, problem)) = topic.duplicate() {
            return Err(Error::invalid(problem));
        }
        if let Some(entry) = topic.entries.iter().find(|entry| !entry.score.is_finite()) {
            return Err(Error::invalid(format!(
                "the score of document `{}` for topic `{}` is {}, not a finite number",
                entry.doc, topic.topic, entry.score
            )));
        }
        let place = self.place(&topic.topic);
        if let Some(slot) = self.topics.get_mut(place) {
            *slot = topic;
        }
        Ok(())
    }

    /// The place of a topic, made when it is new.
    fn place(&mut self, topic: &str) -> usize {
        if let Some(place) = self.places.get(topic) {
            return *place;
        }
        let topic: Arc<str> = topic.into();
        self.places.insert(Arc::clone(&topic), self.topics.len());
        self.topics.push(RunTopic {
            topic,
            entries: Vec::new(),
        });
        self.topics.len() - 1
    }

    fn push(&mut self, numbers: &mut Vec<Vec<u64>>, place: usize, entry: RunEntry, line: u64) {
        numbers.resize_with(self.topics.len(), Vec::new);
        if let (Some(topic), Some(numbers)) = (self.topics.get_mut(place), numbers.get_mut(place)) {
            topic.entries.push(entry);
            numbers.push(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn read(text: &'static str) -> Result<Run> {
        Run::from_reader("run.txt", Cursor::new(text))
    }

    #[test]
    fn topics_may_be_scattered_and_keep_the_files_order() {
        let run = read("2 Q0 a 1 3.5 sys\n1\tQ0\tb\t1\t1e-3\tsys\r\n2 Q0 c 2 -1 sys\n").unwrap();
        let ids: Vec<_> = run.topics().iter().map(|t| &*t.topic).collect();
        assert_eq!(ids, ["2", "1"]);
        assert_eq!(
            run.entries("2").unwrap()[1],
            RunEntry {
                doc: "c".into(),
                rank: 2,
                score: -1.0
            }
        );
        assert_eq!(run.entries("3"), None);
        assert_eq!(run.tag(), Some("sys"));
    }

    #[test]
    fn json_results_are_a_run_too_and_a_topic_without_results_is_there() {
        let run = read(concat!(
            r#"{"query_id":"1","query":"x","results":[{"rank":1,"doc_id":"a","score":2}]}"#,
            "\n",
            r#"{"query_id":7,"results":[]}"#,
        ))
        .unwrap();
        assert_eq!(run.entries("1").unwrap().len(), 1);
        assert_eq!(run.entries("7"), Some(&[][..]));
    }

    #[test]
    fn a_document_listed_twice_is_refused_with_the_line_of_the_second() {
        let error = read("1 Q0 a 1 3 s\n2 Q0 a 1 3 s\n1 Q0 b 2 2 s\n\n1 Q0 a 3 1 s\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "run.txt:5: document `a` is listed twice for topic `1`"
        );
        let entry = RunEntry {
            doc: "a".into(),
            rank: 1,
            score: 1.0,
        };
        let topic = RunTopic {
            topic: "1".into(),
            entries: vec![entry.clone(), entry],
        };
        assert!(Run::default().insert(topic).is_err());
    }

    #[test]
    fn the_ranking_of_a_topic_is_in_the_houses_order() {
        let run = read("1 Q0 c 1 1 s\n1 Q0 b 2 2 s\n1 Q0 a 3 1 s\n").unwrap();
        let ranking = run.topics()[0].ranking().unwrap();
        let ids: Vec<_> = ranking.hits().iter().map(|hit| hit.doc.as_str()).collect();
        assert_eq!(ids, ["b", "a", "c"]);
    }
}
