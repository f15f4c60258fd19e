//! A worker's answer to `/avail` as its offer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use routir_client::Avail;
use routir_core::Role;
use routir_remote::relay;

use super::Offer;

/// The longest name that is taken.
const MAX_NAME: usize = 256;
/// The longest definition of an alias.
const MAX_ALIAS: usize = routir_dsl::MAX_SOURCE_BYTES;

impl Offer {
    /// What `avail` says, to the router whose id is `own`. What a worker has from this router itself
    /// is left out.
    ///
    /// # Errors
    /// When it is this router that answered.
    pub(crate) fn of(avail: Avail, own: &str) -> Result<Self, String> {
        let server = avail.server.clone().unwrap_or_default();
        let back = |ways: &BTreeMap<String, Vec<String>>, name: &str| {
            let way = ways.get(name).map(Vec::as_slice).unwrap_or_default();
            way.iter().any(|id| id == own)
        };
        let by_role = [
            (Role::Search, &avail.search),
            (Role::Score, &avail.score),
            (Role::Fuse, &avail.fuse),
            (Role::DecomposeQuery, &avail.decompose_query),
        ];
        let mut services: BTreeMap<Arc<str>, BTreeSet<Role>> = BTreeMap::new();
        for (role, names) in by_role {
            let names = names.iter().filter(|name| is_sane(name));
            for name in names.filter(|name| !back(&server.relayed, name)) {
                let roles = services.entry(Arc::from(name.as_str())).or_default();
                roles.insert(role);
            }
        }
        let collections = avail.content.iter().chain(avail.collection.keys());
        let collections = collections
            .filter(|name| is_sane(name) && !back(&server.relayed_collections, name))
            .map(|name| Arc::from(name.as_str()))
            .collect();
        let aliases = avail.pipeline_aliases.iter();
        let aliases = aliases
            .filter(|(name, source)| is_sane(name) && source.len() <= MAX_ALIAS)
            .map(|(name, source)| (Arc::from(name.as_str()), source.clone()))
            .collect();
        let grpc_port = avail.grpc_port;
        // Scorers of bytes are asked over gRPC, documents of bytes over REST as servers of this
        // project have them.
        let ours = server.endpoints.iter().any(|it| it == "contents");
        let speaks = relay::Speaks {
            rest: true,
            grpc: Some(ours && grpc_port.is_some()),
            bytes: true,
        };
        let alone = relay::Offer::read(avail, own, speaks)?;
        Ok(Self {
            services,
            collections,
            aliases,
            grpc_port,
            server_id: alone.server.clone(),
            alone: Arc::new(alone),
        })
    }
}

fn is_sane(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len()) && !name.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(told: &str) -> Result<Offer, String> {
        Offer::of(serde_json::from_str(told).unwrap(), "me")
    }

    #[test]
    fn what_comes_from_the_router_itself_is_left_out() {
        let told = r#"{"search":["a","back"],"score":["a"],"fuse":["m"],"content":["docs","ours"],
            "pipeline_aliases":{"two":"{a, b}m"},"grpc_port":7,
            "server":{"id":"w","endpoints":["contents"],"relayed":{"back":["me"]},
            "relayed_collections":{"ours":["x","me"]}}}"#;
        let offer = offer(told).unwrap();
        let names: Vec<_> = offer.services.keys().map(AsRef::as_ref).collect();
        assert_eq!(names, ["a", "m"]);
        assert_eq!(offer.collections, BTreeSet::from([Arc::from("docs")]));
        assert_eq!(
            (offer.grpc_port, offer.server_id.as_deref()),
            (Some(7), Some("w"))
        );
        // It hosts the merger for whole pipelines, and cannot be asked for it alone.
        let alone: Vec<_> = offer.alone.services.keys().map(AsRef::as_ref).collect();
        assert_eq!(alone, ["a"]);
        let two: Arc<str> = Arc::from("two");
        assert_eq!(offer.aliases[&two], "{a, b}m");
    }

    #[test]
    fn the_router_is_no_worker_of_its_own() {
        let error = offer(r#"{"search":["a"],"server":{"id":"me"}}"#).unwrap_err();
        assert!(error.contains("itself"), "{error}");
        // A router without an id knows no server as itself, not even one without an id.
        let other = serde_json::from_str(r#"{"search":["a"]}"#).unwrap();
        assert!(Offer::of(other, "").is_ok());
    }
}
