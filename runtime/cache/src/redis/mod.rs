//! A cache in a Redis that several servers share.
//!
//! A Redis may be down, slow or somebody else's, and none of that is a reason to fail or to wait:
//! [`client`] bounds every operation in time and, with [`meter`], in bytes, and takes a connection
//! that stalls away, so that requests meet nothing until it is back. [`cache`] believes no value
//! that was not written for its key.

mod cache;
mod client;
mod connect;
mod envelope;
mod kwargs;
mod meter;
mod settings;
mod tls;

pub use cache::{RedisCache, RedisSpace};
pub use client::RedisClient;
pub use settings::{RedisProblem, RedisSettings};
