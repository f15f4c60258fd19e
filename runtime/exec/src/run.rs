//! One execution of a plan.
//!
//! Every node is a shared future, made when somebody first asks for it under given queries and
//! found again after that, so that a node is computed once however many read it. All of them are
//! polled by the one task that answers the request; engines work on threads of their own. So the
//! run is its future: dropping it drops everything that it waits for.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::Shared;
use parking_lot::Mutex;
use routir_core::{BoxFuture, Error, ErrorCode, Metrics, Ranking, RequestContext, Result};
use routir_plan::{NodeId, Plan};

use crate::api::{RunOptions, StageFailure};
use crate::documents::Documents;
use crate::queries::Queries;
use crate::report::Record;
use crate::scope::Scope;
use crate::spec::RuntimeSettings;
use crate::stream::{StageResult, Told};

/// How many hits all cuts of one run copy.
const MAX_CUT_HITS: usize = 2_000_000;

/// What a stage answers.
#[derive(Clone, Debug)]
pub(crate) enum Output {
    Ranking {
        ranking: Arc<Ranking>,
        timestamp: f64,
        cached: bool,
    },
    SubQueries(Arc<[Arc<str>]>),
}

impl Output {
    pub(crate) fn ranking(self) -> Result<Arc<Ranking>> {
        match self {
            Self::Ranking { ranking, .. } => Ok(ranking),
            Self::SubQueries(_) => Err(Error::internal("a stage that ranks was an expander")),
        }
    }

    pub(crate) fn sub_queries(self) -> Result<Arc<[Arc<str>]>> {
        match self {
            Self::SubQueries(sub_queries) => Ok(sub_queries),
            Self::Ranking { .. } => Err(Error::internal("an expander was a stage that ranks")),
        }
    }
}

/// A node's value under given queries, being computed or done.
pub(crate) type Value = Shared<BoxFuture<'static, Result<Output>>>;

/// A node and those of the queries around it that its value depends on.
type ValueKey = (NodeId, Vec<Arc<str>>);

/// What the stages of one execution share.
pub(crate) struct Run {
    pub(crate) plan: Arc<Plan>,
    pub(crate) scope: Arc<Scope>,
    pub(crate) context: Arc<RequestContext>,
    pub(crate) options: RunOptions,
    pub(crate) metrics: Metrics,
    pub(crate) documents: Documents,
    max_sub_queries: usize,
    values: Mutex<HashMap<ValueKey, Value>>,
    records: Mutex<Vec<Record>>,
    /// How many hits cuts may still copy.
    cut_hits: Mutex<usize>,
    /// Where results are told as they come, if anybody listens.
    told: Option<Told>,
    failures: Mutex<Vec<StageFailure>>,
    /// All sub-queries that branches ran under, in the order in which expanders answered.
    sub_queries: Mutex<Option<Vec<Arc<str>>>>,
}

/// What a run leaves behind.
pub(crate) struct Outcome {
    pub(crate) ranking: Arc<Ranking>,
    pub(crate) timestamp: f64,
    pub(crate) cached: bool,
    pub(crate) sub_queries: Option<Vec<Arc<str>>>,
    pub(crate) failures: Vec<StageFailure>,
    pub(crate) records: Vec<Record>,
}

impl Run {
    pub(crate) fn new(
        plan: Arc<Plan>,
        scope: Arc<Scope>,
        context: Arc<RequestContext>,
        options: RunOptions,
        settings: &RuntimeSettings,
        metrics: Metrics,
        told: Option<Told>,
    ) -> Arc<Self> {
        Arc::new(Self {
            plan,
            scope,
            context,
            options,
            metrics,
            documents: Documents::new(settings.max_held_bytes),
            max_sub_queries: settings.max_sub_queries,
            values: Mutex::default(),
            records: Mutex::default(),
            cut_hits: Mutex::new(MAX_CUT_HITS),
            told,
            failures: Mutex::default(),
            sub_queries: Mutex::default(),
        })
    }

    /// Runs the plan for `query`.
    pub(crate) async fn finish(self: Arc<Self>, query: Arc<str>) -> Result<Outcome> {
        let run = Unwind(self);
        let root = run.0.value(run.0.plan.root, &Queries::of(query));
        let Output::Ranking {
            ranking,
            timestamp,
            cached,
        } = root.await?
        else {
            return Err(Error::internal("a plan's last stage was an expander"));
        };
        Ok(Outcome {
            ranking,
            timestamp,
            cached,
            sub_queries: run.0.sub_queries.lock().take(),
            failures: std::mem::take(&mut *run.0.failures.lock()),
            records: std::mem::take(&mut *run.0.records.lock()),
        })
    }

    /// The value of a node under `queries`: the one on its way, if it was asked for before.
    pub(crate) fn value(self: &Arc<Self>, id: NodeId, queries: &Queries) -> Value {
        let depends = &self.plan.node(id).depends;
        let key = (
            id,
            depends
                .iter()
                .map(|up| Arc::clone(queries.above(*up).top()))
                .collect(),
        );
        let mut values = self.values.lock();
        let value = values.entry(key).or_insert_with(|| {
            crate::stages::run(Arc::clone(self), id, queries.clone())
                .boxed()
                .shared()
        });
        value.clone()
    }

    /// Takes one of the calls that a request may cause.
    pub(crate) fn spend_call(&self) -> Result<()> {
        self.context
            .budget
            .as_ref()
            .map_or(Ok(()), |budget| budget.take())
    }

    /// Checks that a cut may copy so many hits, and takes them off what is left.
    pub(crate) fn spend_cut(&self, hits: usize) -> Result<()> {
        let mut left = self.cut_hits.lock();
        *left = left.checked_sub(hits).ok_or_else(|| {
            Error::new(
                ErrorCode::TooLarge,
                format!(
                    "the request asks for one search with so many limits that over {MAX_CUT_HITS} \
                     hits would be copied; ask for fewer"
                ),
            )
        })?;
        Ok(())
    }

    /// Checks and notes what an expander answered.
    pub(crate) fn note_sub_queries(&self, expander: &str, found: &[Arc<str>]) -> Result<()> {
        let (count, most) = (found.len(), self.max_sub_queries);
        if count > most {
            return Err(Error::new(
                ErrorCode::TooLarge,
                format!(
                    "`{expander}` made {count} sub-queries; {most} are allowed; limit them with \
                     `%N` at the expander"
                ),
            ));
        }
        self.sub_queries
            .lock()
            .get_or_insert_default()
            .extend(found.iter().cloned());
        Ok(())
    }

    pub(crate) fn note_failure(&self, stage: &str, error: &Error) {
        self.failures.lock().push(StageFailure {
            stage: stage.to_owned(),
            code: error.code().name(),
            error: error.message().to_owned(),
        });
    }

    pub(crate) fn record(&self, record: impl FnOnce() -> Record) {
        if self.options.explain || self.options.provenance {
            self.records.lock().push(record());
        }
    }

    /// Tells a result to whoever listens.
    pub(crate) fn tell(&self, result: impl FnOnce() -> StageResult) {
        if let Some(told) = &self.told {
            told.lock().push_back(result());
        }
    }
}

/// Takes the values out of a run when it ends or is dropped: their futures hold the run, and the
/// run holds them.
struct Unwind(Arc<Run>);

impl Drop for Unwind {
    fn drop(&mut self) {
        let values = std::mem::take(&mut *self.0.values.lock());
        drop(values);
    }
}
