//! Answers over HTTP/2 on their way to their clients, each ended when its time is over or its client
//! takes in nothing of it for too long.
//!
//! Hyper asks for no more of an answer than the client's flow control lets through, and waits for a
//! client that lets nothing through for as long as the connection lives: one that goes on answering
//! pings would hold what the answer holds for ever. So answers are looked at from outside, all of a
//! server by one task. What is left of one that was ended is a stream that its client holds up on its
//! own connection.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Poll, ready};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

/// The longest between two looks; looks come more often where patience is short.
const LOOK: Duration = Duration::from_millis(250);
/// Looks while a client may take in nothing.
const LOOKS: u32 = 8;

/// Why an answer was ended before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Its time was over.
    Late,
    /// Its client took in nothing.
    Stalled,
}

/// What there is of an answer: its body, and all that ends with it.
pub trait Ends {
    /// It is ended before its end, and dropped after this.
    fn end(&mut self, why: Ended);
}

/// The answers of a server that are on their way.
pub struct Leaving<A> {
    answers: Mutex<HashMap<u64, Arc<Mutex<Turn<A>>>>>,
    next: AtomicU64,
}

/// An answer on its way. Dropping it drops what there is of the answer.
pub struct Leaver<A> {
    leaving: Arc<Leaving<A>>,
    number: u64,
    turn: Arc<Mutex<Turn<A>>>,
}

/// Whose turn it is: the client's since a time, or the server's.
struct Turn<A> {
    since: Option<Instant>,
    /// When it must be over.
    until: Option<Instant>,
    /// `None` when it was ended.
    answer: Option<A>,
    /// Why it was ended, as long as nobody was told.
    ended: Option<Ended>,
}

impl<A: Ends> Leaving<A> {
    /// Holds `answer`, which must have been taken in by `until`.
    pub fn hold(self: &Arc<Self>, answer: A, until: Option<Instant>) -> Leaver<A> {
        let turn = Arc::new(Mutex::new(Turn {
            since: Some(Instant::now()),
            until,
            answer: Some(answer),
            ended: None,
        }));
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.answers.lock().insert(number, Arc::clone(&turn));
        Leaver {
            leaving: Arc::clone(self),
            number,
            turn,
        }
    }

    /// Ends answers whose time is over while it is their client's turn, and those of which it takes
    /// in nothing for `patience`, for ever.
    pub async fn watch(&self, patience: Duration) {
        loop {
            sleep((patience / LOOKS).clamp(Duration::from_millis(1), LOOK)).await;
            let ended = self.end(patience);
            if !ended.is_empty() {
                tracing::debug!(
                    answers = ended.len(),
                    "clients do not take their answers in"
                );
            }
        }
    }

    /// What there was of them, to be dropped where nothing is locked.
    fn end(&self, patience: Duration) -> Vec<A> {
        let now = Instant::now();
        let end = |turn: &Arc<Mutex<Turn<A>>>| {
            // One that is locked moves.
            let mut turn = turn.try_lock()?;
            let waits = now.saturating_duration_since(turn.since?);
            let why = match turn.is_late(now) {
                true => Ended::Late,
                false if waits >= patience => Ended::Stalled,
                false => return None,
            };
            turn.end(why)
        };
        self.answers.lock().values().filter_map(end).collect()
    }
}

impl<A: Ends> Turn<A> {
    fn is_late(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now >= until)
    }

    fn end(&mut self, why: Ended) -> Option<A> {
        let mut answer = self.answer.take()?;
        answer.end(why);
        self.ended = Some(why);
        Some(answer)
    }
}

impl<A: Ends> Leaver<A> {
    /// What `poll` finds next in the answer; it says whether that is of the body, of which nothing
    /// leaves when time is over.
    ///
    /// # Errors
    /// Once, why the answer was ended; then nothing.
    pub fn poll<T>(
        &self,
        poll: impl FnOnce(&mut A) -> Poll<(T, bool)>,
    ) -> Poll<Result<T, Option<Ended>>> {
        let mut turn = self.turn.lock();
        turn.since = None;
        let Some(answer) = &mut turn.answer else {
            return Poll::Ready(Err(turn.ended.take()));
        };
        let (next, of_body) = ready!(poll(answer));
        let now = Instant::now();
        if of_body && turn.is_late(now) {
            let late = turn.end(Ended::Late);
            turn.ended = None;
            drop(turn);
            drop(late);
            return Poll::Ready(Err(Some(Ended::Late)));
        }
        turn.since = Some(now);
        Poll::Ready(Ok(next))
    }

    /// Whether nothing follows: `is_over` says so of an answer that was not ended.
    pub fn is_over(&self, is_over: impl FnOnce(&A) -> bool) -> bool {
        let turn = self.turn.lock();
        match &turn.answer {
            Some(answer) => is_over(answer),
            None => turn.ended.is_none(),
        }
    }
}

impl<A> Drop for Leaver<A> {
    fn drop(&mut self) {
        let turn = self.leaving.answers.lock().remove(&self.number);
        drop(turn);
    }
}

impl<A> Default for Leaving<A> {
    fn default() -> Self {
        Self {
            answers: Mutex::default(),
            next: AtomicU64::default(),
        }
    }
}

impl<A> fmt::Debug for Leaving<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leaving").finish_non_exhaustive()
    }
}

impl<A> fmt::Debug for Leaver<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leaver").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer without end, which tells why it was ended.
    #[derive(Default)]
    struct Endless(Arc<Mutex<Option<Ended>>>);

    impl Ends for Endless {
        fn end(&mut self, why: Ended) {
            *self.0.lock() = Some(why);
        }
    }

    fn next(leaver: &Leaver<Endless>) -> Result<(), Option<Ended>> {
        match leaver.poll(|_| Poll::Ready(((), true))) {
            Poll::Ready(next) => next,
            Poll::Pending => panic!("it is always ready"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_whose_time_is_over_says_so_to_who_goes_on_reading() {
        let (leaving, told) = (Arc::new(Leaving::default()), Endless::default());
        let why = Arc::clone(&told.0);
        let soon = Instant::now() + Duration::from_millis(50);
        let answer = leaving.hold(told, Some(soon));
        assert_eq!(next(&answer), Ok(()));
        tokio::time::advance(Duration::from_millis(50)).await;
        // What is not of the body still leaves.
        let trailers = answer.poll(|_| Poll::Ready(("trailers", false)));
        assert_eq!(trailers, Poll::Ready(Ok("trailers")));
        assert_eq!(next(&answer), Err(Some(Ended::Late)));
        assert_eq!(*why.lock(), Some(Ended::Late));
        assert!(next(&answer) == Err(None) && answer.is_over(|_| false));
    }

    #[tokio::test(start_paused = true)]
    async fn answers_that_are_not_taken_in_end_and_others_go_on() {
        let leaving = Arc::new(Leaving::default());
        let hold = |until| leaving.hold(Endless::default(), until);
        let (late, stalled) = (hold(Some(Instant::now())), hold(None));
        let busy = hold(Some(Instant::now()));
        // The server's turn.
        let pending = busy.poll(|_| Poll::<((), bool)>::Pending);
        assert!(pending.is_pending());
        let patience = Duration::from_secs(3600);
        assert_eq!(leaving.end(patience).len(), 1);
        assert_eq!(leaving.end(Duration::ZERO).len(), 1);
        assert!(!late.is_over(|_| true));
        assert_eq!(next(&late), Err(Some(Ended::Late)));
        assert_eq!(next(&stalled), Err(Some(Ended::Stalled)));
        let other = hold(Some(Instant::now() + patience));
        assert!(leaving.end(patience).is_empty());
        assert_eq!(next(&other), Ok(()));
        drop((late, stalled, other, busy));
        assert!(leaving.answers.lock().is_empty());
    }
}
