//! What waits, in the order in which its owners deserve the engine: start-time fair queueing.
//!
//! Each flow has a line of its own, first in, first out. A line's *start* is the virtual time at
//! which its first entry is due; serving that entry moves it on by the entry's cost in tokens over
//! the flow's weight. The line with the least start is next, and virtual time is the start of what
//! was served last. A line that was empty starts no earlier than that: nobody saves up for a burst.
//! So two flows that both wait get service in the ratio of their weights, up to the cost of one
//! entry of each; and an entry is overtaken by others' for only as long as its own line has had
//! more than its share, so none starves.
//!
//! The classic method tags each entry when it arrives; here a tag is made when an entry becomes the
//! first of its line, so that one whose caller leaves costs its flow nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Instant;

use crate::{Flow, Ticket, Waiting};

/// Virtual time. Wide, so that no sum of costs reaches its end.
type Virtual = u128;

/// How finely virtual time divides a token: every weight gives even a single token a duration.
const FRACTION_BITS: u32 = u32::BITS;

/// Where a flow's line is.
type Slot = usize;

/// Entries that wait, by flow.
#[derive(Debug)]
pub(crate) struct Backlog<E> {
    lines: Vec<Line<E>>,
    by_key: HashMap<Option<Arc<str>>, Slot>,
    /// Slots that belong to no flow.
    free: Vec<Slot>,
    /// The lines in which somebody waits, by start and then by first entry.
    due: BTreeSet<(Virtual, Ticket)>,
    /// The first entries of all lines.
    firsts: BTreeSet<Ticket>,
    /// Empty lines that have had more than virtual time has reached. They are remembered so that
    /// leaving the queue for a moment pays off for nobody.
    ahead: BTreeSet<(Virtual, Slot)>,
    now: Virtual,
    len: usize,
    /// Of all that waits; wide, so that no sum of token counts overflows it.
    tokens: u128,
    /// Sum over the flows that wait.
    weight: u64,
    next: u64,
}

#[derive(Debug)]
struct Line<E> {
    key: Option<Arc<str>>,
    weight: NonZeroU32,
    start: Virtual,
    /// By ticket, so that any entry leaves in logarithmic time.
    waiting: BTreeMap<Ticket, Waiting<E>>,
}

impl<E> Backlog<E> {
    pub(crate) fn new() -> Self {
        Self {
            lines: Vec::new(),
            by_key: HashMap::new(),
            free: Vec::new(),
            due: BTreeSet::new(),
            firsts: BTreeSet::new(),
            ahead: BTreeSet::new(),
            now: 0,
            len: 0,
            tokens: 0,
            weight: 0,
            next: 0,
        }
    }

    /// How many entries wait.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The tokens of all that wait.
    pub(crate) fn tokens(&self) -> u128 {
        self.tokens
    }

    /// How many entries of `flow` wait.
    pub(crate) fn len_of(&self, flow: &Flow) -> usize {
        self.line_of(flow).map_or(0, |line| line.waiting.len())
    }

    /// The weights of all flows that wait, `flow` among them whether it does or not.
    pub(crate) fn weight_with(&self, flow: &Flow) -> u64 {
        let waits = self.line_of(flow).filter(|line| !line.waiting.is_empty());
        let counted = waits.map_or(0, |line| u64::from(line.weight.get()));
        self.weight - counted + u64::from(flow.weight.get())
    }

    /// Adds an entry at the end of its flow's line.
    pub(crate) fn push(&mut self, flow: &Flow, now: Instant, tokens: usize, entry: E) -> Ticket {
        let slot = self.slot_of(flow);
        let ticket = Ticket {
            number: self.next,
            slot,
        };
        let Some(line) = self.lines.get_mut(slot) else {
            return ticket;
        };
        self.next += 1;
        self.len += 1;
        self.tokens += tokens as u128;
        if line.waiting.is_empty() {
            self.ahead.remove(&(line.start, slot));
            line.start = line.start.max(self.now);
            self.due.insert((line.start, ticket));
            self.firsts.insert(ticket);
        } else {
            self.weight -= u64::from(line.weight.get());
        }
        self.weight += u64::from(flow.weight.get());
        line.weight = flow.weight;
        let waiting = Waiting {
            entry,
            ticket,
            tokens,
            since: now,
        };
        line.waiting.insert(ticket, waiting);
        ticket
    }

    /// Who is next.
    pub(crate) fn first(&self) -> Option<&Waiting<E>> {
        let (_, ticket) = self.due.first()?;
        self.lines.get(ticket.slot)?.waiting.get(ticket)
    }

    /// Who has waited longest.
    pub(crate) fn oldest(&self) -> Option<&Waiting<E>> {
        let ticket = self.firsts.first()?;
        self.lines.get(ticket.slot)?.waiting.get(ticket)
    }

    /// Takes out who is next, at the expense of its flow.
    pub(crate) fn pop(&mut self) -> Option<Waiting<E>> {
        let (start, ticket) = self.due.pop_first()?;
        self.firsts.remove(&ticket);
        let line = self.lines.get_mut(ticket.slot)?;
        let served = line.waiting.remove(&ticket)?;
        let cost = (served.tokens.max(1) as Virtual) << FRACTION_BITS;
        line.start = start.saturating_add(cost / Virtual::from(line.weight.get()));
        self.now = self.now.max(start);
        self.taken(&served);
        self.reseat(ticket.slot);
        self.catch_up();
        Some(served)
    }

    /// Takes out an entry, wherever it is, at nobody's expense.
    pub(crate) fn remove(&mut self, ticket: Ticket) -> Option<E> {
        let line = self.lines.get_mut(ticket.slot)?;
        let gone = line.waiting.remove(&ticket)?;
        let start = line.start;
        self.taken(&gone);
        if self.firsts.remove(&ticket) {
            self.due.remove(&(start, ticket));
            self.reseat(ticket.slot);
        }
        Some(gone.entry)
    }

    /// Takes out everything, oldest first.
    pub(crate) fn clear(&mut self) -> impl Iterator<Item = E> + use<E> {
        let lines = std::mem::take(&mut self.lines).into_iter();
        let mut all: Vec<_> = lines.flat_map(|line| line.waiting.into_values()).collect();
        all.sort_unstable_by_key(|waiting| waiting.ticket);
        *self = Self {
            next: self.next,
            ..Self::new()
        };
        all.into_iter().map(|waiting| waiting.entry)
    }

    /// Starts virtual time anew, if nobody waits. To be called when the engine is idle too: who
    /// comes then competes with nobody, and past service is forgotten.
    pub(crate) fn rest(&mut self) {
        if self.len > 0 {
            return;
        }
        self.now = 0;
        self.ahead.clear();
        match self.lines.as_mut_slice() {
            // Of one flow after the other the line is used again.
            [only] if self.free.is_empty() => only.start = 0,
            _ => {
                self.lines.clear();
                self.by_key.clear();
                self.free.clear();
            }
        }
    }

    fn line_of(&self, flow: &Flow) -> Option<&Line<E>> {
        self.lines.get(*self.by_key.get(&flow.key)?)
    }

    fn slot_of(&mut self, flow: &Flow) -> Slot {
        if let Some(slot) = self.by_key.get(&flow.key) {
            return *slot;
        }
        let line = Line {
            key: flow.key.clone(),
            weight: flow.weight,
            start: self.now,
            waiting: BTreeMap::new(),
        };
        let reused = self.free.pop();
        let slot = reused.unwrap_or(self.lines.len());
        match self.lines.get_mut(slot) {
            Some(place) => *place = line,
            None => self.lines.push(line),
        }
        self.by_key.insert(flow.key.clone(), slot);
        slot
    }

    fn taken(&mut self, waiting: &Waiting<E>) {
        self.len -= 1;
        self.tokens -= waiting.tokens as u128;
    }

    /// Puts a line that has lost its first entry where its next one belongs.
    fn reseat(&mut self, slot: Slot) {
        let Some(line) = self.lines.get(slot) else {
            return;
        };
        match line.waiting.first_key_value() {
            Some((first, _)) => {
                self.due.insert((line.start, *first));
                self.firsts.insert(*first);
            }
            None => {
                self.weight -= u64::from(line.weight.get());
                self.ahead.insert((line.start, slot));
            }
        }
    }

    /// Forgets the empty lines that virtual time has reached: they would start anew.
    fn catch_up(&mut self) {
        while let Some(&(start, slot)) = self.ahead.first()
            && start <= self.now
        {
            self.ahead.pop_first();
            if let Some(line) = self.lines.get(slot) {
                self.by_key.remove(&line.key);
                self.free.push(slot);
            }
        }
    }
}
