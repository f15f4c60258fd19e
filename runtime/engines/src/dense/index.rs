//! The index of a dense engine: RoutIR's folder with `index.faiss` and `index.ids`, and the queue
//! before it, in which queries gather while others are searched.
//!
//! | key | means | default |
//! |---|---|---|
//! | `index_path` | the folder | none: the service only scores |
//! | `id_to_subset_mapping` | which subset each document belongs to: JSON, or a pickled dictionary | no subsets |
//! | `nprobe` | of an inverted file: how many lists are read | as the index says |
//! | `ef_search` | of a graph: how many candidates are kept on the way | the larger of the index's and `k_scale` times the limit |
//! | `k_factor` | of a refined index: how many times as many as are wanted are scored exactly | `k_scale` |
//! | `k_scale` | how many times as many as are wanted are looked for, where that finds better ones | 20 |
//! | `mmap` | whether vectors stay on disk where the format allows | false |
//! | `index_device` | where vectors are searched: `cpu`, `cuda`, `cuda:N`, `auto`, `cuda:all`, or a list of `cuda:N` | as `device`; `cpu` where a server makes vectors |
//! | `index_dtype` | of vectors on a device: `fp32`, `fp16`, `int8` | as the file has them |
//! | `index_library` | of an index on a device: whether the house's kernels search it (`own`) or FAISS's (`faiss`) | `own` |

use std::sync::Arc;
use std::time::Duration;

use routir_batch::{BatchSettings, Batcher, Flow, Policy};
use routir_compute::Embedding;
use routir_core::{Error, Health, ParamKind, ParamSpec, Params, Ranking, RequestContext, Result};
use routir_device::{Device, Element};
use routir_index::faiss::{DenseIndex, SearchOptions};

use super::shared_faiss::{IndexFiles, Library, OnDevices};
use crate::build::{BuildEnv, EngineSpec, Purpose};
use crate::check::file;
use crate::index_place::{IndexPlace, loads};
use crate::models::{ModelPlace, opening};
use crate::options::Options;
use crate::pool::EnginePool;

/// RoutIR looks for 20 times as many documents as are wanted in every index.
const K_SCALE: f64 = 20.0;

/// How many queries are searched in one call.
const QUERIES_AT_ONCE: usize = 32;

/// The same on a device.
const QUERIES_ON_DEVICE: usize = 256;

/// What numbers of vectors on a device can be.
const ELEMENTS: [(&str, Element); 6] = [
    ("fp32", Element::F32),
    ("fp16", Element::F16),
    ("int8", Element::I8),
    ("float32", Element::F32),
    ("float16", Element::F16),
    ("f16", Element::F16),
];

/// Who searches vectors on a device.
const LIBRARIES: [(&str, Library); 2] = [("own", Library::Own), ("faiss", Library::Faiss)];

/// In which role the queue is counted; its service is `index:` and the service's name.
const ROLE: &str = "index";

/// What a configuration says of the index.
pub(crate) struct IndexKeys<'a> {
    path: Option<&'a str>,
    subsets: Option<&'a str>,
    scale: f64,
    nprobe: Option<usize>,
    ef_search: Option<usize>,
    k_factor: Option<f64>,
    mmap: bool,
    place: IndexPlace,
    element: Option<Element>,
    library: Library,
}

impl<'a> IndexKeys<'a> {
    /// Reads the keys; the index is where `model` says unless it has a key of its own.
    pub(crate) fn read(options: &mut Options<'a>, model: Option<&ModelPlace>) -> Self {
        let place = IndexPlace::read(options, model);
        let keys = Self {
            path: options.text("index_path"),
            subsets: options.text("id_to_subset_mapping"),
            scale: options.number("k_scale").unwrap_or(K_SCALE),
            nprobe: options.count("nprobe"),
            ef_search: options.count("ef_search"),
            k_factor: options.number("k_factor"),
            mmap: options.flag("mmap").unwrap_or(false),
            place,
            element: options.choice("index_dtype", &ELEMENTS),
            library: options
                .choice("index_library", &LIBRARIES)
                .unwrap_or_default(),
        };
        if keys.library == Library::Faiss && !keys.place.is_cpu() {
            keys.check_faiss(options);
        }
        for (key, factor) in [("k_scale", Some(keys.scale)), ("k_factor", keys.k_factor)] {
            if let Some(factor) = factor.filter(|factor| *factor < 1.0) {
                options.problem(format!("`{key}` must be at least 1, not {factor}"));
            }
        }
        keys
    }

    /// What FAISS's indices for GPUs do not do.
    fn check_faiss(&self, options: &mut Options<'_>) {
        let not = "is not possible with `index_library`: \"faiss\"";
        if self.place.is_several() {
            options.problem(format!(
                "`index_device` with several devices {not}, which puts an index on one; name one"
            ));
        }
        if self.subsets.is_some() {
            options.problem(format!(
                "`id_to_subset_mapping` {not}, which filters nothing on a GPU; leave one of them out"
            ));
        }
        if self.element == Some(Element::I8) {
            options.problem(format!(
                "`index_dtype`: \"int8\" {not}; choose `fp32` or `fp16`"
            ));
        }
    }

    /// Where the index is, if there is one; its files are there, and the device that it is put on.
    ///
    /// # Errors
    /// When one of them is not.
    pub(super) fn files(
        &self,
        spec: EngineSpec<'_>,
        env: &BuildEnv<'_>,
    ) -> Result<Option<IndexFiles>> {
        let Some(path) = self.path else {
            return Ok(None);
        };
        // The model's key is the model's to check.
        if let Purpose::Check(_) = env.purpose {
            if self.place.is_own() {
                self.place.check(spec, env)?;
            }
            if self.library == Library::Faiss && self.place.is_demanded() {
                env.faiss.for_gpus()?;
            }
        }
        let folder = (env.resolve_path)(path);
        for name in ["index.faiss", "index.ids"] {
            file("the index's file", &folder.join(name))?;
        }
        let subsets = self.subsets.map(|path| (env.resolve_path)(path));
        if let Some(path) = &subsets {
            file("`id_to_subset_mapping`", path)?;
        }
        Ok(Some(IndexFiles {
            folder,
            subsets,
            mmap: self.mmap,
            place: None,
        }))
    }

    /// What a request may say about the search.
    pub(super) fn params(&self) -> Vec<ParamSpec> {
        let all = [
            (
                "nprobe",
                ParamKind::Count,
                "how many lists of an inverted file are read; default as configured",
            ),
            (
                "ef_search",
                ParamKind::Count,
                "how many candidates are kept on the way through a graph; default as configured",
            ),
            (
                "k_factor",
                ParamKind::Number,
                "how many times as many documents as are wanted a refined index scores exactly; default as configured",
            ),
        ];
        let subset = (
            "subset",
            ParamKind::Text,
            "only documents of this subset; default all",
        );
        let subset = self.subsets.map(|_| subset);
        let specs = all.into_iter().chain(subset);
        specs
            .map(|(name, kind, doc)| ParamSpec::new(name, kind, doc))
            .collect()
    }
}

/// How one query is searched. Queries with equal ones go to the index together.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct How {
    limit: usize,
    nprobe: Option<usize>,
    ef_search: Option<usize>,
    k_factor: Option<f32>,
    subset: Option<String>,
}

/// A query's vector and how it is searched.
struct Ask {
    vector: Embedding,
    how: How,
}

impl Ask {
    /// Whether both can be searched for in one call.
    fn goes_with(&self, other: &Self) -> bool {
        let there = |ask: &Self| matches!(ask.vector, Embedding::OnGpu(_));
        self.how == other.how && there(self) == there(other)
    }
}

/// The index with its queue.
pub(super) struct Searcher {
    index: Arc<DenseIndex>,
    defaults: How,
    scale: f64,
    graph: bool,
    refined: bool,
    batcher: Batcher<Ask, Ranking>,
    /// The devices that it is on.
    health: Vec<Arc<dyn Health>>,
    /// The one that it is on, if it is on one alone.
    device: Option<Arc<Device>>,
}

impl Searcher {
    /// Opens the index for an encoder whose vectors have `dim` numbers, as far as that is known.
    ///
    /// # Errors
    /// When the index does not open or holds other vectors.
    pub(super) fn open(
        spec: EngineSpec<'_>,
        env: &BuildEnv<'_>,
        keys: &IndexKeys<'_>,
        files: &IndexFiles,
        dim: Option<usize>,
    ) -> Result<Self> {
        let shown = files.folder.display();
        let opened = opening(env, spec.name, "opening the index", &shown, || {
            keys.place.open(spec, env, |placed| {
                let numbers: Vec<usize> = placed.iter().map(|it| it.number).collect();
                let devices: Vec<_> = placed.iter().map(|it| Arc::clone(&it.device)).collect();
                let files = IndexFiles {
                    place: (!placed.is_empty()).then_some(OnDevices {
                        numbers,
                        element: keys.element,
                        library: keys.library,
                    }),
                    ..files.clone()
                };
                env.faiss.index(&files, &devices)
            })
        })?;
        let index = Arc::clone(&opened.value);
        let description = index.description();
        tracing::info!(
            service = spec.name,
            index = description,
            metric = ?index.metric(),
            dim = index.dim(),
            vectors = index.len(),
            "dense index"
        );
        if let Some(dim) = dim.filter(|dim| *dim != index.dim()) {
            return Err(Error::invalid(format!(
                "the model makes vectors of {dim} numbers and the index `{shown}` holds vectors of \
                 {}; it was built with another model",
                index.dim()
            )));
        }
        Ok(Self {
            defaults: How {
                limit: 0,
                nprobe: keys.nprobe,
                ef_search: keys.ef_search,
                k_factor: keys.k_factor.map(|factor| factor as f32),
                subset: None,
            },
            scale: keys.scale,
            graph: description.contains("HNSW") || description.contains("NSG"),
            refined: description.contains("Refine"),
            batcher: batcher(spec, env, Arc::clone(&index), &opened.devices),
            // FAISS takes queries from the processor.
            device: (opened.device().cloned()).filter(|_| keys.library == Library::Own),
            index,
            health: opened.health,
        })
    }

    /// Where it takes vectors that lie there.
    pub(super) fn device(&self) -> Option<&Arc<Device>> {
        self.device.as_ref()
    }

    /// The devices that it cannot do without.
    pub(super) fn health(&self) -> Vec<Arc<dyn Health>> {
        self.health.clone()
    }

    /// How many numbers a vector has.
    pub(super) fn dim(&self) -> usize {
        self.index.dim()
    }

    /// How a request wants its search, within what makes sense for the index.
    ///
    /// # Errors
    /// When a parameter has no value that it can have.
    pub(super) fn how(&self, limit: usize, params: &Params) -> Result<How> {
        let len = self.index.len().max(1);
        let limit = limit.min(len);
        let within =
            |value: Option<usize>| value.filter(|value| *value > 0).map(|value| value.min(len));
        // As deep as RoutIR looks, which asks the index for so many times the limit.
        let deep = (limit as f64 * self.scale).min(len as f64);
        let ef_search = params.count("ef_search")?.or(self.defaults.ef_search);
        let ef_search = ef_search.or_else(|| self.graph.then_some(deep as usize));
        let k_factor = params.number("k_factor")?.map(|factor| factor as f32);
        let k_factor = k_factor.or(self.defaults.k_factor);
        let k_factor = k_factor.or_else(|| self.refined.then_some(self.scale as f32));
        if let Some(factor) = k_factor.filter(|factor| *factor < 1.0) {
            return Err(Error::invalid(format!(
                "`k_factor` must be at least 1, not {factor}"
            )));
        }
        Ok(How {
            limit,
            nprobe: within(params.count("nprobe")?.or(self.defaults.nprobe)),
            ef_search: within(ef_search),
            k_factor: k_factor.map(|factor| factor.min(len as f32 / limit.max(1) as f32).max(1.0)),
            subset: params.text("subset")?.map(str::to_owned),
        })
    }

    /// The documents nearest to `vector`.
    pub(super) async fn search(
        &self,
        context: &RequestContext,
        vector: Embedding,
        how: How,
    ) -> Result<Ranking> {
        let flow = Flow::of(context.tenant.as_ref());
        let (ranking, _) = self.batcher.submit(flow, Ask { vector, how }, 1).await?;
        Ok(ranking)
    }
}

/// As many calls at once as engines have threads; who comes meanwhile goes together. A device has
/// one call at a time, and larger ones: it answers many queries in the time of a few, so they gather
/// while it works for others, too.
fn batcher(
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
