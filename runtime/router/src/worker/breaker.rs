//! Keeping requests from a worker that fails them.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Failures in a row that take a worker out.
const IN_A_ROW: u32 = 5;
/// Failures are counted over this long.
const WINDOW: Duration = Duration::from_secs(10);
/// Fewer requests than this in a window say nothing about the share of failures.
const ENOUGH: u64 = 20;
/// The first time out, doubled each time.
const FIRST: Duration = Duration::from_secs(1);
/// The longest time out.
const LONGEST: Duration = Duration::from_secs(30);
/// After as long without a failure that took it out, times are short again.
const FORGIVEN: Duration = Duration::from_secs(60);

/// How a request to a worker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was answered, whatever the answer was but for those below.
    Answered,
    /// No connection could be made.
    ConnectFailed,
    /// The connection broke before the answer or in the middle of it.
    Reset,
    /// The answer did not begin in time.
    TimedOut,
    /// The worker said that it is going away: 503 without a code.
    Draining,
    /// 500 and what is like it.
    ServerError,
}

/// Whether a worker may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It may.
    In,
    /// One request may be tried; there is none yet.
    OnTrial,
    /// Not now: it failed, or is being tried.
    Out,
}

/// Counts failures and takes a worker out for a time that doubles; then one request is tried.
///
/// It says what it thinks of a worker. Whoever chooses asks workers that are out all the same when
/// there is nobody else.
#[derive(Debug)]
pub(crate) struct Breaker {
    answered: AtomicU64,
    in_a_row: AtomicU32,
    /// Whether `state` is anything but `Closed`, so that nobody locks while all is well.
    troubled: AtomicBool,
    ejections: AtomicU64,
    state: Mutex<Tally>,
}

#[derive(Debug)]
struct Tally {
    state: State,
    /// How often it was taken out lately.
    times: u32,
    last_out: Option<Instant>,
    window: Instant,
    answered_before: u64,
    failed: u64,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Closed,
    /// `gone` if nothing answered there, which a new connection disproves.
    Out {
        until: Instant,
        gone: bool,
    },
    Tried {
        gone: bool,
    },
}

impl Breaker {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            answered: AtomicU64::default(),
            in_a_row: AtomicU32::default(),
            troubled: AtomicBool::default(),
            ejections: AtomicU64::default(),
            state: Mutex::new(Tally {
                state: State::Closed,
                times: 0,
                last_out: None,
                window: now,
                answered_before: 0,
                failed: 0,
            }),
        }
    }

    pub(crate) fn standing(&self, now: Instant) -> Standing {
        if !self.troubled.load(Ordering::Acquire) {
            return Standing::In;
        }
        match self.state.lock().state {
            State::Closed => Standing::In,
            State::Out { until, .. } if now >= until => Standing::OnTrial,
            State::Out { .. } | State::Tried { .. } => Standing::Out,
        }
    }

    /// How often it was taken out since it is known.
    pub(crate) fn ejections(&self) -> u64 {
        self.ejections.load(Ordering::Relaxed)
    }

    /// A request begins. Whether it is the one that is tried. What time it is, is only asked of a
    /// worker that failed.
    pub(crate) fn begin(&self, now: impl FnOnce() -> Instant) -> bool {
        if !self.troubled.load(Ordering::Acquire) {
            return false;
        }
        let mut tally = self.state.lock();
        match tally.state {
            State::Out { until, gone } if now() >= until => {
                tally.state = State::Tried { gone };
                true
            }
            _ => false,
        }
    }

    /// The request that was tried ended; if nobody told how, another may be tried.
    pub(crate) fn end_trial(&self, now: Instant) {
        let mut tally = self.state.lock();
        if let State::Tried { gone } = tally.state {
            tally.state = State::Out { until: now, gone };
        }
    }

    /// The request that was tried is being answered.
    pub(crate) fn passed(&self, now: Instant) {
        let mut tally = self.state.lock();
        if matches!(tally.state, State::Tried { .. }) {
            self.close(&mut tally, now);
        }
    }

    /// A request ended so; the time is asked for as by [`begin`](Self::begin).
    pub(crate) fn report(&self, outcome: Outcome, now: impl FnOnce() -> Instant) {
        if outcome == Outcome::Answered {
            self.answered.fetch_add(1, Ordering::Relaxed);
            if self.in_a_row.load(Ordering::Relaxed) != 0 {
                self.in_a_row.store(0, Ordering::Relaxed);
            }
            if self.troubled.load(Ordering::Acquire) {
                self.passed(now());
            }
            return;
        }
        let in_a_row = self
            .in_a_row
            .fetch_add(1, Ordering::Relaxed)
            .saturating_add(1);
        let gone = matches!(outcome, Outcome::ConnectFailed | Outcome::Draining);
        let now = now();
        let mut tally = self.state.lock();
        match tally.state {
            State::Tried { .. } => self.eject(&mut tally, gone, now),
            // What was sent before it was taken out says nothing new.
            State::Out { .. } => {}
            State::Closed => {
                let failing = tally.failing(self.answered.load(Ordering::Relaxed), now);
                if gone || failing || in_a_row >= IN_A_ROW {
                    self.eject(&mut tally, gone, now);
                }
            }
        }
    }

    /// A new connection told of the worker: whatever did not answer there does now.
    pub(crate) fn reached(&self, now: Instant) {
        if !self.troubled.load(Ordering::Acquire) {
            return;
        }
        let mut tally = self.state.lock();
        if let State::Out { gone: true, .. } | State::Tried { gone: true } = tally.state {
            self.close(&mut tally, now);
        }
    }

    fn close(&self, tally: &mut Tally, now: Instant) {
        tally.state = State::Closed;
        tally.window = now;
        tally.failed = 0;
        tally.answered_before = self.answered.load(Ordering::Relaxed);
        self.in_a_row.store(0, Ordering::Relaxed);
        self.troubled.store(false, Ordering::Release);
    }

    fn eject(&self, tally: &mut Tally, gone: bool, now: Instant) {
        let lately = |last: Instant| now.saturating_duration_since(last) < FORGIVEN;
        if !tally.last_out.is_some_and(lately) {
            tally.times = 0;
        }
        let time = FIRST.saturating_mul(1 << tally.times.min(8)).min(LONGEST);
        tally.times = tally.times.saturating_add(1);
        let until = now + time;
        tally.last_out = Some(until);
        tally.state = State::Out { until, gone };
        self.ejections.fetch_add(1, Ordering::Relaxed);
        self.troubled.store(true, Ordering::Release);
    }
}

impl Tally {
    /// Counts a failure. Whether half of what was asked lately failed.
    fn failing(&mut self, answered: u64, now: Instant) -> bool {
        if now.saturating_duration_since(self.window) > WINDOW {
            self.window = now;
            self.failed = 0;
            self.answered_before = answered;
        }
        self.failed += 1;
        let all = answered.saturating_sub(self.answered_before) + self.failed;
        all >= ENOUGH && self.failed * 2 >= all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, seconds: f64) -> Instant {
        start + Duration::from_secs_f64(seconds)
    }

    #[test]
    fn failures_in_a_row_take_it_out_and_one_trial_brings_it_back() {
        let start = Instant::now();
        let breaker = Breaker::new(start);
        for _ in 0..4 {
            breaker.report(Outcome::Reset, || start);
        }
        breaker.report(Outcome::Answered, || start);
        for _ in 0..4 {
            breaker.report(Outcome::TimedOut, || start);
            assert_eq!(breaker.standing(start), Standing::In);
        }
        breaker.report(Outcome::ServerError, || start);
        assert_eq!(breaker.standing(start), Standing::Out);
        // What was sent before ends well; it stays out.
        breaker.report(Outcome::Answered, || start);
        assert_eq!(breaker.standing(at(start, 0.9)), Standing::Out);
        assert_eq!(breaker.standing(at(start, 1.0)), Standing::OnTrial);
        assert!(breaker.begin(|| at(start, 1.0)));
        assert!(
            !breaker.begin(|| at(start, 1.0)),
            "one request is tried, not two"
        );
        assert_eq!(breaker.standing(at(start, 1.1)), Standing::Out);
        breaker.report(Outcome::Answered, || at(start, 1.2));
        assert_eq!(breaker.standing(at(start, 1.2)), Standing::In);
    }

    #[test]
    fn the_time_out_doubles_up_to_a_bound_and_is_forgiven() {
        let start = Instant::now();
        let breaker = Breaker::new(start);
        let mut now = 0.0;
        breaker.report(Outcome::ConnectFailed, || at(start, now));
        for expected in [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0] {
            assert_eq!(
                breaker.standing(at(start, now + expected - 0.1)),
                Standing::Out
            );
            now += expected;
            assert!(breaker.begin(|| at(start, now)));
            breaker.report(Outcome::Reset, || at(start, now));
        }
        assert_eq!(breaker.ejections(), 8);
        now += 30.0;
        assert!(breaker.begin(|| at(start, now)));
        breaker.report(Outcome::Answered, || at(start, now));
        now += 61.0;
        breaker.report(Outcome::ConnectFailed, || at(start, now));
        assert_eq!(breaker.standing(at(start, now + 1.0)), Standing::OnTrial);
    }

    #[test]
    fn half_of_many_failing_takes_it_out_and_few_do_not() {
        let start = Instant::now();
        let breaker = Breaker::new(start);
        for turn in 0..200 {
            // A third fails.
            let outcome = [Outcome::Answered, Outcome::Answered, Outcome::ServerError][turn % 3];
            breaker.report(outcome, || start);
        }
        assert_eq!(breaker.standing(start), Standing::In);
        let later = at(start, 11.0);
        for turn in 0..24 {
            let outcome = [Outcome::Answered, Outcome::ServerError][turn % 2];
            breaker.report(outcome, || later);
        }
        assert_eq!(breaker.standing(later), Standing::Out);
    }

    #[test]
    fn a_new_connection_disproves_that_nobody_answers_and_nothing_else() {
        let start = Instant::now();
        let breaker = Breaker::new(start);
        breaker.report(Outcome::ConnectFailed, || start);
        breaker.reached(start);
        assert_eq!(breaker.standing(start), Standing::In);
        for _ in 0..5 {
            breaker.report(Outcome::ServerError, || start);
        }
        breaker.reached(start);
        assert_eq!(breaker.standing(start), Standing::Out);
    }

    #[test]
    fn a_trial_whose_caller_left_is_tried_again() {
        let start = Instant::now();
        let breaker = Breaker::new(start);
        breaker.report(Outcome::ConnectFailed, || start);
        assert!(breaker.begin(|| at(start, 2.0)));
        breaker.end_trial(at(start, 3.0));
        assert_eq!(breaker.standing(at(start, 3.0)), Standing::OnTrial);
    }
}
