//! Who has how much of a device's memory.

use std::fmt::Write as _;
use std::sync::Arc;

use parking_lot::Mutex;
use routir_core::{Error, ErrorCode, Result};

/// The largest reservations that a refusal names.
const NAMED: usize = 8;

/// The memory of one device that may be used. What is taken is reserved first, so that a start that
/// cannot work is refused with a sum, and not by a device that is full later.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    device: String,
    total: u64,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    parts: Vec<(u64, String, u64)>,
}

impl Taken {
    fn sum(&self) -> u64 {
        self.parts.iter().map(|(_, _, bytes)| bytes).sum()
    }
}

/// A part of a budget, given back when it is dropped.
#[derive(Debug)]
pub struct Reservation {
    budget: Budget,
    number: u64,
    bytes: u64,
}

impl Budget {
    /// `total` bytes of the device that people know as `device`.
    #[must_use]
    pub fn new(device: impl Into<String>, total: u64) -> Self {
        Self(Arc::new(Inner {
            device: device.into(),
            total,
            taken: Mutex::default(),
        }))
    }

    /// All of it.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.total
    }

    /// What nobody has.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.0.total.saturating_sub(self.0.taken.lock().sum())
    }

    /// Takes `bytes` for `what`.
    ///
    /// # Errors
    /// [`ErrorCode::Unavailable`] when there is not so much left: who has what, and what is missing.
    pub fn reserve(&self, what: &str, bytes: u64) -> Result<Reservation> {
        let mut taken = self.0.taken.lock();
        let left = self.0.total.saturating_sub(taken.sum());
        if bytes > left {
            return Err(self.refuse(&taken, what, bytes, left));
        }
        let number = taken.next;
        taken.next += 1;
        taken.parts.push((number, what.to_owned(), bytes));
        Ok(Reservation {
            budget: self.clone(),
            number,
            bytes,
        })
    }

    fn refuse(&self, taken: &Taken, what: &str, bytes: u64, left: u64) -> Error {
        let mut parts: Vec<_> = taken.parts.iter().collect();
        parts.sort_by_key(|(_, _, bytes)| std::cmp::Reverse(*bytes));
        let mut sum = String::new();
        for (_, what, bytes) in parts.iter().take(NAMED) {
            let _ = write!(sum, ", {what} {}", shown(*bytes));
        }
        if let Some(more) = parts.len().checked_sub(NAMED).filter(|more| *more > 0) {
            let _ = write!(sum, ", and {more} more");
        }
        let sum = sum.strip_prefix(", ").unwrap_or("nothing");
        Error::new(
            ErrorCode::Unavailable,
            format!(
                "{what} needs {} on {}, where {} of {} are left (taken: {sum}); use a smaller \
                 element type, another device or several, or put less on this one",
                shown(bytes),
                self.0.device,
                shown(left),
                shown(self.0.total),
            ),
        )
    }
}

impl Reservation {
    /// How much it is.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let parts = &mut self.budget.0.taken.lock().parts;
        parts.retain(|(number, _, _)| *number != self.number);
    }
}

/// Bytes as people read them.
pub(crate) fn shown(bytes: u64) -> String {
    let (unit, name) = match bytes {
        0..0x0010_0000 => (1 << 10, "KiB"),
        0x0010_0000..0x4000_0000 => (1 << 20, "MiB"),
        _ => (1_u64 << 30, "GiB"),
    };
    format!("{:.1} {name}", bytes as f64 / unit as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_shows_the_sum_and_what_is_dropped_comes_back() {
        let budget = Budget::new("`cuda:0` (a GPU)", 10 << 30);
        let first = budget.reserve("index `a`", 6 << 30).unwrap();
        let _second = budget.reserve("index `b`", 3 << 30).unwrap();
        let error = budget.reserve("index `c`", 2 << 30).unwrap_err();
        assert_eq!(error.code(), ErrorCode::Unavailable);
        for part in [
            "index `c` needs 2.0 GiB on `cuda:0` (a GPU)",
            "1.0 GiB of 10.0 GiB are left",
            "index `a` 6.0 GiB, index `b` 3.0 GiB",
        ] {
            assert!(error.message().contains(part), "{error}");
        }
        assert_eq!(budget.left(), 1 << 30);
        drop(first);
        assert_eq!(
            budget.reserve("index `c`", 7 << 30).unwrap().bytes(),
            7 << 30
        );
        assert_eq!(budget.left(), 7 << 30);
    }

    #[test]
    fn a_refusal_stays_short_however_many_have_a_part() {
        let budget = Budget::new("`cuda:0`", 1000 << 20);
        let held: Vec<_> = (0..500)
            .map(|i| budget.reserve(&format!("part {i}"), 1 << 20).unwrap())
            .collect();
        let error = budget.reserve("more", u64::MAX).unwrap_err();
        assert!(
            error.message().len() < 600 && error.message().contains("492 more"),
            "{error}"
        );
        drop(held);
        assert_eq!(budget.left(), 1000 << 20);
    }
}
