//! Models and datasets of a hub that speaks Hugging Face's protocol, in the cache that its Python
//! tools use too.
//!
//! Guards: a file is there when it is whole and what the hub says it is, and not before; a hub that is
//! away or hangs is no reason to wait for ever, and what was fetched before will do; no list of files
//! leads out of the cache. Must never know: what is in the files. Everything here blocks; callers
//! bring the threads.

mod dataset;
mod download;
mod failure;
mod fetch;
mod hub;
mod kept;
mod list;
mod lock;
mod names;
mod watch;

pub use dataset::{Dataset, PREFIX};
pub use hub::{Fetching, Hub, Kind, Repository, Select};
pub use list::list;
