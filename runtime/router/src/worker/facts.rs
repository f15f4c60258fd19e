//! What a worker last said of itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use routir_core::Role;

/// What a worker last said of itself: its status frame as far as it was sane, and, of a worker of
/// this project, what it offers.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Facts {
    /// Whether it has said anything yet.
    pub(crate) heard: bool,
    pub(crate) ready: bool,
    pub(crate) name: Arc<str>,
    /// The kind of machine; empty when it did not say.
    pub(crate) profile: Arc<str>,
    pub(crate) bundle: Arc<str>,
    pub(crate) bundle_config_hash: Arc<str>,
    pub(crate) gpu_count: u32,
    /// Requests that it takes at once, for shares of capacity.
    pub(crate) capacity: u32,
    /// Whether it serves the models that it lists and no others.
    pub(crate) lists_models: bool,
    /// Models by lower-case name.
    pub(crate) models: BTreeMap<Arc<str>, ModelFacts>,
    /// The sum of its models' queues (and of its services').
    pub(crate) queue_depth: u64,
    pub(crate) memory_used_bytes: u64,
    pub(crate) memory_total_bytes: u64,
    /// Of a worker of this project, what changes whenever its offer does.
    pub(crate) generation: Option<u64>,
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

impl Facts {
    /// How far a model is, by lower-case name; `None` if the worker does not serve it. A worker that
    /// lists none may be asked for any.
    pub(crate) fn model(&self, model: &str) -> Option<ModelState> {
        match self.models.get(model) {
            Some(facts) => Some(facts.state),
            None if self.lists_models => None,
            None => Some(ModelState::Available),
        }
    }

    /// Whether what others decide by is the same: how busy it is does not count.
    pub(crate) fn same_but_busy(&self, other: &Self) -> bool {
        let models = |facts: &Self| facts.models.len();
        self.heard == other.heard
            && self.ready == other.ready
            && self.name == other.name
            && self.profile == other.profile
            && self.bundle == other.bundle
            && self.bundle_config_hash == other.bundle_config_hash
            && self.gpu_count == other.gpu_count
            && self.capacity == other.capacity
            && self.lists_models == other.lists_models
            && self.generation == other.generation
            && self.offer == other.offer
            && models(self) == models(other)
            && self.models.iter().zip(&other.models).all(|(one, two)| {
                one.0 == two.0 && one.1.name == two.1.name && one.1.state == two.1.state
            })
    }
}

impl Offer {
    /// Whether all these services are offered in their roles, and these collections. An alias counts
    /// as a service that searches.
    pub(crate) fn holds(&self, services: &[(Role, Arc<str>)], collections: &[Arc<str>]) -> bool {
        let role = |(role, name): &(Role, Arc<str>)| {
            let roles = self.services.get(name);
            let alias = *role == Role::Search && self.aliases.contains_key(name);
            alias || roles.is_some_and(|roles| roles.contains(role))
        };
        let held = |name: &Arc<str>| self.collections.contains(name);
        services.iter().all(role) && collections.iter().all(held)
    }
}
