//! What a server says of itself in `/avail`, for other servers that relay to it and for who runs
//! it.

use std::collections::BTreeMap;
use std::sync::Arc;

use routir_core::{Catalog, ImportStatus, Imports, Ways};
use serde::Serialize;

use crate::ServerOptions;
use crate::encode::AvailReply;

/// What this server does beyond RoutIR's calls, as relays look for it.
const BEYOND: [&str; 3] = ["contents", "decompose", "fuse"];

/// A server's word on itself.
pub(crate) struct Itself<'a> {
    server: Server<'a>,
    imports: Vec<ImportStatus>,
}

#[derive(Serialize)]
struct Server<'a> {
    name: &'static str,
    version: &'a str,
    id: &'a str,
    endpoints: [&'static str; 3],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    relayed: Ways,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    relayed_collections: Ways,
}

/// `/avail` with it.
#[derive(Serialize)]
pub(crate) struct Told<'a> {
    #[serde(flatten)]
    reply: AvailReply<'a>,
    server: Server<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    imports: Vec<ImportStatus>,
}

impl<'a> Itself<'a> {
    /// What is said to who sees `catalog`: which services are relayed to everybody who sees them,
    /// how the other servers are to the operator alone.
    pub(crate) fn new(options: &'a ServerOptions, catalog: &Catalog, operator: bool) -> Self {
        let imports = options.imports.as_deref();
        let seen = |ways: Arc<Ways>, is: &dyn Fn(&str) -> bool| {
            let mut ways = Arc::unwrap_or_clone(ways);
            ways.retain(|name, _| is(name));
            ways
        };
        let services = imports.map(Imports::services).unwrap_or_default();
        let collections = imports.map(Imports::collections).unwrap_or_default();
        let status = imports.filter(|_| operator).map(Imports::status);
        Self {
            server: Server {
                name: "routir-rt",
                version: &options.version,
                id: &options.server_id,
                endpoints: BEYOND,
                relayed: seen(services, &|name| catalog.services.contains_key(name)),
                relayed_collections: seen(collections, &|name| {
                    catalog.collections.contains_key(name)
                }),
            },
            imports: status.unwrap_or_default(),
        }
    }

    /// `reply` with it.
    pub(crate) fn with(self, reply: AvailReply<'a>) -> Told<'a> {
        Told {
            reply,
            server: self.server,
            imports: self.imports,
        }
    }
}
