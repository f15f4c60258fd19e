//! When a batch leaves and who is in it: a state machine that reads no clock and owns no task.
//!
//! An engine has a number of slots (`concurrency`), the batches that it may work on at once. What
//! a request meets depends on how many of them are taken:
//!
//! | slots | the queue |
//! |---|---|
//! | none taken (the engine is idle) | leaves at once: a lone request never waits for company |
//! | some taken, some free | leaves when it fills a batch, when the oldest request has waited `max_wait`, or when the engine falls idle |
//! | all taken | waits for a slot, whatever its age |
//!
//! So `max_wait` is the longest time for which a request is held back for company *while a slot is
//! free*. An engine with one slot is either idle or full, and `max_wait` means nothing to it: its
//! batches form by themselves out of what arrives while it works.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How large a batch may grow and how long it may be held back for company.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Requests in a batch at most; 0 counts as 1.
    pub max_requests: usize,
    /// Tokens in a batch at most; a single request above it goes alone. `None` is no limit.
    pub max_tokens: Option<usize>,
    /// How long a request is held back for company while the engine works and has a free slot.
    pub max_wait: Duration,
}

/// The name of a waiting entry; later entries have larger ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

/// An entry that waits, or waited, in the queue.
#[derive(Clone, Debug)]
pub struct Waiting<E> {
    /// What was pushed.
    pub entry: E,
    /// Its name.
    pub ticket: Ticket,
    /// What it counts against [`Policy::max_tokens`].
    pub tokens: usize,
    /// When it was admitted.
    pub since: Instant,
}

/// What to do now.
#[derive(Debug)]
pub enum Decision<E> {
    /// Run this batch; it has taken a slot, which [`Queue::finished`] gives back.
    Run(Vec<Waiting<E>>),
    /// Nothing until a push or a finished batch, and not later than at this time, if there is one.
    Wait(Option<Instant>),
}

/// Entries that wait for a batch, and how many batches the engine works on.
#[derive(Debug)]
pub struct Queue<E> {
    policy: Policy,
    capacity: usize,
    concurrency: usize,
    running: usize,
    /// By ticket, so that iteration is first in, first out and any entry leaves in logarithmic time.
    waiting: BTreeMap<Ticket, Waiting<E>>,
    /// Sum over `waiting`; wide, so that no sum of token counts overflows it.
    tokens: u128,
    next: u64,
}

impl<E> Queue<E> {
    /// An empty queue before an idle engine that works on `concurrency` batches at once. At most
    /// `capacity` entries wait; those in a running batch do not count. 0 counts as 1 in both.
    #[must_use]
    pub fn new(policy: Policy, capacity: usize, concurrency: usize) -> Self {
        Self {
            policy: Policy {
                max_requests: policy.max_requests.max(1),
                ..policy
            },
            capacity: capacity.max(1),
            concurrency: concurrency.max(1),
            running: 0,
            waiting: BTreeMap::new(),
            tokens: 0,
            next: 0,
        }
    }

    /// Admits `entry` at the end. The caller polls next.
    ///
    /// # Errors
    /// Gives the entry back when the queue is full.
    pub fn push(&mut self, now: Instant, tokens: usize, entry: E) -> Result<Ticket, E> {
        if self.waiting.len() >= self.capacity {
            return Err(entry);
        }
        let ticket = Ticket(self.next);
        self.next += 1;
        self.tokens += tokens as u128;
        self.waiting.insert(
            ticket,
            Waiting {
                entry,
                ticket,
                tokens,
                since: now,
            },
        );
        Ok(ticket)
    }

    /// Takes out an entry whose caller has left, if it still waits: its place is free at once and
    /// no batch will count it.
    pub fn remove(&mut self, ticket: Ticket) -> Option<E> {
        let gone = self.waiting.remove(&ticket)?;
        self.tokens -= gone.tokens as u128;
        Some(gone.entry)
    }

    /// Takes out everything that waits, oldest first.
    pub fn clear(&mut self) -> impl Iterator<Item = E> + use<E> {
        self.tokens = 0;
        std::mem::take(&mut self.waiting)
            .into_values()
            .map(|waiting| waiting.entry)
    }

    /// Decides. To be asked after every push, finished batch and elapsed [`Decision::Wait`], again
    /// and again until it says to wait.
    pub fn poll(&mut self, now: Instant) -> Decision<E> {
        let Some((_, oldest)) = self.waiting.first_key_value() else {
            return Decision::Wait(None);
        };
        if self.running >= self.concurrency {
            return Decision::Wait(None);
        }
        let waited = now.saturating_duration_since(oldest.since);
        if self.running > 0 && !self.fills_a_batch() && waited < self.policy.max_wait {
            return Decision::Wait(oldest.since.checked_add(self.policy.max_wait));
        }
        self.running += 1;
        Decision::Run(self.take_batch())
    }

    /// Gives back the slot of a batch that ended, however it ended. The caller polls next.
    pub fn finished(&mut self) {
        debug_assert!(self.running > 0, "a batch ended that never ran");
        self.running = self.running.saturating_sub(1);
    }

    /// How many entries wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How many batches are running.
    #[must_use]
    pub fn running(&self) -> usize {
        self.running
    }

    /// Whether waiting longer could not make the next batch larger.
    fn fills_a_batch(&self) -> bool {
        self.waiting.len() >= self.policy.max_requests
            || self
                .policy
                .max_tokens
                .is_some_and(|most| self.tokens >= most as u128)
    }

    /// The longest prefix within the budgets, and at least one entry.
    fn take_batch(&mut self) -> Vec<Waiting<E>> {
        let mut batch = Vec::with_capacity(self.waiting.len().min(self.policy.max_requests));
        let mut tokens: u128 = 0;
        while batch.len() < self.policy.max_requests
            && let Some(next) = self.waiting.first_entry()
        {
            let with_next = tokens + next.get().tokens as u128;
            let fits = self
                .policy
                .max_tokens
                .is_none_or(|most| with_next <= most as u128);
            if !fits && !batch.is_empty() {
                break;
            }
            tokens = with_next;
            batch.push(next.remove());
        }
        self.tokens -= tokens;
        batch
    }
}
