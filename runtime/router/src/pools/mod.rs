//! Pools: which workers are reserved for whom.
//!
//! `spec` reads what is asked for, `table` decides without a clock or a socket, `live` is what the
//! rest of the router talks to, and `kube` keeps the table in a cluster, where replicas share it.

mod kube;
mod late;
mod live;
mod object;
mod spec;
mod table;

use std::collections::BTreeSet;
use std::sync::Arc;

pub(crate) use kube::{Cluster, Timing};
pub(crate) use live::Pools;
pub(crate) use spec::{PoolError, Rules, is_label};

/// The pool of everything that no other pool has reserved.
pub(crate) const DEFAULT: &str = "default";

/// The workers that may serve requests of a pool, by URL.
#[derive(Clone, Debug)]
pub(crate) enum Membership {
    /// No such pool.
    Unknown,
    /// All but these, which pools have reserved.
    AllBut(Arc<BTreeSet<Arc<str>>>),
    /// These alone; perhaps none yet.
    Only(Arc<BTreeSet<Arc<str>>>),
}

impl Membership {
    /// Whether a worker may serve requests of the pool.
    pub(crate) fn admits(&self, url: &str) -> bool {
        match self {
            Self::Unknown => false,
            Self::AllBut(reserved) => !reserved.contains(url),
            Self::Only(members) => members.contains(url),
        }
    }
}

/// A worker as pools see it: what of the registry's knowledge decides who may hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) url: Arc<str>,
    pub(crate) name: Arc<str>,
    /// The kind of machine; empty when it did not say.
    pub(crate) profile: Arc<str>,
    pub(crate) bundle: Arc<str>,
    /// Whether it takes requests now.
    pub(crate) routable: bool,
}

/// All workers that are known, in the order in which pools take them.
pub(crate) type Workers = Arc<[Candidate]>;
