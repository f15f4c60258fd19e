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
//! An engine may share what it computes on with others, as models and indices share a GPU. While
//! that is busy, an idle engine counts as one with some slots taken: a batch that left would wait
//! there, where it grows no more. It leaves when that falls idle, then, or earlier as above.
//!
//! Who leaves first is a matter of flows (see [`Flow`]): each gets of the engine by its weight, and
//! within a flow it is first in, first out. A queue with one flow is a plain queue.
//!
//! Flows share the places, too. While several wait, each may take its weighted share of `capacity`,
//! and who is above it is refused until he is below. A flow that waits alone has them all, so the
//! next one may find the queue full: it gets its share nevertheless, for which the queue stretches
//! to twice its capacity; and whoever has nothing waiting always gets one place. So nobody who was
//! admitted is ever dropped, and no flow, however noisy, keeps a quiet one out. At most twice
//! `capacity` entries wait, and one for each flow.
//!
//! So `max_wait` is the longest time for which a request is held back for company *while a slot is
//! free*. An engine with one slot and nothing to share is either idle or full, and `max_wait` means
//! nothing to it: its batches form by themselves out of what arrives while it works.

use std::time::{Duration, Instant};

use crate::Flow;
use crate::backlog::Backlog;

/// How large a batch may grow and how long it may be held back for company.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Requests in a batch at most; 0 counts as 1.
    pub max_requests: usize,
    /// Tokens in a batch at most; a single request above it goes alone. `None` is no limit.
    pub max_tokens: Option<usize>,
    /// How long a request is held back for company while a slot is free, and the engine works or
    /// what it shares with others is busy.
    pub max_wait: Duration,
}

/// The name of a waiting entry; later entries have larger ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket {
    pub(crate) number: u64,
    /// Where its flow's line is.
    pub(crate) slot: usize,
}

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
    /// Nothing until a push, a finished batch or a change of what is shared, and not later than at
    /// this time, if there is one.
    Wait(Option<Instant>),
}

/// Entries that wait for a batch, and how many batches the engine works on.
#[derive(Debug)]
pub struct Queue<E> {
    policy: Policy,
    capacity: usize,
    concurrency: usize,
    running: usize,
    waiting: Backlog<E>,
}

impl<E> Queue<E> {
    /// An empty queue before an idle engine that works on `concurrency` batches at once. At most
    /// `capacity` entries of one flow wait, and of several as many as the module says; those in a
    /// running batch do not count. 0 counts as 1 in both.
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
            waiting: Backlog::new(),
        }
    }

    /// Admits `entry` at the end of its flow's line. The caller polls next.
    ///
    /// # Errors
    /// Gives the entry back when the flow has no place left.
    pub fn push(
        &mut self,
        now: Instant,
        flow: &Flow,
        tokens: usize,
        entry: E,
    ) -> Result<Ticket, E> {
        if self.room(flow) == 0 {
            return Err(entry);
        }
        Ok(self.waiting.push(flow, now, tokens, entry))
    }

    /// How many entries of `flow` may wait while those others wait that do now.
    #[must_use]
    pub fn share(&self, flow: &Flow) -> usize {
        let all = u128::from(self.waiting.weight_with(flow));
        let share = self.capacity as u128 * u128::from(flow.weight.get()) / all.max(1);
        usize::try_from(share).unwrap_or(usize::MAX).max(1)
    }

    /// How many more entries of `flow` would be admitted now.
    #[must_use]
    pub fn room(&self, flow: &Flow) -> usize {
        let own = self.waiting.len_of(flow);
        let most = self.capacity.saturating_mul(2);
        let room = most.saturating_sub(self.waiting.len());
        let least = usize::from(own == 0);
        self.share(flow).saturating_sub(own).min(room.max(least))
    }

    /// Takes out an entry whose caller has left, if it still waits: its place is free at once and
    /// no batch will count it.
    pub fn remove(&mut self, ticket: Ticket) -> Option<E> {
        let gone = self.waiting.remove(ticket);
        self.rest();
        gone
    }

    /// Takes out everything that waits, oldest first.
    pub fn clear(&mut self) -> impl Iterator<Item = E> + use<E> {
        self.waiting.clear()
    }

    /// Decides. To be asked after every push, finished batch and elapsed [`Decision::Wait`], again
    /// and again until it says to wait. `busy` says whether others keep busy what the engine shares
    /// with them; to be asked again, too, when that ends.
    pub fn poll(&mut self, now: Instant, busy: bool) -> Decision<E> {
        if self.running >= self.concurrency {
            return Decision::Wait(None);
        }
        let Some(oldest) = self.waiting.oldest() else {
            return Decision::Wait(None);
        };
        let waited = now.saturating_duration_since(oldest.since);
        let works = self.running > 0 || busy;
        if works && !self.fills_a_batch() && waited < self.policy.max_wait {
            return Decision::Wait(oldest.since.checked_add(self.policy.max_wait));
        }
        self.running += 1;
        Decision::Run(self.take_batch())
    }

    /// Gives back the slot of a batch that ended, however it ended. The caller polls next.
    pub fn finished(&mut self) {
        debug_assert!(self.running > 0, "a batch ended that never ran");
        self.running = self.running.saturating_sub(1);
        self.rest();
    }

    /// How many entries of `flow` wait.
    #[must_use]
    pub fn len_of(&self, flow: &Flow) -> usize {
        self.waiting.len_of(flow)
    }

    /// How many entries wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.len() == 0
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
                .is_some_and(|most| self.waiting.tokens() >= most as u128)
    }

    /// Who is next, and the next as long as the budgets allow.
    fn take_batch(&mut self) -> Vec<Waiting<E>> {
        let mut batch = Vec::with_capacity(self.waiting.len().min(self.policy.max_requests));
        let mut tokens: u128 = 0;
        while batch.len() < self.policy.max_requests
            && let Some(next) = self.waiting.first()
        {
            let with_next = tokens + next.tokens as u128;
            let most = self.policy.max_tokens;
            let fits = most.is_none_or(|most| with_next <= most as u128);
            if !fits && !batch.is_empty() {
                break;
            }
            let Some(next) = self.waiting.pop() else {
                break;
            };
            tokens = with_next;
            batch.push(next);
        }
        batch
    }

    /// Nobody competes with anybody while the engine is idle and nothing waits.
    fn rest(&mut self) {
        if self.running == 0 {
            self.waiting.rest();
        }
    }
}
