//! What answers elsewhere: services and collections of other RoutIR servers, models behind
//! OpenAI-style APIs.
//!
//! Guards: a peer that lies, stalls, vanishes or answers without end costs the request that asked it,
//! in bounded time and memory, and no other; who asks, through whom and until when travels along;
//! nothing goes in circles. Must never know: pipelines, queues, the configuration file.

pub mod openai;
pub mod relay;
