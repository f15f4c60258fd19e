//! What a queue's callers, running batches and timer share: the policy's state behind a lock that
//! is never held while anything waits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::join_all;
use parking_lot::{Mutex, MutexGuard};
use routir_core::{BoxFuture, CallStats, Error, ErrorCode, Load, QueueMetrics, Result};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use crate::running::{Batch, Entry, Slot, drain};
use crate::{BatchSettings, Decision, Flow, Queue, Ticket};

/// Bounds of the hint when to come back to a full queue.
const RETRY_AFTER: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// How much a new batch counts in the smoothed pace.
const PACE_WEIGHT: f64 = 0.2;

type Engine<Req, Resp> = dyn Fn(Vec<Req>) -> BoxFuture<'static, Vec<Result<Resp>>> + Send + Sync;

/// What a caller gets for a request that was admitted.
pub(crate) struct Admitted<Req: Send + 'static, Resp: Send + 'static> {
    pub(crate) ticket: Ticket,
    pub(crate) answer: oneshot::Receiver<Result<(Resp, CallStats)>>,
    /// The batch that became due by it, if one did, which the caller must start.
    pub(crate) batch: Option<Batch<Req, Resp>>,
}

/// One service's queue, clock, counters and engine.
pub(crate) struct Shared<Req, Resp> {
    pub(crate) name: Arc<str>,
    pub(crate) metrics: QueueMetrics,
    engine: Box<Engine<Req, Resp>>,
    concurrency: usize,
    /// What the engine shares with others.
    loads: Vec<Arc<dyn Load>>,
    state: Mutex<State<Req, Resp>>,
}

struct State<Req, Resp> {
    queue: Queue<Entry<Req, Resp>>,
    /// Seconds per request while the engine works, smoothed; `None` before the first batch ended.
    pace: Option<f64>,
    /// The task that looks again when the oldest entry has waited long enough.
    timer: Option<AbortHandle>,
    /// The task that looks again when what the engine shares has fallen idle; there is one while
    /// entries are held back for that, and only then.
    watch: Option<Watch>,
    watches: u64,
    closed: bool,
}

struct Watch {
    number: u64,
    task: AbortHandle,
}

/// The clock. Tokio's, so that tests can stop it.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl<Req: Send + 'static, Resp: Send + 'static> Shared<Req, Resp> {
    pub(crate) fn new(
        settings: BatchSettings,
        metrics: QueueMetrics,
        engine: Box<Engine<Req, Resp>>,
        loads: Vec<Arc<dyn Load>>,
    ) -> Self {
        let BatchSettings {
            name,
            policy,
            capacity,
            concurrency,
        } = settings;
        let queue = Queue::new(policy, capacity, concurrency);
        let state = State {
            queue,
            pace: None,
            timer: None,
            watch: None,
            watches: 0,
            closed: false,
        };
        let concurrency = concurrency.max(1);
        Self {
            name,
            metrics,
            engine,
            concurrency,
            loads,
            state: Mutex::new(state),
        }
    }

    /// The engine's work on a batch.
    pub(crate) fn ask(&self, requests: Vec<Req>) -> BoxFuture<'static, Vec<Result<Resp>>> {
        (self.engine)(requests)
    }

    /// Admits a request.
    pub(crate) fn admit(
        self: &Arc<Self>,
        flow: &Flow,
        request: Req,
        tokens: usize,
    ) -> Result<Admitted<Req, Resp>> {
        let (reply, answer) = oneshot::channel();
        let mut state = self.state.lock();
        if state.closed {
            return Err(self.unavailable());
        }
        // Read under the lock, so that the entries' times are in their order.
        let now = now();
        let entry = Entry { request, reply };
        match state.queue.push(now, flow, tokens, entry) {
            Ok(ticket) => {
                self.metrics.depth.inc();
                Ok(Admitted {
                    ticket,
                    answer,
                    batch: self.due(state, now, false),
                })
            }
            Err(_refused) => {
                let error = self.overloaded(&state, flow);
                drop(state);
                self.metrics.refused.inc();
                Err(error)
            }
        }
    }

    /// Takes out the entry of a caller that left, if it still waits.
    pub(crate) fn leave(&self, ticket: Ticket) {
        let mut state = self.state.lock();
        let entry = state.queue.remove(ticket);
        if state.queue.is_empty() {
            state.unwatch();
        }
        drop(state);
        if entry.is_some() {
            self.metrics.depth.dec();
            self.metrics.abandoned.inc();
        }
    }

    /// A batch ended, having taken that long for that many requests unless it was abandoned: the
    /// next one, which the caller must run.
    pub(crate) fn finished(
        self: &Arc<Self>,
        took: Option<(Duration, usize)>,
    ) -> Option<Batch<Req, Resp>> {
        let mut state = self.state.lock();
        if let Some((took, size)) = took {
            let pace = took.as_secs_f64() / size.max(1) as f64;
            let old = state.pace.unwrap_or(pace);
            state.pace = Some(old + PACE_WEIGHT * (pace - old));
        }
        state.queue.finished();
        self.due(state, now(), false)
    }

    /// The task that ran a batch was dropped before the batch ended: the runtime shuts down. Fails
    /// what waits rather than leave it to a task that will never run.
    pub(crate) fn interrupted(&self) {
        let mut state = self.state.lock();
        state.queue.finished();
        state.unwatch();
        let waiting = state.queue.clear();
        drop(state);
        self.fail_waiting(waiting);
    }

    /// Refuses what comes and fails what waits.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        if let Some(timer) = state.timer.take() {
            timer.abort();
        }
        state.unwatch();
        let waiting = state.queue.clear();
        drop(state);
        self.fail_waiting(waiting);
    }

    /// How many requests wait.
    pub(crate) fn depth(&self) -> usize {
        self.state.lock().queue.len()
    }

    /// The error of a request that will not be run any more.
    pub(crate) fn unavailable(&self) -> Error {
        Error::new(
            ErrorCode::Unavailable,
            format!(
                "service `{}` was stopped before it answered; try again",
                self.name
            ),
        )
    }

    /// The next batch that is due, if one is, for the caller to run; further ones go to tasks of
    /// their own. Sets the timer for what is not due yet, and watches what it is held back for.
    /// `idle` says that this has just fallen idle, whoever was quick enough to use it again.
    fn due(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State<Req, Resp>>,
        now: Instant,
        idle: bool,
    ) -> Option<Batch<Req, Resp>> {
        let mut first = None;
        let mut others = Vec::new();
        // An engine that works is looked at again when it ends.
        let asks = !idle && !state.queue.is_empty() && state.queue.running() == 0;
        let busy = if asks { self.busy() } else { None };
        let until = loop {
            match state.queue.poll(now, busy.is_some()) {
                Decision::Wait(until) => break until,
                Decision::Run(members) => {
                    self.metrics
                        .depth
                        .dec_by(i64::try_from(members.len()).unwrap_or(i64::MAX));
                    let batch = Batch {
                        slot: Slot::new(Arc::clone(self)),
                        members,
                        formed: now,
                    };
                    if first.is_none() {
                        first = Some(batch);
                    } else {
                        others.push(batch);
                    }
                }
            }
        };
        if let Some(until) = until {
            self.set_timer(&mut state, until);
        }
        match busy {
            Some(rest) if !state.queue.is_empty() && state.queue.running() == 0 => {
                self.set_watch(&mut state, rest);
            }
            _ => state.unwatch(),
        }
        // A runtime that shuts down drops a new task on the spot, and with it a slot, which locks.
        drop(state);
        for batch in others {
            tokio::spawn(drain(batch));
        }
        first
    }

    /// Looks again at `until`. One timer is enough: the entries' times are in their order, so one
    /// that is set already rings no later than this one would.
    fn set_timer(self: &Arc<Self>, state: &mut State<Req, Resp>, until: Instant) {
        if state
            .timer
            .as_ref()
            .is_some_and(|timer| !timer.is_finished())
        {
            return;
        }
        let shared = Arc::downgrade(self);
        let timer = tokio::spawn(async move {
            tokio::time::sleep_until(until.into()).await;
            let Some(shared) = shared.upgrade() else {
                return;
            };
            let batch = shared.rang();
            drop(shared);
            if let Some(batch) = batch {
                drain(batch).await;
            }
        });
        state.timer = Some(timer.abort_handle());
    }

    /// What ends when all that the engine shares has fallen idle, if any of it is busy.
    fn busy(&self) -> Option<BoxFuture<'static, ()>> {
        let mut busy: Vec<_> = self.loads.iter().filter_map(|load| load.busy()).collect();
        match busy.len() {
            0 | 1 => busy.pop(),
            _ => Some(join_all(busy).map(|_| ()).boxed()),
        }
    }

    /// Looks again after `rest`, unless somebody will after one that began earlier.
    fn set_watch(self: &Arc<Self>, state: &mut State<Req, Resp>, rest: BoxFuture<'static, ()>) {
        if state.watch.is_some() {
            return;
        }
        let (shared, number) = (Arc::downgrade(self), state.watches);
        state.watches += 1;
        let watch = tokio::spawn(async move {
            rest.await;
            let Some(shared) = shared.upgrade() else {
                return;
            };
            let batch = shared.rested(number);
            drop(shared);
            if let Some(batch) = batch {
                drain(batch).await;
            }
        });
        let task = watch.abort_handle();
        state.watch = Some(Watch { number, task });
    }

    /// What the engine shares has fallen idle: the batch that is due, if one is. A watch that was
    /// called off in the same moment says nothing of what has come since.
    fn rested(self: &Arc<Self>, number: u64) -> Option<Batch<Req, Resp>> {
        let mut state = self.state.lock();
        state.watch.take_if(|watch| watch.number == number)?;
        self.due(state, now(), true)
    }

    /// The timer rang: the batch that is due, if one still is.
    fn rang(self: &Arc<Self>) -> Option<Batch<Req, Resp>> {
        let mut state = self.state.lock();
        state.timer = None;
        self.due(state, now(), false)
    }

    fn fail_waiting(&self, waiting: impl Iterator<Item = Entry<Req, Resp>>) {
        for entry in waiting {
            self.metrics.depth.dec();
            let _ = entry.reply.send(Err(self.unavailable()));
        }
    }

    /// The error of a request for whose flow there is no place, with how long the queue needs to
    /// empty at the pace of late.
    fn overloaded(&self, state: &State<Req, Resp>, flow: &Flow) -> Error {
        let (own, all) = (state.queue.len_of(flow), state.queue.len());
        let seconds = state.pace.unwrap_or(0.0) * all as f64 / self.concurrency as f64;
        let (least, most) = RETRY_AFTER;
        let wait = Duration::try_from_secs_f64(seconds)
            .unwrap_or(most)
            .clamp(least, most);
        let waits = if own == all {
            format!("{all} requests wait already")
        } else {
            format!("{own} of your requests wait already, your share while others' wait too")
        };
        let message = format!(
            "service `{}` is overloaded: {waits}; come back in about {} s",
            self.name,
            wait.as_secs_f64().ceil()
        );
        Error::new(ErrorCode::Overloaded, message).with_retry_after(wait)
    }
}

impl<Req, Resp> State<Req, Resp> {
    /// Nobody is held back for others any more.
    fn unwatch(&mut self) {
        if let Some(watch) = self.watch.take() {
            watch.task.abort();
        }
    }
}
