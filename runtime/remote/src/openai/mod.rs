//! Models behind servers that speak OpenAI's API: chat completions and embeddings.
//!
//! The server is not trusted: it may stall, vanish, answer without end or answer nonsense. So every
//! call has a time limit and ends at the deadline of whoever asked, answers are bounded before they are
//! read and checked after, and what may succeed later is asked again, a few times, when the server
//! says or a little later each time. Dropping a call's future closes its connection.

mod chat;
mod client;
mod embeddings;
mod failure;
mod retry;
mod settings;

pub use chat::{ChatAnswer, ChatRequest, TopToken};
pub use client::OpenAi;
pub use embeddings::EmbeddingsRequest;
pub use failure::ApiError;
pub use settings::ApiSettings;
