//! What a server offers: its services and collections, and its endpoints.

use std::collections::BTreeMap;
use std::sync::Arc;

use routir_core::{Catalog, Role, ViewKind};

use crate::endpoint::{Row, TABLE};

/// The answer to `/avail`: RoutIR 0.0.2's fields and those of its next level.
#[derive(serde::Serialize)]
pub(crate) struct AvailReply<'a> {
    search: Vec<&'a str>,
    score: Vec<&'a str>,
    fuse: Vec<&'a str>,
    decompose_query: Vec<&'a str>,
    content: Vec<&'a str>,
    collection: BTreeMap<&'a str, Views<'a>>,
    score_view_kinds: BTreeMap<&'a str, ViewKind>,
    collection_view_kinds: BTreeMap<&'a str, &'a BTreeMap<Arc<str>, ViewKind>>,
    pipeline_aliases: &'a BTreeMap<Arc<str>, Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grpc_port: Option<u16>,
}

#[derive(serde::Serialize)]
struct Views<'a> {
    views: &'a BTreeMap<Arc<str>, ViewKind>,
    default: &'a str,
}

impl<'a> AvailReply<'a> {
    /// What `catalog` offers.
    pub(crate) fn new(catalog: &'a Catalog, grpc_port: Option<u16>) -> Self {
        let names = |role| catalog.names(role).map(AsRef::as_ref).collect();
        let collections = || {
            catalog
                .collections
                .iter()
                .map(|(name, info)| (&**name, info))
        };
        Self {
            search: names(Role::Search),
            score: names(Role::Score),
            fuse: names(Role::Fuse),
            decompose_query: names(Role::DecomposeQuery),
            content: collections().map(|(name, _)| name).collect(),
            collection: collections()
                .map(|(name, info)| {
                    (
                        name,
                        Views {
                            views: &info.views,
                            default: &info.default_view,
                        },
                    )
                })
                .collect(),
            score_view_kinds: catalog
                .names(Role::Score)
                .filter_map(|name| {
                    let scorer = catalog.services.get(name)?.score.as_ref()?;
                    Some((&**name, scorer.view_kind))
                })
                .collect(),
            collection_view_kinds: collections()
                .map(|(name, info)| (name, &info.views))
                .collect(),
            pipeline_aliases: &catalog.aliases,
            grpc_port,
        }
    }
}

/// The answer to `GET /`.
#[derive(serde::Serialize)]
pub(crate) struct IndexReply<'a> {
    name: &'static str,
    version: &'a str,
    endpoints: &'static [Row],
}

impl<'a> IndexReply<'a> {
    /// The list of endpoints.
    pub(crate) fn new(version: &'a str) -> Self {
        Self {
            name: "routir-rt",
            version,
            endpoints: &TABLE,
        }
    }
}
