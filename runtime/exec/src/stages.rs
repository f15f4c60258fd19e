//! What each kind of stage does.

use std::sync::Arc;
use std::time::Instant;

use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use routir_core::{
    CallStats, DecomposeRequest, Error, FuseRequest, FuseSource, Hit, Ranking, Result, Role,
    ScoreRequest, SearchRequest,
};
use routir_plan::{Input, Node, NodeId, NodeKind};

use crate::queries::Queries;
use crate::report::Record;
use crate::run::{Output, Run, Value};
use crate::service::Service;
use crate::stream::StageResult;

/// What a stage did beside its answer.
struct Done {
    output: Output,
    /// When its inputs were there.
    started: Instant,
    documents_in: usize,
    stats: CallStats,
}

/// Runs one stage, its inputs first.
pub(crate) async fn run(run: Arc<Run>, id: NodeId, queries: Queries) -> Result<Output> {
    let plan = Arc::clone(&run.plan);
    let node = plan.node(id);
    let done = match &node.kind {
        NodeKind::Search => search(&run, node, &queries).await,
        NodeKind::Cut { input } => cut(&run, node, *input, &queries).await,
        NodeKind::Rerank { input, view } => {
            rerank(&run, node, *input, view.as_ref(), &queries).await
        }
        NodeKind::Expand => expand(&run, node, &queries).await,
        NodeKind::Fuse {
            branches,
            labels,
            expander,
        } => fuse(&run, node, branches, labels, *expander, &queries).await,
    }?;
    run.tell(|| told(&run, id, node, &queries, &done));
    run.record(|| Record {
        node: id,
        service: shown(&run, node),
        query: Arc::clone(queries.top()),
        took: done.started.elapsed(),
        stats: done.stats,
        documents_in: done.documents_in,
        output: done.output.clone(),
    });
    Ok(done.output)
}

/// What is told of a stage that has its result.
fn told(run: &Run, id: NodeId, node: &Node, queries: &Queries, done: &Done) -> StageResult {
    let (ranking, sub_queries, cached) = match &done.output {
        Output::Ranking {
            ranking, cached, ..
        } => (Some(Arc::clone(ranking)), None, *cached),
        Output::SubQueries(found) => (None, Some(Arc::clone(found)), done.stats.cached),
    };
    StageResult {
        node: id.index(),
        stage: Arc::clone(&node.stage),
        service: shown(run, node),
        // A cut is a search that another search answers as well.
        role: node.role().unwrap_or(Role::Search),
        query: Arc::clone(queries.top()),
        ranking,
        sub_queries,
        cached,
        took: done.started.elapsed(),
    }
}

fn service<'a>(run: &'a Run, node: &Node) -> Result<&'a Service> {
    run.scope
        .services
        .get(&node.service)
        .map(AsRef::as_ref)
        .ok_or_else(|| {
            Error::internal(format!(
                "service `{}` left the catalog of a plan",
                node.service
            ))
        })
}

/// What a stage's service is called in reports.
fn shown(run: &Run, node: &Node) -> Arc<str> {
    let service = run.scope.services.get(&node.service);
    Arc::clone(service.map_or(&node.service, |service| &service.shown))
}

/// Counts a service call and says at which stage it failed.
fn settle<T>(run: &Run, node: &Node, started: Instant, result: Result<T>) -> Result<T> {
    let role = node.role().map_or("", Role::name);
    let outcome = result
        .as_ref()
        .map_or_else(|error| error.code().name(), |_| "ok");
    let label = run.scope.services.get(&node.service);
    let label = label.map_or(&node.service, |service| &service.label);
    run.metrics.stage(label, role, outcome, started.elapsed());
    result.map_err(|error| {
        if node.stage == node.service {
            error
        } else {
            error.at(format!("stage `{}`", node.stage))
        }
    })
}

fn missing_role(node: &Node) -> Error {
    Error::internal(format!(
        "service `{}` lost a role that a plan counts on",
        node.service
    ))
}

fn ranked(ranking: Arc<Ranking>, timestamp: f64, cached: bool) -> Output {
    Output::Ranking {
        ranking,
        timestamp,
        cached,
    }
}

fn nothing(started: Instant) -> Done {
    let output = ranked(
        Arc::default(),
        routir_core::Answer::now((), CallStats::default()).timestamp,
        false,
    );
    Done {
        output,
        started,
        documents_in: 0,
        stats: CallStats::default(),
    }
}

async fn search(run: &Run, node: &Node, queries: &Queries) -> Result<Done> {
    let started = Instant::now();
    let limit = node.limit.unwrap_or(routir_plan::DEFAULT_SEARCH_LIMIT);
    if limit == 0 {
        return Ok(nothing(started));
    }
    run.spend_call()?;
    let service = service(run, node)?
        .search
        .as_ref()
        .ok_or_else(|| missing_role(node))?;
    let request = SearchRequest {
        query: Arc::clone(queries.top()),
        limit,
        params: node.params.clone(),
        context: Arc::clone(&run.context),
    };
    let answer = settle(
        run,
        node,
        started,
        service.call(request, run.plan.generation).await,
    )?;
    let output = ranked(answer.value, answer.timestamp, answer.stats.cached);
    Ok(Done {
        output,
        started,
        documents_in: 0,
        stats: answer.stats,
    })
}

async fn cut(run: &Arc<Run>, node: &Node, input: NodeId, queries: &Queries) -> Result<Done> {
    let whole = run.value(input, queries).await?;
    let started = Instant::now();
    let Output::Ranking {
        ranking,
        timestamp,
        cached,
    } = whole
    else {
        return Err(Error::internal("a cut stands on an expander"));
    };
    let documents_in = ranking.len();
    let prefix = node.limit.and_then(|limit| ranking.hits().get(..limit));
    let ranking = match prefix {
        // Others hold the whole: only what is wanted of it is copied.
        Some(prefix) => {
            run.spend_cut(prefix.len())?;
            Arc::new(Ranking::from_hits(prefix.to_vec())?)
        }
        None => ranking,
    };
    let output = ranked(ranking, timestamp, cached);
    Ok(Done {
        output,
        started,
        documents_in,
        stats: CallStats::default(),
    })
}

async fn rerank(
    run: &Arc<Run>,
    node: &Node,
    input: Input,
    view: Option<&Arc<str>>,
    queries: &Queries,
) -> Result<Done> {
    let ranking = run
        .value(input.node, queries.above(input.up))
        .await?
        .ranking()?;
    let started = Instant::now();
    if ranking.is_empty() || node.limit == Some(0) {
        return Ok(nothing(started));
    }
    run.spend_call()?;
    let scorer = service(run, node)?;
    let service = scorer.score.as_ref().ok_or_else(|| missing_role(node))?;
    let call = async {
        let collection = run
            .plan
            .collection
            .as_ref()
            .ok_or_else(|| missing_role(node))?;
        let source = run.scope.collections.get(collection).ok_or_else(|| {
            Error::internal(format!(
                "collection `{collection}` left the catalog of a plan"
            ))
        })?;
        let passages = run
            .documents
            .passages(&run.context, source, collection, view, &ranking)
            .await;
        let at = |error: Error| error.at(format!("service `{}`", node.service));
        let passages = passages.map_err(at)?;
        // The plan has checked what the view was said to be; this is what it is.
        scorer.check_kind(&passages)?;
        let query = Arc::clone(queries.top());
        let request = ScoreRequest {
            query,
            passages,
            params: node.params.clone(),
            context: Arc::clone(&run.context),
        };
        service.call(request, run.plan.generation).await
    };
    let answer = settle(run, node, started, call.await)?;
    let hits = ranking.hits().iter().zip(answer.value.iter());
    let hits = hits
        .map(|(hit, score)| Hit::new(hit.doc.clone(), *score))
        .collect();
    let reranked = Ranking::top(hits, node.limit.unwrap_or(usize::MAX))?;
    let output = ranked(Arc::new(reranked), answer.timestamp, answer.stats.cached);
    Ok(Done {
        output,
        started,
        documents_in: ranking.len(),
        stats: answer.stats,
    })
}

async fn expand(run: &Run, node: &Node, queries: &Queries) -> Result<Done> {
    let started = Instant::now();
    if node.limit == Some(0) {
        let output = Output::SubQueries(Arc::from([]));
        return Ok(Done {
            output,
            started,
            documents_in: 0,
            stats: CallStats::default(),
        });
    }
    run.spend_call()?;
    let service = service(run, node)?
        .decompose
        .as_ref()
        .ok_or_else(|| missing_role(node))?;
    let request = DecomposeRequest {
        query: Arc::clone(queries.top()),
        limit: node.limit,
        params: node.params.clone(),
        context: Arc::clone(&run.context),
    };
    let answer = settle(
        run,
        node,
        started,
        service.call(request, run.plan.generation).await,
    )?;
    run.note_sub_queries(&node.service, &answer.value)?;
    let output = Output::SubQueries(answer.value);
    Ok(Done {
        output,
        started,
        documents_in: 0,
        stats: answer.stats,
    })
}

async fn fuse(
    run: &Arc<Run>,
    node: &Node,
    branches: &[NodeId],
    labels: &[Arc<str>],
    expander: Option<NodeId>,
    queries: &Queries,
) -> Result<Done> {
    let sub_queries = match expander {
        Some(expander) => Some(run.value(expander, queries).await?.sub_queries()?),
        None => None,
    };
    let scopes: Vec<Queries> = match &sub_queries {
        Some(found) => found
            .iter()
            .map(|query| queries.under(Arc::clone(query)))
            .collect(),
        None => vec![queries.clone()],
    };
    let mut inputs = Vec::with_capacity(branches.len() * scopes.len());
    for id in branches {
        inputs.extend(scopes.iter().map(|scope| run.value(*id, scope)));
    }
    let outputs = if run.options.partial {
        what_succeeded(run, labels, scopes.len(), join_all(inputs).await)?
    } else {
        all_or_first_failure(inputs).await?
    };
    let rankings: Vec<_> = outputs
        .into_iter()
        .map(Output::ranking)
        .collect::<Result<_>>()?;
    let started = Instant::now();
    let documents_in = rankings.iter().map(|ranking| ranking.len()).sum();
    if documents_in == 0 || node.limit == Some(0) {
        return Ok(nothing(started));
    }
    run.spend_call()?;
    let service = service(run, node)?
        .fuse
        .as_ref()
        .ok_or_else(|| missing_role(node))?;
    let sources = labels.iter().flat_map(|stage| {
        let source = |scope: &Queries| FuseSource {
            stage: Arc::clone(stage),
            query: Arc::clone(scope.top()),
        };
        scopes.iter().map(source)
    });
    let request = FuseRequest {
        query: Arc::clone(queries.top()),
        rankings,
        sources: sources.collect(),
        sub_queries,
        limit: node.limit,
        params: node.params.clone(),
        context: Arc::clone(&run.context),
    };
    let answer = settle(run, node, started, service.call(request).await)?;
    let output = ranked(answer.value, answer.timestamp, false);
    Ok(Done {
        output,
        started,
        documents_in,
        stats: answer.stats,
    })
}

/// All outputs in order, or the failure that comes first in time. (`try_join_all` looks at more
/// than 30 futures one after the other, and so would miss a failure behind a slow branch.)
async fn all_or_first_failure(inputs: Vec<Value>) -> Result<Vec<Output>> {
    let placed = inputs.into_iter().enumerate();
    let mut open: FuturesUnordered<_> = placed
        .map(|(place, value)| value.map(move |output| (place, output)))
        .collect();
    let mut outputs = Vec::with_capacity(open.len());
    while let Some((place, output)) = open.next().await {
        outputs.push((place, output?));
    }
    outputs.sort_unstable_by_key(|(place, _)| *place);
    Ok(outputs.into_iter().map(|(_, output)| output).collect())
}

/// Puts an empty ranking in the place of each branch that failed, so that the others keep theirs;
/// if none succeeded, there is nothing to answer with.
fn what_succeeded(
    run: &Run,
    labels: &[Arc<str>],
    scopes: usize,
    results: Vec<Result<Output>>,
) -> Result<Vec<Output>> {
    let all_failed = !results.is_empty() && results.iter().all(Result::is_err);
    let mut outputs = Vec::with_capacity(results.len());
    for (place, result) in results.into_iter().enumerate() {
        outputs.push(match result {
            Ok(output) => output,
            Err(error) if all_failed => return Err(error),
            Err(error) => {
                let stage = labels.get(place / scopes.max(1));
                run.note_failure(stage.map_or("", |stage| stage), &error);
                ranked(Arc::default(), 0.0, false)
            }
        });
    }
    Ok(outputs)
}
