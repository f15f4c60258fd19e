//! What a worker last said of itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use routir_core::Role;

/// What a worker last said of itself: its status frame as far as it was sane, and, of a worker of
/// this project, what it offers.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Facts {
    pub(crate) ready: bool,
    pub(crate) name: Arc<str>,
    /// The kind of machine; empty when it did not say.
    pub(crate) profile: Arc<str>,
    pub(crate) bundle: Arc<str>,
    pub(crate) bundle_config_hash: Arc<str>,
    pub(crate) gpu_count: u32,
    /// Requests that it takes at once, for shares of capacity.
    pub(crate) capacity: u32,
    /// Models by lower-case name.
    pub(crate) models: BTreeMap<Arc<str>, ModelFacts>,
    /// The sum of its models' queues (and of its services').
    pub(crate) queue_depth: u64,
    pub(crate) memory_used_bytes: u64,
    pub(crate) memory_total_bytes: u64,
    /// RoutIR's side: services with their roles, and collections; `None` of a worker without.
    pub(crate) offer: Option<Arc<Offer>>,
}

/// A model on a worker.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ModelFacts {
    /// In the worker's spelling.
    pub(crate) name: Arc<str>,
    pub(crate) state: ModelState,
    pub(crate) queue_depth: u64,
}

/// How far a model is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ModelState {
    /// Can be loaded.
    Available,
    /// Is being loaded.
    Loading,
    /// Answers.
    Loaded,
    /// Is being taken down, or failed to load.
    Gone,
}

/// What a worker offers over RoutIR's endpoints.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Offer {
    pub(crate) services: BTreeMap<Arc<str>, BTreeSet<Role>>,
    pub(crate) collections: BTreeSet<Arc<str>>,
    /// Names that stand for a piece of pipeline, and the piece.
    pub(crate) aliases: BTreeMap<Arc<str>, String>,
    pub(crate) grpc_port: Option<u16>,
    /// Its id in `x-routir-via`.
    pub(crate) server_id: Option<Arc<str>>,
    /// What can be asked for by itself: a server that is not of this project lists mergers and
    /// expanders that only its own pipelines can use.
    pub(crate) alone: Arc<routir_remote::relay::Offer>,
}
