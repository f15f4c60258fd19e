//! The pipeline language: `{dense, bm25}RRF%50 >> reranker%20`.
//!
//! The way of a string: [`parse`] makes tokens of it, checks them against the limits, and builds a
//! tree with a span on every node; [`Aliases::expand`] puts the configured fragments in place; the
//! tree's `Display` prints it in its one canonical form. What is wrong comes back as
//! [`Diagnostic`]s, all at once, and [`render`] shows them to people.
//!
//! This room guards the syntax: whatever the input, parsing neither panics nor recurses deeper
//! than [`MAX_NESTING`], and takes time in proportion to the input's length. It must never know
//! services, roles of engines, collections or anything asynchronous: whether `bm25` exists, and
//! whether it can search, is for the room that compiles plans.
//!
//! ```
//! let pipeline = routir_dsl::parse("{dense,bm25} RRF %50>>reranker%20").unwrap();
//! assert_eq!(pipeline.to_string(), "{dense, bm25}RRF%50 >> reranker%20");
//!
//! let source = "{dense, bm25} >> reranker%";
//! let problems = routir_dsl::parse(source).unwrap_err();
//! assert_eq!(problems.len(), 2);
//! println!("{}", routir_dsl::render(source, &problems));
//! ```

mod alias;
mod diagnostic;
mod expand;
mod fault;
mod grammar;
mod limits;
mod parse;
mod print;
mod render;
mod token;
mod tree;
mod visit;

pub use alias::{AliasProblem, Aliases};
pub use diagnostic::{Diagnostic, Related};
pub use limits::{MAX_CALLS, MAX_DIAGNOSTICS, MAX_LIMIT_DIGITS, MAX_NESTING, MAX_SOURCE_BYTES};
pub use parse::parse;
pub use render::render;
pub use token::is_name;
pub use tree::{Call, Limit, Name, Parallel, Pipeline, Sequence, Span, Stage};
pub use visit::{Calls, Position};
