//! How many calls a request may cause, wherever they are made.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::{Error, ErrorCode, Result};

/// The calls of services that a request may still cause: one count for its own stages and for all
/// that extensions ask of the host on its behalf, so that nesting buys nothing.
#[derive(Debug)]
pub struct CallBudget {
    left: AtomicUsize,
}

impl CallBudget {
    /// A budget of `calls`.
    #[must_use]
    pub fn new(calls: usize) -> Self {
        Self {
            left: AtomicUsize::new(calls),
        }
    }

    /// Takes one call.
    ///
    /// # Errors
    /// [`ErrorCode::TooLarge`] when none is left.
    pub fn take(&self) -> Result<()> {
        let left = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(1)
            });
        left.map(|_| ()).map_err(|_| {
            Error::new(
                ErrorCode::TooLarge,
                "the request causes more stage calls than this server allows; \
                 use fewer branches or limit the sub-queries with `%N` at the expander",
            )
        })
    }

    /// How many calls are left.
    #[must_use]
    pub fn left(&self) -> usize {
        self.left.load(Ordering::Relaxed)
    }
}
