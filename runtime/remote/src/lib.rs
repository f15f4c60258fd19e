//! What answers elsewhere: services and collections of other RoutIR servers, models behind
//! OpenAI-style APIs.

pub mod openai;
