//! What the stand-in holds for this process.

use libloading::Library;

/// Blocks of device memory and their bytes, blocks of pinned memory, streams, events, modules; and
/// kernels that were launched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) blocks: u64,
    pub(crate) bytes: u64,
    pub(crate) pinned: u64,
    pub(crate) streams: u64,
    pub(crate) events: u64,
    pub(crate) modules: u64,
    pub(crate) launches: u64,
}

impl Counts {
    pub(crate) fn now() -> Self {
        let mut counts = [0_u64; 7];
        // SAFETY: the library is loaded already, and writes so many numbers.
        unsafe {
            let library = Library::new("libcuda.so.1").unwrap();
            let count = library.get::<unsafe extern "C" fn(*mut u64)>(b"standin_counts\0");
            count.unwrap()(counts.as_mut_ptr());
        }
        let [blocks, bytes, pinned, streams, events, modules, launches] = counts;
        Self {
            blocks,
            bytes,
            pinned,
            streams,
            events,
            modules,
            launches,
        }
    }
}
