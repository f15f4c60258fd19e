//! A typed client of RoutIR servers, over REST and gRPC: of RoutIR 0.0.2 in Python, of its next
//! level, and of the servers of this project.
//!
//! ```no_run
//! use routir_client::{CallOptions, Client, Search, Settings};
//!
//! # async fn example() -> Result<(), routir_client::ClientError> {
//! let client = Client::new(Settings {
//!     api_key: std::env::var("ROUTIR_API_KEY").ok(),
//!     ..Settings::new("http://localhost:5000")
//! })?;
//! let extras = serde_json::Map::new();
//! let search = Search { service: "bm25", query: "java coffee", limit: Some(10), extras: &extras };
//! for (document, score) in client.search(search, CallOptions::default()).await?.scores {
//!     println!("{score:>10.4}  {document}");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What is spoken
//! As RoutIR's own client decides ([`Transport::Auto`]): gRPC where a gRPC address is given, or
//! where `/avail` of a server at an `http://` address tells the port, and a ping is answered there;
//! otherwise REST. A key that gRPC refuses is an error and not a reason to fall back. When gRPC stops
//! answering later, calls go by REST, and gRPC is tried again after half a minute.
//!
//! # Failures
//! RoutIR's rules: connection errors and 5xx over REST, and `UNAVAILABLE`, `DEADLINE_EXCEEDED`,
//! `RESOURCE_EXHAUSTED` and `ABORTED` over gRPC are tried again ([`Settings::retries`] times, after
//! 0.1 seconds and then twice as long each time, up to 2 seconds); what is the request's fault is
//! not. A server of this project that says that a failure will not pass is believed. Every call is
//! a read, so that trying twice does no harm.
//!
//! No attempt takes longer than [`Settings::timeout`] nor goes beyond [`CallOptions::deadline`],
//! which the server is told. Dropping a call's future cancels it, on the server too.
//!
//! # Answers
//! Servers are not trusted: what is returned has finite scores, as many as were asked for, no
//! document twice, belongs to the query or document that was asked, and was no larger on the wire
//! than [`Settings::max_answer_bytes`]. Everything else is [`ErrorKind::BadAnswer`] or
//! [`ErrorKind::TooLarge`]. Environment variables for proxies are not read and redirects not
//! followed, so that keys go where they were meant to.

mod address;
mod answer;
pub mod carried;
mod client;
mod error;
mod grpc;
mod link;
mod request;
mod rest;
mod retry;
mod route;
mod settings;
mod structs;
mod way;
mod wire;

pub use answer::{Avail, Document, Payload, Ranked, Scored, ServerInfo, Views};
pub use client::Client;
pub use error::{ClientError, ErrorKind};
pub use request::{
    Content, Contents, Decompose, Fuse, FuseInput, Passages, Pipeline, Score, Search, field_among,
};
pub use settings::{CallOptions, Settings, Transport};
