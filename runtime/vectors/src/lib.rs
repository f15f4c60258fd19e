//! Files of vectors: `.npy`, safetensors, and the `.npy` with a pickled dictionary that RoutIR's
//! tools write and read.
//!
//! Guards: a file is read row by row and never believed: a wrong shape, a wrong type or a pickle
//! that asks for more than numbers and strings is an error that names the file. A file is written
//! aside and put in place when it is whole. Must never know: models, indices, services.
//!
//! | format | vectors | ids |
//! |---|---|---|
//! | [`Format::Npy`] | an array of two dimensions | `<name>.ids` beside, one per line |
//! | [`Format::Safetensors`] | a tensor of two dimensions | `<name>.ids` beside, one per line |
//! | [`Format::Routir`] | `features` of a pickled `{'features': array, 'ids': list}` | `ids` of it |
//!
//! Read are half (IEEE and, in safetensors, bfloat16), single and double precision, little-endian,
//! in C order; everything comes out as `f32`.

mod block;
mod element;
mod failure;
mod file;
mod format;
mod ids;
mod new_file;
mod npy;
mod pickle;
mod tensors;
mod write;

pub use element::Element;
pub use file::VectorFile;
pub use format::Format;
pub use ids::{IdReader, IdWriter, MAX_ID_BYTES, count_ids};
pub use new_file::NewFile;
pub use write::{VectorWriter, Written};
