//! RoutIR's endpoints put together, and kept up to date with what workers offer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use hyper::header::HeaderValue;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::calling::Calling;
use super::{Calls, Fleet, RoutirSide, Side};
use crate::RouterOptions;
use crate::dial::Dialer;
use crate::spread::{Carry, Known, Seen, Spread, Union};
use crate::whole::Room;
use crate::worker::{Registry, WorkerSettings};

/// The largest request: it is held as a whole while its answer is awaited.
const MAX_BODY: usize = 64 << 20;
/// Workers often come and change together: what they offer is put together once.
const TOGETHER: Duration = Duration::from_millis(20);
/// How often names of workers that are gone are looked through.
const LOOK: Duration = Duration::from_secs(60);

/// What requests to RoutIR's endpoints, and the workers that answer them, may cost.
#[derive(Debug)]
pub(crate) struct Bounds {
    /// The largest request.
    pub(crate) max_body_bytes: usize,
    /// How long a request's body may take.
    pub(crate) patience: Duration,
    /// Where it is held.
    pub(crate) room: Room,
    /// How connections to workers are opened.
    pub(crate) dialer: Dialer,
    /// How long a worker may take until it begins to answer over gRPC.
    pub(crate) header_timeout: Duration,
    /// What `Authorization` says to workers.
    pub(crate) key: Option<HeaderValue>,
}

impl Bounds {
    pub(crate) fn of(options: &RouterOptions, workers: &WorkerSettings, room: Room) -> Self {
        Self {
            max_body_bytes: options.max_body_bytes.min(MAX_BODY),
            patience: options.io_timeout,
            room,
            dialer: workers.dialer.clone(),
            header_timeout: options.header_timeout,
            key: workers.authorization.clone(),
        }
    }
}

/// RoutIR's endpoints on both wires. They follow the registry until this is dropped.
pub(crate) struct Endpoints {
    pub(crate) side: Arc<Side>,
    pub(crate) calls: Arc<Calls>,
    following: JoinHandle<()>,
}

impl Endpoints {
    /// To be called within a tokio runtime.
    pub(crate) fn start(
        routir: &RoutirSide,
        bounds: Bounds,
        registry: &Registry,
        fleet: Fleet,
    ) -> Self {
        let fleet = Arc::new(fleet);
        let known = Arc::new(ArcSwap::from_pointee(Known::default()));
        let own = Arc::clone(&routir.server_id);
        let (max_body_bytes, patience) = (bounds.max_body_bytes, bounds.patience);
        let room = bounds.room.clone();
        let calling = Arc::new(Calling::new(Arc::clone(&fleet), bounds));
        let spread = Spread::new(Arc::clone(&calling) as Arc<dyn Carry>, Arc::clone(&own));
        let mut union = Union::new(
            Arc::new(spread),
            routir.runtime.clone(),
            Arc::clone(&known),
            Arc::clone(&routir.offered),
        );
        look(&mut union, registry);
        let side = Arc::new(Side {
            fleet,
            local: Arc::clone(&routir.local),
            beside: Handle::current(),
            known,
            own,
            max_body_bytes,
            patience,
            room,
        });
        let calls = Calls::new(Arc::clone(&side), calling);
        Self {
            side,
            calls: Arc::new(calls),
            following: tokio::spawn(follow(union, registry.clone())),
        }
    }
}

impl Drop for Endpoints {
    fn drop(&mut self) {
        self.following.abort();
    }
}

/// Takes in what the workers offer now.
fn look(union: &mut Union, registry: &Registry) {
    let workers = registry.workers();
    let seen = workers.iter().map(|worker| Seen {
        url: Arc::clone(worker.url()),
        ready: worker.is_routable(),
        offer: worker.facts_now().offer.clone(),
    });
    union.set(&seen.collect::<Vec<_>>(), Instant::now());
}

async fn follow(mut union: Union, registry: Registry) {
    let mut changes = registry.changes();
    loop {
        changes.mark_unchanged();
        look(&mut union, &registry);
        tokio::select! {
            changed = changes.changed() => {
                if changed.is_err() {
                    return;
                }
                tokio::time::sleep(TOGETHER).await;
            }
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}
