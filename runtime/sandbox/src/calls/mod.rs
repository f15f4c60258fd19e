//! One call of a guest, from waiting for an instance to its answer, under all limits.

mod gate;
mod kept;
mod run;

pub(crate) use gate::{DEPTHS, Gate};
pub(crate) use kept::Kept;
pub use run::CallReport;
pub(crate) use run::{Code, Job, run};
