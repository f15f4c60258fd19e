//! `PLAIDX`: late interaction. Searches a ColBERT-style index, scores passages by MaxSim.
//!
//! | key | means | default |
//! |---|---|---|
//! | `checkpoint` or `model` | the encoder of token vectors: a folder with an ONNX graph, or `hf:owner/name` | required |
//! | `file` | which of the model's graphs | the first there is |
//! | `index_path` | the index's folder; without one the engine only scores | none |
//! | `index_device` | where its token vectors lie and MaxSim is computed: `cpu`, `cuda`, `cuda:N`, `auto` | as `device` |
//! | `probes` | centroids per query token whose passages are looked at | 4 for up to 100 documents, then 8 |
//! | `rerank` | passages whose vectors are compared exactly | twice the limit, at least 256 |
//! | `passage_mapping` | a file that says which document each passage belongs to | `passage_mapping.tsv` or `mapping.tsv` in the index's folder, else the ids in the index |
//! | `mapping_containing_passage_id` | whether it has passages' ids, `document_number` | true |
//! | `id_to_subset_mapping` | which subset each document is in: JSON, or a pickled dictionary | no subsets |
//! | `sliding_window_size`, `sliding_window_stride` | windows of a passage that is scored, in tokens | 180 and 90 |
//! | `query_maxlen`, `doc_maxlen` | to how many tokens queries and documents are cut | the model's |
//! | `query_marker`, `document_marker` | the tokens that mark them; empty for none | the model's |
//! | `expand_queries`, `attend_to_mask_tokens`, `mask_punctuation` | as in ColBERT | the model's |
//! | `build` | whether to build the index of a collection at first start, and when that has changed | false |
//! | `collection`, `view` | of which one | the only one there is, its default view |
//! | `bits` | 2, 4 or 16 bits per value in an index that is built | 4 |
//!
//! `name`, `batch_size`, `inference_batch_size`, `passage_batch_size` and `gpu_assignment` are taken
//! and change nothing.
//!
//! An index is built at start only when `build` asks for it, unlike BM25's: every document goes
//! through the model, which takes minutes for ten thousand and days for a hundred million. Such an
//! index is built beforehand, elsewhere, with `routir-rt index late`.

mod fill;
mod hosted;
mod mapping;
mod on_device;
mod plan;
mod score;
mod search;

use std::path::Path;
use std::sync::Arc;

use routir_compute::Compute;
use routir_core::{Error, Result, Roles};
use routir_index::late::LateIndex;

use crate::build::{BuildEnv, EngineSpec, Purpose};
use crate::check::{Outline, file, is_ahead, there};
use crate::devices::Opened;
use crate::models::opening;
use crate::subsets::Subsets;
use mapping::PassageMapping;
use on_device::OnDevice;
use plan::Plan;
use score::LateScorer;
use search::{LateSearcher, Passages};

pub(crate) fn build(spec: EngineSpec<'_>, env: &BuildEnv<'_>) -> Result<Roles> {
    let plan = Plan::read(spec.config, env)?;
    if let Purpose::Check(stood_in) = env.purpose {
        plan.place.check(spec, env)?;
        if plan.vectors.is_own() {
            plan.vectors.check(spec, env)?;
        }
        if let (Some(dir), None) = (&plan.index, &plan.fill)
            && !is_ahead(dir)
        {
            there(LateIndex::present(dir))?;
        }
        if let Some(path) = &plan.mapping {
            file("`passage_mapping`", path)?;
        }
        if let Some(path) = &plan.subsets {
            file("`id_to_subset_mapping`", path)?;
        }
        let outline = Outline {
            search: plan
                .index
                .as_ref()
                .map(|_| search::params(plan.subsets.is_some())),
            score: Some(score::params()),
            ..Outline::default()
        };
        return Ok(outline.roles(stood_in));
    }
    let source = &plan.model.source;
    let Opened {
        value: model,
        health,
        ..
    } = opening(env, spec.name, "loading the model", &source, || {
        let open = |compute: &Compute| compute.late(&plan.model);
        plan.place.open(spec, env, open)
    })?;
    // Tells at start of windows that the model cannot read.
    model.windows("", plan.window, plan.stride)?;
    let search = match &plan.index {
        None => None,
        Some(dir) => {
            let index = match &plan.fill {
                Some(fill) => fill.open_or_build(dir, &model, spec.name, env)?,
                None => LateIndex::open(dir)?,
            };
            if index.dim() != model.dim() {
                return Err(Error::invalid(format!(
                    "model `{source}` makes vectors of {} values and the index in `{}` has {}; an \
                     index is searched with the model that it was built with",
                    model.dim(),
                    dir.display(),
                    index.dim()
                )));
            }
            tracing::info!(
                service = spec.name,
                passages = index.len(),
                tokens = index.tokens(),
                centroids = index.centroids(),
                bits = index.bits().count(),
                dir = %dir.display(),
                "late-interaction index is open"
            );
            Some(passages(&plan, dir, index)?)
        }
    };
    let on_device = OnDevice::open(spec, env, &plan, search.as_ref(), model.dim())?;
    let queue = env.models.queue(model);
    let encoder = hosted::hosted(&queue, &env.pool);
    env.models.host(spec, &plan.named, source, Some(encoder));
    let search = search.map(|passages| {
        let searcher = LateSearcher {
            queue: Arc::clone(&queue),
            pool: env.pool.clone(),
            passages: Arc::new(passages),
            resident: on_device.value.resident,
            probes: plan.probes,
            rerank: plan.rerank,
        };
        Arc::new(searcher) as _
    });
    let score = LateScorer {
        queue,
        pool: env.pool.clone(),
        texts: on_device.value.texts,
        window: plan.window,
        stride: plan.stride,
    };
    Ok(Roles {
        search,
        score: Some(Arc::new(score)),
        health: health.into_iter().chain(on_device.health).collect(),
        ..Roles::default()
    })
}

/// The index with its passage mapping, which is configured or lies beside it, and its subsets.
fn passages(plan: &Plan, dir: &Path, index: LateIndex) -> Result<Passages> {
    let beside = ["passage_mapping.tsv", "mapping.tsv"].map(|name| dir.join(name));
    let path = plan
        .mapping
        .clone()
        .or_else(|| beside.into_iter().find(|path| path.is_file()));
    let mapping = path
        .map(|path| PassageMapping::read(&path, plan.passage_ids, index.len()))
        .transpose()?;
    let mut passages = Passages {
        index,
        mapping,
        subsets: None,
    };
    if let Some(path) = &plan.subsets {
        let documents = |passage| passages.document(passage);
        passages.subsets = Some(Subsets::read(path, passages.index.len(), documents)?);
    }
    Ok(passages)
}
