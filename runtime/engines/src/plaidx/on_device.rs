//! MaxSim of `PLAIDX` on a device: of the index's passages, whose token vectors lie there as the index
//! keeps them, and of passages that are scored. Which passages of the index are compared is found on
//! the processor, by the index's lists and centroids.

use std::path::Path;
use std::sync::Arc;

use futures_util::future::try_join_all;
use routir_batch::{BatchSettings, Batcher, Flow, Policy};
use routir_core::{Error, RequestContext, Result};
use routir_device::{CodedTokens, MaxSim, MaxSimOfTexts, MaxSimOnDevice, TokenRows};
use routir_index::late::{LateIndex, ScoredPassage};

use super::plan::Plan;
use super::search::Passages;
use crate::build::{BuildEnv, EngineSpec};
use crate::devices::{LateFiles, Placed};
use crate::index_place::{OpenedIndex, loads};
use crate::models::opening;
use crate::pool::EnginePool;

/// Queries that are scored in one call.
const QUERIES: usize = 256;
/// Pairs of a query and a passage that are scored in one call; one query's at least.
const PAIRS: usize = 1 << 20;
/// Token vectors of texts that go to a device at once: 64 MiB of 128 numbers.
const ROWS: usize = 1 << 18;

/// In which role the queues are counted; their services are `index:` or `maxsim:` and the service's
/// name.
const INDEX: &str = "index";
const MAXSIM: &str = "maxsim";

/// What is on a device, if anything is.
#[derive(Default)]
pub(super) struct OnDevice {
    pub(super) resident: Option<Resident>,
    pub(super) texts: Option<Texts>,
}

impl OnDevice {
    /// Puts token vectors of rows of `dim` numbers where `plan` says.
    ///
    /// # Errors
    /// When the device is not there or cannot take them.
    pub(super) fn open(
        spec: EngineSpec<'_>,
        env: &BuildEnv<'_>,
        plan: &Plan,
        passages: Option<&Passages>,
        dim: usize,
    ) -> Result<OpenedIndex<Self>> {
        let open = |placed: &[Placed]| {
            let Some(placed) = placed.first() else {
                return Ok((Self::default(), Vec::new()));
            };
            let resident = match (passages, &plan.index) {
                (Some(passages), Some(dir)) => {
                    let vectors = resident(env, placed, dir, &passages.index)?;
                    Some(Resident::new((spec, env), placed, vectors))
                }
                _ => None,
            };
            let texts = MaxSimOfTexts::new(&placed.device, dim)?;
            let here = Self {
                resident,
                texts: Some(Texts::new((spec, env), placed, dim, texts)),
            };
            Ok((here, vec![Arc::clone(&placed.device)]))
        };
        if plan.vectors.is_cpu() {
            return plan.vectors.open(spec, env, open);
        }
        let task = "putting token vectors on the device";
        let what = &plan.named;
        opening(env, spec.name, task, what, || {
            plan.vectors.open(spec, env, open)
        })
    }
}

/// The token vectors of an index on a device.
fn resident(
    env: &BuildEnv<'_>,
    placed: &Placed,
    dir: &Path,
    index: &LateIndex,
) -> Result<Arc<MaxSimOnDevice>> {
    let files = LateFiles {
        folder: dir.to_owned(),
        device: placed.number,
        stamp: index.stamp().to_owned(),
    };
    env.devices.late(&files, || {
        let what = format!("index `{}`", dir.display());
        let kept = index.kept();
        let tokens = CodedTokens {
            dim: index.dim(),
            bits: index.bits().count(),
            unit: kept.unit,
            centroids: kept.centroids,
            spread: kept.spread,
            levels: kept.levels,
            ends: kept.ends,
            codes: kept.codes,
            kept: kept.kept,
        };
        let vectors = MaxSimOnDevice::coded(&placed.device, &what, &tokens)?;
        tracing::info!(
            index = %dir.display(),
            device = placed.device.name(),
            memory_mb = vectors.bytes() >> 20,
            "token vectors are on the device"
        );
        Ok(vectors)
    })
}

/// A queue before a device, which has one call at a time; calls gather while it works for others, too.
fn queue<A: Send + Sync + 'static>(
    (spec, env): (EngineSpec<'_>, &BuildEnv<'_>),
    placed: &Placed,
    role: &'static str,
    most: usize,
    work: impl Fn(&[A]) -> Result<Vec<Vec<f32>>> + Send + Sync + 'static,
) -> Batcher<A, Vec<f32>> {
    let label = format!("{role}:{}", spec.name);
    let models = env.models.settings();
    let settings = BatchSettings {
        name: Arc::from(label.as_str()),
        policy: Policy {
            max_requests: QUERIES,
            max_tokens: Some(most),
            max_wait: models.max_wait,
        },
        capacity: models.capacity,
        concurrency: 1,
    };
    let (pool, work) = (env.pool.clone(), Arc::new(work));
    let metrics = env.models.metrics().queue(&label, role);
    let loads = loads(std::slice::from_ref(&placed.device));
    Batcher::sharing(loads, settings, metrics, move |asks: Vec<A>| {
        let (pool, work) = (pool.clone(), Arc::clone(&work));
        Box::pin(async move {
            let count = asks.len();
            // What is wrong with one request was found before it came here: what fails now, fails all.
            match pool.run(move |_| work(&asks)).await.flatten() {
                Ok(answers) => answers.into_iter().map(Ok).collect(),
                Err(error) => (0..count).map(|_| Err(error.clone())).collect(),
            }
        })
    })
}

/// Joins the queries of several requests.
fn joined<'a>(dim: usize, all: impl Iterator<Item = &'a TokenRows>) -> Result<TokenRows> {
    let mut rows = TokenRows::new(dim, [])?;
    for some in all {
        rows.append(some)?;
    }
    Ok(rows)
}

/// Cuts scores into those of each request.
fn each(mut scores: &[f32], counts: impl Iterator<Item = usize>) -> Result<Vec<Vec<f32>>> {
    let mut answers = Vec::new();
    for count in counts {
        let (own, rest) = scores
            .split_at_checked(count)
            .ok_or_else(|| Error::internal("the device answered too few scores"))?;
        answers.push(own.to_vec());
        scores = rest;
    }
    Ok(answers)
}

/// Rows in half precision, as a device has them.
fn halves<'a>(dim: usize, texts: impl IntoIterator<Item = &'a [f32]>) -> Result<TokenRows> {
    let told = |why: Error| Error::engine(format!("what the model made: {}", why.message()));
    TokenRows::new(dim, texts).map_err(told)
}

/// The index's token vectors on a device, with the queue before them.
pub(super) struct Resident {
    dim: usize,
    batcher: Batcher<Chosen, Vec<f32>>,
}

/// A query and the passages that it is compared with.
struct Chosen {
    query: TokenRows,
    passages: Arc<[u32]>,
}

impl Resident {
    fn new(
        (spec, env): (EngineSpec<'_>, &BuildEnv<'_>),
        placed: &Placed,
        vectors: Arc<MaxSimOnDevice>,
    ) -> Self {
        let dim = vectors.dim();
        let work = move |asks: &[Chosen]| {
            let queries = joined(dim, asks.iter().map(|ask| &ask.query))?;
            let pairs: Vec<[u32; 2]> = (0..)
                .zip(asks)
                .flat_map(|(query, ask)| ask.passages.iter().map(move |it| [query, *it]))
                .collect();
            let scores = vectors.score(&queries, &pairs)?;
            each(&scores, asks.iter().map(|ask| ask.passages.len()))
        };
        Self {
            dim,
            batcher: queue((spec, env), placed, INDEX, PAIRS, work),
        }
    }

    /// The scores of `passages` for a query's vectors.
    pub(super) async fn score(
        &self,
        context: &RequestContext,
        rows: &[f32],
        passages: Vec<u32>,
    ) -> Result<Vec<ScoredPassage>> {
        if passages.is_empty() {
            return Ok(Vec::new());
        }
        let passages: Arc<[u32]> = passages.into();
        let ask = Chosen {
            query: halves(self.dim, [rows])?,
            passages: Arc::clone(&passages),
        };
        let flow = Flow::of(context.tenant.as_ref());
        let (scores, _) = self.batcher.submit(flow, ask, passages.len()).await?;
        let scored = passages.iter().zip(scores);
        Ok(scored
            .map(|(passage, score)| ScoredPassage {
                passage: *passage,
                score,
            })
            .collect())
    }
}

/// MaxSim of texts that come with their queries, with the queue before it.
pub(super) struct Texts {
    dim: usize,
    batcher: Batcher<Pairs, Vec<f32>>,
}

/// A query and texts that it is compared with.
struct Pairs {
    query: Arc<TokenRows>,
    texts: TokenRows,
}

impl Texts {
    fn new(
        (spec, env): (EngineSpec<'_>, &BuildEnv<'_>),
        placed: &Placed,
        dim: usize,
        texts: MaxSimOfTexts,
    ) -> Self {
        let work = move |asks: &[Pairs]| {
            let queries = joined(dim, asks.iter().map(|ask| &*ask.query))?;
            let documents = joined(dim, asks.iter().map(|ask| &ask.texts))?;
            let mut pairs = Vec::with_capacity(documents.len());
            for (query, ask) in (0..).zip(asks) {
                let first = pairs.len() as u32;
                pairs.extend((first..).take(ask.texts.len()).map(|it| [query, it]));
            }
            let scores = texts.score(&queries, &documents, &pairs)?;
            each(&scores, asks.iter().map(|ask| ask.texts.len()))
        };
        Self {
            dim,
            batcher: queue((spec, env), placed, MAXSIM, ROWS, work),
        }
    }

    /// The scores of all vectors but the first for the first, which is the query's.
    pub(super) async fn score(
        &self,
        context: &RequestContext,
        pool: &EnginePool,
        rows: Vec<Vec<f32>>,
    ) -> Result<Vec<f32>> {
        let dim = self.dim;
        let asks = pool.run(move |_| asks(&rows, dim)).await.flatten()?;
        let flow = || Flow::of(context.tenant.as_ref());
        let answers = asks.into_iter().map(|ask| {
            let weight = (0..ask.texts.len()).map(|it| ask.texts.rows_of(it)).sum();
            self.batcher.submit(flow(), ask, weight)
        });
        let answers = try_join_all(answers).await?;
        Ok(answers.into_iter().flat_map(|(scores, _)| scores).collect())
    }
}

/// The first of `rows` with the others, at most [`ROWS`] vectors of them together.
fn asks(rows: &[Vec<f32>], dim: usize) -> Result<Vec<Pairs>> {
    let (query, mut texts) = rows
        .split_first()
        .ok_or_else(|| Error::internal("the model answered no query"))?;
    let query = Arc::new(halves(dim, [query.as_slice()])?);
    let mut asks = Vec::new();
    while !texts.is_empty() {
        let mut sum = 0;
        let fits = |text: &&Vec<f32>| {
            sum += text.len() / dim.max(1);
            sum <= ROWS
        };
        let count = texts.iter().take_while(fits).count().max(1);
        let (some, rest) = texts.split_at(count.min(texts.len()));
        asks.push(Pairs {
            query: Arc::clone(&query),
            texts: halves(dim, some.iter().map(Vec::as_slice))?,
        });
        texts = rest;
    }
    Ok(asks)
}
