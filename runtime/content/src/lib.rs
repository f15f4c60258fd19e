//! Collections and their views: documents by id.
//!
//! Guards: a document's text is never another document's. What is known about where a document lies
//! is only a hint; its id is read from the document itself before it is answered. Indices beside a
//! corpus are stamped, checked and rebuilt, and never trusted further than their checksums.
//!
//! Must never know: pipelines, services, HTTP, and how text becomes a ranking.
//!
//! The way of a look-up: [`Collection`] (views, cache) → `store` (one file under one id field) →
//! `sidecar` (id to place) → `source` (place to bytes, plain or in compressed blocks) → `record`
//! (one JSON line to one document).

mod blocks;
mod collection;
mod config;
mod failure;
mod header;
mod id_hash;
mod labels;
mod lines;
mod options;
mod pickle;
mod place;
mod reading;
mod record;
mod scan;
mod sidecar;
mod source;
mod stamp;
mod store;

pub use collection::{Collection, CollectionParts, TextView};
pub use labels::IdLabels;
pub use options::{OpenOptions, Phase, Progress};
