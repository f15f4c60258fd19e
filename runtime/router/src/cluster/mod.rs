//! The cluster as it is told to clients: health, models, the live feed, the status page.

mod feed;
mod health;
mod models;
pub(crate) mod page;
mod qps;
#[cfg(test)]
mod tests;

pub(crate) use feed::Feed;
pub(crate) use health::{ClusterSummary, HealthInput, health};
pub(crate) use models::{KnownModel, model, models};
pub(crate) use qps::Qps;
