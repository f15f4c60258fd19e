//! The index of a dense engine: RoutIR's folder with `index.faiss` and `index.ids`, and how far it is
//! searched for a request.

use std::sync::Arc;

use routir_batch::{Batcher, Flow};
use routir_compute::Embedding;
use routir_core::{Error, Health, Params, Ranking, RequestContext, Result};
use routir_device::Device;
use routir_index::faiss::DenseIndex;

use super::index_keys::IndexKeys;
use super::index_queue::{Ask, How, batcher};
use super::shared_faiss::{IndexFiles, Library, OnDevices};
use crate::build::{BuildEnv, EngineSpec};
use crate::models::opening;

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
