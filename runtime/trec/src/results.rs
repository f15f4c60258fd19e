//! Results as JSON lines, one object per topic, in the form that RoutIR's own tools write.

use std::io::{Read, Write};
use std::path::Path;

use routir_core::Ranking;
use serde::{Deserialize, Deserializer, Serialize};

use crate::lines::Lines;
use crate::{Error, Result, RunEntry};

/// What a pipeline returned for one topic. Unknown fields are ignored when reading.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct QueryResults {
    /// The server that was asked.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub endpoint: String,
    /// The pipeline that was run.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub pipeline: String,
    /// The collection that its stages read, when it was named.
    #[serde(default)]
    pub collection: Option<String>,
    /// The topic's id; a number is taken as its text.
    #[serde(deserialize_with = "text_or_number")]
    pub query_id: String,
    /// The query.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub query: String,
    /// The documents, best first.
    pub results: Vec<ResultEntry>,
}

/// One retrieved document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResultEntry {
    /// Its rank, from 1.
    pub rank: u64,
    /// The document.
    #[serde(deserialize_with = "text_or_number")]
    pub doc_id: String,
    /// Its score.
    pub score: f64,
}

impl ResultEntry {
    /// A ranking's hits with ranks from 1.
    #[must_use]
    pub fn from_ranking(ranking: &Ranking) -> Vec<Self> {
        let entry = |(rank, hit): (u64, &routir_core::Hit)| Self {
            rank,
            doc_id: hit.doc.as_str().to_owned(),
            score: hit.score,
        };
        (1..).zip(ranking).map(entry).collect()
    }
}

impl From<ResultEntry> for RunEntry {
    fn from(entry: ResultEntry) -> Self {
        Self {
            doc: entry.doc_id.into(),
            rank: entry.rank,
            score: entry.score,
        }
    }
}

fn null_is_empty<'de, D: Deserializer<'de>>(source: D) -> Result<String, D::Error> {
    Option::<String>::deserialize(source).map(Option::unwrap_or_default)
}

fn text_or_number<'de, D: Deserializer<'de>>(source: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a string or a whole number")]
    enum Id {
        Text(String),
        Whole(i64),
        Large(u64),
    }
    Id::deserialize(source).map(|id| match id {
        Id::Text(text) => text,
        Id::Whole(number) => number.to_string(),
        Id::Large(number) => number.to_string(),
    })
}

pub(crate) fn parse_results(line: &str) -> Result<QueryResults, String> {
    // JSON has no NaN and no infinity, and serde_json refuses numbers beyond the range.
    serde_json::from_str(line).map_err(|error| {
        format!(
            "expected a JSON object with `query_id` and `results`: {}",
            crate::lines::json_problem(&error)
        )
    })
}

/// Reads results line by line.
pub struct ResultsReader(Lines);

impl ResultsReader {
    /// Opens a file, plain or gzip-compressed.
    ///
    /// # Errors
    /// When the file cannot be opened or read.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Lines::open(path.as_ref()).map(Self)
    }

    /// Reads from `source`, which errors call `name`.
    ///
    /// # Errors
    /// When the source cannot be read.
    pub fn new(name: &str, source: impl Read + Send + 'static) -> Result<Self> {
        Lines::new(name, source).map(Self)
    }

    /// The results of the next topic, or `None` at the end. A last line that was cut off, as a
    /// killed process leaves it, is an error like any other malformed line.
    ///
    /// # Errors
    /// When the source cannot be read on, or the line is not such an object.
    pub fn next_results(&mut self) -> Result<Option<QueryResults>> {
        let Some(line) = self.0.next_line()? else {
            return Ok(None);
        };
        parse_results(line)
            .map(Some)
            .map_err(|problem| self.0.problem(problem))
    }
}

/// Writes results, one line per topic.
pub struct ResultsWriter<W>(W);

impl<W: Write> ResultsWriter<W> {
    /// A writer to `sink`, which should be buffered.
    pub fn new(sink: W) -> Self {
        Self(sink)
    }

    /// Writes the results of one topic.
    ///
    /// # Errors
    /// When a score is not finite, which JSON cannot say, or writing fails.
    pub fn write(&mut self, results: &QueryResults) -> Result<()> {
        if let Some(entry) = results
            .results
            .iter()
            .find(|entry| !entry.score.is_finite())
        {
            return Err(Error::invalid(format!(
                "the score of document `{}` for topic `{}` is {}, not a finite number",
                entry.doc_id, results.query_id, entry.score
            )));
        }
        let mut line = serde_json::to_vec(results).map_err(|error| Error::Write(error.into()))?;
        line.push(b'\n');
        self.0.write_all(&line).map_err(Error::Write)
    }

    /// Hands everything on and gives the sink back.
    ///
    /// # Errors
    /// When writing fails.
    pub fn finish(mut self) -> Result<W> {
        self.0.flush().map_err(Error::Write)?;
        Ok(self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use routir_core::Hit;

    use super::*;

    #[test]
    fn the_line_is_exactly_as_routir_writes_it_and_reads_back() {
        let hits = vec![Hit::new("d2", 0.1 + 0.2), Hit::new("d1", 2.0)];
        let results = QueryResults {
            endpoint: "http://localhost:5000".into(),
            pipeline: "bm25%10".into(),
            collection: None,
            query_id: "7".into(),
            query: "ein \"Test\"".into(),
            results: ResultEntry::from_ranking(&Ranking::from_hits(hits).unwrap()),
        };
        let mut writer = ResultsWriter::new(Vec::new());
        writer.write(&results).unwrap();
        let text = String::from_utf8(writer.finish().unwrap()).unwrap();
        assert_eq!(
            text,
            concat!(
                r#"{"endpoint":"http://localhost:5000","pipeline":"bm25%10","collection":null,"#,
                r#""query_id":"7","query":"ein \"Test\"","results":[{"rank":1,"doc_id":"d1","#,
                r#""score":2.0},{"rank":2,"doc_id":"d2","score":0.30000000000000004}]}"#,
                "\n"
            )
        );
        let mut reader = ResultsReader::new("r.jsonl", Cursor::new(text)).unwrap();
        assert_eq!(reader.next_results().unwrap(), Some(results));
        assert_eq!(reader.next_results().unwrap(), None);
    }

    #[test]
    fn a_line_that_was_cut_off_or_misses_something_is_named() {
        for (text, part) in [
            (
                "\n{\"query_id\":\"1\",\"resu",
                "r.jsonl:2: expected a JSON object",
            ),
            (r#"{"results":[]}"#, "missing field `query_id`"),
            (r#"{"query_id":"1"}"#, "missing field `results`"),
            (
                r#"{"query_id":1.5,"results":[]}"#,
                "expected a string or a whole number",
            ),
            (
                r#"{"query_id":1,"results":[{"rank":1,"doc_id":"d","score":1e999}]}"#,
                "out of range",
            ),
        ] {
            let mut reader = ResultsReader::new("r.jsonl", Cursor::new(text)).unwrap();
            let error = reader.next_results().unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
