//! Exact search: every vector is compared with every query.

mod cpu;
mod device;
mod lists;
mod split;

pub use cpu::ExactOnCpu;
pub use device::ExactOnDevice;
pub use split::{ExactSplit, Share, split};

pub(crate) use device::{in_parts, upload_filter};
pub(crate) use lists::{Lists, capacity, shared};

use half::f16;
use routir_core::{Error, Result};

use crate::{Element, Found, MAX_K, Metric};

/// Vectors that are searched, wherever they lie.
pub trait ExactSearch: Send + Sync {
    /// Numbers of a vector.
    fn dim(&self) -> usize;

    /// How many vectors there are.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The best `k` of each query, fewer where there are no more: the better score first, of equal
    /// ones the earlier position. `allowed` has a bit per vector, lowest first: which may be found;
    /// vectors behind its end may not.
    ///
    /// # Errors
    /// [`routir_core::ErrorCode::InvalidArgument`] when the queries are not whole vectors, not finite
    /// or too large for the element, or `k` is above [`MAX_K`]; an engine failure when a score is not
    /// finite; [`routir_core::ErrorCode::Unavailable`] when the device fails.
    fn search(&self, queries: &[f32], k: usize, allowed: Option<&[u8]>) -> Result<Vec<Vec<Found>>>;
}

/// Checks what a search is asked, and answers how many queries there are.
pub(crate) fn check(queries: &[f32], dim: usize, k: usize) -> Result<usize> {
    if dim == 0 || !queries.len().is_multiple_of(dim) {
        return Err(Error::invalid(format!(
            "{} numbers are no whole number of queries of {dim}; check that model and index belong \
             together",
            queries.len()
        )));
    }
    if k > MAX_K {
        return Err(Error::invalid(format!(
            "{k} results of one search are too many; {MAX_K} are the most here"
        )));
    }
    if let Some(at) = queries.iter().position(|it| !it.is_finite()) {
        return Err(Error::invalid(format!(
            "number {} of query {} is not finite",
            at % dim,
            at / dim
        )));
    }
    Ok(queries.len() / dim)
}

/// Queries as they meet vectors of `element`: in half precision where those are, so that it is the
/// same for a query alone and in company.
pub(crate) fn rounded(queries: &[f32], element: Element) -> Result<Vec<f32>> {
    if element != Element::F16 {
        return Ok(queries.to_vec());
    }
    let halves: Vec<f32> = queries
        .iter()
        .map(|it| f16::from_f32(*it).to_f32())
        .collect();
    match halves
        .iter()
        .zip(queries)
        .find(|(half, _)| !half.is_finite())
    {
        Some((_, value)) => Err(Error::invalid(format!(
            "a number of the query is {value:e}, too large for f16, which ends at 65504"
        ))),
        None => Ok(halves),
    }
}

/// The score of a vector.
pub(crate) fn score(metric: Metric, query: &[f32], row: &[f32]) -> f32 {
    // Eight sums side by side: faster, and less is lost than in one.
    let mut sums = [0.0_f32; 8];
    let (q8, q_rest) = query.as_chunks::<8>();
    let (r8, r_rest) = row.as_chunks::<8>();
    let term = |q: f32, r: f32| match metric {
        Metric::InnerProduct => q * r,
        Metric::L2 => (q - r) * (q - r),
    };
    for (q, r) in q8.iter().zip(r8) {
        for ((sum, q), r) in sums.iter_mut().zip(q).zip(r) {
            *sum += term(*q, *r);
        }
    }
    let rest: f32 = q_rest.iter().zip(r_rest).map(|(q, r)| term(*q, *r)).sum();
    let sum = sums.iter().sum::<f32>() + rest;
    match metric {
        Metric::InnerProduct => sum,
        Metric::L2 => -sum,
    }
}

/// Whether `allowed` lets a position through.
pub(crate) fn is_allowed(allowed: Option<&[u8]>, position: usize) -> bool {
    allowed.is_none_or(|bits| {
        let byte = bits.get(position / 8).copied().unwrap_or_default();
        byte & (1 << (position % 8)) != 0
    })
}
