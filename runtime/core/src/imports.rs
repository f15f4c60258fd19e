//! Other servers whose services are offered here too, as they are shown.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

/// How it stands with one of them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ImportStatus {
    /// Its address, without credentials.
    pub endpoint: Arc<str>,
    /// Whether it answers and what it offers is in service here.
    pub ready: bool,
    /// Whether this server is not ready without it.
    pub required: bool,
    /// Why it is not ready, or what it is.
    pub detail: String,
    /// Its services that are offered here.
    pub services: Vec<Arc<str>>,
    /// Its collections that are offered here.
    pub collections: Vec<Arc<str>>,
}

/// The servers that what is offered here comes through, by name: ids of servers, the nearest first.
pub type Ways = BTreeMap<Arc<str>, Vec<Arc<str>>>;

/// Other servers whose services are offered here too.
pub trait Imports: Send + Sync {
    /// How it stands with each, in the order of the configuration.
    fn status(&self) -> Vec<ImportStatus>;

    /// Where services come from that are not this server's own. A server that would get its own
    /// service back leaves it out.
    fn services(&self) -> Arc<Ways>;

    /// Likewise for collections.
    fn collections(&self) -> Arc<Ways>;
}
