//! The policy with several flows: each gets its share of the engine and of the places, and keeps
//! everything that holds for one flow.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;
use routir_batch::{Decision, Flow, Policy, Queue, Ticket, Waiting};

const MS: Duration = Duration::from_millis(1);
const FLOWS: usize = 4;

fn flow(number: usize, weight: u32) -> Flow {
    Flow {
        key: (number > 0).then(|| Arc::from(format!("tenant {number}"))),
        weight: NonZeroU32::new(weight).unwrap(),
    }
}

fn one_by_one() -> Policy {
    Policy {
        max_requests: 1,
        max_tokens: None,
        max_wait: Duration::ZERO,
    }
}

#[derive(Clone, Debug)]
enum Event {
    Push {
        flow: usize,
        tokens: usize,
        weight: u32,
    },
    Leave {
        which: usize,
    },
    Finish,
    Pass {
        ms: u32,
    },
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let tokens = prop_oneof![9 => 0_usize..60, 1 => Just(usize::MAX)];
    let weight = prop_oneof![9 => 1_u32..5, 1 => Just(u32::MAX)];
    let push = (0..FLOWS, tokens, weight).prop_map(|(flow, tokens, weight)| Event::Push {
        flow,
        tokens,
        weight,
    });
    let event = prop_oneof![
        6 => push,
        2 => any::<usize>().prop_map(|which| Event::Leave { which }),
        2 => Just(Event::Finish),
        1 => (0_u32..30).prop_map(|ms| Event::Pass { ms }),
    ];
    vec(event, 0..300)
}

/// What the outside world knows about a queue.
struct World {
    policy: Policy,
    capacity: usize,
    queue: Queue<u64>,
    now: Instant,
    running: usize,
    pushed: u64,
    left: u64,
    answered: u64,
    /// By ticket: flow, entry, tokens, since.
    waiting: BTreeMap<Ticket, (usize, u64, usize, Instant)>,
    weights: [u32; FLOWS],
}

impl World {
    fn new(policy: Policy, capacity: usize, concurrency: usize) -> Self {
        Self {
            policy,
            capacity,
            queue: Queue::new(policy, capacity, concurrency),
            now: Instant::now(),
            running: 0,
            pushed: 0,
            left: 0,
            answered: 0,
            waiting: BTreeMap::new(),
            weights: [1; FLOWS],
        }
    }

    fn waits(&self, flow: usize) -> usize {
        let of_flow = |waiting: &&(usize, u64, usize, Instant)| waiting.0 == flow;
        self.waiting.values().filter(of_flow).count()
    }

    fn may_enter(&self, flow: usize, weight: u32) -> bool {
        let others = (0..FLOWS).filter(|&other| other != flow && self.waits(other) > 0);
        let others: u128 = others.map(|other| u128::from(self.weights[other])).sum();
        let weight = u128::from(weight);
        let share = self.capacity as u128 * weight / (others + weight);
        let own = self.waits(flow);
        own == 0 || (own as u128) < share && self.waiting.len() < 2 * self.capacity
    }

    fn happen(&mut self, event: &Event) {
        match *event {
            Event::Push {
                flow: number,
                tokens,
                weight,
            } => {
                let expected = self.may_enter(number, weight);
                let flow = flow(number, weight);
                match self.queue.push(self.now, &flow, tokens, self.pushed) {
                    Ok(ticket) => {
                        assert!(expected, "admitted over its share");
                        let entry = (number, self.pushed, tokens, self.now);
                        assert!(self.waiting.insert(ticket, entry).is_none());
                        assert_eq!(self.waiting.last_key_value().unwrap().0, &ticket);
                        self.weights[number] = weight;
                        self.pushed += 1;
                    }
                    Err(entry) => {
                        assert!(!expected, "refused below its share");
                        assert_eq!(entry, self.pushed, "another entry came back");
                    }
                }
                assert!(self.waiting.len() <= 2 * self.capacity + FLOWS);
                assert_eq!(self.queue.len_of(&flow), self.waits(number));
            }
            Event::Leave { which } => {
                if !self.waiting.is_empty() {
                    let at = which % self.waiting.len();
                    let ticket = *self.waiting.keys().nth(at).unwrap();
                    let (_, entry, ..) = self.waiting.remove(&ticket).unwrap();
                    assert_eq!(self.queue.remove(ticket), Some(entry));
                    assert_eq!(self.queue.remove(ticket), None, "left twice");
                    self.left += 1;
                }
            }
            Event::Finish => {
                if self.running > 0 {
                    self.running -= 1;
                    self.queue.finished();
                }
            }
            Event::Pass { ms } => self.now += MS * ms,
        }
        loop {
            match self.queue.poll(self.now, false) {
                Decision::Run(batch) => self.check_batch(&batch),
                Decision::Wait(until) => {
                    assert_eq!(self.queue.len(), self.waiting.len());
                    assert!(
                        self.running > 0 || self.waiting.is_empty(),
                        "an idle engine and a request that waits"
                    );
                    let oldest = self.waiting.values().next().map(|waiting| waiting.3);
                    if let (Some(until), Some(oldest)) = (until, oldest) {
                        assert_eq!(until, oldest + self.policy.max_wait);
                        assert!(until > self.now);
                    }
                    return;
                }
            }
        }
    }

    fn check_batch(&mut self, batch: &[Waiting<u64>]) {
        assert!((1..=self.policy.max_requests).contains(&batch.len()));
        let tokens: u128 = batch.iter().map(|member| member.tokens as u128).sum();
        if let Some(most) = self.policy.max_tokens {
            assert!(batch.len() == 1 || tokens <= most as u128);
        }
        for member in batch {
            let known = self.waiting.remove(&member.ticket);
            let (flow, entry, tokens, since) = known.expect("answered what does not wait");
            assert_eq!(
                (member.entry, member.tokens, member.since),
                (entry, tokens, since)
            );
            let before = self.waiting.range(..member.ticket);
            assert!(
                before.map(|(_, waiting)| waiting.0).all(|of| of != flow),
                "out of order within a flow"
            );
            self.answered += 1;
        }
        self.running += 1;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_entry_is_admitted_by_share_and_answered_once(
        max_requests in 1_usize..6,
        max_tokens in proptest::option::of(0_usize..100),
        wait in 0_u32..40,
        capacity in 1_usize..12,
        concurrency in 1_usize..4,
        events in events(),
    ) {
        let policy = Policy { max_requests, max_tokens, max_wait: MS * wait };
        let mut world = World::new(policy, capacity, concurrency);
        for event in &events {
            world.happen(event);
        }
        for _ in 0..=(world.waiting.len() + world.running) {
            world.happen(&Event::Finish);
        }
        prop_assert!(world.waiting.is_empty(), "somebody starves");
        prop_assert_eq!(world.answered + world.left, world.pushed);
    }

    /// While two flows wait, what they get of the engine differs from their weights' ratio by one
    /// largest entry of each at most, however they come and go before and whoever else waits.
    #[test]
    fn service_is_in_the_ratio_of_the_weights(
        weights in [1_u32..10, 1_u32..10, 1_u32..10],
        steps in vec(prop_oneof![
            5 => (0_usize..3, 1_usize..50).prop_map(Some),
            4 => Just(None),
        ], 0..300),
        leaves in vec(any::<usize>(), 300),
    ) {
        let flows: Vec<_> = weights.iter().enumerate().map(|(n, w)| flow(n, *w)).collect();
        let mut queue = Queue::new(one_by_one(), 10_000, 1);
        let now = Instant::now();
        let mut waiting: BTreeMap<Ticket, usize> = BTreeMap::new();
        // The engine is never idle.
        queue.push(now, &flows[0], 1, 0).unwrap();
        prop_assert!(matches!(queue.poll(now, false), Decision::Run(_)));
        let mut served = [0_f64; 3];
        let largest = weights.map(|weight| 50.0 / f64::from(weight));
        let mut ranges = BTreeMap::new();
        let rest = std::iter::repeat_n(None, 300);
        for (at, step) in steps.into_iter().chain(rest).enumerate() {
            match step {
                Some((number, tokens)) => {
                    waiting.insert(queue.push(now, &flows[number], tokens, number).unwrap(), number);
                    // Now and then somebody leaves: that must cost his flow nothing.
                    let which = leaves[at % leaves.len()];
                    if which.is_multiple_of(5)
                        && let Some(ticket) = waiting.keys().nth(which % waiting.len()).copied()
                    {
                        waiting.remove(&ticket);
                        queue.remove(ticket).unwrap();
                    }
                }
                None => {
                    queue.finished();
                    if let Decision::Run(batch) = queue.poll(now, false) {
                        for member in batch {
                            let number = waiting.remove(&member.ticket).unwrap();
                            served[number] += member.tokens as f64 / f64::from(weights[number]);
                        }
                    } else {
                        // Keep the engine busy.
                        queue.push(now, &flows[0], 1, 0).unwrap();
                        prop_assert!(matches!(queue.poll(now, false), Decision::Run(_)));
                    }
                }
            }
            for (a, b) in [(0, 1), (0, 2), (1, 2)] {
                let both = [a, b].iter().all(|flow| waiting.values().any(|of| of == flow));
                let ahead = served[a] - served[b];
                if !both {
                    ranges.remove(&(a, b));
                    continue;
                }
                let (least, most) = ranges.entry((a, b)).or_insert((ahead, ahead));
                *least = least.min(ahead);
                *most = most.max(ahead);
                let bound = largest[a] + largest[b];
                prop_assert!(*most - *least <= bound + 1e-6, "{} > {}", *most - *least, bound);
            }
        }
    }
}

fn order(queue: &mut Queue<&'static str>, now: Instant) -> Vec<&'static str> {
    let mut order = Vec::new();
    while let Decision::Run(batch) = queue.poll(now, false) {
        order.extend(batch.into_iter().map(|member| member.entry));
        queue.finished();
    }
    order
}

#[test]
fn who_comes_late_need_not_wait_for_all_who_came_before() {
    let now = Instant::now();
    let mut queue = Queue::new(one_by_one(), 100, 1);
    let (noisy, quiet) = (flow(1, 1), flow(2, 2));
    for _ in 0..6 {
        queue.push(now, &noisy, 10, "noisy").unwrap();
    }
    for _ in 0..4 {
        queue.push(now, &quiet, 10, "quiet").unwrap();
    }
    // Two for one; and who is alone has everything.
    let expected = [
        "noisy", "quiet", "quiet", "noisy", "quiet", "quiet", "noisy", "noisy", "noisy", "noisy",
    ];
    assert_eq!(order(&mut queue, now), expected);
}

#[test]
fn shares_count_tokens_and_nobody_saves_up() {
    let now = Instant::now();
    let mut queue = Queue::new(one_by_one(), 100, 1);
    let (long, short, late) = (flow(1, 1), flow(2, 1), flow(3, 1));
    for _ in 0..3 {
        queue.push(now, &long, 30, "long").unwrap();
    }
    for _ in 0..7 {
        queue.push(now, &short, 10, "short").unwrap();
    }
    let mut served = Vec::new();
    for _ in 0..5 {
        let Decision::Run(batch) = queue.poll(now, false) else {
            panic!("a queue that rests");
        };
        served.extend(batch.into_iter().map(|member| member.entry));
        queue.finished();
    }
    assert_eq!(served, ["long", "short", "short", "short", "long"]);
    // It was away until now, and gets no more than its share for it.
    for _ in 0..3 {
        queue.push(now, &late, 30, "late").unwrap();
    }
    let then = order(&mut queue, now);
    assert_eq!(
        then,
        [
            "short", "late", "short", "short", "long", "short", "late", "late"
        ]
    );
}

#[test]
fn a_queue_that_one_flow_fills_has_room_for_another() {
    let now = Instant::now();
    let mut queue = Queue::new(one_by_one(), 8, 1);
    let (noisy, quiet, third) = (flow(1, 1), flow(2, 3), flow(3, 4));
    queue.push(now, &noisy, 1, 0).unwrap();
    assert!(matches!(queue.poll(now, false), Decision::Run(_)));
    let push_all = |queue: &mut Queue<u8>, flow: &Flow| {
        let mut admitted = 0;
        while queue.push(now, flow, 1, 0).is_ok() {
            admitted += 1;
        }
        admitted
    };
    // Alone it has everything; with another, a quarter.
    assert_eq!(push_all(&mut queue, &noisy), 8);
    assert_eq!(push_all(&mut queue, &quiet), 6);
    assert_eq!(queue.share(&noisy), 2);
    // Of the third one's four only two are left of twice the capacity.
    assert_eq!(queue.share(&third), 4);
    assert_eq!(push_all(&mut queue, &third), 2);
    // Whoever has nothing waiting gets in whatever happens.
    assert_eq!(push_all(&mut queue, &flow(4, 1)), 1);
    assert_eq!(queue.len(), 17);
}
