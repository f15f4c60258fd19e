//! Models that services share: opened once, and one queue before each, however many services use it.

mod hosted;
mod keys;
mod parts;
mod queue;

use std::any::Any;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use routir_compute::{Compute, Model};
use routir_core::{HostedModel, Metrics};

pub(crate) use hosted::{by, encoded, fits, no_instruction, try_encoded};
pub(crate) use keys::{ModelKeys, ModelPlace, opening, source};
pub(crate) use parts::{Part, answers, too_few};
pub(crate) use queue::within;
pub use queue::{ModelQueue, ModelSettings};

/// In which role models' queues are counted; their service is `model:` and the model's name.
const ROLE: &str = "model";

/// What opens models, and the queues before them.
pub struct SharedModels {
    compute: Compute,
    settings: ModelSettings,
    metrics: Metrics,
    queues: Mutex<Vec<Weak<dyn Any + Send + Sync>>>,
    /// Models that are hosted for others.
    hosted: Mutex<Vec<HostedModel>>,
}

impl SharedModels {
    /// Models that `compute` opens, behind queues that are counted in `metrics`. Opens none yet.
    #[must_use]
    pub fn new(compute: Compute, settings: ModelSettings, metrics: Metrics) -> Self {
        Self {
            compute,
            settings,
            metrics,
            queues: Mutex::default(),
            hosted: Mutex::default(),
        }
    }

    /// What opens them: for equal specifications it gives the same model.
    #[must_use]
    pub fn compute(&self) -> &Compute {
        &self.compute
    }

    /// How the queues behave.
    pub(crate) fn settings(&self) -> ModelSettings {
        self.settings
    }

    /// What the queues are counted in.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The queue before `model`: the same for everybody who holds the same model.
    pub fn queue<M: Model>(&self, model: Arc<M>) -> Arc<ModelQueue<M>> {
        let mut queues = self.queues.lock();
        queues.retain(|queue| queue.strong_count() > 0);
        let existing = queues.iter().filter_map(Weak::upgrade).find_map(|queue| {
            let queue = queue.downcast::<ModelQueue<M>>().ok()?;
            Arc::ptr_eq(queue.model(), &model).then_some(queue)
        });
        existing.unwrap_or_else(|| {
            let label = format!("model:{}", model.name());
            let metrics = self.metrics.queue(&label, ROLE);
            let queue = Arc::new(ModelQueue::new(model, self.settings, metrics));
            let erased: Arc<dyn Any + Send + Sync> = queue.clone();
            queues.push(Arc::downgrade(&erased));
            queue
        })
    }
}
