//! The kernels' sources, compiled at run time for the device at hand and kept on disk.

mod cache;
mod nvrtc;

pub use cache::{Compiled, KernelCache};
pub use nvrtc::Nvrtc;

/// A source with the name that it is included or known by.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// The file's name.
    pub name: &'static str,
    /// What is in it.
    pub text: &'static str,
}

macro_rules! source {
    ($name:literal) => {
        Source {
            name: $name,
            text: include_str!(concat!("../../kernels/", $name)),
        }
    };
}

/// What is compiled, one module each.
pub const SOURCES: [Source; 7] = [
    source!("scan.cu"),
    source!("tile.cu"),
    source!("merge.cu"),
    source!("pq.cu"),
    source!("maxsim.cu"),
    source!("vectors.cu"),
    source!("peaks.cu"),
];

/// What they include.
pub(crate) const HEADERS: [Source; 3] = [
    source!("common.cuh"),
    source!("primitives.cuh"),
    source!("candidates.cuh"),
];
