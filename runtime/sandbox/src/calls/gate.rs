//! Who may have an instance, and who waits: the queue before the pool.
//!
//! Instances go to waiting tenants by their weights: when one comes free, it goes to the tenant who
//! holds the fewest for its weight. And nobody takes the last ones: a tenant may hold three times as
//! many as are free, so that a flood of slow calls leaves some for who comes after. A call that is made inside another extension's call may take
//! an instance from a small reserve of its depth where all others are held: those who hold them may
//! be waiting for just this one.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// How deep calls nest at most, and so how many reserves there are.
pub(crate) const DEPTHS: usize = 16;
/// How many times as many as are free a tenant may hold: alone it gets three quarters of all, two
/// get three sevenths each, and so on.
const GREED: usize = 3;

/// Hands out the right to have an instance.
#[derive(Debug)]
pub(crate) struct Gate {
    state: Mutex<State>,
}

/// The right to have an instance; goes back when it is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    /// None once it was given back by hand.
    gate: Option<Arc<Gate>>,
    tenant: usize,
    /// 0: any; else of the reserve of this depth.
    reserve: usize,
}

#[derive(Debug)]
struct State {
    free: usize,
    /// Free ones by depth, from 1.
    reserves: [usize; DEPTHS],
    tenants: HashMap<usize, Tenant>,
}

#[derive(Debug, Default)]
struct Tenant {
    weight: u32,
    held: usize,
    waiting: VecDeque<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    depth: usize,
    grant: oneshot::Sender<Permit>,
}

impl Gate {
    /// A gate for `instances` at once, and `reserve` more for each depth of nested calls.
    pub(crate) fn new(instances: u32, reserve: u32) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                free: instances as usize,
                reserves: [reserve as usize; DEPTHS],
                tenants: HashMap::new(),
            }),
        })
    }

    /// Waits for the right to have an instance. `tenant` is any number of the tenant's own,
    /// `depth` how many extensions wait for this call.
    ///
    /// Dropping the future leaves the queue.
    pub(crate) async fn enter(
        self: &Arc<Self>,
        tenant: usize,
        weight: u32,
        depth: usize,
    ) -> Permit {
        loop {
            let granted = match self.try_enter(tenant, weight, depth) {
                Ok(permit) => return permit,
                Err(granted) => granted,
            };
            // The sender is only ever dropped unused with the whole gate, which `self` keeps.
            if let Ok(permit) = granted.await {
                return permit;
            }
        }
    }

    fn try_enter(
        self: &Arc<Self>,
        tenant: usize,
        weight: u32,
        depth: usize,
    ) -> Result<Permit, oneshot::Receiver<Permit>> {
        let mut state = self.state.lock();
        let held = state.tenants.get(&tenant).map_or(0, |entry| entry.held);
        let reserve = state.take(depth, held);
        let entry = state.tenants.entry(tenant).or_default();
        entry.weight = weight.max(1);
        if let Some(reserve) = reserve {
            entry.held += 1;
            return Ok(Permit {
                gate: Some(Arc::clone(self)),
                tenant,
                reserve,
            });
        }
        let (grant, granted) = oneshot::channel();
        entry.waiting.retain(|waiter| !waiter.grant.is_closed());
        entry.waiting.push_back(Waiter { depth, grant });
        Err(granted)
    }

    fn give_back(self: &Arc<Self>, tenant: usize, reserve: usize) {
        let mut state = self.state.lock();
        state.put(tenant, reserve);
        while let Some((tenant, waiter, reserve)) = state.next() {
            let permit = Permit {
                gate: Some(Arc::clone(self)),
                tenant,
                reserve,
            };
            if let Err(mut permit) = waiter.grant.send(permit) {
                // The waiter left. Given back here, since its drop would wait for this lock.
                permit.gate = None;
                state.put(tenant, reserve);
            }
        }
    }
}

impl State {
    /// Takes a free one that a call of this depth, of a tenant who holds so many, may have: 0, or
    /// the depth of its reserve.
    fn take(&mut self, depth: usize, held: usize) -> Option<usize> {
        if held < GREED * self.free {
            self.free -= 1;
            return Some(0);
        }
        let depth = depth.min(DEPTHS);
        let left = self.reserves.get_mut(depth.checked_sub(1)?)?;
        *left = left.checked_sub(1)?;
        Some(depth)
    }

    fn put(&mut self, tenant: usize, reserve: usize) {
        match reserve
            .checked_sub(1)
            .and_then(|n| self.reserves.get_mut(n))
        {
            Some(left) => *left += 1,
            None => self.free += 1,
        }
        if let Some(entry) = self.tenants.get_mut(&tenant) {
            entry.held = entry.held.saturating_sub(1);
            if entry.held == 0 && entry.waiting.is_empty() {
                self.tenants.remove(&tenant);
            }
        }
    }

    /// Takes the waiter who is next among those for whom there is a free one, and that one for him.
    fn next(&mut self) -> Option<(usize, Waiter, usize)> {
        let (free, reserves) = (self.free, self.reserves);
        let may = |held: usize, waiter: &Waiter| {
            let reserve = waiter.depth.min(DEPTHS).checked_sub(1);
            held < GREED * free
                || reserve.is_some_and(|n| reserves.get(n).is_some_and(|left| *left > 0))
        };
        let first = |tenant: &Tenant| {
            let mut waiting = tenant.waiting.iter();
            waiting.position(|waiter| may(tenant.held, waiter))
        };
        let (id, place) = self
            .tenants
            .iter()
            .filter_map(|(id, tenant)| Some((*id, first(tenant)?, tenant.share())))
            .min_by(|(_, _, a), (_, _, b)| a.total_cmp(b))
            .map(|(id, place, _)| (id, place))?;
        let tenant = self.tenants.get_mut(&id)?;
        let waiter = tenant.waiting.remove(place)?;
        let held = tenant.held;
        tenant.held += 1;
        let reserve = self.take(waiter.depth, held)?;
        Some((id, waiter, reserve))
    }
}

impl Tenant {
    fn share(&self) -> f64 {
        self.held as f64 / f64::from(self.weight)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(gate) = self.gate.take() {
            gate.give_back(self.tenant, self.reserve);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn now(gate: &Arc<Gate>, tenant: usize, depth: usize) -> Option<Permit> {
        gate.enter(tenant, 1, depth).now_or_never()
    }

    fn free(gate: &Gate) -> (usize, usize) {
        let state = gate.state.lock();
        (state.free, state.reserves.iter().sum())
    }

    #[tokio::test]
    async fn who_holds_least_for_its_weight_is_next() {
        let gate = Gate::new(3, 0);
        let first: Vec<_> = (0..3).map(|_| now(&gate, 1, 0).unwrap()).collect();
        assert!(now(&gate, 1, 0).is_none(), "all are held");
        let mut flood: Vec<_> = (0..5).map(|_| Box::pin(gate.enter(1, 1, 0))).collect();
        for waiting in &mut flood {
            assert!(waiting.now_or_never().is_none());
        }
        let mut other = Box::pin(gate.enter(2, 1, 0));
        assert!((&mut other).now_or_never().is_none());
        drop(first);
        // Three came free: the other tenant had one although five waited before it.
        assert!((&mut other).now_or_never().is_some());
        let entered: Vec<_> = flood.iter_mut().filter_map(|w| w.now_or_never()).collect();
        assert_eq!(entered.len(), 3 - 1 + 1, "its instance went back at once");
        drop((entered, flood, other));
        assert_eq!(free(&gate), (3, 0));
    }

    #[tokio::test]
    async fn nobody_takes_the_last_ones() {
        let gate = Gate::new(8, 0);
        let flood: Vec<_> = std::iter::from_fn(|| now(&gate, 1, 0)).collect();
        assert_eq!(flood.len(), 6);
        let second: Vec<_> = std::iter::from_fn(|| now(&gate, 2, 0)).collect();
        assert_eq!(second.len(), 2);
        assert!(now(&gate, 3, 0).is_none(), "eight are not many");
        let mut waiting = Box::pin(gate.enter(1, 1, 0));
        assert!((&mut waiting).now_or_never().is_none());
        drop(second);
        assert!(
            (&mut waiting).now_or_never().is_none(),
            "6 of 8 are its most"
        );
        drop(flood);
        assert!((&mut waiting).now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_nested_call_never_waits_for_its_caller() {
        let gate = Gate::new(2, 1);
        let outer: Vec<_> = (0..2).map(|_| now(&gate, 1, 0).unwrap()).collect();
        assert!(now(&gate, 1, 0).is_none());
        let inner = now(&gate, 1, 1).unwrap();
        assert!(
            now(&gate, 1, 1).is_none(),
            "the reserve of this depth is held"
        );
        let deepest = now(&gate, 1, 2).unwrap();
        let mut waiting = Box::pin(gate.enter(1, 1, 1));
        assert!((&mut waiting).now_or_never().is_none());
        drop(deepest);
        assert!((&mut waiting).now_or_never().is_none(), "not of its depth");
        drop(inner);
        let inner = (&mut waiting).now_or_never().unwrap();
        drop((outer, inner));
        assert_eq!(free(&gate), (2, DEPTHS));
    }

    #[tokio::test]
    async fn who_leaves_the_queue_takes_nothing_along() {
        let gate = Gate::new(1, 0);
        let held = now(&gate, 1, 0).unwrap();
        let mut left = Box::pin(gate.enter(1, 1, 0));
        let mut stays = Box::pin(gate.enter(1, 1, 0));
        assert!((&mut left).now_or_never().is_none());
        assert!((&mut stays).now_or_never().is_none());
        drop(left);
        drop(held);
        let held = (&mut stays).now_or_never().unwrap();
        let mut granted = Box::pin(gate.enter(1, 1, 0));
        assert!((&mut granted).now_or_never().is_none());
        drop(held); // Granted, but never looked at.
        drop(granted);
        assert_eq!(free(&gate), (1, 0));
        assert!(gate.state.lock().tenants.is_empty());
    }
}
