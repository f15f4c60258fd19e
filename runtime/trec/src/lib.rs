//! TREC's formats (topics, runs, judgements) and the measures that are taken with them, by
//! trec_eval's definitions.
//!
//! Guards: a file is read line by line in bounded memory per line, and what is wrong with it is
//! said with its file and line; a measure's value is trec_eval's. Must never know: engines,
//! pipelines, servers, the command line.
//!
//! Every reader takes plain or gzip-compressed files (told apart by their first bytes), ignores a
//! byte order mark, blank lines and carriage returns, and refuses lines over [`MAX_LINE_BYTES`].
//!
//! # Ties
//! trec_eval ignores the rank column of a run: it sorts by score, and documents of one score by
//! **descending** id. [`evaluate`] does the same, because a measure is only worth comparing when
//! it is taken the same way. A [`routir_core::Ranking`] breaks ties by **ascending** id. So where
//! scores tie, a document may be evaluated at another rank than the one that it was served at.

mod error;
mod evaluate;
mod lines;
mod measure;
mod qrels;
mod results;
mod run;
mod run_io;
mod topics;
mod values;

pub use error::{Error, Result};
pub use evaluate::{EvalOptions, Evaluation, TopicValues, evaluate};
pub use lines::MAX_LINE_BYTES;
pub use measure::{Measure, UnknownMeasure};
pub use qrels::{Judgement, Qrels, read_qrels};
pub use results::{QueryResults, ResultEntry, ResultsReader, ResultsWriter};
pub use run::{Run, RunEntry, RunTopic, read_run};
pub use run_io::{RunLine, RunReader, RunWriter};
pub use topics::{Topic, parse_topics, read_topics};
