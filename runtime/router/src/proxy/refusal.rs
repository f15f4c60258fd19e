//! Why no worker answered.

use std::fmt;
use std::sync::Arc;

use super::MAX_LOST;
use super::upload::Broken;
use crate::worker::{Why, Worker};

/// Why no worker answered a request.
#[derive(Clone, Debug)]
pub(crate) enum Refusal {
    /// There is none that could.
    Nobody(Why),
    /// Those that could have as many requests as they take, and as many wait.
    Busy,
    /// The last that was asked did not answer.
    Unreachable { worker: Arc<str>, why: String },
    /// The last of several workers that broke with the request; others are spared.
    Lost { worker: Arc<str>, why: String },
    /// The worker took too long to begin; `loading` if it was loading the model.
    TimedOut { worker: Arc<str>, loading: bool },
    /// The request's own time was over.
    Deadline,
    /// The client's body failed.
    Body(Broken),
}

impl Refusal {
    pub(super) fn unreachable(worker: &Worker, why: &str) -> Self {
        Self::Unreachable {
            worker: Arc::clone(worker.url()),
            why: why.to_owned(),
        }
    }

    /// The same, when others are not to be asked since too many broke.
    pub(super) fn lost(self) -> Self {
        match self {
            Self::Unreachable { worker, why } => Self::Lost { worker, why },
            other => other,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nobody(_) => f.write_str("no worker can serve the request now"),
            Self::Busy => f.write_str(
                "the workers that could serve the request have as many as they take, and as many \
                 wait; try again soon",
            ),
            Self::Unreachable { worker, why } => {
                write!(f, "worker `{worker}` did not answer: {why}")
            }
            Self::Lost { worker, why } => write!(
                f,
                "worker `{worker}` did not answer: {why}; {MAX_LOST} workers broke with this request, \
                 so no other is asked"
            ),
            Self::TimedOut { worker, loading } if *loading => {
                write!(
                    f,
                    "worker `{worker}` is still loading the model; try again soon"
                )
            }
            Self::TimedOut { worker, .. } => {
                write!(f, "worker `{worker}` did not begin to answer in time")
            }
            Self::Deadline => f.write_str("the request's time was over before a worker answered"),
            Self::Body(broken) => broken.fmt(f),
        }
    }
}
