//! From a pipeline's source to a plan: names resolved, roles given by position, arguments checked,
//! limits settled, identical calls made one.
//!
//! Guards: nothing that is wrong with a request's pipeline survives compilation, and all of it is
//! said at once. Must never do I/O, know an engine, or run anything: [`compile`] is a pure function
//! of the source, the catalog snapshot and the request's arguments.

mod checks;
mod compile;
mod explain;
mod graph;
mod limits;
mod problems;
mod single;

pub use compile::{DEFAULT_SEARCH_LIMIT, MAX_DEPTH, PlanInput, compile};
pub use explain::{mermaid, text};
pub use graph::{Input, Node, NodeId, NodeKind, Plan};
pub use single::{check_call, single_search};
