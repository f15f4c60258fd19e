//! Instances that are kept between the calls of one trusted service.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::Store;
use wasmtime::component::Instance;

use crate::guest::State;

/// Calls after which an instance is let go.
const MAX_CALLS: u32 = 1000;
/// How long an instance may be idle.
const MAX_IDLE: Duration = Duration::from_secs(30);
/// How much its memory may grow over what it had after its first call.
const MAX_GROWTH: usize = 2;

/// An instance with its store.
pub(crate) struct Live {
    pub(crate) store: Store<State>,
    pub(crate) instance: Instance,
    calls: u32,
    first_memory: usize,
}

impl Live {
    pub(crate) fn new(store: Store<State>, instance: Instance) -> Self {
        Self {
            store,
            instance,
            calls: 0,
            first_memory: 0,
        }
    }

    /// Notes a call that ended well. False: the instance has done its time.
    fn may_go_on(&mut self) -> bool {
        let memory = self.store.data().limiter.memory();
        if self.calls == 0 {
            self.first_memory = memory;
        }
        self.calls += 1;
        self.calls < MAX_CALLS && memory <= self.first_memory.saturating_mul(MAX_GROWTH)
    }
}

/// Idle instances of one service, the one that was used last on top.
pub(crate) struct Kept {
    /// How many the whole sandbox may keep idle.
    slots: Arc<Semaphore>,
    idle: Mutex<Idle>,
}

#[derive(Default)]
struct Idle {
    instances: Vec<Resting>,
    /// Whether a task looks after them.
    watched: bool,
}

struct Resting {
    live: Live,
    since: Instant,
    _slot: OwnedSemaphorePermit,
}

impl Kept {
    pub(crate) fn new(slots: Arc<Semaphore>) -> Arc<Self> {
        Arc::new(Self {
            slots,
            idle: Mutex::default(),
        })
    }

    /// An idle instance, if there is one that is not too old.
    pub(crate) fn take(&self) -> Option<Live> {
        let resting = self.idle.lock().instances.pop()?;
        (resting.since.elapsed() < MAX_IDLE).then_some(resting.live)
    }

    /// Keeps an instance whose last call ended well, unless it has done its time or there is no
    /// room for another.
    pub(crate) fn put(self: &Arc<Self>, mut live: Live) {
        if !live.may_go_on() {
            return;
        }
        let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() else {
            return;
        };
        let mut idle = self.idle.lock();
        idle.instances.push(Resting {
            live,
            since: Instant::now(),
            _slot: slot,
        });
        if !idle.watched
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            idle.watched = true;
            runtime.spawn(watch(Arc::downgrade(self)));
        }
    }

    /// Takes those out that have been idle for too long, and says when the next will have been.
    fn expired(&self) -> (Vec<Resting>, Option<Instant>) {
        let mut idle = self.idle.lock();
        let now = Instant::now();
        // They lie in the order in which they were put back.
        let old = idle
            .instances
            .iter()
            .take_while(|resting| now.saturating_duration_since(resting.since) >= MAX_IDLE)
            .count();
        let gone = idle.instances.drain(..old).collect();
        let next = idle.instances.first().map(|oldest| oldest.since + MAX_IDLE);
        idle.watched = next.is_some();
        (gone, next)
    }
}

/// Lets idle instances go when their time has come, until there are none.
async fn watch(kept: Weak<Kept>) {
    while let Some(strong) = kept.upgrade() {
        let (gone, next) = strong.expired();
        drop(gone);
        drop(strong);
        let Some(next) = next else { return };
        tokio::time::sleep_until(next.into()).await;
    }
}
