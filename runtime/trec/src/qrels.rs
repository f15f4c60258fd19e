//! Relevance judgements: `topic iteration document grade`.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use routir_core::DocId;

use crate::lines::{Lines, columns};
use crate::{Error, Result};

/// The judgement of one document for one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The document.
    pub doc: DocId,
    /// How relevant it is: 0 is not relevant, more is more; below 0 is pooled but not judged.
    pub grade: i32,
}

/// Judgements by topic, topics in the order in which they first appeared.
#[derive(Clone, Debug, Default)]
pub struct Qrels {
    topics: Vec<(Arc<str>, HashMap<DocId, i32>)>,
    places: HashMap<Arc<str>, usize>,
}

/// Reads a file of judgements, plain or gzip-compressed.
///
/// # Errors
/// A file that cannot be read, or a line that does not have four columns with a whole number in
/// the last, or that judges a document again for the same topic.
pub fn read_qrels(path: impl AsRef<Path>) -> Result<Qrels> {
    read(Lines::open(path.as_ref())?)
}

fn read(mut lines: Lines) -> Result<Qrels> {
    let mut qrels = Qrels::default();
    while let Some(line) = lines.next_line()? {
        let added = parse(line).and_then(|(topic, judgement)| qrels.add_unique(topic, &judgement));
        if let Err(problem) = added {
            return Err(lines.problem(problem));
        }
    }
    Ok(qrels)
}

fn parse(line: &str) -> Result<(&str, Judgement), String> {
    let [topic, _, doc, grade] = columns(line, "topic iteration document grade")?;
    let grade = grade.parse().map_err(|_| {
        format!(
            "the grade must be a whole number between {} and {}, not `{grade}`",
            i32::MIN,
            i32::MAX
        )
    })?;
    Ok((
        topic,
        Judgement {
            doc: doc.into(),
            grade,
        },
    ))
}

impl Qrels {
    /// Reads judgements from `source`, which errors call `name`.
    ///
    /// # Errors
    /// As [`read_qrels`].
    pub fn from_reader(name: &str, source: impl Read + Send + 'static) -> Result<Self> {
        read(Lines::new(name, source)?)
    }

    /// Adds a judgement.
    ///
    /// # Errors
    /// When the document is judged for this topic already.
    pub fn add(&mut self, topic: &str, judgement: &Judgement) -> Result<()> {
        self.add_unique(topic, judgement).map_err(Error::invalid)
    }

    fn add_unique(&mut self, topic: &str, judgement: &Judgement) -> Result<(), String> {
        let place = match self.places.get(topic) {
            Some(place) => *place,
            None => {
                let id: Arc<str> = topic.into();
                self.places.insert(Arc::clone(&id), self.topics.len());
                self.topics.push((id, HashMap::new()));
                self.topics.len() - 1
            }
        };
        let Some((_, grades)) = self.topics.get_mut(place) else {
            return Ok(());
        };
        match grades.insert(judgement.doc.clone(), judgement.grade) {
            None => Ok(()),
            Some(_) => Err(format!(
                "document `{}` is judged twice for topic `{topic}`",
                judgement.doc
            )),
        }
    }

    /// How many topics there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.topics.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// The topics' ids, in the order in which they first appeared.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<str>> {
        self.topics.iter().map(|(topic, _)| topic)
    }

    /// The grades of a topic's documents, or `None` when the topic is not judged.
    #[must_use]
    pub fn grades(&self, topic: &str) -> Option<&HashMap<DocId, i32>> {
        self.places
            .get(topic)
            .and_then(|place| self.topics.get(*place))
            .map(|(_, grades)| grades)
    }

    /// The grade of a document for a topic, or `None` when it is not judged.
    #[must_use]
    pub fn grade(&self, topic: &str, doc: &str) -> Option<i32> {
        self.grades(topic)?.get(doc).copied()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn read(text: &'static str) -> Result<Qrels> {
        Qrels::from_reader("q.txt", Cursor::new(text))
    }

    #[test]
    fn grades_may_be_high_or_negative_and_columns_apart_by_any_space() {
        let qrels = read("q2 0 d1 3\r\n\nq1\tQ0  d1 -1\nq2 0 d2 0").unwrap();
        assert_eq!(
            qrels.topics().map(|t| &**t).collect::<Vec<_>>(),
            ["q2", "q1"]
        );
        assert_eq!(qrels.grade("q2", "d1"), Some(3));
        assert_eq!(qrels.grade("q1", "d1"), Some(-1));
        assert_eq!(qrels.grade("q1", "d2"), None);
        assert_eq!(qrels.grade("q9", "d1"), None);
    }

    #[test]
    fn what_is_wrong_is_said_with_file_and_line() {
        for (text, message) in [
            (
                "q 0 d 1\nq 0 d\n",
                "q.txt:2: expected 4 columns `topic iteration document grade`, found 3",
            ),
            (
                "q 0 d 1.5\n",
                "q.txt:1: the grade must be a whole number between -2147483648 and 2147483647, not `1.5`",
            ),
            (
                "q 0 d 1\n\nq 0 d 0\n",
                "q.txt:3: document `d` is judged twice for topic `q`",
            ),
        ] {
            assert_eq!(read(text).unwrap_err().to_string(), message);
        }
    }
}
