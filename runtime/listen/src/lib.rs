//! Taking connections: heads, slow peers, request ids, keys, ending in order.
//!
//! Guards: a peer who sends or reads too slowly, or too much of a head, costs a connection and
//! nothing else; a server that ends lets its requests end. Must never know: what is asked or
//! answered.

mod bell;
mod busy_poll;
mod connection;
mod cork;
mod key;
mod lane;
mod leaving;
mod request_id;
mod serve;
mod threads;
mod timer;

pub use bell::{Bell, Missed, hushed};
pub use connection::Patient;
pub use key::ApiKey;
pub use leaving::{Ended, Ends, Leaver, Leaving};
pub use request_id::RequestId;
pub use serve::{Bounds, serve};
