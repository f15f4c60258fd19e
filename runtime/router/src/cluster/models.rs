//! `/v1/models`: what models there are, and where.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;

use crate::worker::{Card, ModelState, Worker};

/// A model of the catalogue, which is listed whether a worker runs or not.
#[derive(Clone, Debug, Default)]
pub(crate) struct KnownModel {
    /// In canonical spelling.
    pub(crate) name: Arc<str>,
    /// In order of priority.
    pub(crate) bundles: Vec<Arc<str>>,
    pub(crate) card: Card,
}

/// The body of `/v1/models`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ModelsView {
    pub(crate) models: Vec<ModelView>,
}

/// A model and its workers.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ModelView {
    pub(crate) name: Arc<str>,
    pub(crate) bundles: Vec<Arc<str>>,
    /// Ready workers that have it loaded.
    pub(crate) worker_count: usize,
    pub(crate) workers: Vec<Arc<str>>,
    pub(crate) loaded: bool,
    /// How far it is where it is furthest: `loaded`, `loading` or `available`.
    pub(crate) state: &'static str,
    #[serde(flatten)]
    pub(crate) card: Card,
}

/// All models, by name: those of the catalogue if there is one, else those that ready workers list.
pub(crate) fn models(workers: &[Arc<Worker>], known: Option<&[KnownModel]>) -> ModelsView {
    let mut views = found(workers, known, None)
        .into_values()
        .collect::<Vec<_>>();
    views.sort_by(|one, two| one.name.cmp(&two.name));
    ModelsView { models: views }
}

/// One model, whose name may be spelled in any case.
pub(crate) fn model(
    workers: &[Arc<Worker>],
    known: Option<&[KnownModel]>,
    name: &str,
) -> Option<ModelView> {
    let name = name.to_lowercase();
    found(workers, known, Some(&name)).remove(&*name)
}

/// Models by lower-case name; with `only`, that one.
fn found(
    workers: &[Arc<Worker>],
    known: Option<&[KnownModel]>,
    only: Option<&str>,
) -> BTreeMap<Arc<str>, ModelView> {
    let empty = |name: &Arc<str>| ModelView {
        name: Arc::clone(name),
        bundles: Vec::new(),
        worker_count: 0,
        workers: Vec::new(),
        loaded: false,
        state: "available",
        card: Card::default(),
    };
    let mut views: BTreeMap<Arc<str>, ModelView> = BTreeMap::new();
    for known in known.unwrap_or_default() {
        let key = known.name.to_lowercase();
        if only.is_none_or(|only| only == key) {
            let mut view = empty(&known.name);
            view.bundles.clone_from(&known.bundles);
            view.card = known.card.clone();
            views.insert(Arc::from(key), view);
        }
    }
    let mut bundles: BTreeMap<Arc<str>, BTreeSet<Arc<str>>> = BTreeMap::new();
    for worker in workers.iter().filter(|worker| worker.is_routable()) {
        let facts = worker.facts();
        let cards = worker.cards();
        for (key, model) in &facts.models {
            if only.is_some_and(|only| only != &**key) || model.state == ModelState::Gone {
                continue;
            }
            if known.is_some() && !views.contains_key(key) {
                continue;
            }
            let view = views
                .entry(Arc::clone(key))
                .or_insert_with(|| empty(&model.name));
            match model.state {
                ModelState::Loaded => {
                    view.worker_count += 1;
                    view.workers.push(Arc::clone(worker.url()));
                    view.loaded = true;
                    view.state = "loaded";
                }
                ModelState::Loading if !view.loaded => view.state = "loading",
                _ => {}
            }
            if let Some(card) = cards.get(key) {
                view.card.or(card);
            }
            if known.is_none() {
                let of = bundles.entry(Arc::clone(key)).or_default();
                of.insert(Arc::clone(&facts.bundle));
            }
        }
    }
    for (key, bundles) in bundles {
        if let Some(view) = views.get_mut(&key) {
            view.bundles = bundles.into_iter().collect();
        }
    }
    views
}
