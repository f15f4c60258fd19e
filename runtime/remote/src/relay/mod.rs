//! Services and collections of other RoutIR servers, offered here as if they were this server's own.
//!
//! A [`Peer`] is a server that is asked, [`Ask`] whatever can be asked like one; a [`RelayService`] is
//! one of its services in the roles of an engine, a [`RelayCollection`] one of its collections,
//! a [`LoneCollection`] one of a server of which nothing else is taken. [`Imports`] finds out what
//! peers offer and keeps finding out while they come and go.
//!
//! Every request that is handed on names the servers that it has come through, so that one that
//! returns to where it was is refused there.

mod ask;
mod collection;
mod failure;
mod imports;
mod lone;
mod look;
mod offer;
mod peer;
mod service;
mod union;

pub use ask::{Ask, Found};
pub use collection::{RelayCache, RelayCollection};
pub use failure::of_call;
pub use imports::{ImportSettings, Importing, Imports, Publish};
pub use lone::LoneCollection;
pub use offer::{Offer, Speaks, Way};
pub use peer::{Peer, Peers};
pub use routir_client::{Settings as PeerSettings, Transport};
pub use service::RelayService;
pub use union::Union;
