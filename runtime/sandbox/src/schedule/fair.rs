//! Whose turn it is: weighted fair queueing over accounts, a pure state machine with injected time.
//!
//! Each account has a queue of its own and a virtual time, which runs while its guests run and
//! slower the heavier it weighs. The account whose virtual time is least is served; within an
//! account, whoever waits longest. An account over its processor time per second is set aside until
//! it has some again.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::account::Account;

/// Items that wait for their account's turn.
pub(super) struct Fair<T> {
    lanes: HashMap<u64, Lane<T>>,
    /// Accounts that may run: virtual time, account.
    ready: BTreeSet<(u128, u64)>,
    /// Accounts that are set aside: until when, account.
    throttled: BTreeSet<(Instant, u64)>,
    /// The virtual time of the account that was served last; never runs back. Where accounts with
    /// nothing to do start again.
    clock: u128,
}

/// An account with items; there is no lane without.
struct Lane<T> {
    account: Arc<Account>,
    items: VecDeque<T>,
    place: Place,
}

/// Where a lane is listed.
#[derive(Clone, Copy)]
enum Place {
    Ready(u128),
    Throttled(Instant),
}

/// What there is to do.
pub(super) enum Next<T> {
    /// This.
    Item(T),
    /// Nothing before this time, unless something is pushed.
    Wait(Option<Instant>),
}

impl<T> Fair<T> {
    pub(super) fn new() -> Self {
        Self {
            lanes: HashMap::new(),
            ready: BTreeSet::new(),
            throttled: BTreeSet::new(),
            clock: 0,
        }
    }

    /// Puts an item at the end of its account's queue.
    pub(super) fn push(&mut self, account: &Arc<Account>, item: T, now: Instant) {
        if let Some(lane) = self.lanes.get_mut(&account.id()) {
            lane.items.push_back(item);
            return;
        }
        let place = match account.throttled_until(now) {
            Some(until) => Place::Throttled(until),
            None => Place::Ready(account.catch_up(self.clock)),
        };
        self.list(account.id(), place);
        let lane = Lane {
            account: account.clone(),
            items: VecDeque::from([item]),
            place,
        };
        self.lanes.insert(account.id(), lane);
    }

    /// Takes the next item.
    pub(super) fn pop(&mut self, now: Instant) -> Next<T> {
        while let Some((until, id)) = self.throttled.first().copied() {
            if until > now {
                break;
            }
            self.relist(id, |account, clock| Place::Ready(account.catch_up(clock)));
        }
        while let Some((time, id)) = self.ready.first().copied() {
            let Some(lane) = self.lanes.get_mut(&id) else {
                self.ready.remove(&(time, id));
                continue;
            };
            if let Some(until) = lane.account.throttled_until(now) {
                self.relist(id, |_, _| Place::Throttled(until));
                continue;
            }
            self.clock = self.clock.max(time);
            let item = lane.items.pop_front();
            if lane.items.is_empty() {
                self.ready.remove(&(time, id));
                self.lanes.remove(&id);
            }
            if let Some(item) = item {
                return Next::Item(item);
            }
        }
        Next::Wait(self.throttled.first().map(|(until, _)| *until))
    }

    /// Counts a turn that an item of `account` had.
    pub(super) fn charge(&mut self, account: &Arc<Account>, used: Duration, now: Instant) {
        let time = account.charge(used, now);
        let listed = self.lanes.get(&account.id()).map(|lane| lane.place);
        if let Some(Place::Ready(_)) = listed {
            self.relist(account.id(), |_, _| Place::Ready(time));
        }
    }

    /// Whether an item of `account` may have a turn past the queue: it is not set aside, and not
    /// further than `turn` ahead of those that wait.
    pub(super) fn may_pass(&self, account: &Account, turn: Duration, now: Instant) -> bool {
        if account.throttled_until(now).is_some() {
            return false;
        }
        let time = account.catch_up(self.clock);
        self.ready.is_empty() || time <= self.clock + account.virtual_time(turn)
    }

    /// Whether accounts are set aside.
    pub(super) fn has_throttled(&self) -> bool {
        !self.throttled.is_empty()
    }

    fn relist(&mut self, id: u64, place: impl FnOnce(&Account, u128) -> Place) {
        let Some(lane) = self.lanes.get_mut(&id) else {
            self.throttled.retain(|(_, listed)| *listed != id);
            return;
        };
        match lane.place {
            Place::Ready(time) => self.ready.remove(&(time, id)),
            Place::Throttled(until) => self.throttled.remove(&(until, id)),
        };
        lane.place = place(&lane.account, self.clock);
        let place = lane.place;
        self.list(id, place);
    }

    fn list(&mut self, id: u64, place: Place) {
        match place {
            Place::Ready(time) => self.ready.insert((time, id)),
            Place::Throttled(until) => self.throttled.insert((until, id)),
        };
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use proptest::prelude::*;
    use routir_core::{Quotas, Tenant};

    use super::*;

    const TURN: Duration = Duration::from_millis(1);

    fn account(weight: u32, cpu_ms_per_s: u32) -> Arc<Account> {
        Account::new(&Tenant {
            name: "t".into(),
            weight: NonZeroU32::new(weight).unwrap(),
            quotas: Quotas {
                concurrent_calls: 1,
                memory_bytes: 0,
                cpu_ms_per_s,
                host_calls_per_s: 0,
                extensions: 0,
            },
            services: vec![],
            collections: vec![],
        })
    }

    /// Serves one turn of `TURN`, and puts its item back; returns whose it was.
    fn serve(fair: &mut Fair<usize>, accounts: &[Arc<Account>], now: Instant) -> usize {
        let Next::Item(who) = fair.pop(now) else {
            panic!("nobody to serve");
        };
        fair.charge(&accounts[who], TURN, now);
        fair.push(&accounts[who], who, now);
        who
    }

    #[test]
    fn who_slept_has_no_credit_and_who_ran_has_no_debt() {
        let now = Instant::now();
        let accounts = [account(1, u32::MAX), account(1, u32::MAX)];
        let mut fair = Fair::new();
        fair.push(&accounts[0], 0, now);
        for _ in 0..1000 {
            serve(&mut fair, &accounts, now);
        }
        fair.push(&accounts[1], 1, now);
        let turns: Vec<_> = (0..20).map(|_| serve(&mut fair, &accounts, now)).collect();
        let first: usize = turns.iter().filter(|who| **who == 0).count();
        assert!((9..=11).contains(&first), "{turns:?}");
    }

    #[test]
    fn who_is_over_its_time_waits_and_holds_up_nobody() {
        let start = Instant::now();
        let accounts = [account(1, 100), account(1, u32::MAX)];
        let mut fair = Fair::new();
        fair.push(&accounts[0], 0, start);
        fair.push(&accounts[1], 1, start);
        let mut turns = [0; 2];
        for ms in 0..3000 {
            turns[serve(&mut fair, &accounts, start + ms * TURN)] += 1;
        }
        // A second's worth in reserve, and three seconds.
        assert!((395..=405).contains(&turns[0]), "{turns:?}");
        assert!(!fair.may_pass(&accounts[0], TURN, start));
        assert!(fair.has_throttled());
    }

    #[test]
    fn a_turn_past_the_queue_is_for_those_who_are_not_ahead() {
        let now = Instant::now();
        let accounts = [account(1, u32::MAX), account(1, u32::MAX)];
        let mut fair = Fair::new();
        fair.push(&accounts[0], 0, now);
        serve(&mut fair, &accounts, now);
        assert!(fair.may_pass(&accounts[1], TURN, now));
        for _ in 0..3 {
            fair.charge(&accounts[1], TURN, now);
        }
        assert!(!fair.may_pass(&accounts[1], TURN, now));
    }

    proptest! {
        #[test]
        fn shares_follow_weights(
            weights in prop::collection::vec(1u32..20, 2..6),
            turns in 100usize..2000,
        ) {
            let now = Instant::now();
            let accounts: Vec<_> = weights.iter().map(|w| account(*w, u32::MAX)).collect();
            let mut fair = Fair::new();
            for (who, account) in accounts.iter().enumerate() {
                // Two items, so that the account stays listed while one of them is served.
                fair.push(account, who, now);
                fair.push(account, who, now);
            }
            let mut had = vec![0.0; accounts.len()];
            for _ in 0..turns {
                had[serve(&mut fair, &accounts, now)] += 1.0;
            }
            let all: u32 = weights.iter().sum();
            for (had, weight) in had.iter().zip(&weights) {
                let due = turns as f64 * f64::from(*weight) / f64::from(all);
                prop_assert!((had - due).abs() <= 1.0 + accounts.len() as f64, "{had} of {due}");
            }
        }

        #[test]
        fn everything_comes_out_once_and_in_order(
            steps in prop::collection::vec((0usize..4, 0u64..50, prop::bool::ANY), 1..300),
        ) {
            let mut now = Instant::now();
            let accounts: Vec<_> = [1, 100, 100, 1000].map(|cpu| account(1, cpu)).to_vec();
            let mut fair = Fair::new();
            let mut waiting: Vec<VecDeque<usize>> = vec![VecDeque::new(); 4];
            for (step, (who, ms, pops)) in steps.iter().enumerate() {
                fair.push(&accounts[*who], (*who, step), now);
                waiting[*who].push_back(step);
                if *pops && let Next::Item((who, step)) = fair.pop(now) {
                    prop_assert_eq!(waiting[who].pop_front(), Some(step));
                    fair.charge(&accounts[who], Duration::from_millis(*ms), now);
                }
                now += Duration::from_millis(*ms);
            }
            loop {
                match fair.pop(now) {
                    Next::Item((who, step)) => {
                        prop_assert_eq!(waiting[who].pop_front(), Some(step));
                    }
                    Next::Wait(Some(until)) => {
                        prop_assert!(until > now);
                        now = until;
                    }
                    Next::Wait(None) => break,
                }
            }
            prop_assert!(waiting.iter().all(VecDeque::is_empty));
        }
    }
}
