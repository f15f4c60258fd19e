//! What makes two requests the same, and the answers that they share: kept ones where that is
//! configured, and those in flight always.

use std::future::Future;
use std::sync::Arc;

use routir_cache::{Cached, Key, KeyBuilder};
use routir_core::{Answer, CacheMetrics, Params, Result, Role};

use crate::builder::CacheSpec;

/// What makes two requests the same for a cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyFields {
    /// Query and limit. A request with further arguments is not cached, since its answer may
    /// depend on them.
    Default,
    /// These fields of the request; what they leave out is taken not to matter. A search's limit
    /// always counts.
    Only(Vec<String>),
}

/// What a request is, for caches and for joining identical ones in flight.
pub(crate) struct Identity<'a> {
    pub(crate) role: Role,
    pub(crate) query: &'a str,
    pub(crate) limit: Option<usize>,
    pub(crate) passages: &'a [Arc<str>],
    pub(crate) params: &'a Params,
}

impl Identity<'_> {
    /// A key of everything in the request.
    fn whole(&self) -> Key {
        self.base()
            .text("query", self.query)
            .object("params", self.params.as_map())
            .build()
    }

    /// A key of the fields that count, if the request may be kept.
    fn kept(&self, fields: &KeyFields) -> Option<Key> {
        let names = match fields {
            KeyFields::Default => return self.params.is_empty().then(|| self.whole()),
            KeyFields::Only(names) => names,
        };
        let key = names
            .iter()
            .fold(self.base(), |key, name| match self.params.get(name) {
                _ if name == "query" => key.text(name, self.query),
                Some(value) => key.value(name, value),
                None => key.text(name, ""),
            });
        Some(key.build())
    }

    /// What is in every key: an answer for one limit is no answer for another.
    fn base(&self) -> KeyBuilder {
        let key = Key::builder(self.role.name());
        let key = self
            .limit
            .into_iter()
            .fold(key, |key, limit| key.count("limit", limit));
        match self.passages {
            [] => key,
            passages => key.texts("passages", passages.iter().map(AsRef::as_ref)),
        }
    }
}

/// The answers of one service in one role: kept where that is configured, and shared in flight.
pub(crate) struct Answers<V> {
    kept: Option<(Cached<V>, KeyFields)>,
    in_flight: Cached<V>,
}

impl<V: Clone + Send + Sync + 'static> Answers<V> {
    pub(crate) fn new(spec: Option<&CacheSpec>, metrics: CacheMetrics) -> Self {
        let kept = spec.map(|spec| {
            let cached = Cached::in_memory(spec.capacity, Some(spec.ttl), metrics.clone());
            (cached, spec.key_fields.clone())
        });
        Self {
            kept,
            in_flight: Cached::new(None, metrics),
        }
    }

    /// The answer to the request that `identity` describes: kept, joined in flight, or computed.
    pub(crate) async fn get<Fut>(
        &self,
        identity: Identity<'_>,
        compute: impl FnOnce() -> Fut + Send + 'static,
    ) -> Result<Answer<V>>
    where
        Fut: Future<Output = Result<Answer<V>>> + Send + 'static,
    {
        if let Some((cached, fields)) = &self.kept
            && let Some(key) = identity.kept(fields)
        {
            return cached.get_or_compute(key, compute).await;
        }
        self.in_flight
            .get_or_compute(identity.whole(), compute)
            .await
    }
}
