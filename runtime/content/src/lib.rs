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
//! (one JSON line to one document). A view of bytes goes to its `bytes_view::BytesSource` instead:
//! `files`, or `tar`, which reads compressed archives through `gzip`; the segmented MS MARCO, whose
//! ids say where they lie, to `segments`.

mod blocks;
mod bytes_view;
mod collection;
mod config;
mod failure;
mod files;
mod glob_walk;
mod gzip;
mod header;
mod id_hash;
mod labels;
mod lines;
mod opening;
mod options;
mod pickle;
mod place;
mod readers;
mod reading;
mod record;
mod scan;
mod segments;
mod sidecar;
mod source;
mod stamp;
mod store;
mod tar;
mod template;
mod view;
mod warm;

pub use collection::{Collection, CollectionParts};
pub use labels::IdLabels;
pub use options::{OpenOptions, Phase, Progress};
pub use view::{BytesView, SegmentsView, TextView, ViewParts};
