//! Which worker is chosen, and why nobody is.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use proptest::prelude::*;
use routir_core::Role;

use super::{ready, said};
use crate::pools::Membership;
use crate::want::{Need, Want};
use crate::worker::ModelState::{Available, Gone, Loaded, Loading};
use crate::worker::{
    Choice, Facts, InFlight, ModelState, Offer, Outcome, Policy, Standing, Why, Worker, choose,
};

const POLICY: Policy = Policy {
    fill_first: false,
    spill: Some(0.8),
};

fn everybody() -> Membership {
    Membership::AllBut(Arc::default())
}

fn model(name: &str) -> Want {
    Want {
        need: Need::Model(Arc::<str>::from(name).into()),
        ..Want::default()
    }
}

fn pick(workers: &[Arc<Worker>], want: &Want) -> Result<u64, Why> {
    pick_by(workers, want, &everybody(), &[], POLICY)
}

fn pick_by(
    workers: &[Arc<Worker>],
    want: &Want,
    membership: &Membership,
    tried: &[u64],
    policy: Policy,
) -> Result<u64, Why> {
    let mut rng = fastrand::Rng::with_seed(7);
    match choose(workers, want, membership, tried, policy, &mut rng) {
        Choice::Worker(worker) => Ok(worker.id()),
        Choice::None(why) => Err(why),
    }
}

fn busy(worker: &Arc<Worker>, requests: usize, need: &Need) -> Vec<InFlight> {
    (0..requests).map(|_| worker.begin(need)).collect()
}

#[test]
fn ties_are_spread() {
    let workers: Vec<_> = (0..3).map(|id| said(id, ready(&[("m", Loaded)]))).collect();
    let mut rng = fastrand::Rng::with_seed(1);
    let mut counts = [0; 3];
    for _ in 0..3000 {
        match choose(&workers, &model("M"), &everybody(), &[], POLICY, &mut rng) {
            Choice::Worker(worker) => counts[usize::try_from(worker.id()).unwrap()] += 1,
            Choice::None(why) => panic!("{why:?}"),
        }
    }
    assert!(counts.iter().all(|count| *count > 900), "{counts:?}");
}

#[test]
fn who_has_the_model_comes_before_who_could_load_it() {
    let workers = [
        said(0, ready(&[("m", Available)])),
        said(1, ready(&[("m", Loading)])),
        said(2, ready(&[("m", Loaded)])),
        said(3, ready(&[("m", Gone)])),
    ];
    let _load = busy(&workers[2], 40, &Need::Anything);
    assert_eq!(pick(&workers, &model("m")), Ok(2));
    assert_eq!(pick(&workers[..2], &model("m")), Ok(1), "one loads already");
    assert_eq!(pick(&workers[..1], &model("m")), Ok(0));
    assert_eq!(
        pick(&workers[3..], &model("m")),
        Ok(3),
        "its answer says what failed"
    );
}

#[test]
fn a_cold_model_is_loaded_on_one_worker() {
    let workers: Vec<_> = (0..5)
        .map(|id| said(id, ready(&[("m", Available)])))
        .collect();
    let first = pick(&workers, &model("m")).unwrap();
    let first = &workers[usize::try_from(first).unwrap()];
    let _load = busy(first, 10, &model("m").need);
    assert_eq!(
        pick(&workers, &model("m")),
        Ok(first.id()),
        "its frames are yet to say so"
    );
    // What is listed as nothing is not expected to be loaded anywhere.
    let any = Facts {
        lists_models: false,
        ..ready(&[])
    };
    let workers = [said(0, any.clone()), said(1, any)];
    let _load = busy(&workers[0], 1, &model("m").need);
    assert_eq!(pick(&workers, &model("m")), Ok(1));
}

#[test]
fn a_model_spreads_when_all_that_have_it_are_full_and_somebody_is_idle() {
    let facts = |models| Facts {
        capacity: 10,
        ..ready(models)
    };
    let workers = [
        said(0, facts(&[("m", Loaded)])),
        said(1, facts(&[("m", Available)])),
    ];
    let mut load = busy(&workers[0], 7, &model("m").need);
    assert_eq!(pick(&workers, &model("m")), Ok(0));
    load.push(workers[0].begin(&Need::Anything));
    assert_eq!(pick(&workers, &model("m")), Ok(1));
    let never = Policy {
        spill: None,
        ..POLICY
    };
    assert_eq!(
        pick_by(&workers, &model("m"), &everybody(), &[], never),
        Ok(0)
    );
    let other = workers[1].begin(&Need::Anything);
    assert_eq!(pick(&workers, &model("m")), Ok(0), "it is not idle");
    drop(other);
    let _asked = workers[1].begin(&model("m").need);
    assert_eq!(pick(&workers, &model("m")), Ok(0), "it is being loaded");
}

#[test]
fn equally_busy_workers_differ_by_the_model() {
    let workers: Vec<_> = (0..2)
        .map(|id| said(id, ready(&[("m", Loaded), ("n", Loaded)])))
        .collect();
    let _load = (
        busy(&workers[0], 3, &model("m").need),
        busy(&workers[1], 3, &model("n").need),
    );
    assert_eq!(pick(&workers, &model("m")), Ok(1));
    assert_eq!(pick(&workers, &model("n")), Ok(0));
}

#[test]
fn fill_first_prefers_the_fullest_that_has_room() {
    let workers: Vec<_> = (0..3).map(|id| said(id, ready(&[("m", Loaded)]))).collect();
    let _load = (
        busy(&workers[0], 60, &Need::Anything),
        busy(&workers[1], 30, &Need::Anything),
    );
    let policy = Policy {
        fill_first: true,
        ..POLICY
    };
    assert_eq!(
        pick_by(&workers, &model("m"), &everybody(), &[], policy),
        Ok(1)
    );
    assert_eq!(
        pick_by(&workers, &model("m"), &everybody(), &[1], policy),
        Ok(2)
    );
    assert_eq!(
        pick_by(&workers, &model("m"), &everybody(), &[1, 2], policy),
        Ok(0)
    );
}

#[test]
fn who_fails_is_passed_over_unless_all_fail() {
    let workers: Vec<_> = (0..2).map(|id| said(id, ready(&[("m", Loaded)]))).collect();
    let _load = busy(&workers[1], 20, &Need::Anything);
    workers[0].report(Outcome::ConnectFailed);
    assert_eq!(pick(&workers, &model("m")), Ok(1));
    workers[1].report(Outcome::Draining);
    assert_eq!(workers[1].standing(Instant::now()), Standing::Out);
    assert_eq!(
        pick(&workers, &model("m")),
        Ok(0),
        "all are asked all the same"
    );
    assert_eq!(
        pick_by(&workers, &model("m"), &everybody(), &[0, 1], POLICY),
        Err(Why::Tried)
    );
}

#[test]
fn why_nobody_serves_is_told_apart() {
    let warming = |facts: Facts| Facts {
        ready: false,
        ..facts
    };
    let want = Want {
        profile: Some(Arc::from("L4")),
        bundle: Some(Arc::from("DEFAULT")),
        ..model("m")
    };
    let a100 = Facts {
        profile: Arc::from("a100"),
        ..ready(&[("m", Loaded)])
    };
    assert_eq!(pick(&[], &want), Err(Why::Nobody));
    assert_eq!(pick(&[said(0, a100.clone())], &want), Err(Why::Nobody));
    assert_eq!(
        pick(&[said(0, warming(ready(&[("m", Available)])))], &want),
        Err(Why::Warming)
    );
    assert_eq!(
        pick(&[said(0, ready(&[("n", Loaded)]))], &want),
        Err(Why::NotHosted { elsewhere: false })
    );
    assert_eq!(
        pick(&[said(0, ready(&[("n", Loaded)])), said(1, a100)], &want),
        Err(Why::NotHosted { elsewhere: true })
    );
    // One hosts it and starts; the other is ready and does not.
    let both = [
        said(0, ready(&[("n", Loaded)])),
        said(1, warming(ready(&[("m", Loaded)]))),
    ];
    assert_eq!(pick(&both, &want), Err(Why::Warming));
    let unheard = [said(0, Facts::default())];
    assert_eq!(pick(&unheard, &model("m")), Err(Why::Warming));
    let ready = [said(0, ready(&[("m", Loaded)]))];
    assert_eq!(
        pick_by(&ready, &want, &Membership::Unknown, &[], POLICY),
        Err(Why::UnknownPool)
    );
    assert_eq!(
        pick_by(&ready, &want, &everybody(), &[0], POLICY),
        Err(Why::Tried)
    );
    let nobody = Membership::Only(Arc::default());
    assert_eq!(
        pick_by(&ready, &want, &nobody, &[], POLICY),
        Err(Why::Nobody)
    );
}

#[test]
fn services_and_collections_are_all_needed_in_their_roles() {
    let offer = |services: &[(&str, Role)], collections: &[&str]| {
        let mut offer = Offer::default();
        for (name, role) in services {
            offer
                .services
                .entry(Arc::from(*name))
                .or_default()
                .insert(*role);
        }
        offer.collections = collections.iter().map(|name| Arc::from(*name)).collect();
        Facts {
            offer: Some(Arc::new(offer)),
            ..ready(&[])
        }
    };
    let workers = [
        said(
            0,
            offer(&[("a", Role::Search), ("b", Role::Search)], &["c"]),
        ),
        said(1, offer(&[("a", Role::Search), ("b", Role::Score)], &["c"])),
        said(2, ready(&[("a", Loaded)])),
    ];
    let want = |services: &[(Role, &str)], collections: &[&str]| Want {
        need: Need::Services {
            services: services
                .iter()
                .map(|(role, name)| (*role, Arc::from(*name)))
                .collect(),
            collections: collections.iter().map(|name| Arc::from(*name)).collect(),
        },
        ..Want::default()
    };
    assert_eq!(
        pick(
            &workers,
            &want(&[(Role::Search, "a"), (Role::Score, "b")], &["c"])
        ),
        Ok(1)
    );
    assert_eq!(pick(&workers, &want(&[(Role::Search, "b")], &[])), Ok(0));
    assert_eq!(
        pick(&workers, &want(&[(Role::Search, "a")], &["d"])),
        Err(Why::NotHosted { elsewhere: false })
    );
}

#[derive(Clone, Debug)]
struct Made {
    ready: bool,
    profile: usize,
    bundle: usize,
    model: Option<ModelState>,
    lists: bool,
    load: usize,
    failing: bool,
    tried: bool,
    member: bool,
}

const PROFILES: [&str; 3] = ["", "l4", "A100"];
const BUNDLES: [&str; 2] = ["default", "Vision"];

fn made() -> impl Strategy<Value = Made> {
    let states = prop_oneof![
        Just(None),
        Just(Some(Loaded)),
        Just(Some(Loading)),
        Just(Some(Available)),
        Just(Some(Gone))
    ];
    let flags = (
        prop::bool::weighted(0.8),
        any::<bool>(),
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.7),
    );
    (flags, 0..3_usize, 0..2_usize, states, 0..6_usize).prop_map(
        |((ready, lists, failing, tried, member), profile, bundle, model, load)| Made {
            ready,
            profile,
            bundle,
            model,
            lists,
            load,
            failing,
            tried,
            member,
        },
    )
}

impl Made {
    fn worker(&self, id: u64) -> (Arc<Worker>, Vec<InFlight>) {
        let models: Vec<_> = self.model.iter().map(|state| ("m", *state)).collect();
        let worker = said(
            id,
            Facts {
                ready: self.ready,
                profile: Arc::from(PROFILES[self.profile]),
                bundle: Arc::from(BUNDLES[self.bundle]),
                lists_models: self.lists,
                ..ready(&models)
            },
        );
        if self.failing {
            worker.report(Outcome::ConnectFailed);
        }
        let load = busy(&worker, self.load, &Need::Anything);
        (worker, load)
    }

    fn state(&self) -> Option<ModelState> {
        self.model.or((!self.lists).then_some(Available))
    }

    fn may(&self, profile: Option<usize>, bundle: Option<usize>) -> bool {
        self.ready
            && self.member
            && !self.tried
            && self.state().is_some()
            && profile.is_none_or(|profile| profile == self.profile)
            && bundle.is_none_or(|bundle| bundle == self.bundle)
    }
}

proptest! {
    #[test]
    fn who_is_chosen_may_and_is_the_least_busy_of_the_best(
        made in prop::collection::vec(made(), 0..8),
        profile in prop::option::of(0..3_usize),
        bundle in prop::option::of(0..2_usize),
        only in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let built: Vec<_> = made.iter().zip(0..).map(|(made, id)| made.worker(id)).collect();
        let workers: Vec<_> = built.iter().map(|(worker, _)| Arc::clone(worker)).collect();
        let named = |member: bool| -> Arc<BTreeSet<Arc<str>>> {
            let chosen = made.iter().zip(&workers).filter(|(made, _)| made.member == member);
            Arc::new(chosen.map(|(_, worker)| Arc::clone(worker.url())).collect())
        };
        let membership = match only {
            true => Membership::Only(named(true)),
            false => Membership::AllBut(named(false)),
        };
        let tried: Vec<u64> = made.iter().zip(0..).filter(|(made, _)| made.tried).map(|(_, id)| id).collect();
        let want = Want {
            profile: profile.map(|at| Arc::from(PROFILES[at].to_uppercase())),
            bundle: bundle.map(|at| Arc::from(BUNDLES[at].to_lowercase())),
            ..model("M")
        };
        let mut rng = fastrand::Rng::with_seed(seed);
        let eligible: Vec<_> = made.iter().filter(|made| made.may(profile, bundle)).collect();
        let sound: Vec<_> = eligible.iter().filter(|made| !made.failing).copied().collect();
        let among = if sound.is_empty() { &eligible } else { &sound };
        match choose(&workers, &want, &membership, &tried, POLICY, &mut rng) {
            Choice::None(_) => prop_assert!(eligible.is_empty()),
            Choice::Worker(worker) => {
                let chosen = &made[usize::try_from(worker.id()).unwrap()];
                prop_assert!(chosen.may(profile, bundle));
                prop_assert!(!chosen.failing || sound.is_empty());
                let tier = |made: &Made| match made.state() {
                    Some(Loaded) => 0,
                    Some(Loading) => 1,
                    Some(Available) => 2,
                    _ => 3,
                };
                let best = among.iter().map(|made| (tier(made), made.load)).min();
                prop_assert_eq!(Some((tier(chosen), chosen.load)), best);
            }
        }
    }
}
