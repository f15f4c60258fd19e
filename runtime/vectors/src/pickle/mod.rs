//! `{'features': array, 'ids': list}` in a `.npy` file, as `numpy.save` pickles it.
//!
//! A pickle is a program that makes objects. This reader knows only the instructions and the names
//! that numpy's arrays, dictionaries, lists, tuples, strings and whole numbers are made with, of
//! protocols 2 to 5 and of numpy 1 and 2; whatever else a pickle asks for is refused by name. The
//! numbers of an array are not loaded: what comes out is where they stand in the file.
//!
//! `input` (bytes) → `machine` (instructions) → `heap` (values) with `numpy` (the few functions that
//! may be called) → `shard` (what the dictionary holds).

mod heap;
mod input;
mod machine;
mod numpy;
mod shard;
mod write;

use std::fs::File;

use crate::block::Block;
use crate::ids::IdList;

pub(crate) use write::{epilogue, layout};

/// Reads the dictionary whose pickle starts at `offset` of `file`, which is `size` bytes long.
///
/// # Errors
/// Why there is none.
pub(crate) fn read(file: &File, offset: u64, size: u64) -> Result<(Block, IdList), String> {
    let mut input = input::Input::new(file, offset, size);
    let (heap, root) = machine::run(&mut input)?;
    match input.left() {
        0 => shard::take(heap, root, file),
        more => Err(format!("{more} bytes stand behind its end")),
    }
}
