use proptest::prelude::*;

use super::*;
use crate::pools::Rules;
use serde_json::json;

const LEASE: Duration = Duration::from_secs(1200);

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn worker(url: &str, profile: &str) -> Candidate {
    Candidate {
        url: url.into(),
        name: format!("worker {url}").into(),
        profile: profile.into(),
        bundle: "default".into(),
        routable: true,
    }
}

fn rules(profiles: &[&str]) -> Rules {
    Rules {
        max_pools: 8,
        lease: LEASE,
        profiles: profiles.iter().map(|name| Arc::from(*name)).collect(),
        default_profile: None,
    }
}

fn spec(gpus: &[(&str, u32)]) -> Spec {
    Spec {
        gpus: gpus
            .iter()
            .map(|(name, count)| (Arc::from(*name), *count))
            .collect(),
        bundle: None,
        minimum: 0,
        ttl: None,
    }
}

fn urls(table: &Table, name: &str) -> Vec<String> {
    let pool = table.get(name).unwrap();
    pool.members
        .iter()
        .map(|member| member.url.to_string())
        .collect()
}

fn state(table: &Table, name: &str) -> State {
    table.get(name).unwrap().state
}

#[test]
fn a_pool_takes_what_it_asks_for_and_no_more() {
    let mut table = Table::new(8, LEASE);
    table
        .create("a".into(), spec(&[("L4", 2), ("a100", 1)]), at(0))
        .unwrap();
    let workers = [
        worker("1", "l4"),
        worker("2", "a100"),
        worker("3", "l4"),
        worker("4", "l4"),
    ];
    table.reassign(&workers[..2], Lost::Replace);
    assert_eq!(urls(&table, "a"), ["1", "2"]);
    assert_eq!(state(&table, "a"), State::Pending);
    table.reassign(&workers, Lost::Replace);
    assert_eq!(urls(&table, "a"), ["1", "2", "3"]);
    assert_eq!(state(&table, "a"), State::Active);
}

#[test]
fn what_a_pending_pool_holds_no_other_gets() {
    let mut table = Table::new(8, LEASE);
    table
        .create("old".into(), spec(&[("l4", 3)]), at(0))
        .unwrap();
    table
        .create("young".into(), spec(&[("l4", 1)]), at(0))
        .unwrap();
    table.reassign(&[worker("1", "l4"), worker("2", "l4")], Lost::Replace);
    assert_eq!(urls(&table, "old"), ["1", "2"]);
    assert!(urls(&table, "young").is_empty());
}

#[test]
fn a_dead_member_is_replaced_or_missed() {
    let mut table = Table::new(8, LEASE);
    table.create("a".into(), spec(&[("l4", 1)]), at(0)).unwrap();
    let mut workers = [worker("1", "l4"), worker("2", "l4")];
    table.reassign(&workers, Lost::Replace);
    assert_eq!(urls(&table, "a"), ["1"]);
    workers[0].routable = false;
    table.reassign(&workers, Lost::Replace);
    assert_eq!(urls(&table, "a"), ["2"]);
    assert_eq!(state(&table, "a"), State::Active);
    table.reassign(&workers[..1], Lost::Replace);
    assert!(urls(&table, "a").is_empty());
    assert_eq!(state(&table, "a"), State::Pending);
}

#[test]
fn a_lost_member_can_be_kept_and_does_not_count() {
    let mut table = Table::new(8, LEASE);
    table.create("a".into(), spec(&[("l4", 1)]), at(0)).unwrap();
    table.reassign(&[worker("1", "l4")], Lost::Replace);
    table.reassign(&[worker("2", "l4")], Lost::Keep);
    assert_eq!(urls(&table, "a"), ["1"]);
    assert_eq!(state(&table, "a"), State::Pending);
}

#[test]
fn a_worker_that_changed_its_bundle_or_kind_no_longer_fits() {
    let mut table = Table::new(8, LEASE);
    let mut wanted = spec(&[("l4", 1)]);
    wanted.bundle = Some("BGE".into());
    table.create("a".into(), wanted, at(0)).unwrap();
    let mut workers = [worker("1", "l4")];
    table.reassign(&workers, Lost::Replace);
    assert!(urls(&table, "a").is_empty());
    workers[0].bundle = "bge".into();
    table.reassign(&workers, Lost::Replace);
    assert_eq!(urls(&table, "a"), ["1"]);
    workers[0].profile = "t4".into();
    table.reassign(&workers, Lost::Replace);
    assert!(urls(&table, "a").is_empty());
}

#[test]
fn another_spec_changes_a_pool_and_the_same_renews_it() {
    let mut table = Table::new(8, LEASE);
    let create = |table: &mut Table, gpus: &[(&str, u32)], now| {
        table.create("a".into(), spec(gpus), at(now)).unwrap()
    };
    assert_eq!(create(&mut table, &[("l4", 2)], 0), Created::New);
    table.reassign(&[worker("1", "l4"), worker("2", "l4")], Lost::Replace);
    assert_eq!(create(&mut table, &[("l4", 2)], 5), Created::Renewed);
    assert_eq!(table.get("a").unwrap().last_renewed, at(5));
    assert_eq!(create(&mut table, &[("l4", 1)], 6), Created::Changed);
    table.reassign(&[worker("1", "l4"), worker("2", "l4")], Lost::Replace);
    assert_eq!(urls(&table, "a"), ["1"]);
    assert_eq!(table.get("a").unwrap().created_at, at(0));
}

#[test]
fn pools_end_when_their_own_time_is_over_unless_they_are_renewed() {
    let mut table = Table::new(8, LEASE);
    let mut short = spec(&[("l4", 1)]);
    short.ttl = Some(at(10));
    table.create("short".into(), short, at(0)).unwrap();
    table
        .create("long".into(), spec(&[("l4", 1)]), at(0))
        .unwrap();
    table.reassign(&[worker("1", "l4")], Lost::Replace);
    assert_eq!(table.next_expiry(), Some(at(10)));
    assert!(table.renew("short", at(8)));
    assert!(table.expire(at(17)).is_empty());
    assert_eq!(table.expire(at(18)), [Arc::<str>::from("short")]);
    table.reassign(&[worker("1", "l4")], Lost::Replace);
    assert_eq!(urls(&table, "long"), ["1"]);
    assert!(!table.renew("short", at(19)));
    assert_eq!(table.expire(at(1200)), [Arc::<str>::from("long")]);
}

#[test]
fn so_many_pools_and_no_more() {
    let mut table = Table::new(2, LEASE);
    for name in ["a", "b"] {
        table
            .create(name.into(), spec(&[("l4", 1)]), at(0))
            .unwrap();
    }
    let error = table
        .create("c".into(), spec(&[("l4", 1)]), at(0))
        .unwrap_err();
    assert_eq!((error.status, error.code), (429, "TOO_MANY_POOLS"));
    table.create("a".into(), spec(&[("l4", 2)]), at(0)).unwrap();
}

#[test]
fn pools_read_from_elsewhere_share_no_worker_in_whatever_order_they_come() {
    let kept = |name: &str, created: u64, members: &[&str]| {
        let mut pool = Pool::new(name.into(), spec(&[("l4", 2)]), at(created));
        pool.state = State::Active;
        for url in members {
            pool.members.push(Member {
                name: "".into(),
                url: (*url).into(),
                gpu: "l4".into(),
            });
        }
        pool
    };
    let pools = [
        kept("b", 1, &["1", "2"]),
        kept("a", 2, &["2", "3"]),
        kept("c", 1, &["3", "1"]),
    ];
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
        let mut table = Table::new(8, LEASE);
        for at in order {
            table.restore([pools[at].clone()]);
        }
        let mut all: Vec<String> = ["a", "b", "c"]
            .iter()
            .flat_map(|n| urls(&table, n))
            .collect();
        assert_eq!(urls(&table, "b"), ["1", "2"]);
        all.sort();
        let before = all.len();
        all.dedup();
        assert_eq!(all.len(), before, "a worker is in two pools");
    }
}

#[test]
fn bodies_that_describe_no_pool_are_refused() {
    let any = rules(&[]);
    let long = "a".repeat(51);
    for body in [
        json!([]),
        json!({}),
        json!({ "name": 3, "gpus": { "l4": 1 } }),
        json!({ "name": "", "gpus": { "l4": 1 } }),
        json!({ "name": "a/b", "gpus": { "l4": 1 } }),
        json!({ "name": "A", "gpus": { "l4": 1 } }),
        json!({ "name": "-a", "gpus": { "l4": 1 } }),
        json!({ "name": long, "gpus": { "l4": 1 } }),
        json!({ "name": "default", "gpus": { "l4": 1 } }),
        json!({ "name": "a" }),
        json!({ "name": "a", "gpus": {} }),
        json!({ "name": "a", "gpus": ["l4"] }),
        json!({ "name": "a", "gpus": { "l4": "two" } }),
        json!({ "name": "a", "gpus": { "l4": true } }),
        json!({ "name": "a", "gpus": { "l4": 0 } }),
        json!({ "name": "a", "gpus": { "l4": 1001 } }),
        json!({ "name": "a", "gpus": { "l4": 1.5 } }),
        json!({ "name": "a", "gpus": { "l4": 1, "L4": 1 } }),
        json!({ "name": "a", "gpus": { "l 4": 1 } }),
        json!({ "name": "a", "gpus": { "l4": 1 }, "minimum_worker_count": true }),
        json!({ "name": "a", "gpus": { "l4": 1 }, "minimum_worker_count": -1 }),
        json!({ "name": "a", "gpus": { "l4": 1 }, "ttl_seconds": 1 }),
        json!({ "name": "a", "gpus": { "l4": 1 }, "ttl_seconds": 1e9 }),
        json!({ "name": "a", "gpus": { "l4": 1 }, "bundle": 5 }),
    ] {
        let error = any.read(&body).unwrap_err();
        assert_eq!(error.status, 400, "{body}: {error:?}");
    }
    let (name, spec) = any
        .read(
            &json!({ "name": "a-1", "gpus": { "x": 1, "b": 1000 }, "bundle": null,
            "minimum_worker_count": 0, "ttl_seconds": 60, "other": [] }),
        )
        .unwrap();
    assert_eq!(&*name, "a-1");
    assert_eq!(spec.gpus, [("x".into(), 1), ("b".into(), 1000)]);
    assert_eq!(spec.ttl, Some(at(60)));
}

#[test]
fn profiles_are_known_in_any_case_and_told_in_the_operators() {
    let known = rules(&["L4-spot", "a100"]);
    let read = |gpu: &str| known.read(&json!({ "name": "a", "gpus": { gpu: 1 } }));
    assert_eq!(&*read("l4-SPOT").unwrap().1.gpus[0].0, "L4-spot");
    let error = read("h100").unwrap_err();
    assert_eq!((error.status, error.code), (400, "INVALID_POOL"));
    assert!(
        error.message.contains("h100") && error.message.contains("a100"),
        "{error:?}"
    );
}

/// What can happen to pools and workers.
#[derive(Clone, Debug)]
enum Step {
    Worker {
        url: usize,
        profile: usize,
        bundle: usize,
        routable: bool,
    },
    Leave(usize),
    Create {
        name: usize,
        gpus: Vec<(usize, u32)>,
        bundle: Option<usize>,
        ttl: u64,
    },
    Delete(usize),
    Renew(usize),
    Wait(u64),
}

const PROFILES: [&str; 3] = ["l4", "a100", "T4"];
const BUNDLES: [&str; 2] = ["default", "bge"];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let worker = (
        0..10_usize,
        0..3_usize,
        0..2_usize,
        prop::bool::weighted(0.8),
    );
    let gpus = prop::collection::vec((0..3_usize, 1..4_u32), 1..3);
    let create = (0..5_usize, gpus, prop::option::of(0..2_usize), 10..60_u64);
    let step = prop_oneof![
        6 => worker.prop_map(|(url, profile, bundle, routable)| Step::Worker { url, profile, bundle, routable }),
        2 => (0..10_usize).prop_map(Step::Leave),
        4 => create.prop_map(|(name, gpus, bundle, ttl)| Step::Create { name, gpus, bundle, ttl }),
        1 => (0..5_usize).prop_map(Step::Delete),
        2 => (0..5_usize).prop_map(Step::Renew),
        2 => (0..20_u64).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 0..60)
}

fn check(table: &Table, workers: &[Candidate]) {
    let mut seen = HashSet::new();
    for pool in table.list() {
        for member in &pool.members {
            assert!(seen.insert(&member.url), "{} is in two pools", member.url);
            let worker = workers
                .iter()
                .find(|worker| worker.url == member.url)
                .unwrap();
            assert!(
                worker.routable && pool.takes(worker),
                "{worker:?} in {pool:?}"
            );
        }
        let mut met = true;
        for (profile, count) in &pool.spec.gpus {
            let have = pool.holds(profile);
            assert!(have <= *count as usize, "{pool:?} has too many");
            met &= have == *count as usize;
        }
        assert_eq!(pool.state == State::Active, met, "{pool:?}");
    }
    // Nobody waits for what is free, so nothing is free that an older or younger pool lacks.
    for pool in table.list() {
        for (profile, count) in &pool.spec.gpus {
            if pool.holds(profile) < *count as usize {
                let free = workers.iter().find(|worker| {
                    worker.routable
                        && pool.takes(worker)
                        && !seen.contains(&worker.url)
                        && worker.profile.eq_ignore_ascii_case(profile)
                });
                assert_eq!(free, None, "{pool:?} lacks it");
            }
        }
    }
}

proptest! {
    #[test]
    fn whatever_happens_no_worker_is_in_two_pools(steps in steps()) {
        let mut table = Table::new(4, LEASE);
        let mut workers: Vec<Candidate> = Vec::new();
        let mut now = 0;
        for step in steps {
            match step {
                Step::Worker { url, profile, bundle, routable } => {
                    let url = url.to_string();
                    workers.retain(|worker| *worker.url != *url);
                    let mut joins = worker(&url, PROFILES[profile]);
                    joins.bundle = BUNDLES[bundle].into();
                    joins.routable = routable;
                    workers.push(joins);
                }
                Step::Leave(url) => workers.retain(|worker| *worker.url != *url.to_string()),
                Step::Create { name, gpus, bundle, ttl } => {
                    let mut wanted = spec(&[]);
                    for (profile, count) in gpus {
                        let profile: Arc<str> = PROFILES[profile].to_lowercase().into();
                        if wanted.gpus.iter().all(|(other, _)| *other != profile) {
                            wanted.gpus.push((profile, count));
                        }
                    }
                    wanted.bundle = bundle.map(|at| BUNDLES[at].into());
                    wanted.ttl = Some(at(ttl));
                    let _ = table.create(format!("pool-{name}").into(), wanted, at(now));
                }
                Step::Delete(name) => { table.delete(&format!("pool-{name}")); }
                Step::Renew(name) => { table.renew(&format!("pool-{name}"), at(now)); }
                Step::Wait(seconds) => now += seconds,
            }
            table.expire(at(now));
            table.reassign(&workers, Lost::Replace);
            check(&table, &workers);
            assert!(table.expired(at(now)).is_empty());
            assert!(table.list().len() <= 4);
        }
    }

    #[test]
    fn pools_are_served_in_the_order_of_their_creation(
        counts in prop::collection::vec(1..4_u32, 1..6), workers in 0..12_usize,
    ) {
        let mut table = Table::new(8, LEASE);
        // Names in the other direction than creation, and all of one age.
        let names: Vec<String> = (0..counts.len()).rev().map(|at| format!("pool-{at}")).collect();
        for (name, count) in names.iter().zip(&counts) {
            table.create(name.as_str().into(), spec(&[("l4", *count)]), at(0)).unwrap();
        }
        let workers: Vec<Candidate> = (0..workers).map(|at| worker(&at.to_string(), "l4")).collect();
        table.reassign(&workers, Lost::Replace);
        let mut left = workers.len();
        for (name, count) in names.iter().zip(&counts) {
            let gets = left.min(*count as usize);
            assert_eq!(urls(&table, name).len(), gets);
            left -= gets;
        }
    }
}
