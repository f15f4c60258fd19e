//! The workers: who is there, how they are, and which of them serves a request.

mod address;
mod breaker;
mod card;
mod facts;
mod fetch;
mod field;
mod frame;
mod gone;
mod load;
mod metrics;
mod offer;
mod one;
mod reader;
mod registry;
mod select;
mod settings;
mod socket;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use address::Address;
pub(crate) use breaker::{Outcome, Standing};
pub(crate) use card::Card;
pub(crate) use facts::{Facts, ModelFacts, ModelState, Offer};
pub(crate) use metrics::WorkerMetrics;
pub(crate) use one::{InFlight, Worker, lower};
pub(crate) use registry::{Registry, Source};
pub(crate) use select::{Choice, Policy, Why, choose};
pub(crate) use settings::WorkerSettings;
