//! Whole systems in simulated time: what choosing by load is worth.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::VecDeque;
use std::sync::Arc;

use super::{ready, said};
use crate::pools::Membership;
use crate::want::{Need, Want};
use crate::worker::{Choice, Facts, InFlight, ModelState, Policy, Worker, choose};

const WORKERS: usize = 3;
const BATCH: usize = 8;
/// Microseconds that a batch takes.
const SERVICE: u64 = 50_000;
/// Between frames.
const FRAME: u64 = 200_000;
/// At most, from an answer to the next request of its client.
const THINKING: u64 = 2_000;
const SECONDS: u64 = 20;

/// What happens, in the order in which it does at one moment.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Done(usize),
    Ask(usize),
    Begin(usize),
    Frame(usize),
}

/// A worker as it really is.
#[derive(Default)]
struct Machine {
    waiting: VecDeque<(usize, Option<InFlight>)>,
    running: Vec<(usize, Option<InFlight>)>,
}

/// Requests per second of `clients` who ask again as soon as they are answered, through as many
/// routers, each of which knows all frames and, if it counts them, its own requests.
fn throughput(clients: usize, routers: usize, counts: bool, policy: Policy, seed: u64) -> f64 {
    let mut rng = fastrand::Rng::with_seed(seed);
    let facts = |depth: u64| Facts {
        queue_depth: depth,
        ..ready(&[("m", ModelState::Loaded)])
    };
    let views: Vec<Vec<Arc<Worker>>> = (0..routers)
        .map(|_| (0..WORKERS).map(|id| said(id as u64, facts(0))).collect())
        .collect();
    let want = Want {
        need: Need::Model(Arc::<str>::from("m").into()),
        ..Want::default()
    };
    let everybody = Membership::AllBut(Arc::default());
    let mut machines: Vec<Machine> = (0..WORKERS).map(|_| Machine::default()).collect();
    let mut events = BinaryHeap::new();
    for client in 0..clients {
        events.push(Reverse((rng.u64(0..SERVICE), Event::Ask(client))));
    }
    for worker in 0..WORKERS {
        events.push(Reverse((rng.u64(0..FRAME), Event::Frame(worker))));
    }
    let (warm, end) = (2_000_000, (SECONDS + 2) * 1_000_000);
    let mut answered = 0_u64;
    while let Some(Reverse((now, event))) = events.pop() {
        if now >= end {
            break;
        }
        match event {
            Event::Ask(client) => {
                let view = &views[client % routers];
                let choice = choose(view, &want, &everybody, &[], policy, &mut rng);
                let Choice::Worker(worker) = choice else {
                    panic!("somebody is there");
                };
                let at = usize::try_from(worker.id()).unwrap();
                let in_flight = counts.then(|| worker.begin(&want.need));
                machines[at].waiting.push_back((client, in_flight));
                events.push(Reverse((now, Event::Begin(at))));
            }
            Event::Begin(at) => {
                let machine = &mut machines[at];
                if machine.running.is_empty() && !machine.waiting.is_empty() {
                    let many = machine.waiting.len().min(BATCH);
                    machine.running = machine.waiting.drain(..many).collect();
                    events.push(Reverse((now + SERVICE, Event::Done(at))));
                }
            }
            Event::Done(at) => {
                for (client, in_flight) in machines[at].running.drain(..) {
                    drop(in_flight);
                    answered += u64::from(now >= warm);
                    let next = now + rng.u64(0..THINKING);
                    events.push(Reverse((next, Event::Ask(client))));
                }
                events.push(Reverse((now, Event::Begin(at))));
            }
            Event::Frame(at) => {
                for view in &views {
                    view[at].told(facts(machines[at].waiting.len() as u64));
                }
                events.push(Reverse((now + FRAME, Event::Frame(at))));
            }
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "counts are small")]
    let rate = answered as f64 / SECONDS as f64;
    rate
}

/// What the best placing reaches: full batches on as many workers as there is work for.
fn ideal(clients: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts are small")]
    let (at_once, service) = (clients.min(WORKERS * BATCH) as f64, SERVICE as f64);
    at_once / (service / 1e6)
}

const LEAST: Policy = Policy {
    fill_first: false,
    spill: Some(0.8),
};

/// Asserts the share of what the best placing would reach.
fn reaches(clients: usize, routers: usize, least: f64) {
    for seed in 0..5 {
        let share = throughput(clients, routers, true, LEAST, seed) / ideal(clients);
        assert!(
            share >= least,
            "{clients} clients, {routers} routers, seed {seed}: {share:.3} of the ideal"
        );
    }
}

#[test]
fn closed_loops_reach_what_the_best_placing_would() {
    reaches(48, 1, 0.95);
    reaches(90, 1, 0.95);
}

#[test]
fn two_routers_that_do_not_talk_spread_what_they_have() {
    reaches(48, 2, 0.95);
    reaches(90, 2, 0.95);
}

#[test]
fn depth_that_was_told_is_not_enough() {
    let rate = throughput(48, 1, false, LEAST, 1);
    assert!(
        rate < 0.8 * ideal(48),
        "{rate} requests a second: counting is worth nothing"
    );
}

#[test]
fn few_clients_are_served_no_slower_than_by_one_worker() {
    // A machine that is free begins with whoever comes first, so that few share batches.
    let fill = Policy {
        fill_first: true,
        ..LEAST
    };
    for clients in [8, 24] {
        let least = throughput(clients, 1, true, LEAST, 1);
        let filled = throughput(clients, 1, true, fill, 1);
        assert!(
            least >= filled,
            "{clients} clients: {least} spread, {filled} on one worker"
        );
    }
}

#[test]
fn fill_first_leaves_workers_idle_that_are_not_needed() {
    let policy = Policy {
        fill_first: true,
        ..LEAST
    };
    // One worker holds 51 of 64 before the next is asked.
    let rate = throughput(48, 1, true, policy, 1);
    assert!(
        rate < 170.0,
        "{rate} requests a second are more than one worker answers"
    );
}
