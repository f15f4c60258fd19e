//! Runs line by line: `topic Q0 document rank score tag`.

use std::io::{Read, Write};
use std::path::Path;

use routir_core::Ranking;

use crate::lines::{Lines, columns};
use crate::{Error, Result};

/// One line of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RunLine<'a> {
    /// The topic's id.
    pub topic: &'a str,
    /// The document.
    pub doc: &'a str,
    /// Its rank as the file says it.
    pub rank: u64,
    /// Its score: finite, higher is better.
    pub score: f64,
    /// The system's name.
    pub tag: &'a str,
}

pub(crate) fn parse_run_line(line: &str) -> Result<RunLine<'_>, String> {
    let [topic, _, doc, rank, score, tag] = columns(line, "topic Q0 document rank score tag")?;
    let rank = rank
        .parse()
        .map_err(|_| format!("the rank must be a whole number of at least 0, not `{rank}`"))?;
    let score = match score.parse::<f64>() {
        Ok(score) if score.is_finite() => score,
        _ => return Err(format!("the score must be a finite number, not `{score}`")),
    };
    Ok(RunLine {
        topic,
        doc,
        rank,
        score,
        tag,
    })
}

/// Reads a run line by line, for files that are better not held in memory. Does not see documents
/// that stand twice; [`crate::read_run`] does.
pub struct RunReader(Lines);

impl RunReader {
    /// Opens a run, plain or gzip-compressed.
    ///
    /// # Errors
    /// When the file cannot be opened or read.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Lines::open(path.as_ref()).map(Self)
    }

    /// Reads a run from `source`, which errors call `name`.
    ///
    /// # Errors
    /// When the source cannot be read.
    pub fn new(name: &str, source: impl Read + Send + 'static) -> Result<Self> {
        Lines::new(name, source).map(Self)
    }

    /// The next line, or `None` at the end.
    ///
    /// # Errors
    /// When the source cannot be read on, or the line does not follow the format. Reading may go
    /// on after the latter.
    pub fn next_line(&mut self) -> Result<Option<RunLine<'_>>> {
        if self.0.next_line()?.is_none() {
            return Ok(None);
        }
        parse_run_line(self.0.last_line())
            .map(Some)
            .map_err(|problem| self.0.problem(problem))
    }
}

/// Writes a run, topic by topic.
///
/// Scores are written so that they read back as the same number.
pub struct RunWriter<W> {
    sink: W,
    tag: String,
}

impl<W: Write> RunWriter<W> {
    /// A writer to `sink`, which should be buffered; `tag` names the system.
    ///
    /// # Errors
    /// When the tag is empty or holds white space.
    pub fn new(sink: W, tag: impl Into<String>) -> Result<Self> {
        let tag = tag.into();
        check_column("tag", &tag)?;
        Ok(Self { sink, tag })
    }

    /// Writes the ranking of one topic, with ranks from 1. An empty one writes nothing.
    ///
    /// # Errors
    /// When an id is empty or holds white space, which the format cannot say, or writing fails.
    pub fn write(&mut self, topic: &str, ranking: &Ranking) -> Result<()> {
        check_column("topic id", topic)?;
        for hit in ranking {
            check_column("document id", &hit.doc)?;
        }
        for (rank, hit) in (1u64..).zip(ranking) {
            writeln!(
                self.sink,
                "{topic} Q0 {} {rank} {:?} {}",
                hit.doc, hit.score, self.tag
            )
            .map_err(Error::Write)?;
        }
        Ok(())
    }

    /// Hands everything on and gives the sink back.
    ///
    /// # Errors
    /// When writing fails.
    pub fn finish(mut self) -> Result<W> {
        self.sink.flush().map_err(Error::Write)?;
        Ok(self.sink)
    }
}

fn check_column(what: &str, value: &str) -> Result<()> {
    if value.is_empty() || value.contains(|c: char| c.is_ascii_whitespace()) {
        return Err(Error::invalid(format!(
            "the {what} {value:?} cannot stand in a TREC run, whose columns are neither empty nor \
             hold white space"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;
    use routir_core::Hit;

    use super::*;

    fn problem(line: &'static str) -> String {
        let mut reader = RunReader::new("run", Cursor::new(line)).unwrap();
        reader.next_line().unwrap_err().to_string()
    }

    #[test]
    fn what_is_wrong_is_said_with_file_and_line() {
        assert_eq!(
            problem("1 Q0 d 1 2.5"),
            "run:1: expected 6 columns `topic Q0 document rank score tag`, found 5"
        );
        assert_eq!(
            problem("1 Q0 d 1 2.5 my system"),
            "run:1: expected 6 columns `topic Q0 document rank score tag`, found 7"
        );
        assert_eq!(
            problem("\n1 Q0 d -1 2.5 s"),
            "run:2: the rank must be a whole number of at least 0, not `-1`"
        );
        for score in ["NaN", "inf", "-inf", "1e999", "one", "0x10", "1,5"] {
            let line = format!("1 Q0 d 1 {score} s");
            let error = RunReader::new("run", Cursor::new(line))
                .unwrap()
                .next_line()
                .unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("run:1: the score must be a finite number, not `{score}`")
            );
        }
    }

    #[test]
    fn reading_may_go_on_after_a_bad_line() {
        let mut reader = RunReader::new("run", Cursor::new("bad\n1 Q0 d 1 2.5 s\n")).unwrap();
        assert!(reader.next_line().is_err());
        let line = reader.next_line().unwrap().unwrap();
        assert_eq!(
            line,
            RunLine {
                topic: "1",
                doc: "d",
                rank: 1,
                score: 2.5,
                tag: "s"
            }
        );
        assert_eq!(reader.next_line().unwrap(), None);
    }

    #[test]
    fn what_the_format_cannot_say_is_not_written() {
        assert!(RunWriter::new(Vec::new(), "two words").is_err());
        let mut writer = RunWriter::new(Vec::new(), "sys").unwrap();
        let hits = vec![Hit::new("fine", 2.0), Hit::new("not fine", 1.0)];
        assert!(
            writer
                .write("1", &Ranking::from_hits(hits).unwrap())
                .is_err()
        );
        assert!(
            writer.finish().unwrap().is_empty(),
            "not even the first line"
        );
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(hits in proptest::collection::hash_map(
            "[!-~]{1,12}", -1e300f64..1e300, 0..20))
        {
            let hits = hits.into_iter().map(|(doc, score)| Hit::new(doc, score)).collect();
            let ranking = Ranking::from_hits(hits).unwrap();
            let mut writer = RunWriter::new(Vec::new(), "sys").unwrap();
            writer.write("t", &ranking).unwrap();
            let text = writer.finish().unwrap();
            let mut reader = RunReader::new("run", Cursor::new(text)).unwrap();
            for (rank, hit) in (1u64..).zip(&ranking) {
                let line = reader.next_line().unwrap().unwrap();
                prop_assert_eq!(line, RunLine {
                    topic: "t", doc: &hit.doc, rank, score: hit.score, tag: "sys" });
            }
            prop_assert_eq!(reader.next_line().unwrap(), None);
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut reader = RunReader::new("run", Cursor::new(bytes)).unwrap();
            for _ in 0..300 {
                if matches!(reader.next_line(), Ok(None)) { return Ok(()); }
            }
        }
    }
}
