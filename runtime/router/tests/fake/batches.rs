//! Requests share batches, as before a GPU.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::{mpsc, oneshot};

use super::State;

/// A request that waits for its batch.
pub(super) struct Batch(oneshot::Sender<()>);

impl State {
    /// Waits until a batch with this request is done.
    pub(super) async fn batched(&self) {
        let (done, waits) = oneshot::channel();
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let _ = self.batches.send(Batch(done));
        let _ = waits.await;
    }
}

/// One batch after the other, for ever.
pub(super) async fn run(state: Arc<State>, mut queue: mpsc::UnboundedReceiver<Batch>) {
    while let Some(first) = queue.recv().await {
        let (most, service) = {
            let behaviour = state.behaviour();
            (behaviour.batch.max(1), behaviour.service)
        };
        let mut batch = vec![first];
        while batch.len() < most
            && let Ok(next) = queue.try_recv()
        {
            batch.push(next);
        }
        state.waiting.fetch_sub(batch.len(), Ordering::SeqCst);
        if !service.is_zero() {
            tokio::time::sleep(service).await;
        }
        for Batch(done) in batch {
            let _ = done.send(());
        }
    }
}
