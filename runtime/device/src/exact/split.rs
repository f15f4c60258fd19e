//! Vectors that no device holds alone: a share on each.

use std::ops::Range;
use std::sync::Arc;

use routir_core::{Error, ErrorCode, Result};

use super::{ExactSearch, check};
use crate::budget::shown;
use crate::order::{Best, key};
use crate::{Device, Element, Found};

/// What of a device's memory stays free for searches.
const FOR_SEARCHES: u64 = 1 << 30;

/// The vectors that one device takes.
pub type Share = (Arc<Device>, Range<usize>);

/// Divides `len` vectors of `dim` numbers over devices, as much on each as it has room, and no more
/// devices than are needed.
///
/// # Errors
/// [`ErrorCode::Unavailable`] when they do not fit: what there is, device by device, and what is
/// missing.
pub fn split(
    what: &str,
    element: Element,
    (dim, len): (usize, usize),
    devices: &[Arc<Device>],
) -> Result<Vec<Share>> {
    let of_row = element.row_bytes(dim).max(1) as u64;
    let room = |device: &Arc<Device>| {
        let left = device.budget().left();
        let rows = left.saturating_sub(FOR_SEARCHES.min(left / 4)) / of_row;
        usize::try_from(rows).unwrap_or(usize::MAX)
    };
    let mut by_room: Vec<_> = devices.iter().map(|it| (room(it), it)).collect();
    by_room.sort_by_key(|(room, _)| std::cmp::Reverse(*room));
    let mut shares = Vec::new();
    let mut at = 0;
    for (room, device) in &by_room {
        let rows = (len - at).min(*room);
        if rows > 0 || (len == 0 && shares.is_empty()) {
            shares.push((Arc::clone(device), at..at + rows));
            at += rows;
        }
    }
    if at == len && !shares.is_empty() {
        return Ok(shares);
    }
    let there: Vec<String> = by_room
        .iter()
        .map(|(room, device)| {
            let left = shown(device.budget().left());
            format!(
                "{} has {left} left, which hold {room} of them",
                device.name()
            )
        })
        .collect();
    Err(Error::new(
        ErrorCode::Unavailable,
        format!(
            "{what}: {len} vectors of {dim} numbers in {} take {} and {} for searches; {}; use a \
             smaller element, more devices, or the processor",
            element.name(),
            shown(of_row.saturating_mul(len as u64)),
            shown(FOR_SEARCHES),
            if there.is_empty() {
                "there is no device".to_owned()
            } else {
                there.join("; ")
            },
        ),
    ))
}

/// Shares that are searched as one.
pub struct ExactSplit {
    parts: Vec<Box<dyn ExactSearch>>,
    dim: usize,
    len: usize,
}

impl ExactSplit {
    /// The parts, in the order of their positions.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`] when they are of different dimensions or too many vectors.
    pub fn new(parts: Vec<Box<dyn ExactSearch>>) -> Result<Self> {
        let dim = parts.first().map_or(0, |it| it.dim());
        let len = parts.iter().map(|it| it.len()).sum();
        if parts.iter().any(|it| it.dim() != dim) || u32::try_from(len).is_err() {
            return Err(Error::invalid(
                "the shares of a corpus do not belong together",
            ));
        }
        Ok(Self { parts, dim, len })
    }
}

impl ExactSearch for ExactSplit {
    fn dim(&self) -> usize {
        self.dim
    }

    fn len(&self) -> usize {
        self.len
    }

    fn search(&self, queries: &[f32], k: usize, allowed: Option<&[u8]>) -> Result<Vec<Vec<Found>>> {
        let count = check(queries, self.dim, k)?;
        let mut offsets = Vec::with_capacity(self.parts.len());
        let mut offset = 0;
        for part in &self.parts {
            offsets.push(offset);
            offset += part.len();
        }
        // A device computes by itself; the thread only waits for it.
        let answers = std::thread::scope(|scope| {
            let running: Vec<_> = self
                .parts
                .iter()
                .zip(&offsets)
                .map(|(part, offset)| {
                    let bits = allowed.map(|bits| shifted(bits, *offset, part.len()));
                    scope.spawn(move || part.search(queries, k, bits.as_deref()))
                })
                .collect();
            running
                .into_iter()
                .map(|it| {
                    let died = || Err(Error::internal("a share's search died"));
                    it.join().unwrap_or_else(|_| died())
                })
                .collect::<Result<Vec<_>>>()
        })?;
        let mut best: Vec<Best> = (0..count).map(|_| Best::new(k)).collect();
        for (answer, offset) in answers.into_iter().zip(offsets) {
            for (best, found) in best.iter_mut().zip(answer) {
                for it in found {
                    best.push(key(it.score, it.position + offset as u32));
                }
            }
        }
        best.into_iter().map(Best::found).collect()
    }
}

/// The `len` bits from `offset`.
fn shifted(bits: &[u8], offset: usize, len: usize) -> Vec<u8> {
    let byte = |at: usize| u16::from(bits.get(at).copied().unwrap_or_default());
    let from = |at: usize| {
        let at = offset / 8 + at;
        ((byte(at) | (byte(at + 1) << 8)) >> (offset % 8)) as u8
    };
    (0..len.div_ceil(8)).map(from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ExactOnCpu, Metric, Rows};

    #[test]
    fn shares_answer_as_the_whole_does() {
        let dim = 3;
        let values: Vec<f32> = (0..300).map(|i| ((i * 37) % 5) as f32 - 2.0).collect();
        let on_cpu = |values: &[f32]| {
            let rows = Rows::new(Element::F32, dim, values).unwrap();
            ExactOnCpu::new(rows, Metric::L2).unwrap()
        };
        let bits: Vec<u8> = (0..13).map(|i| (i * 91) as u8).collect();
        let queries = [1.0, 0.0, -1.0, 2.0, 2.0, 0.0];
        for cuts in [vec![], vec![13], vec![1, 2, 77], vec![0, 100]] {
            let ends = cuts.iter().copied().chain([100]);
            let mut from = 0;
            let parts = ends.map(|end| {
                let part = on_cpu(&values[std::mem::replace(&mut from, end) * dim..end * dim]);
                Box::new(part) as Box<dyn ExactSearch>
            });
            let split = ExactSplit::new(parts.collect()).unwrap();
            for allowed in [None, Some(&bits[..])] {
                let wanted = on_cpu(&values).search(&queries, 40, allowed).unwrap();
                assert_eq!(
                    split.search(&queries, 40, allowed).unwrap(),
                    wanted,
                    "{cuts:?}"
                );
            }
        }
    }
}
