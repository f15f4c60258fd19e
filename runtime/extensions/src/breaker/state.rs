//! The breaker as a state machine: no clock, no locks.
//!
//! Closed, it counts failures in a row. At the limit it opens: nobody passes until a wait is over,
//! then one call at a time tries. A try that succeeds closes it; one that fails opens it for twice
//! as long, up to 64 times the first wait; one that says nothing of the extension leaves the way
//! free for the next.

use std::time::{Duration, Instant};

/// How many times longer than the first the longest wait is.
const LONGEST: u32 = 64;

/// When it opens and for how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// Failures in a row; `None`: it never opens.
    pub(super) trip_after: Option<u32>,
    /// The first wait.
    pub(super) retry_after: Duration,
}

#[derive(Debug)]
pub(super) struct Breaker {
    rules: Rules,
    /// Grows when the state changes: what began in an earlier one says nothing of this one.
    era: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    Closed {
        failures: u32,
    },
    Open {
        until: Instant,
        wait: Duration,
        failures: u32,
        trying: bool,
    },
}

/// A call that was let through; to be given back with what became of it.
#[derive(Debug)]
pub(super) struct Ticket {
    era: u64,
}

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The extension did its work.
    Success,
    /// It failed by its own fault.
    Failure,
    /// Neither can be said.
    Neither,
}

/// What a call's outcome did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It opened for so long, after so many failures in a row.
    Opened { failures: u32, wait: Duration },
    /// It closed.
    Closed,
}

/// Why a call was not let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeptOut {
    /// Failures in a row so far.
    pub(super) failures: u32,
    /// When the next call may try; `None`: one tries at this moment.
    pub(super) again_in: Option<Duration>,
}

impl Breaker {
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            rules,
            era: 0,
            state: State::Closed { failures: 0 },
        }
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    /// Asks to let a call through.
    pub(super) fn enter(&mut self, now: Instant) -> Result<Ticket, KeptOut> {
        if let State::Open {
            until,
            failures,
            trying,
            ..
        } = &mut self.state
        {
            let kept_out = |again_in| KeptOut {
                failures: *failures,
                again_in,
            };
            if *trying {
                return Err(kept_out(None));
            }
            if now < *until {
                return Err(kept_out(Some(until.saturating_duration_since(now))));
            }
            *trying = true;
        }
        Ok(Ticket { era: self.era })
    }

    /// Notes what became of a call.
    pub(super) fn leave(
        &mut self,
        ticket: &Ticket,
        outcome: Outcome,
        now: Instant,
    ) -> Option<Change> {
        if ticket.era != self.era {
            return None;
        }
        match (&mut self.state, outcome) {
            (State::Closed { failures }, Outcome::Success) => {
                *failures = 0;
                None
            }
            (State::Closed { .. }, Outcome::Neither) => None,
            (State::Closed { failures }, Outcome::Failure) => {
                *failures = failures.saturating_add(1);
                let failures = *failures;
                let limit = self.rules.trip_after?;
                (failures >= limit).then(|| self.open(failures, self.rules.retry_after, now))
            }
            (State::Open { trying, .. }, Outcome::Neither) => {
                *trying = false;
                None
            }
            (State::Open { .. }, Outcome::Success) => {
                self.era = self.era.wrapping_add(1);
                self.state = State::Closed { failures: 0 };
                Some(Change::Closed)
            }
            (State::Open { wait, failures, .. }, Outcome::Failure) => {
                let longest = self.rules.retry_after.saturating_mul(LONGEST);
                let wait = wait.saturating_mul(2).min(longest);
                let failures = failures.saturating_add(1);
                Some(self.open(failures, wait, now))
            }
        }
    }

    fn open(&mut self, failures: u32, wait: Duration, now: Instant) -> Change {
        self.era = self.era.wrapping_add(1);
        self.state = State::Open {
            until: now.checked_add(wait).unwrap_or(now),
            wait,
            failures,
            trying: false,
        };
        Change::Opened { failures, wait }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rules(trip_after: u32) -> Rules {
        Rules {
            trip_after: Some(trip_after),
            retry_after: Duration::from_secs(10),
        }
    }

    fn call(breaker: &mut Breaker, outcome: Outcome, now: Instant) -> Option<Change> {
        let ticket = breaker.enter(now).unwrap();
        breaker.leave(&ticket, outcome, now)
    }

    #[test]
    fn waits_double_and_end_with_a_success() {
        let mut breaker = Breaker::new(rules(2));
        let mut now = Instant::now();
        assert_eq!(call(&mut breaker, Outcome::Failure, now), None);
        let mut waits = Vec::new();
        for _ in 0..9 {
            match call(&mut breaker, Outcome::Failure, now) {
                Some(Change::Opened { wait, .. }) => waits.push(wait.as_secs()),
                other => panic!("{other:?}"),
            }
            let last = Duration::from_secs(*waits.last().unwrap());
            let early = breaker.enter(now + last - Duration::from_millis(1));
            assert_eq!(early.unwrap_err().again_in, Some(Duration::from_millis(1)));
            now += last;
        }
        assert_eq!(waits, [10, 20, 40, 80, 160, 320, 640, 640, 640]);
        assert_eq!(
            call(&mut breaker, Outcome::Success, now),
            Some(Change::Closed)
        );
        // From the beginning.
        assert_eq!(call(&mut breaker, Outcome::Failure, now), None);
        let opened = Change::Opened {
            failures: 2,
            wait: Duration::from_secs(10),
        };
        assert_eq!(call(&mut breaker, Outcome::Failure, now), Some(opened));
    }

    #[test]
    fn one_call_tries_at_a_time_and_one_that_says_nothing_makes_room() {
        let mut breaker = Breaker::new(rules(1));
        let now = Instant::now();
        call(&mut breaker, Outcome::Failure, now);
        let later = now + Duration::from_secs(10);
        let first = breaker.enter(later).unwrap();
        assert_eq!(breaker.enter(later).unwrap_err().again_in, None);
        assert_eq!(breaker.leave(&first, Outcome::Neither, later), None);
        assert!(breaker.is_open());
        assert!(breaker.enter(later).is_ok());
    }

    #[derive(Clone, Debug)]
    enum Step {
        Enter,
        Leave(usize, Outcome),
        Wait(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let outcome = prop_oneof![
            Just(Outcome::Success),
            Just(Outcome::Failure),
            Just(Outcome::Failure),
            Just(Outcome::Neither)
        ];
        let step = prop_oneof![
            3 => Just(Step::Enter),
            3 => (0_usize..8, outcome).prop_map(|(n, outcome)| Step::Leave(n, outcome)),
            1 => (0_u64..2000).prop_map(Step::Wait),
        ];
        proptest::collection::vec(step, 0..200)
    }

    proptest! {
        /// Whatever is in flight: nothing but enough failures in a row opens it, no two calls try
        /// at once, nobody passes before the wait is over, and nothing but a try closes it.
        #[test]
        fn laws(limit in 1_u32..5, steps in steps()) {
            let mut breaker = Breaker::new(rules(limit));
            let mut now = Instant::now();
            // Calls in flight, each with whether it was let through while open.
            let mut flying: Vec<(Ticket, bool)> = Vec::new();
            let mut not_before = now;
            let mut in_row = 0_u32;
            for step in steps {
                match step {
                    Step::Wait(seconds) => now += Duration::from_secs(seconds),
                    Step::Enter => {
                        let open = breaker.is_open();
                        let trying = flying.iter().any(|(ticket, trial)| {
                            *trial && ticket.era == breaker.era
                        });
                        match breaker.enter(now) {
                            Ok(ticket) => {
                                prop_assert!(!open || (now >= not_before && !trying));
                                flying.push((ticket, open));
                            }
                            Err(_) => prop_assert!(open && (now < not_before || trying)),
                        }
                    }
                    Step::Leave(n, outcome) => {
                        if flying.is_empty() {
                            continue;
                        }
                        let (ticket, trial) = flying.swap_remove(n % flying.len());
                        let open = breaker.is_open();
                        let current = ticket.era == breaker.era;
                        match breaker.leave(&ticket, outcome, now) {
                            Some(Change::Opened { wait, .. }) => {
                                prop_assert_eq!(outcome, Outcome::Failure);
                                prop_assert!(trial || in_row + 1 >= limit);
                                prop_assert!(wait <= Duration::from_secs(640));
                                not_before = now + wait;
                                in_row = 0;
                            }
                            Some(Change::Closed) => {
                                prop_assert!(open && trial && current);
                                prop_assert_eq!(outcome, Outcome::Success);
                                in_row = 0;
                            }
                            None if !open && current => match outcome {
                                Outcome::Success => in_row = 0,
                                Outcome::Failure => in_row += 1,
                                Outcome::Neither => {}
                            },
                            None => prop_assert_eq!(breaker.is_open(), open),
                        }
                    }
                }
            }
        }

        #[test]
        fn without_a_limit_it_never_opens(failures in 0_u32..300) {
            let rules = Rules { trip_after: None, retry_after: Duration::from_secs(1) };
            let mut breaker = Breaker::new(rules);
            for _ in 0..failures {
                prop_assert_eq!(call(&mut breaker, Outcome::Failure, Instant::now()), None);
            }
        }
    }
}
