//! Who shares a queue, and in which share.

use std::num::NonZeroU32;
use std::sync::Arc;

use routir_core::Tenant;

/// Whose a request is where several parties share one engine.
///
/// While several wait, each gets of the engine in proportion to its weight, counted in tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Tells flows apart; `None` is the operator's.
    pub key: Option<Arc<str>>,
    /// Its share, relative to others'. Of requests of one flow that name different weights, the one
    /// that was pushed last counts.
    pub weight: NonZeroU32,
}

/// The operator's, of weight 1.
impl Default for Flow {
    fn default() -> Self {
        Self {
            key: None,
            weight: NonZeroU32::MIN,
        }
    }
}

impl Flow {
    /// That of whoever pays; `None` is the operator.
    #[must_use]
    pub fn of(payer: Option<&Arc<Tenant>>) -> Self {
        payer.map_or_else(Self::default, |tenant| Self {
            key: Some(Arc::clone(&tenant.name)),
            weight: tenant.weight,
        })
    }
}
