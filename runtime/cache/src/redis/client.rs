//! A client that never stalls: a connection that somebody else looks after.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use redis::{Cmd, RedisError, Value};
use routir_core::{Metrics, RedisMetrics};
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::RedisSettings;
use super::connect::{Connection, connect};

/// The largest value that is kept or read, in bytes, with what surrounds it.
pub(super) const MAX_VALUE: usize = 1 << 20;

/// How many values are on their way to a Redis at once; further ones are not kept.
const PUTS: usize = 64;

/// After so many operations in a row that were not answered in time, the connection is given up.
const STALLS: u32 = 3;

/// How long a lost connection is not tried again: the first time, and at most.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// A Redis that may be there or not. Clones are one; the last one closes the connection.
///
/// Connecting happens in the background, again and again with growing pauses. While there is no
/// connection, operations end at once, with nothing. With one, they take at most 100 milliseconds
/// (`socket_timeout` says otherwise, up to a second). A Redis that was silent three times in a row,
/// that ends the connection or that sends what nobody asked for counts as gone.
#[derive(Clone)]
pub struct RedisClient(Arc<Supervised>);

struct Supervised {
    state: Arc<State>,
    supervisor: JoinHandle<()>,
}

struct State {
    settings: RedisSettings,
    link: ArcSwapOption<Link>,
    /// Told when the connection is no good any more.
    lost: Notify,
    puts: Arc<Semaphore>,
    metrics: RedisMetrics,
    handle: Handle,
}

/// A connection in use.
struct Link {
    connection: Connection,
    /// Operations in a row that were not answered in time.
    stalls: AtomicU32,
    /// Whether any was answered.
    proved: AtomicBool,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// There is no connection.
    Unreachable,
    /// It was not answered in time.
    Timeout,
    /// Redis refused, or the connection broke.
    Error,
}

impl RedisClient {
    /// Begins to connect. Must be called within a tokio runtime.
    #[must_use]
    pub fn start(settings: RedisSettings, metrics: &Metrics) -> Self {
        let metrics = metrics.redis(&settings.to_string());
        let state = Arc::new(State {
            settings,
            link: ArcSwapOption::empty(),
            lost: Notify::new(),
            puts: Arc::new(Semaphore::new(PUTS)),
            metrics,
            handle: Handle::current(),
        });
        let supervisor = state.handle.spawn(supervise(Arc::clone(&state)));
        Self(Arc::new(Supervised { state, supervisor }))
    }

    /// Whether there is a connection now.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.0.state.link.load().is_some()
    }

    /// What keys begin with.
    pub(super) fn prefix(&self) -> &str {
        &self.0.state.settings.prefix
    }

    pub(super) fn metrics(&self) -> &RedisMetrics {
        &self.0.state.metrics
    }

    /// The bytes at `key`, none of them if there is no such key, at most one more than
    /// [`MAX_VALUE`].
    pub(super) async fn get(&self, key: &str) -> Result<Vec<u8>, Trouble> {
        // Unlike `GET`, it is bounded where the value lies.
        let mut command = redis::cmd("GETRANGE");
        command.arg(key).arg(0).arg(MAX_VALUE);
        match self.0.state.ask(&command).await? {
            Value::BulkString(bytes) => Ok(bytes),
            _ => Err(Trouble::Error),
        }
    }

    /// Does `work`, which asks for one value to be kept, when it can be done soon; nobody waits.
    pub(super) fn later(
        &self,
        work: impl FnOnce() -> Option<(String, Vec<u8>, Duration)> + Send + 'static,
    ) {
        let state = &self.0.state;
        let metrics = &state.metrics;
        if state.link.load().is_none() {
            metrics.put_unreachable.inc();
            return;
        }
        let Ok(place) = Arc::clone(&state.puts).try_acquire_owned() else {
            metrics.put_dropped.inc();
            return;
        };
        let state = Arc::clone(state);
        self.0.state.handle.spawn(async move {
            let _place = place;
            let metrics = &state.metrics;
            let Some((key, value, ttl)) = work() else {
                metrics.put_oversize.inc();
                return;
            };
            let mut command = redis::cmd("SET");
            let ttl = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).max(1);
            command.arg(key).arg(value).arg("PX").arg(ttl);
            match state.ask(&command).await {
                Ok(_) => metrics.put_stored.inc(),
                Err(Trouble::Unreachable) => metrics.put_unreachable.inc(),
                Err(Trouble::Timeout) => metrics.put_timeout.inc(),
                Err(Trouble::Error) => metrics.put_error.inc(),
            };
        });
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        self.supervisor.abort();
    }
}

impl State {
    async fn ask(&self, command: &Cmd) -> Result<Value, Trouble> {
        let link = self.link.load_full().ok_or(Trouble::Unreachable)?;
        let asked = link.connection.meter.ask();
        let mut asks = link.connection.asks.clone();
        let answer = timeout(self.settings.operation, asks.send_packed_command(command)).await;
        let Ok(answer) = answer else {
            if link.stalls.fetch_add(1, Ordering::Relaxed) + 1 >= STALLS {
                self.lose(&link, "it does not answer in time");
            }
            return Err(Trouble::Timeout);
        };
        match answer.and_then(Value::extract_error) {
            Ok(value) => {
                asked.answered();
                link.answered();
                Ok(value)
            }
            Err(error) if error.is_unrecoverable_error() => {
                self.lose(&link, &told(&error));
                Err(Trouble::Error)
            }
            Err(error) => {
                asked.answered();
                link.answered();
                tracing::debug!(redis = %self.settings, "refused: {}", told(&error));
                Err(Trouble::Error)
            }
        }
    }

    /// Gives `link` up, unless somebody has.
    fn lose(&self, link: &Arc<Link>, why: &str) {
        let current = self.link.load();
        if current.as_ref().is_some_and(|now| Arc::ptr_eq(now, link)) {
            let before = self.link.compare_and_swap(&*current, None);
            if before
                .as_ref()
                .is_some_and(|before| Arc::ptr_eq(before, link))
            {
                tracing::warn!(redis = %self.settings, "lost: {why}; nothing is cached until it is back");
                self.metrics.connected.set(0);
                self.lost.notify_one();
            }
        }
    }
}

impl Link {
    fn answered(&self) {
        self.stalls.store(0, Ordering::Relaxed);
        self.proved.store(true, Ordering::Relaxed);
    }
}

/// Keeps up the connection for as long as the client is there.
async fn supervise(state: Arc<State>) {
    let mut wait = FIRST_WAIT;
    let mut told_absent = false;
    loop {
        let settings = &state.settings;
        let attempt = timeout(settings.connect, connect(settings, MAX_VALUE)).await;
        let failed = match attempt {
            Ok(Ok(connection)) => {
                tracing::info!(redis = %settings, "connected");
                told_absent = false;
                if hold(&state, connection).await {
                    wait = FIRST_WAIT;
                }
                None
            }
            Ok(Err(error)) => Some(told(&error)),
            Err(_) => Some("it does not answer in time".to_owned()),
        };
        if let Some(why) = failed {
            if told_absent {
                tracing::debug!(redis = %settings, "still cannot be used: {why}");
            } else {
                tracing::warn!(redis = %settings, "cannot be used: {why}; nothing is cached until it can");
            }
            told_absent = true;
        }
        tokio::time::sleep(jittered(wait)).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// Offers the connection until it is lost; whether it was any good.
async fn hold(state: &State, connection: Connection) -> bool {
    let link = Arc::new(Link {
        connection,
        stalls: AtomicU32::new(0),
        proved: AtomicBool::new(false),
    });
    state.link.store(Some(Arc::clone(&link)));
    state.metrics.connected.set(1);
    let mut look = tokio::time::interval(FIRST_WAIT);
    loop {
        tokio::select! {
            () = state.lost.notified() => break,
            // Nobody may be asking while it closes.
            _ = look.tick() => {
                if link.connection.driver.0.is_finished() {
                    state.lose(&link, "it closed the connection");
                }
            }
        }
    }
    link.proved.load(Ordering::Relaxed)
}

/// Between half of it and all of it, so that servers do not come back all at once.
fn jittered(wait: Duration) -> Duration {
    let chance = RandomState::new().hash_one(0_u8) % 1024;
    wait / 2 + wait.mul_f64(chance as f64 / 2048.0)
}

/// What went wrong, in the library's words, which know no secret.
fn told(error: &RedisError) -> String {
    let text = error.to_string();
    text.chars()
        .filter(|it| !it.is_control())
        .take(300)
        .collect()
}
