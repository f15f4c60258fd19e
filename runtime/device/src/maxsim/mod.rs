//! MaxSim, the score of late interaction: for each row of a query its best inner product with a row
//! of a document, summed over the query. Documents and queries have the rows that they have; nothing
//! is padded to the longest.

mod coded;
mod cpu;
mod device;
mod places;
mod tokens;

pub use coded::CodedTokens;
pub use cpu::MaxSimOnCpu;
pub use device::{MaxSimOfTexts, MaxSimOnDevice};
pub use tokens::TokenRows;

use routir_core::{Error, Result};

use crate::order::{Best, key};
use crate::{Found, MAX_K};

/// The most rows of one query.
pub const MAX_QUERY_ROWS: usize = 1024;

/// Documents as rows, wherever they lie.
pub trait MaxSim: Send + Sync {
    /// Numbers of a row.
    fn dim(&self) -> usize;

    /// How many documents there are.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The score of each pair of a query, by its place in `queries`, and a document. Without rows,
    /// the query's or the document's, it is 0.
    ///
    /// # Errors
    /// [`routir_core::ErrorCode::InvalidArgument`] when a pair names what is not there, or queries
    /// have other rows or more than [`MAX_QUERY_ROWS`]; an engine failure when a score is not finite;
    /// [`routir_core::ErrorCode::Unavailable`] when the device fails.
    fn score(&self, queries: &TokenRows, pairs: &[[u32; 2]]) -> Result<Vec<f32>>;

    /// The best `k` documents of each query: the better score first, of equal ones the earlier.
    ///
    /// # Errors
    /// As [`MaxSim::score`]; also when `k` is above [`MAX_K`].
    fn candidates(&self, queries: &TokenRows, k: usize) -> Result<Vec<Vec<Found>>> {
        if k > MAX_K {
            return Err(Error::invalid(format!(
                "{k} results of one search are too many; {MAX_K} are the most here"
            )));
        }
        let len = u32::try_from(self.len()).unwrap_or(u32::MAX);
        let search = |query: usize| {
            let pairs: Vec<_> = (0..len).map(|document| [query as u32, document]).collect();
            let mut best = Best::new(k);
            for (position, score) in (0..len).zip(self.score(queries, &pairs)?) {
                best.push(key(score, position));
            }
            best.found()
        };
        (0..queries.len()).map(search).collect()
    }
}

/// Refuses rows of another length than `dim`.
fn same(rows: &TokenRows, dim: usize) -> Result<()> {
    if rows.dim() == dim {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "the query has rows of {} numbers and the documents of {dim}; check that model and index \
         belong together",
        rows.dim()
    )))
}

/// Checks what a score is asked.
fn check(queries: &TokenRows, pairs: &[[u32; 2]], dim: usize, documents: usize) -> Result<()> {
    same(queries, dim)?;
    for query in 0..queries.len() {
        let rows = queries.rows_of(query);
        if rows > MAX_QUERY_ROWS {
            return Err(Error::invalid(format!(
                "the query has {rows} token vectors and {MAX_QUERY_ROWS} at most are searched; \
                 shorten it"
            )));
        }
    }
    let absent = pairs.iter().find(|[query, document]| {
        *query as usize >= queries.len() || *document as usize >= documents
    });
    match absent {
        Some([query, document]) => Err(Error::invalid(format!(
            "there is no query {query} or no document {document}"
        ))),
        None => Ok(()),
    }
}

/// Refuses scores that are not finite.
fn finite(scores: Vec<f32>) -> Result<Vec<f32>> {
    match scores.iter().find(|it| !it.is_finite()) {
        None => Ok(scores),
        Some(score) => Err(Error::engine(format!(
            "the score of a document is {score}, not a finite number; its values or the query's \
             are too large"
        ))),
    }
}
