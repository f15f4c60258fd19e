//! Pipelines over several workers: services and collections whose calls go to whichever worker has
//! them.
//!
//! [`Union`] is what all workers together offer, as engines of a runtime that runs in the router;
//! each call of such an engine is a small request of its own, sent by a [`Carry`]: chosen, counted
//! and failed over as every request to a worker is.

mod carry;
mod offered;
mod union;

pub(crate) use carry::{Carry, Spread, VIA};
pub use offered::Offered;
pub(crate) use union::{Known, Seen, Union};
