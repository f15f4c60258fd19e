//! Which worker serves a request.

use std::sync::Arc;
use std::time::Instant;

use super::{ModelState, Standing, Worker};
use crate::pools::Membership;
use crate::want::{Need, Want};

/// How among workers that can serve a request one is preferred.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Policy {
    /// Prefer a worker that is nearly full to an idle one.
    pub(crate) fill_first: bool,
    /// The share of its capacity from which on a worker counts as full, and a model may spread.
    pub(crate) spill: Option<f64>,
}

/// What came of choosing.
#[derive(Clone, Debug)]
pub(crate) enum Choice {
    /// This one.
    Worker(Arc<Worker>),
    /// Nobody.
    None(Why),
}

/// Why nobody can serve a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// There is no such pool.
    UnknownPool,
    /// No worker of that pool, profile and bundle is known.
    Nobody,
    /// Such workers are known and may host what is needed, but none is ready.
    Warming,
    /// Such workers are known, they say what they host, and that is not among it. `elsewhere` if a
    /// worker of another pool, profile or bundle hosts it.
    NotHosted { elsewhere: bool },
    /// All that could serve it have been tried.
    Tried,
}

/// Chooses among workers: of the pool, of the profile, of the bundle, that host what is needed, that
/// are ready, that were not tried; of these those that do not fail, if there are any; of these those
/// with the model, and of these the least busy one, at random where several are.
pub(crate) fn choose(
    workers: &[Arc<Worker>],
    want: &Want,
    membership: &Membership,
    tried: &[u64],
    policy: Policy,
    rng: &mut fastrand::Rng,
) -> Choice {
    if matches!(membership, Membership::Unknown) {
        return Choice::None(Why::UnknownPool);
    }
    let now = Instant::now();
    let model = match &want.need {
        Need::Model(model) => Some(&*model.key),
        _ => None,
    };
    let mut search = Search::new(policy, model);
    for worker in workers {
        search.look(worker, want, membership, tried, now, rng);
    }
    search.end()
}

/// One pass over the workers.
struct Search<'a> {
    policy: Policy,
    model: Option<&'a str>,
    /// Those that do not fail.
    sound: Tiers<'a>,
    /// Those that do.
    failing: Tiers<'a>,
    kind: bool,
    hosting: bool,
    ready: bool,
    elsewhere: bool,
}

impl<'a> Search<'a> {
    fn new(policy: Policy, model: Option<&'a str>) -> Self {
        Self {
            policy,
            model,
            sound: Tiers::default(),
            failing: Tiers::default(),
            kind: false,
            hosting: false,
            ready: false,
            elsewhere: false,
        }
    }

    fn look(
        &mut self,
        worker: &'a Arc<Worker>,
        want: &Want,
        membership: &Membership,
        tried: &[u64],
        now: Instant,
        rng: &mut fastrand::Rng,
    ) {
        let facts = worker.facts_now();
        let state = match (&want.need, self.model) {
            (Need::Model(_), Some(model)) => worker.model(&facts, model, now),
            (
                Need::Services {
                    services,
                    collections,
                },
                _,
            ) => match &facts.offer {
                Some(offer) => offer
                    .holds(services, collections)
                    .then_some(ModelState::Loaded),
                // Who has said nothing yet may have everything.
                None => (!facts.heard).then_some(ModelState::Available),
            },
            _ => Some(ModelState::Loaded),
        };
        let same = |asked: &Option<Arc<str>>, is: &str| match asked {
            Some(asked) => asked.eq_ignore_ascii_case(is),
            None => true,
        };
        let member = match membership {
            Membership::Unknown => false,
            Membership::AllBut(reserved) => {
                reserved.is_empty() || !reserved.contains(&**worker.url())
            }
            Membership::Only(members) => members.contains(&**worker.url()),
        };
        let of_kind =
            member && same(&want.profile, &facts.profile) && same(&want.bundle, &facts.bundle);
        if !of_kind {
            self.elsewhere |= facts.heard && state.is_some();
            return;
        }
        self.kind = true;
        let Some(state) = state else {
            return;
        };
        self.hosting = true;
        if !worker.speaks() || !facts.ready {
            return;
        }
        self.ready = true;
        if tried.contains(&worker.id()) {
            return;
        }
        let candidate = Candidate::new(worker, facts.capacity, self.policy);
        let tiers = match worker.standing(now) {
            Standing::In | Standing::OnTrial => &mut self.sound,
            Standing::Out => &mut self.failing,
        };
        tiers.tier(state).offer(&candidate, self.model, rng);
    }

    fn end(self) -> Choice {
        let best = self.sound.best(self.policy);
        match best.or_else(|| self.failing.best(self.policy)) {
            Some(worker) => Choice::Worker(Arc::clone(worker)),
            None => Choice::None(match (self.kind, self.hosting, self.ready) {
                (_, _, true) => Why::Tried,
                (_, true, false) => Why::Warming,
                (true, false, false) => Why::NotHosted {
                    elsewhere: self.elsewhere,
                },
                (false, false, false) => Why::Nobody,
            }),
        }
    }
}

/// The best of those that are equally far with the model.
#[derive(Default)]
struct Tiers<'a> {
    loaded: Best<'a>,
    loading: Best<'a>,
    available: Best<'a>,
    gone: Best<'a>,
}

impl<'a> Tiers<'a> {
    fn tier(&mut self, state: ModelState) -> &mut Best<'a> {
        match state {
            ModelState::Loaded => &mut self.loaded,
            ModelState::Loading => &mut self.loading,
            ModelState::Available => &mut self.available,
            ModelState::Gone => &mut self.gone,
        }
    }

    fn best(&self, policy: Policy) -> Option<&'a Arc<Worker>> {
        // Somebody idle takes the model in when all that have it are full; one at a time.
        let full = policy.spill.is_some_and(|share| self.loaded.least >= share);
        let spread = full && self.loading.worker.is_none();
        let idle = self.available.idle.filter(|_| spread);
        idle.or(self.loaded.worker)
            .or(self.loading.worker)
            .or(self.available.worker)
            .or(self.gone.worker)
    }
}

struct Candidate<'a> {
    worker: &'a Arc<Worker>,
    /// Less is better.
    score: i64,
    /// Of its capacity.
    share: f64,
    idle: bool,
}

impl<'a> Candidate<'a> {
    fn new(worker: &'a Arc<Worker>, capacity: u32, policy: Policy) -> Self {
        let load = worker.load();
        let capacity = capacity.max(1);
        #[expect(clippy::cast_precision_loss, reason = "a share need not be exact")]
        let share = load as f64 / f64::from(capacity);
        let load = i64::try_from(load).unwrap_or(i64::MAX / 2);
        let score = match policy.fill_first {
            false => load,
            true if share < policy.spill.unwrap_or(0.8) => -load,
            true => load.saturating_add(i64::from(capacity)),
        };
        Self {
            worker,
            score,
            share,
            idle: load == 0,
        }
    }
}

/// The best so far, drawn among equals.
struct Best<'a> {
    worker: Option<&'a Arc<Worker>>,
    score: i64,
    equals: usize,
    /// The least share of capacity.
    least: f64,
    idle: Option<&'a Arc<Worker>>,
    idlers: usize,
}

impl Default for Best<'_> {
    fn default() -> Self {
        Self {
            worker: None,
            score: i64::MAX,
            equals: 0,
            // Nobody is not full.
            least: f64::NEG_INFINITY,
            idle: None,
            idlers: 0,
        }
    }
}

impl<'a> Best<'a> {
    fn offer(&mut self, candidate: &Candidate<'a>, model: Option<&str>, rng: &mut fastrand::Rng) {
        if candidate.idle {
            self.idlers += 1;
            if rng.usize(0..self.idlers) == 0 {
                self.idle = Some(candidate.worker);
            }
        }
        let Some(best) = self.worker else {
            self.worker = Some(candidate.worker);
            self.score = candidate.score;
            self.least = candidate.share;
            self.equals = 1;
            return;
        };
        self.least = self.least.min(candidate.share);
        let of_model = |worker: &Arc<Worker>| model.map_or(0, |model| worker.in_flight_of(model));
        // Equally busy: the one with less of this model, whose batches it shares.
        let order = candidate
            .score
            .cmp(&self.score)
            .then_with(|| match candidate.score {
                0 => std::cmp::Ordering::Equal,
                _ => of_model(candidate.worker).cmp(&of_model(best)),
            });
        match order {
            std::cmp::Ordering::Greater => {}
            std::cmp::Ordering::Equal => {
                self.equals += 1;
                if rng.usize(0..self.equals) == 0 {
                    self.worker = Some(candidate.worker);
                }
            }
            std::cmp::Ordering::Less => {
                self.worker = Some(candidate.worker);
                self.score = candidate.score;
                self.equals = 1;
            }
        }
    }
}
