//! Guests' turns on the processor, shared among tenants.
//!
//! A guest is taken for a processor hog until it proves otherwise. It runs as a future that comes
//! back at every tick of its engine's epoch ([`ticker`]), so that nobody holds a thread for longer
//! than about a tick. Its first turn is taken in place, on the thread that polls the call: most
//! guests are done by then, and nothing crosses threads. Whoever wants more goes to the sandbox's
//! own threads, which serve the tenants by weighted fair virtual time ([`fair`]) and let those wait
//! that are over their processor time per second ([`Account`]). Async reactors thus never hold more
//! than one turn of a guest, and a tenant cannot slow another beyond its share.
//!
//! A future that wakes itself while it is polled wants another turn; one that does not waits for
//! the host and costs nothing until it is woken.

mod account;
mod bucket;
mod call;
mod fair;
mod threads;
mod ticker;

use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

pub use account::Account;

use call::{Body, Call, panic_text};
use routir_core::{Error, Result};
use threads::Shared;
use ticker::{TickGuard, Ticker};

/// How often guests come back, and the longest turn of one that does not dodge its ticks.
const TICK: Duration = Duration::from_millis(1);

/// Why a call has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// It used more processor time than it may.
    CpuLimit {
        /// What it used: the limit and the rest of its last turn.
        used: Duration,
    },
    /// Host code panicked under it; the text is the panic's.
    Panicked(String),
    /// The operating system gave no thread to run it on; the text is its reason.
    NoThread(String),
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CpuLimit { used } => write!(
                f,
                "used {} ms of processor time, which is over its limit",
                used.as_millis()
            ),
            Self::Panicked(why) => write!(f, "met a mistake of the host: {why}"),
            Self::NoThread(why) => write!(f, "found no thread to run on: {why}"),
        }
    }
}

/// Shares processor time among the accounts of tenants. Its threads start when they are needed and
/// end when it is dropped.
pub(crate) struct Scheduler {
    shared: Arc<Shared>,
    ticker: Ticker,
}

impl Scheduler {
    /// A scheduler with at most `threads` threads of its own, at least one. Beside them it calls
    /// `tick` once a millisecond while there are calls, upon which guests must come back.
    ///
    /// # Errors
    /// [`routir_core::ErrorCode::Internal`] when the operating system gives no thread.
    pub(crate) fn new(threads: usize, tick: impl Fn() + Send + 'static) -> Result<Arc<Self>> {
        let ticker = Ticker::new(tick)
            .map_err(|error| Error::internal(format!("no thread for guests' time: {error}")))?;
        Ok(Arc::new(Self {
            shared: Shared::new(threads.max(1)),
            ticker,
        }))
    }

    /// Runs `work` on `account`, for at most `cpu_limit` of processor time, all its turns
    /// together. Time that it waits, for the host or for its turn, is not counted; whoever awaits
    /// the call bounds that.
    ///
    /// Dropping the call drops `work`: at once, or after the present turn if it has one. Inside
    /// `work` the caller's tokio runtime is there, on whichever thread.
    pub(crate) fn run<T, F>(
        self: &Arc<Self>,
        account: Arc<Account>,
        cpu_limit: Duration,
        work: F,
    ) -> Run<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let (send, output) = oneshot::channel();
        let body: Body = Box::pin(async move {
            let output = AssertUnwindSafe(work).catch_unwind().await;
            let output = output.map_err(|panic| Stopped::Panicked(panic_text(panic.as_ref())));
            // Fails when the caller left, and the body is about to be dropped.
            let _ = send.send(output);
        });
        let runtime = Handle::try_current().ok();
        let call = Call::new(Arc::clone(&self.shared), account, cpu_limit, runtime, body);
        Run {
            call,
            output,
            started: false,
            _tick: self.ticker.guard(),
            _scheduler: Arc::clone(self),
        }
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

/// A call that was handed to the scheduler: lazy like every future, cancelled when dropped.
#[must_use = "a call does nothing unless it is awaited"]
pub(crate) struct Run<T> {
    call: Arc<Call>,
    output: oneshot::Receiver<Result<T, Stopped>>,
    started: bool,
    _tick: TickGuard,
    /// The threads do not end while somebody waits for them.
    _scheduler: Arc<Scheduler>,
}

impl<T> Future for Run<T> {
    type Output = Result<T, Stopped>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if !self.started {
            self.started = true;
            self.call.start();
        }
        Pin::new(&mut self.output).poll(context).map(|output| {
            // Without an output the body was dropped, and the call knows why.
            let lost = || Stopped::Panicked("the call was lost".to_owned());
            output.unwrap_or_else(|_| Err(self.call.why_stopped().unwrap_or_else(lost)))
        })
    }
}

impl<T> Drop for Run<T> {
    fn drop(&mut self) {
        self.call.cancel();
    }
}

#[cfg(test)]
mod tests;
