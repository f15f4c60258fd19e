//! What makes two requests the same, and the answers that they share: kept ones where that is
//! configured, and those in flight always.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use parking_lot::Mutex;
use routir_cache::{Cached, Codec, Key, KeyBuilder, digest};
use routir_core::{
    Answer, BytesParts, CacheMetrics, ErrorCode, Params, Passages, Placement, RequestContext,
    Result, Role,
};
use serde_json::Value;

use crate::offload;
use crate::spec::CacheSpec;

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

/// Who asks, as far as an answer may be shared.
///
/// A tenant shares answers with nobody: not what is kept, nor what is in flight, since who gets an
/// answer sooner learns that somebody else asked. What an extension answers depends besides on
/// what exists where it looks (the generation) and on who waits for it, since it cannot call those.
/// That also keeps two computations from waiting for each other: what computes for one chain waits
/// only for what computes for longer ones.
#[derive(Clone, Copy)]
pub(crate) struct Asker<'a> {
    pub(crate) context: &'a RequestContext,
    /// Of the asker's catalog, where extensions take part in the answer.
    pub(crate) extended: Option<u64>,
}

impl Asker<'_> {
    pub(crate) fn add_to(self, key: KeyBuilder) -> KeyBuilder {
        let RequestContext {
            tenant,
            scope,
            chain,
            placement,
            ..
        } = self.context;
        let tenant = tenant.as_ref().map(|tenant| tenant.name.as_ref());
        let mut key = match tenant {
            Some(name) => key.text("tenant", name),
            None => key,
        };
        if scope.as_deref() != tenant {
            key = key.value("scope", &Value::from(scope.as_deref()));
        }
        // Other machines may hold other data, and a pool's answers are its own.
        if let Some(placement) = placement {
            let Placement { pool, profile } = &**placement;
            key = key
                .value("pool", &Value::from(pool.as_deref()))
                .value("profile", &Value::from(profile.as_deref()));
        }
        if let Some(generation) = self.extended {
            key = key.value("generation", &Value::from(generation));
            if !chain.is_empty() {
                key = key.texts("chain", chain.iter().map(AsRef::as_ref));
            }
        }
        key
    }
}

/// What a request is, for caches and for joining identical ones in flight.
pub(crate) struct Identity<'a> {
    pub(crate) role: Role,
    pub(crate) query: &'a str,
    pub(crate) limit: Option<usize>,
    pub(crate) passages: Option<&'a PassagesDigest>,
    pub(crate) params: &'a Params,
    pub(crate) asker: Asker<'a>,
}

/// What tells passages from others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PassagesDigest {
    /// Of bytes, how many parts each has.
    parts: Option<Value>,
    digest: String,
}

/// Passages of more bytes than this are digested off the reactor.
const DIGEST_IN_PLACE: usize = 256 << 10;

impl PassagesDigest {
    /// Of `passages`; none of none.
    ///
    /// # Errors
    /// [`ErrorCode::EngineFailure`] when it panics elsewhere.
    pub(crate) async fn of(passages: &Passages) -> Result<Option<Self>> {
        if passages.is_empty() {
            return Ok(None);
        }
        let bytes: usize = match passages {
            Passages::Text(texts) => texts.iter().map(|text| text.len()).sum(),
            Passages::Bytes(all) => all.iter().map(BytesParts::size).sum(),
        };
        if bytes <= DIGEST_IN_PLACE {
            return Ok(Some(Self::now(passages)));
        }
        let passages = passages.clone();
        offload::compute(move || Self::now(&passages))
            .await
            .map(Some)
    }

    fn now(passages: &Passages) -> Self {
        match passages {
            Passages::Text(texts) => Self {
                parts: None,
                digest: digest(texts.iter().map(AsRef::<str>::as_ref)),
            },
            Passages::Bytes(all) => {
                let count = |bytes: &BytesParts| bytes.parts.len();
                let parts = all.iter().flat_map(|bytes| bytes.parts.iter());
                Self {
                    parts: Some(Value::from(all.iter().map(count).collect::<Vec<_>>())),
                    digest: digest(parts.map(AsRef::<[u8]>::as_ref)),
                }
            }
        }
    }
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

    /// What is in every key: an answer for one limit is no answer for another, nor one for somebody
    /// else.
    fn base(&self) -> KeyBuilder {
        let key = self.asker.add_to(Key::builder(self.role.name()));
        let key = self
            .limit
            .into_iter()
            .fold(key, |key, limit| key.count("limit", limit));
        match self.passages {
            None => key,
            Some(PassagesDigest { parts, digest }) => match parts {
                None => key.text("passages", digest),
                Some(parts) => key.value("parts", parts).text("bytes", digest),
            },
        }
    }
}

/// The answers of one service in one role: kept where that is configured, and shared in flight.
pub(crate) struct Answers<V> {
    kept: Option<Kept<V>>,
    in_flight: Cached<V>,
    times: Times,
}

struct Kept<V> {
    cached: Cached<V>,
    key_fields: KeyFields,
    /// Whether other servers see what is kept.
    shared: bool,
}

impl<V: Clone + Send + Sync + 'static> Answers<V> {
    pub(crate) fn new(
        spec: Option<&CacheSpec>,
        codec: impl Codec<V>,
        metrics: CacheMetrics,
    ) -> Self {
        let kept = spec.map(|spec| Kept {
            cached: Cached::new(Some(spec.backing.open(codec)), metrics.clone()),
            key_fields: spec.key_fields.clone(),
            shared: spec.backing.is_shared(),
        });
        Self {
            kept,
            in_flight: Cached::new(None, metrics),
            times: Times::default(),
        }
    }

    /// Until when those have time who compute answers.
    pub(crate) fn times(&self) -> &Times {
        &self.times
    }

    /// Where the answer to such a request is, kept or in flight.
    pub(crate) fn place(&self, identity: &Identity<'_>) -> (&Cached<V>, Key) {
        if let Some(kept) = &self.kept
            // Generations are this server's own.
            && !(kept.shared && identity.asker.extended.is_some())
            && let Some(key) = identity.kept(&kept.key_fields)
        {
            return (&kept.cached, key);
        }
        (&self.in_flight, identity.whole())
    }
}

/// Until when those have time who compute answers, by what they compute: what retries within its
/// deadline gives up sooner for a caller in a hurry.
#[derive(Clone, Default)]
pub(crate) struct Times(Arc<Mutex<HashMap<Key, Weak<Time>>>>);

/// Until when one has time, who computes; known for as long as anybody holds it.
struct Time {
    until: Instant,
    key: Key,
    of: Times,
}

impl Times {
    /// Notes that somebody computes. Nobody needs to know of one without a deadline.
    fn begin(&self, key: &Key, until: Option<Instant>) -> Option<Arc<Time>> {
        let time = Arc::new(Time {
            until: until?,
            key: key.clone(),
            of: self.clone(),
        });
        let mut times = self.0.lock();
        times.insert(key.clone(), Arc::downgrade(&time));
        Some(time)
    }

    /// Whoever computes, if he has a deadline.
    fn of(&self, key: &Key) -> Option<Arc<Time>> {
        self.0.lock().get(key).and_then(Weak::upgrade)
    }
}

impl Drop for Time {
    fn drop(&mut self) {
        let mut times = self.of.0.lock();
        let is_gone = |time: &Weak<Self>| time.strong_count() == 0;
        if times.get(&self.key).is_some_and(is_gone) {
            times.remove(&self.key);
        }
    }
}

/// How often a caller joins others before it computes alone.
const JOINS: usize = 2;

/// The answer to `key`: kept, joined in flight, or computed by a caller who has time until
/// `deadline`. With `own_failure`, a failure that was joined is no answer, and the caller tries
/// again, together with whoever else joined it, and then alone: it may have come of the deadline or
/// the budget of whoever began. So it is always where a deadline passed: an engine that hands
/// requests on tells others how long they have. And so it is with a failure that another attempt may
/// mend, where whoever began had less time for attempts.
pub(crate) async fn shared<V, F, Fut>(
    cached: &Cached<V>,
    times: &Times,
    key: Key,
    own_failure: bool,
    deadline: Option<Instant>,
    compute: F,
) -> Result<Answer<V>>
where
    V: Clone + Send + Sync + 'static,
    F: Fn() -> Fut + Clone + Send + 'static,
    Fut: Future<Output = Result<Answer<V>>> + Send + 'static,
{
    for _ in 0..JOINS {
        let leader = times.of(&key);
        let begun = Arc::new(AtomicBool::new(false));
        let first = {
            let (begun, compute) = (Arc::clone(&begun), compute.clone());
            let (times, key) = (times.clone(), key.clone());
            move || {
                begun.store(true, Ordering::Relaxed);
                let time = times.begin(&key, deadline);
                let answer = compute();
                async move {
                    let _time = time;
                    answer.await
                }
            }
        };
        let had_less_time = |leader: Arc<Time>| deadline.is_none_or(|own| own > leader.until);
        match cached.get_or_compute(key.clone(), first).await {
            Err(error)
                if !begun.load(Ordering::Relaxed)
                    && (own_failure
                        || error.code() == ErrorCode::DeadlineExceeded
                        || (error.code().retryable() && leader.is_some_and(had_less_time))) => {}
            result => return result,
        }
    }
    compute().await
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use bytes::Bytes;
    use futures_util::FutureExt;
    use futures_util::future::join_all;
    use routir_core::{CallStats, Error, Metrics};

    use super::*;

    #[tokio::test]
    async fn those_who_joined_a_failure_try_again_together() {
        let cached: Cached<u32> = Cached::new(None, Metrics::default().cache("test"));
        let times = Times::default();
        let key = || Key::builder("test").build();
        let calls = Arc::new(AtomicUsize::new(0));
        let ask = |fails: usize| {
            let calls = Arc::clone(&calls);
            let compute = move || {
                let call = calls.fetch_add(1, Ordering::SeqCst);
                async move {
                    // Whoever waits for it drives it: nobody is to be too late to join.
                    for _ in 0..100 {
                        tokio::task::yield_now().await;
                    }
                    if call < fails {
                        return Err(Error::engine("out of calls"));
                    }
                    Ok(Answer::now(7, CallStats::default()))
                }
            };
            shared(&cached, &times, key(), true, None, compute)
        };
        let answers = join_all((0..10).map(|_| ask(1))).await;
        assert_eq!(answers.iter().filter(|it| it.is_ok()).count(), 9);
        assert_eq!(calls.swap(0, Ordering::SeqCst), 2);
        // Nobody is failed by another more often than that.
        let answers = join_all((0..10).map(|_| ask(2))).await;
        assert_eq!(answers.iter().filter(|it| it.is_ok()).count(), 8);
    }

    #[tokio::test]
    async fn long_passages_are_digested_elsewhere_and_to_the_same() {
        let text = |letter: &str, count| Passages::Text(vec![letter.repeat(count).into()]);
        let at_once = |passages: &Passages| PassagesDigest::of(passages).now_or_never();
        let short = text("a", 1000);
        assert!(at_once(&short).is_some());
        assert!(
            PassagesDigest::of(&Passages::Text(Vec::new()))
                .await
                .unwrap()
                .is_none()
        );
        let bytes = BytesParts::new(vec![Bytes::from(vec![1; 8 << 20])]);
        for long in [text("a", 8 << 20), Passages::Bytes(vec![bytes])] {
            // It waits for a core, and does not compute here instead.
            let cores = offload::all_cores().await;
            assert!(at_once(&long).is_none());
            drop(cores);
            let digest = PassagesDigest::of(&long).await.unwrap();
            assert_eq!(digest, Some(PassagesDigest::now(&long)));
        }
    }
}
