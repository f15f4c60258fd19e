//! Pools: which workers are reserved for whom.

use std::collections::BTreeSet;
use std::sync::Arc;

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
