//! The wire of SIE: items, results, arrays of numpy in msgpack, status frames.
//!
//! Guards: every byte is what SIE's SDKs write and read; what a stranger sends is read in memory in
//! proportion to what it is, and refused with a word on where it is wrong. Must never know:
//! services, models, HTTP.
//!
//! [`Form`] is one of the two forms in which a value travels, msgpack or JSON; everything else has
//! both through serde. [`Array`] is the one that differs: a map with keys of bytes in msgpack, as
//! `msgpack-numpy` writes it, and nested lists in JSON.

mod array;
mod dtype;
mod error;
mod form;
mod item;
mod list;
mod options;
mod request;
mod results;
mod status;

pub use array::{Array, Element};
pub use dtype::OutputDtype;
pub use error::{Code, ErrorBody, ErrorDetail, WireError};
pub use form::Form;
pub use item::{Item, Media};
pub use options::{Options, Params};
pub use request::Request;
pub use results::{
    Dense, EncodeReply, EncodeResult, ModelEntry, ModelList, Multivector, Profile, ScoreEntry,
    ScoreReply, Sparse, Timing,
};
pub use status::{
    GpuStatus, ModelConfig, ModelState, ModelStatus, RoutirStatus, ServerStatus, StatusFrame,
};

/// The version of SIE whose wire is spoken here, as `X-SIE-Server-Version` tells it. SDKs warn of a
/// server that is more than one minor version away from them; from this one no SDK so far is.
pub const VERSION: &str = "0.3.0";

/// Where a server tells its version.
pub const SERVER_VERSION: &str = "x-sie-server-version";

/// Which kind of machine must serve a request.
pub const MACHINE_PROFILE: &str = "x-sie-machine-profile";
