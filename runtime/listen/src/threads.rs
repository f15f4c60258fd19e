//! Threads that connections are dealt to, each with a reactor of its own.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::time::{interval, sleep, timeout};

use crate::busy_poll::busy_poll;
use crate::serve::HEARTBEAT;

/// How long what is left on a thread that ends may take to end, and how often it is looked for.
const LAST_WORDS: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(10);

/// Threads with a reactor each. A connection stays on one of them: what it reads and what it asks
/// others for wakes that thread alone, where a runtime of many threads would rouse a second one to
/// look for work, and carry the request over to it.
///
/// They end when this is dropped, and whatever runs on them a second later.
#[derive(Debug, Default)]
pub(crate) struct Threads(Vec<Thread>);

#[derive(Debug)]
struct Thread {
    reactor: Handle,
    /// Held by each connection too.
    seat: Seat,
    /// Dropping it ends the thread.
    _stop: oneshot::Sender<()>,
}

/// Held for as long as a connection is on a thread: there are as many as connections.
pub(crate) type Seat = Arc<()>;

impl Threads {
    /// So many threads, or as many of them as the system gives, which look for bytes for so long before
    /// they sleep.
    pub(crate) async fn start(count: usize, busy_poll: Duration) -> Self {
        let mut threads = Vec::new();
        for number in 0..count {
            match Thread::start(number, busy_poll).await {
                Ok(thread) => threads.push(thread),
                Err(why) => {
                    tracing::warn!(
                        error = %why, wanted = count, running = threads.len(),
                        "a thread for connections could not be started"
                    );
                    break;
                }
            }
        }
        Self(threads)
    }

    /// The thread with the fewest connections; `None` where there are no threads.
    pub(crate) fn deal(&self) -> Option<(&Handle, Seat)> {
        let fewest = self.0.iter().min_by_key(|it| Arc::strong_count(&it.seat))?;
        Some((&fewest.reactor, Arc::clone(&fewest.seat)))
    }
}

impl Thread {
    async fn start(number: usize, busy_poll: Duration) -> io::Result<Self> {
        let (tell, told) = oneshot::channel();
        let (stop, stopped) = oneshot::channel();
        thread::Builder::new()
            .name(format!("connections-{number}"))
            .spawn(move || run(tell, stopped, busy_poll))?;
        let reactor = told.await.map_err(io::Error::other)??;
        Ok(Self {
            reactor,
            seat: Seat::default(),
            _stop: stop,
        })
    }
}

/// Runs what is spawned on a reactor of this thread until `stopped`, and looks for bytes for `longest`
/// before it sleeps.
fn run(
    tell: oneshot::Sender<io::Result<Handle>>,
    mut stopped: oneshot::Receiver<()>,
    longest: Duration,
) {
    let reactor = match Builder::new_current_thread().enable_all().build() {
        Ok(reactor) => reactor,
        Err(why) => {
            // Nobody waits any more.
            let _ = tell.send(Err(why));
            return;
        }
    };
    let _ = tell.send(Ok(reactor.handle().clone()));
    let watch = (!longest.is_zero()).then(|| reactor.spawn(busy_poll(longest)));
    reactor.block_on(async {
        let mut heartbeat = interval(HEARTBEAT);
        loop {
            tokio::select! {
                _ = &mut stopped => break,
                _ = heartbeat.tick() => {}
            }
        }
        if let Some(watch) = watch {
            watch.abort();
        }
        // What became a web socket is no connection any more; it may still say that it ends.
        let running = Handle::current();
        let ended = async {
            while running.metrics().num_alive_tasks() > 0 {
                sleep(LOOK).await;
            }
        };
        let _ = timeout(LAST_WORDS, ended).await;
    });
    // A name may be being looked up for a request that is gone.
    reactor.shutdown_background();
}

/// Moves a connection to another reactor.
///
/// # Errors
/// When the system does not let it.
pub(crate) fn moved(stream: TcpStream, reactor: &Handle) -> io::Result<TcpStream> {
    let stream = stream.into_std()?;
    let _within = reactor.enter();
    TcpStream::from_std(stream)
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn connections_are_dealt_to_whoever_has_fewest() {
        let threads = Threads::start(2, Duration::ZERO).await;
        let seats: Vec<_> = (0..4).map(|_| threads.deal().unwrap()).collect();
        let ids: Vec<_> = seats.iter().map(|(reactor, _)| reactor.id()).collect();
        assert!(ids[0] != ids[1] && ids[2] != ids[3], "{ids:?}");
        let mut seats = seats.into_iter();
        let left = seats.next().unwrap().0.id();
        assert_eq!(threads.deal().unwrap().0.id(), left);
        assert!(Threads::start(0, Duration::ZERO).await.deal().is_none());
    }

    #[tokio::test]
    async fn what_runs_may_end_when_its_thread_does() {
        let threads = Threads::start(1, Duration::ZERO).await;
        let (stop, stopped) = oneshot::channel::<()>();
        let (tell, told) = oneshot::channel();
        let (reactor, _seat) = threads.deal().unwrap();
        reactor.spawn(async move {
            let _ = stopped.await;
            sleep(LOOK).await;
            let _ = tell.send("goodbye");
        });
        drop(threads);
        drop(stop);
        assert_eq!(told.await, Ok("goodbye"));
    }

    #[tokio::test]
    async fn what_still_runs_is_dropped_with_the_threads() {
        let threads = Threads::start(1, Duration::ZERO).await;
        let (held, mut left) = mpsc::channel::<()>(1);
        let (began, begun) = oneshot::channel();
        let (reactor, _seat) = threads.deal().unwrap();
        reactor.spawn(async move {
            began
                .send(thread::current().name().map(str::to_owned))
                .unwrap();
            std::future::pending::<()>().await;
            drop(held);
        });
        assert_eq!(begun.await.unwrap().as_deref(), Some("connections-0"));
        drop(threads);
        let gone = timeout(Duration::from_secs(10), left.recv()).await;
        assert_eq!(gone, Ok(None));
    }
}
