//! Vectors on a device become the queries of a search there.

use std::sync::Arc;

use routir_core::{Error, ErrorCode, Result};

use super::DeviceVector;
use crate::{Arg, Device, DeviceMemory, Session};

/// As what numbers queries are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// Single precision, as they are.
    AsTheyAre,
    /// Single precision, rounded to half precision.
    Rounded,
    /// Half precision.
    Half,
}

/// Queries, row by row, with their squared lengths.
pub(crate) struct Taken {
    pub(crate) rows: Arc<DeviceMemory>,
    pub(crate) norms: Arc<DeviceMemory>,
    bad: Arc<DeviceMemory>,
    count: usize,
}

/// Takes vectors as queries in rows of `padded` numbers.
///
/// # Errors
/// [`ErrorCode::InvalidArgument`] when a vector lies elsewhere or has another length than `dim`;
/// [`ErrorCode::Unavailable`] when the device fails.
pub(crate) fn taken(
    session: &mut Session,
    vectors: &[&DeviceVector],
    (dim, padded): (usize, usize),
    kept: Kept,
) -> Result<Taken> {
    let count = vectors.len();
    let mut addresses = Vec::with_capacity(count * 8);
    for vector in vectors {
        same_device(session.device(), vector.device())?;
        if vector.dim() != dim {
            return Err(Error::invalid(format!(
                "a query of {} numbers does not fit vectors of {dim}; check that model and index \
                 belong together",
                vector.dim()
            )));
        }
        addresses.extend(vector.address().to_ne_bytes());
    }
    let bytes = if kept == Kept::Half { 2 } else { 4 };
    let from = session.scratch("query places", addresses.len())?;
    let taken = Taken {
        rows: session.scratch("queries", count * padded * bytes)?,
        norms: session.scratch("norms", count * 4)?,
        bad: session.scratch("bad queries", count * 4)?,
        count,
    };
    session.upload(&from, 0, &addresses)?;
    let args = [
        from.arg(),
        Arg::U32(dim as u32),
        Arg::U32(padded as u32),
        Arg::U32(kept as u32),
        taken.rows.arg(),
        taken.norms.arg(),
        taken.bad.arg(),
    ];
    session.launch("take_queries", [count, 1], 256, 64, &args)?;
    Ok(taken)
}

impl Taken {
    /// Looks whether all of them could be taken, once the search is done.
    ///
    /// # Errors
    /// When one has a number that is not finite, or that half precision does not hold.
    pub(crate) fn check(&self, session: &mut Session) -> Result<()> {
        let mut bad = vec![0_u8; self.count * 4];
        session.download(&self.bad, 0, &mut bad)?;
        match bad.iter().position(|it| *it != 0) {
            None => Ok(()),
            Some(at) => Err(Error::invalid(format!(
                "query {} has a number that is not finite, or too large for f16, which ends at 65504",
                at / 4
            ))),
        }
    }
}

fn same_device(ours: &Arc<Device>, its: &Arc<Device>) -> Result<()> {
    if Arc::ptr_eq(ours, its) {
        return Ok(());
    }
    Err(Error::new(
        ErrorCode::Internal,
        format!("a query lies on {}, not on {}", its.name(), ours.name()),
    ))
}
