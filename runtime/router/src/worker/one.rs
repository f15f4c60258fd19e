//! One worker.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use arc_swap::{ArcSwap, Guard};
use hyper::Uri;
use hyper::http::uri::Authority;
use routir_core::Result;
use tokio::sync::futures::Notified;
use tokio::sync::{Notify, watch};

use super::breaker::Breaker;
use super::load::Load;
use super::{Address, Card, Facts, ModelState, Offer, Outcome, Standing};
use crate::want::Need;

/// A registered worker. It is known by its id for as long as it is registered, and lives on while
/// requests are with it.
#[derive(Debug)]
pub(crate) struct Worker {
    id: u64,
    address: Address,
    facts: ArcSwap<Facts>,
    /// What it tells of its models beyond their names, by lower-case name.
    cards: ArcSwap<BTreeMap<Arc<str>, Card>>,
    /// Whether it speaks.
    speaks: AtomicBool,
    /// Whether it was asked once, and answered or did not.
    met: AtomicBool,
    load: Load,
    breaker: Breaker,
    pub(super) counts: Counts,
    /// Rings for those who wait for a place when there is reason to look whether it is sound.
    turned: Notify,
    changes: Arc<watch::Sender<u64>>,
}

/// What happened to a worker's reader.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) frames: AtomicU64,
    pub(super) bad_frames: AtomicU64,
    pub(super) bad_fields: AtomicU64,
    pub(super) connections: AtomicU64,
}

impl Worker {
    pub(super) fn new(id: u64, address: Address, changes: Arc<watch::Sender<u64>>) -> Self {
        Self {
            id,
            address,
            facts: ArcSwap::default(),
            cards: ArcSwap::default(),
            speaks: AtomicBool::default(),
            met: AtomicBool::default(),
            load: Load::default(),
            breaker: Breaker::new(Instant::now()),
            counts: Counts::default(),
            turned: Notify::new(),
            changes,
        }
    }

    /// Of this registration: a worker that leaves and comes back has another.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Its base URL, normalised, without credentials.
    pub(crate) fn url(&self) -> &Arc<str> {
        self.address.url()
    }

    /// For the `Host` header.
    pub(crate) fn authority(&self) -> &Authority {
        self.address.authority()
    }

    /// What stands before each path: nothing, or a path without a slash at its end.
    pub(crate) fn prefix(&self) -> &str {
        self.address.prefix()
    }

    /// Whether connections to it are encrypted.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.address.is_encrypted()
    }

    /// What to connect to.
    pub(crate) fn socket(&self) -> (&str, u16) {
        self.address.socket()
    }

    /// The URI of a path (with its query) on this worker.
    ///
    /// # Errors
    /// For what cannot stand in a request's line.
    pub(crate) fn uri(&self, path_and_query: &str) -> Result<Uri> {
        self.address.uri(path_and_query)
    }

    /// What it last said.
    pub(crate) fn facts(&self) -> Arc<Facts> {
        self.facts.load_full()
    }

    /// The same for a moment, without counting a reference.
    pub(crate) fn facts_now(&self) -> Guard<Arc<Facts>> {
        self.facts.load()
    }

    /// What it tells of its models beyond their names, by lower-case name.
    pub(crate) fn cards(&self) -> Arc<BTreeMap<Arc<str>, Card>> {
        self.cards.load_full()
    }

    /// Its name, or its URL until it said one.
    pub(crate) fn name(&self) -> Arc<str> {
        let facts = self.facts.load();
        match &*facts.name {
            "" => Arc::clone(self.url()),
            _ => Arc::clone(&facts.name),
        }
    }

    /// Whether it speaks and says that it is ready.
    pub(crate) fn is_routable(&self) -> bool {
        self.speaks() && self.facts.load().ready
    }

    /// Whether it may be chosen and does not fail.
    pub(crate) fn is_sound(&self) -> bool {
        self.is_routable() && self.standing(Instant::now()) != Standing::Out
    }

    /// Waits until there is reason to look whether it is still sound.
    pub(crate) fn turned(&self) -> Notified<'_> {
        self.turned.notified()
    }

    /// Whether its connection stands and frames come.
    pub(crate) fn speaks(&self) -> bool {
        self.speaks.load(Ordering::Acquire)
    }

    /// Whether it was asked once, and said what it has or did not answer.
    pub(super) fn is_met(&self) -> bool {
        self.met.load(Ordering::Acquire)
    }

    /// It was asked.
    pub(super) fn meet(&self) {
        self.met.store(true, Ordering::Release);
    }

    /// Whether its requests fail.
    pub(crate) fn standing(&self, now: Instant) -> Standing {
        self.breaker.standing(now)
    }

    /// How often it was taken out for failing.
    pub(crate) fn ejections(&self) -> u64 {
        self.breaker.ejections()
    }

    /// Requests that this router has there now, and what it told beyond those.
    pub(crate) fn load(&self) -> u64 {
        self.load.now()
    }

    /// Requests that this router has there now.
    pub(crate) fn in_flight(&self) -> u64 {
        self.load.in_flight()
    }

    /// Requests for that model (by lower-case name) that this router has there now.
    pub(crate) fn in_flight_of(&self, model: &str) -> u64 {
        self.load.of_model(model)
    }

    /// How far a model (by lower-case name) is by these facts of it; one that was just asked for
    /// counts as being loaded.
    pub(crate) fn model(&self, facts: &Facts, model: &str, now: Instant) -> Option<ModelState> {
        let state = facts.model(model)?;
        let cold = state == ModelState::Available && facts.lists_models;
        Some(match cold && self.load.expects(model, now) {
            true => ModelState::Loading,
            false => state,
        })
    }

    /// Counts a request until what is returned is dropped.
    pub(crate) fn begin(self: &Arc<Self>, need: &Need) -> InFlight {
        let mut cold = false;
        let model = match need {
            Need::Model(model) => {
                let facts = self.facts.load();
                let listed = facts.models.get_key_value(&model.key);
                cold = listed.is_some_and(|(_, facts)| facts.state == ModelState::Available);
                // The key that is there already, rather than one per request.
                let key = listed.map_or(&model.key, |(known, _)| known);
                Some(Arc::clone(key))
            }
            _ => None,
        };
        self.load.begin(model.as_ref(), cold);
        let trial = self.breaker.begin(Instant::now);
        InFlight {
            worker: Arc::clone(self),
            model,
            trial,
        }
    }

    /// How a request ended. At most once for each that began.
    pub(crate) fn report(&self, outcome: Outcome) {
        self.breaker.report(outcome, Instant::now);
        if outcome != Outcome::Answered {
            self.turned.notify_waiters();
        }
    }

    /// A connection of the reader stands.
    pub(super) fn reached(&self) {
        self.counts.connections.fetch_add(1, Ordering::Relaxed);
        self.breaker.reached(Instant::now());
    }

    /// It said this.
    pub(super) fn told(&self, facts: Facts) {
        self.counts.frames.fetch_add(1, Ordering::Relaxed);
        self.load.told(facts.queue_depth, Instant::now());
        let before = self.facts.load_full();
        let changed = !facts.same_but_busy(&before);
        if *before != facts {
            self.facts.store(Arc::new(facts));
        }
        let spoke = self.speaks.swap(true, Ordering::AcqRel);
        if changed || !spoke {
            self.changed();
        }
        let facts = self.facts.load();
        if facts.generation.is_none() || facts.offer.is_some() {
            self.meet();
        }
    }

    /// It told what it offers, and had said before whether it is ready.
    pub(super) fn offers(&self, offer: Offer, ready: bool) {
        let mut facts = Facts::clone(&self.facts.load());
        facts.offer = Some(Arc::new(offer));
        facts.ready = ready;
        self.facts.store(Arc::new(facts));
        self.meet();
        self.changed();
    }

    /// It told of its models what they are.
    pub(super) fn carded(&self, cards: BTreeMap<Arc<str>, Card>) {
        self.cards.store(Arc::new(cards));
        self.changed();
    }

    /// It is silent, or its connection is gone. What it said is kept; it is not routable.
    pub(super) fn silent(&self) {
        self.meet();
        self.load.forget();
        if self.speaks.swap(false, Ordering::AcqRel) {
            self.changed();
        }
    }

    fn changed(&self) {
        self.turned.notify_waiters();
        self.changes
            .send_modify(|count| *count = count.wrapping_add(1));
    }
}

/// A model's name as models are looked up by.
pub(crate) fn lower(mut name: Arc<str>) -> Arc<str> {
    if !name.is_ascii() {
        return Arc::from(name.to_lowercase());
    }
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Arc::make_mut(&mut name).make_ascii_lowercase();
    }
    name
}

/// A request that a worker has; dropping it says that it has it no more.
#[derive(Debug)]
pub(crate) struct InFlight {
    worker: Arc<Worker>,
    model: Option<Arc<str>>,
    trial: bool,
}

impl InFlight {
    pub(crate) fn worker(&self) -> &Arc<Worker> {
        &self.worker
    }

    /// The worker began to answer as it should. If it was being tried, others may ask it from now on,
    /// however long this answer is read.
    pub(crate) fn answered(&mut self) {
        if std::mem::take(&mut self.trial) {
            self.worker.breaker.passed(Instant::now());
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.worker.load.end(self.model.as_ref());
        if self.trial {
            self.worker.breaker.end_trial(Instant::now());
        }
    }
}
