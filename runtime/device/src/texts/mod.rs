//! Vectors of texts that are made on a device and stay there: what a model leaves of each token
//! becomes one vector, which a search on the same device takes as its query. See `kernels/vectors.cu`.

mod cpu;
mod places;
mod queries;
mod workspace;

pub use cpu::pool_on_cpu;
pub use places::DeviceVector;
pub(crate) use queries::{Kept, taken};
pub use workspace::{Pooled, Workspace};

/// What numbers a model answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    /// Single precision.
    Single,
    /// Half precision.
    Half,
    /// The upper half of single precision.
    Brain,
}

/// How the states of a text's tokens become one vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// The first one; also where there is only one.
    First,
    /// The last one.
    Last,
    /// Their mean.
    Mean,
    /// The largest value of each dimension.
    Most,
    /// The sum, divided by the square root of their number.
    MeanSqrt,
}

/// What is done to the states of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pooling {
    /// What numbers they are.
    pub number: Number,
    /// Rows of each text, those that fill it up among them.
    pub length: usize,
    /// Numbers of a row.
    pub width: usize,
    /// How rows become one.
    pub join: Join,
    /// Whether that has length 1 then.
    pub scale: bool,
    /// How many of its first numbers stay.
    pub dim: usize,
    /// Whether those have length 1 then.
    pub scale_last: bool,
}
