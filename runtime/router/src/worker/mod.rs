//! The workers: who is there, how they are, and which of them serves a request.

mod facts;
mod offer;

pub(crate) use facts::{Facts, Offer};
