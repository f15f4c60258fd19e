//! RoutIR's rules for trying again: 0.1 seconds after the first failure, then twice as long each
//! time up to 2 seconds, for failures that may pass.

use std::future::Future;
use std::time::{Duration, Instant};

use crate::{ClientError, ErrorKind};

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(2);

/// How long a call may take, and how often it is tried.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// The longest that one attempt may take.
    pub(crate) timeout: Duration,
    /// Attempts after the first.
    pub(crate) retries: u32,
    /// When the answer is worth nothing any more.
    pub(crate) deadline: Option<Instant>,
}

impl Patience {
    /// How long the next attempt may take; `None` when there is no time left.
    fn left(&self) -> Option<Duration> {
        let Some(deadline) = self.deadline else {
            return Some(self.timeout);
        };
        let left = deadline.checked_duration_since(Instant::now())?;
        (!left.is_zero()).then(|| left.min(self.timeout))
    }
}

/// Makes attempts until one succeeds, fails for good, or patience ends. An attempt is told how long
/// it may take.
pub(crate) async fn tried<T, Fut>(
    patience: Patience,
    mut attempt: impl FnMut(Duration) -> Fut,
) -> Result<T, ClientError>
where
    Fut: Future<Output = Result<T, ClientError>>,
{
    let mut pause = FIRST;
    let mut last = None;
    for number in 0..=patience.retries {
        let Some(time) = patience.left() else {
            break;
        };
        let failure = match tokio::time::timeout(time, attempt(time)).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(failure)) if !failure.is_transient() => return Err(failure),
            Ok(Err(failure)) => failure,
            Err(_) => ClientError::new(
                ErrorKind::Timeout,
                format!("no answer within {} s", time.as_secs_f64()),
            ),
        };
        if number == patience.retries {
            return Err(match number {
                0 => failure,
                _ => after(failure, number + 1),
            });
        }
        let no_time = patience
            .deadline
            .is_some_and(|deadline| Instant::now() + pause >= deadline);
        if no_time {
            return Err(after(failure, number + 1));
        }
        last = Some(failure);
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST);
    }
    Err(last.unwrap_or_else(|| {
        ClientError::new(
            ErrorKind::Timeout,
            "the deadline passed before the call began",
        )
    }))
}

fn after(failure: ClientError, attempts: u32) -> ClientError {
    match attempts {
        1 => failure,
        _ => failure.at(format!("after {attempts} attempts")),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn patience(retries: u32) -> Patience {
        Patience {
            timeout: Duration::from_secs(5),
            retries,
            deadline: None,
        }
    }

    async fn failing(kind: ErrorKind, patience: Patience) -> (u32, Duration, ClientError) {
        let (count, started) = (Cell::new(0), tokio::time::Instant::now());
        let outcome: Result<(), _> = tried(patience, |_| {
            count.set(count.get() + 1);
            async move { Err(ClientError::new(kind, "no")) }
        })
        .await;
        (count.get(), started.elapsed(), outcome.unwrap_err())
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_double_up_to_two_seconds() {
        let (attempts, took, error) = failing(ErrorKind::Unavailable, patience(7)).await;
        assert_eq!(attempts, 8);
        // 0.1 + 0.2 + 0.4 + 0.8 + 1.6 + 2 + 2
        assert_eq!(took.as_millis() / 100, 71);
        assert_eq!(error.message(), "after 8 attempts: no");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_the_requests_fault_is_not_tried_again() {
        for kind in [
            ErrorKind::Refused,
            ErrorKind::BadAnswer,
            ErrorKind::TooLarge,
        ] {
            assert_eq!(failing(kind, patience(7)).await.0, 1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_that_hangs_is_given_up() {
        let hang = |_| std::future::pending::<Result<(), ClientError>>();
        let error = tried(patience(0), hang).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
    }

    #[tokio::test]
    async fn no_attempt_begins_after_the_deadline() {
        let over = Patience {
            deadline: Some(Instant::now()),
            ..patience(3)
        };
        let (attempts, _, error) = failing(ErrorKind::Unavailable, over).await;
        assert_eq!((attempts, error.kind()), (0, ErrorKind::Timeout));
    }
}
