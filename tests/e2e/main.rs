//! The binary from end to end: real processes, free ports, temporary directories.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test's helpers may fail loudly"
)]

mod clients;
mod commands;
mod encoding;
mod examples;
mod extensions;
mod hub;
#[path = "../../runtime/hub/tests/common/mod.rs"]
#[allow(dead_code, reason = "the hub's own tests use all of it")]
mod hub_stand_in;
mod hybrid;
mod indexing;
mod lifecycle;
mod query;
mod quickstart;
mod redis;
#[path = "../../runtime/cache/tests/redis/server.rs"]
#[allow(dead_code, reason = "the cache's own tests use all of it")]
mod redis_server;
mod relay;
mod resume;
mod router;
mod serving;
mod sie;
mod site;
mod startup;
mod upstream;
mod vaswani;
mod warmup;
#[path = "../evil/wrap.rs"]
#[allow(dead_code, reason = "the hostile guests use all of it")]
mod wrap;
