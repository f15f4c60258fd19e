//! The queue before a dense engine's index, in which queries gather while others are searched.

use std::sync::Arc;
use std::time::Duration;

use routir_batch::{BatchSettings, Batcher, Policy};
use routir_compute::Embedding;
use routir_core::{Error, Ranking, Result};
use routir_device::Device;
use routir_index::faiss::{DenseIndex, SearchOptions};

use crate::build::{BuildEnv, EngineSpec};
use crate::index_place::loads;
use crate::pool::EnginePool;

/// How many queries are searched in one call.
const QUERIES_AT_ONCE: usize = 32;

/// The same on a device.
const QUERIES_ON_DEVICE: usize = 256;

/// In which role the queue is counted; its service is `index:` and the service's name.
const ROLE: &str = "index";

/// How one query is searched. Queries with equal ones go to the index together.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct How {
    pub(super) limit: usize,
    pub(super) nprobe: Option<usize>,
    pub(super) ef_search: Option<usize>,
    pub(super) k_factor: Option<f32>,
    pub(super) subset: Option<String>,
}

/// A query's vector and how it is searched.
pub(super) struct Ask {
    pub(super) vector: Embedding,
    pub(super) how: How,
}

impl Ask {
    /// Whether both can be searched for in one call.
    fn goes_with(&self, other: &Self) -> bool {
        let there = |ask: &Self| matches!(ask.vector, Embedding::OnGpu(_));
        self.how == other.how && there(self) == there(other)
    }
}

/// As many calls at once as engines have threads; who comes meanwhile goes together. A device has
/// one call at a time, and larger ones: it answers many queries in the time of a few, so they gather
/// while it works for others, too.
pub(super) fn batcher(
    spec: EngineSpec<'_>,
    env: &BuildEnv<'_>,
    index: Arc<DenseIndex>,
    devices: &[Arc<Device>],
) -> Batcher<Ask, Ranking> {
    let on_device = !devices.is_empty();
    let models = env.models.settings();
    let label = format!("index:{}", spec.name);
    let settings = BatchSettings {
        name: Arc::from(label.as_str()),
        policy: Policy {
            max_requests: if on_device {
                QUERIES_ON_DEVICE
            } else {
                QUERIES_AT_ONCE
            },
            max_tokens: None,
            max_wait: if on_device {
                models.max_wait
            } else {
                Duration::ZERO
            },
        },
        capacity: models.capacity,
        concurrency: if on_device { 1 } else { env.pool.threads() },
    };
    let pool = env.pool.clone();
    let metrics = env.models.metrics().queue(&label, ROLE);
    Batcher::sharing(loads(devices), settings, metrics, move |asks| {
        let (index, pool) = (Arc::clone(&index), pool.clone());
        Box::pin(async move { search_all(index, &pool, asks).await })
    })
}

async fn search_all(
    index: Arc<DenseIndex>,
    pool: &EnginePool,
    asks: Vec<Ask>,
) -> Vec<Result<Ranking>> {
    let count = asks.len();
    let work = move |cancelled: &_| {
        let mut answers: Vec<Option<Result<Ranking>>> = asks.iter().map(|_| None).collect();
        for (first, ask) in asks.iter().enumerate() {
            if answers.get(first).is_none_or(Option::is_some) {
                continue;
            }
            let alike = asks.iter().enumerate().skip(first);
            let alike = alike.filter(|(_, other)| other.goes_with(ask));
            let options = SearchOptions {
                nprobe: ask.how.nprobe,
                ef_search: ask.how.ef_search,
                k_factor: ask.how.k_factor,
                subset: ask.how.subset.as_deref(),
            };
            let (mut places, mut numbers, mut there) = (Vec::new(), Vec::new(), Vec::new());
            for (at, other) in alike {
                places.push(at);
                match &other.vector {
                    Embedding::Numbers(vector) => numbers.extend_from_slice(vector),
                    Embedding::OnGpu(vector) => there.push(&**vector),
                }
            }
            let limit = ask.how.limit;
            let found = match there.is_empty() {
                true => index.search(&numbers, limit, &options, cancelled),
                false => index.search_there(&there, limit, &options, cancelled),
            };
            let mut found = found.map(Vec::into_iter);
            for at in places {
                let answer = match &mut found {
                    Ok(rankings) => rankings.next().ok_or_else(too_few),
                    Err(error) => Err(error.clone()),
                };
                if let Some(place) = answers.get_mut(at) {
                    *place = Some(answer);
                }
            }
        }
        answers
            .into_iter()
            .map(|answer| answer.unwrap_or_else(|| Err(too_few())))
            .collect()
    };
    match pool.run(work).await {
        Ok(answers) => answers,
        Err(error) => (0..count).map(|_| Err(error.clone())).collect(),
    }
}

fn too_few() -> Error {
    Error::engine("the index did not answer every query")
}
