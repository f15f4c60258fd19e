//! The policy under a fake clock, with one flow: whatever happens in whatever order, its promises
//! hold, first in, first out.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;
use routir_batch::{Decision, Flow, Policy, Queue, Ticket, Waiting};

const MS: Duration = Duration::from_millis(1);

#[derive(Clone, Debug)]
enum Event {
    Push {
        tokens: usize,
    },
    Leave {
        which: usize,
    },
    Finish,
    Pass {
        ms: u32,
    },
    /// What the engine shares with others is busy from now on, or idle.
    Busy {
        busy: bool,
    },
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        5 => (0_usize..60).prop_map(|tokens| Event::Push { tokens }),
        1 => Just(Event::Push { tokens: usize::MAX }),
        2 => any::<usize>().prop_map(|which| Event::Leave { which }),
        2 => Just(Event::Finish),
        2 => (0_u32..30).prop_map(|ms| Event::Pass { ms }),
        2 => any::<bool>().prop_map(|busy| Event::Busy { busy }),
    ];
    vec(event, 0..200)
}

fn policies() -> impl Strategy<Value = Policy> {
    (0_usize..6, proptest::option::of(0_usize..100), 0_u32..40).prop_map(
        |(max_requests, max_tokens, wait)| Policy {
            max_requests,
            max_tokens,
            max_wait: MS * wait,
        },
    )
}

/// What the outside world knows about a queue, and what it may demand of it.
struct World {
    policy: Policy,
    capacity: usize,
    concurrency: usize,
    queue: Queue<u64>,
    now: Instant,
    running: usize,
    busy: bool,
    pushed: u64,
    waiting: Vec<(Ticket, u64, usize, Instant)>,
    answered: Vec<u64>,
    left: BTreeSet<u64>,
}

impl World {
    fn new(policy: Policy, capacity: usize, concurrency: usize) -> Self {
        Self {
            queue: Queue::new(policy, capacity, concurrency),
            policy: Policy {
                max_requests: policy.max_requests.max(1),
                ..policy
            },
            capacity: capacity.max(1),
            concurrency: concurrency.max(1),
            now: Instant::now(),
            running: 0,
            busy: false,
            pushed: 0,
            waiting: Vec::new(),
            answered: Vec::new(),
            left: BTreeSet::new(),
        }
    }

    fn tokens(&self) -> u128 {
        self.waiting
            .iter()
            .map(|&(_, _, tokens, _)| tokens as u128)
            .sum()
    }

    fn full_batch_waits(&self) -> bool {
        self.waiting.len() >= self.policy.max_requests
            || self
                .policy
                .max_tokens
                .is_some_and(|most| self.tokens() >= most as u128)
    }

    fn happen(&mut self, event: &Event) {
        match *event {
            Event::Push { tokens } => {
                match self
                    .queue
                    .push(self.now, &Flow::default(), tokens, self.pushed)
                {
                    Ok(ticket) => {
                        assert!(self.waiting.len() < self.capacity, "admitted over capacity");
                        self.waiting.push((ticket, self.pushed, tokens, self.now));
                        self.pushed += 1;
                    }
                    Err(entry) => {
                        assert_eq!(entry, self.pushed, "another entry came back");
                        assert_eq!(self.waiting.len(), self.capacity, "refused below capacity");
                    }
                }
            }
            Event::Leave { which } => {
                if !self.waiting.is_empty() {
                    let (ticket, entry, ..) = self.waiting.remove(which % self.waiting.len());
                    assert_eq!(self.queue.remove(ticket), Some(entry));
                    assert_eq!(self.queue.remove(ticket), None, "left twice");
                    self.left.insert(entry);
                }
            }
            Event::Finish => {
                if self.running > 0 {
                    self.running -= 1;
                    self.queue.finished();
                }
            }
            Event::Pass { ms } => self.now += MS * ms,
            Event::Busy { busy } => self.busy = busy,
        }
        self.settle();
    }

    /// Polls until told to wait, and checks each decision.
    fn settle(&mut self) {
        loop {
            match self.queue.poll(self.now, self.busy) {
                Decision::Run(batch) => self.check_batch(&batch),
                Decision::Wait(until) => return self.check_wait(until),
            }
        }
    }

    fn check_batch(&mut self, batch: &[Waiting<u64>]) {
        assert!(!batch.is_empty(), "an empty batch");
        assert!(self.running < self.concurrency, "a batch without a slot");
        let waited = self.now - self.waiting[0].3;
        assert!(
            (self.running == 0 && !self.busy)
                || self.full_batch_waits()
                || waited >= self.policy.max_wait,
            "a batch left before its time"
        );
        assert!(
            batch.len() <= self.policy.max_requests,
            "over the request budget"
        );
        let tokens: u128 = batch.iter().map(|member| member.tokens as u128).sum();
        if let Some(most) = self.policy.max_tokens {
            assert!(
                batch.len() == 1 || tokens <= most as u128,
                "over the token budget"
            );
        }
        for member in batch {
            let (ticket, entry, tokens, since) = self.waiting.remove(0);
            assert_eq!(
                (member.ticket, member.entry),
                (ticket, entry),
                "out of order"
            );
            assert_eq!((member.tokens, member.since), (tokens, since));
            self.answered.push(entry);
        }
        // It could not have been larger.
        if let (Some(next), true) = (self.waiting.first(), batch.len() < self.policy.max_requests) {
            let most = self
                .policy
                .max_tokens
                .expect("room for more requests, yet one was left");
            assert!(
                tokens + next.2 as u128 > most as u128,
                "one more would have fitted"
            );
        }
        self.running += 1;
        assert_eq!(self.queue.running(), self.running);
    }

    fn check_wait(&self, until: Option<Instant>) {
        assert_eq!(self.queue.len(), self.waiting.len());
        assert_eq!(self.queue.is_empty(), self.waiting.is_empty());
        let Some(oldest) = self.waiting.first() else {
            return assert_eq!(until, None);
        };
        if self.running == self.concurrency {
            return assert_eq!(until, None, "only a slot can help");
        }
        assert!(
            self.running > 0 || self.busy,
            "an idle engine and a request that waits"
        );
        assert!(
            !self.full_batch_waits(),
            "a free slot and a full batch that waits"
        );
        let due = oldest.3 + self.policy.max_wait;
        assert!(
            due > self.now,
            "a free slot and a request held back for too long"
        );
        assert_eq!(until, Some(due));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_every_promise_holds(
        policy in policies(),
        capacity in 0_usize..12,
        concurrency in 0_usize..4,
        events in events(),
    ) {
        let mut world = World::new(policy, capacity, concurrency);
        for event in &events {
            world.happen(event);
        }
        // No starvation: once others leave the engine alone and batches end, each frees a slot for
        // the next, and the queue empties in at most one batch per entry.
        world.happen(&Event::Busy { busy: false });
        for _ in 0..=(world.waiting.len() + world.running) {
            world.happen(&Event::Finish);
        }
        prop_assert!(world.waiting.is_empty());

        // Everything admitted was answered or had left, once, and in order.
        prop_assert!(world.answered.is_sorted_by(|a, b| a < b));
        let mut all = world.left.clone();
        for entry in &world.answered {
            prop_assert!(all.insert(*entry), "{} left and was answered", entry);
        }
        prop_assert_eq!(all.len() as u64, world.pushed);
    }
}

fn policy(max_requests: usize, max_tokens: Option<usize>) -> Policy {
    Policy {
        max_requests,
        max_tokens,
        max_wait: MS * 50,
    }
}

fn run(queue: &mut Queue<char>, now: Instant) -> Option<String> {
    match queue.poll(now, false) {
        Decision::Run(batch) => Some(batch.into_iter().map(|member| member.entry).collect()),
        Decision::Wait(_) => None,
    }
}

#[test]
fn with_one_slot_batches_form_while_the_engine_works_and_age_changes_nothing() {
    let now = Instant::now();
    let mut queue = Queue::new(policy(3, None), 10, 1);
    for (entry, batch) in [
        ('a', Some("a".to_owned())),
        ('b', None),
        ('c', None),
        ('d', None),
    ] {
        queue.push(now, &Flow::default(), 1, entry).unwrap();
        assert_eq!(run(&mut queue, now), batch);
    }
    queue.push(now, &Flow::default(), 1, 'e').unwrap();
    assert_eq!(run(&mut queue, now + MS * 1000), None);
    queue.finished();
    assert_eq!(run(&mut queue, now).as_deref(), Some("bcd"));
    queue.finished();
    assert_eq!(run(&mut queue, now).as_deref(), Some("e"));
}

#[test]
fn with_a_free_slot_a_request_waits_for_company_until_max_wait() {
    let now = Instant::now();
    let mut queue = Queue::new(policy(3, None), 10, 2);
    queue.push(now, &Flow::default(), 1, 'a').unwrap();
    assert_eq!(run(&mut queue, now).as_deref(), Some("a"));
    queue.push(now, &Flow::default(), 1, 'b').unwrap();
    assert!(
        matches!(queue.poll(now, false), Decision::Wait(Some(until)) if until == now + MS * 50)
    );
    assert_eq!(run(&mut queue, now + MS * 49), None);
    assert_eq!(run(&mut queue, now + MS * 50).as_deref(), Some("b"));
}

#[test]
fn while_others_keep_it_busy_an_idle_engine_waits_for_company_until_max_wait() {
    let now = Instant::now();
    let mut queue = Queue::new(policy(3, None), 10, 1);
    let push = |queue: &mut Queue<char>, entry| {
        queue.push(now, &Flow::default(), 1, entry).unwrap();
    };
    push(&mut queue, 'a');
    assert!(matches!(queue.poll(now, true), Decision::Wait(Some(until)) if until == now + MS * 50));
    push(&mut queue, 'b');
    assert!(matches!(
        queue.poll(now + MS * 49, true),
        Decision::Wait(Some(_))
    ));
    // It falls idle.
    assert_eq!(run(&mut queue, now + MS * 49).as_deref(), Some("ab"));
    queue.finished();
    // A full batch, and one that is old enough.
    for entry in ['c', 'd', 'e', 'f'] {
        push(&mut queue, entry);
    }
    let mut sizes = |at| match queue.poll(at, true) {
        Decision::Run(batch) => {
            queue.finished();
            Some(batch.len())
        }
        Decision::Wait(_) => None,
    };
    assert_eq!(sizes(now), Some(3));
    assert_eq!(sizes(now), None);
    assert_eq!(sizes(now + MS * 50), Some(1));
}

#[test]
fn a_request_over_the_token_budget_goes_alone_and_in_its_turn() {
    let now = Instant::now();
    let mut queue = Queue::new(policy(8, Some(10)), 10, 1);
    for (entry, tokens) in [('a', 1), ('b', 4), ('c', 6), ('d', 99), ('e', 1)] {
        queue.push(now, &Flow::default(), tokens, entry).unwrap();
    }
    let mut batches = Vec::new();
    while let Some(batch) = run(&mut queue, now) {
        batches.push(batch);
        queue.finished();
    }
    assert_eq!(batches, ["ab", "c", "d", "e"]);
}

#[test]
fn an_endless_max_wait_is_no_overflow() {
    let now = Instant::now();
    let mut queue = Queue::new(
        Policy {
            max_wait: Duration::MAX,
            ..policy(3, None)
        },
        10,
        2,
    );
    queue.push(now, &Flow::default(), 1, 'a').unwrap();
    assert_eq!(run(&mut queue, now).as_deref(), Some("a"));
    queue.push(now, &Flow::default(), 1, 'b').unwrap();
    assert!(matches!(queue.poll(now, false), Decision::Wait(None)));
    queue.finished();
    assert_eq!(run(&mut queue, now).as_deref(), Some("b"));
}
