//! What callers ask of services and engines, and what they are told beside the answer.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::{CallBudget, Params, Passages, Ranking, Tenant};

/// What holds for a whole request, wherever it goes.
///
/// There is no cancellation token: a call is a future, and dropping it cancels it, down to its
/// entry in a queue.
#[derive(Clone, Debug, Default)]
pub struct RequestContext {
    /// Names the request in logs and answers.
    pub request_id: Arc<str>,
    /// When the answer is worth nothing any more.
    pub deadline: Option<Instant>,
    /// Who pays: whose quotas, share of queues and caches the request uses; `None` is the operator.
    pub tenant: Option<Arc<Tenant>>,
    /// Whose eyes: the tenant whose services and collections can be named; `None` is the operator,
    /// who sees all but the tenants' own. Differs from `tenant` only inside an extension that
    /// somebody else owns.
    pub scope: Option<Arc<str>>,
    /// The extensions that are waiting for this request, outermost first, by identity
    /// ([`Tenant::identity`]). Empty for a request from outside.
    pub chain: Arc<[Arc<str>]>,
    /// What is left of the calls that the request from outside may cause, here and in everything
    /// that extensions ask of the host on its behalf. `None` until the runtime takes it in.
    pub budget: Option<Arc<CallBudget>>,
    /// The ids of the servers that handed this request on, outermost first, separated by commas;
    /// `None` for a request that came straight from its client.
    pub via: Option<Arc<str>>,
    /// Which machines may work for this request, where they are several; `None` is whichever.
    pub placement: Option<Arc<Placement>>,
}

/// Which machines may work for a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Placement {
    /// The pool whose machines alone may; `None` is all that no pool has reserved.
    pub pool: Option<Arc<str>>,
    /// The kind of machine; `None` is any.
    pub profile: Option<Arc<str>>,
}

impl RequestContext {
    /// A context of the operator's, without deadline.
    pub fn new(request_id: impl Into<Arc<str>>) -> Self {
        Self {
            request_id: request_id.into(),
            ..Self::default()
        }
    }

    /// The context of a host call that the extension `identity`, owned by `owner`, makes while it
    /// answers a request in this context: same deadline, payer and budget, the owner's
    /// eyes.
    #[must_use]
    pub fn called_by(&self, identity: &Arc<str>, owner: Option<&Arc<str>>) -> Self {
        let chain = self.chain.iter().chain([identity]).cloned().collect();
        Self {
            scope: owner.cloned(),
            chain,
            ..self.clone()
        }
    }
}

/// Asks for the best documents for a query.
#[derive(Clone, Debug)]
pub struct SearchRequest {
    /// The query.
    pub query: Arc<str>,
    /// How many documents at most.
    pub limit: usize,
    /// Everything else that the caller said.
    pub params: Params,
    /// On whose behalf, until when.
    pub context: Arc<RequestContext>,
}

/// Asks for one score per passage, in the passages' order.
#[derive(Clone, Debug)]
pub struct ScoreRequest {
    /// The query.
    pub query: Arc<str>,
    /// The passages.
    pub passages: Passages,
    /// Everything else that the caller said.
    pub params: Params,
    /// On whose behalf, until when.
    pub context: Arc<RequestContext>,
}

/// Where one of the rankings to fuse comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct FuseSource {
    /// The stage that made it: its alias, or its service's name.
    pub stage: Arc<str>,
    /// The query that made it.
    pub query: Arc<str>,
}

/// Asks for one ranking out of several.
#[derive(Clone, Debug)]
pub struct FuseRequest {
    /// The query.
    pub query: Arc<str>,
    /// The rankings: branch by branch and, under an expander, sub-query by sub-query in each.
    pub rankings: Vec<Arc<Ranking>>,
    /// Where each ranking comes from, in the same order.
    pub sources: Vec<FuseSource>,
    /// The sub-queries, when an expander ran.
    pub sub_queries: Option<Arc<[Arc<str>]>>,
    /// How many documents are wanted; `None` is all.
    pub limit: Option<usize>,
    /// Everything else that the caller said.
    pub params: Params,
    /// On whose behalf, until when.
    pub context: Arc<RequestContext>,
}

/// Asks for sub-queries of a query.
#[derive(Clone, Debug)]
pub struct DecomposeRequest {
    /// The query.
    pub query: Arc<str>,
    /// How many sub-queries at most; `None` is the engine's choice.
    pub limit: Option<usize>,
    /// Everything else that the caller said.
    pub params: Params,
    /// On whose behalf, until when.
    pub context: Arc<RequestContext>,
}

/// How a call went: for `explain` and for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CallStats {
    /// Time between admission to the queue and the start of the batch.
    pub queued: Duration,
    /// Time that the engine worked on the batch.
    pub service: Duration,
    /// Requests in the batch; 0 when no engine was asked.
    pub batch_size: usize,
    /// Whether the answer came from a cache.
    pub cached: bool,
    /// Whether an identical call in flight was joined instead of a second computation.
    pub joined: bool,
}

/// An answer with how and when it came about.
#[derive(Clone, Debug)]
pub struct Answer<T> {
    /// What was asked for.
    pub value: T,
    /// When it was computed, in seconds since the Unix epoch; a cached answer keeps its first time.
    pub timestamp: f64,
    /// How the call went.
    pub stats: CallStats,
}

impl<T> Answer<T> {
    /// An answer computed now.
    pub fn now(value: T, stats: CallStats) -> Self {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            value,
            timestamp: since.as_secs_f64(),
            stats,
        }
    }

    /// The same answer with its value changed.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Answer<U> {
        Answer {
            value: f(self.value),
            timestamp: self.timestamp,
            stats: self.stats,
        }
    }
}
