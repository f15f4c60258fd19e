//! What an index may be searched by in place of FAISS, and the queries that it is asked.

use std::any::Any;

use routir_core::{Error, Result};

use super::Metric;

/// What finds the vectors nearest to queries in place of FAISS, such as a GPU.
pub trait Nearest: Send + Sync {
    /// Numbers of a vector.
    fn dim(&self) -> usize;

    /// How many vectors there are.
    fn vectors(&self) -> usize;

    /// How they are compared.
    fn metric(&self) -> Metric;

    /// What it is, for people.
    fn description(&self) -> &str;

    /// The most results of one query.
    fn most(&self) -> usize;

    /// How many queries it is best asked at once.
    fn at_once(&self) -> usize;

    /// Scores (inner products, or squared distances) and positions of the `limit` nearest of each
    /// query, best first, filled up with the position -1. `allowed` has a bit per vector, lowest
    /// first: which may be found.
    ///
    /// # Errors
    /// When a query cannot be answered, or none can be any more.
    fn search(
        &self,
        queries: &[f32],
        limit: usize,
        nprobe: Option<usize>,
        allowed: Option<&[u8]>,
    ) -> Result<(Vec<f32>, Vec<i64>)>;

    /// The same for queries that lie elsewhere than in memory, as whoever made both of them knows.
    ///
    /// # Errors
    /// As [`Nearest::search`]; also when these queries are none that it knows.
    fn search_there(
        &self,
        queries: &[There<'_>],
        limit: usize,
        nprobe: Option<usize>,
        allowed: Option<&[u8]>,
    ) -> Result<(Vec<f32>, Vec<i64>)> {
        let _ = (queries, limit, nprobe, allowed);
        Err(elsewhere())
    }
}

/// A query that lies elsewhere than in memory.
pub type There<'a> = &'a (dyn Any + Send + Sync);

pub(super) fn elsewhere() -> Error {
    Error::internal("the index is searched with numbers, and the queries lie elsewhere")
}

/// The queries of a search.
#[derive(Clone, Copy)]
pub(super) enum Queries<'a> {
    /// One vector after another, of so many numbers each.
    Numbers(&'a [f32], usize),
    There(&'a [There<'a>]),
}

impl Queries<'_> {
    pub(super) fn count(self) -> usize {
        match self {
            Self::Numbers(numbers, dim) => numbers.len() / dim.max(1),
            Self::There(queries) => queries.len(),
        }
    }

    /// At most `count` of them, from number `first` on.
    pub(super) fn part(self, first: usize, count: usize) -> Self {
        let end = first.saturating_add(count).min(self.count());
        match self {
            Self::Numbers(numbers, dim) => {
                let part = numbers.get(first * dim..end * dim);
                Self::Numbers(part.unwrap_or_default(), dim)
            }
            Self::There(queries) => Self::There(queries.get(first..end).unwrap_or_default()),
        }
    }
}
