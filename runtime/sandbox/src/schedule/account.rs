//! What one tenant's guests use together: memory, processor time, host calls.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use routir_core::Tenant;

use super::TICK;
use super::bucket::Bucket;

/// Virtual time of one nanosecond at weight 1; a heavier account's time runs slower.
const SCALE: u128 = 1 << 32;

/// Memory, processor time and host calls of one tenant's guests together, under its quotas. The
/// operator's account has no quotas and weight 1.
pub struct Account {
    id: u64,
    name: Option<Arc<str>>,
    weight: NonZeroU32,
    memory_limit: usize,
    memory: AtomicUsize,
    cpu_ns: AtomicU64,
    share: Mutex<Share>,
    host_calls: Option<Mutex<Bucket>>,
}

/// What decides when it is the account's turn.
struct Share {
    /// Processor time used, divided by the weight, in [`SCALE`]ths of a nanosecond; moved ahead
    /// when the account comes back from having nothing to do.
    virtual_time: u128,
    cpu: Option<Bucket>,
}

impl Account {
    /// The account of `tenant`, with nothing used.
    pub(crate) fn new(tenant: &Tenant) -> Arc<Self> {
        let now = Instant::now();
        let quotas = &tenant.quotas;
        let cpu_ns_per_s = u64::from(quotas.cpu_ms_per_s) * 1_000_000;
        Arc::new(Self {
            name: Some(Arc::clone(&tenant.name)),
            weight: tenant.weight,
            memory_limit: quotas.memory_bytes,
            share: Mutex::new(Share {
                virtual_time: 0,
                cpu: Some(Bucket::new(cpu_ns_per_s, now)),
            }),
            host_calls: Some(Mutex::new(Bucket::new(quotas.host_calls_per_s.into(), now))),
            ..Self::unlimited()
        })
    }

    /// An account of the operator's, with nothing used.
    pub(crate) fn operator() -> Arc<Self> {
        Arc::new(Self::unlimited())
    }

    fn unlimited() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            name: None,
            weight: NonZeroU32::MIN,
            memory_limit: usize::MAX,
            memory: AtomicUsize::new(0),
            cpu_ns: AtomicU64::new(0),
            share: Mutex::new(Share {
                virtual_time: 0,
                cpu: None,
            }),
            host_calls: None,
        }
    }

    /// The tenant's name; `None` is the operator.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Memory that its guests hold at present, in bytes.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.memory.load(Ordering::Relaxed)
    }

    /// Processor time that its guests have used so far.
    #[must_use]
    pub fn cpu_used(&self) -> Duration {
        Duration::from_nanos(self.cpu_ns.load(Ordering::Relaxed))
    }

    /// Takes `bytes` of memory, if the quota has them. What was taken is given back by
    /// [`Account::shrink`].
    #[must_use]
    pub(crate) fn try_grow(&self, bytes: usize) -> bool {
        self.memory
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| {
                held.checked_add(bytes)
                    .filter(|wanted| *wanted <= self.memory_limit)
            })
            .is_ok()
    }

    /// Gives `bytes` of memory back.
    pub(crate) fn shrink(&self, bytes: usize) {
        // The closure always answers, so this cannot fail.
        let _ = self
            .memory
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| {
                Some(held.saturating_sub(bytes))
            });
    }

    /// Its share, relative to other accounts'.
    pub(crate) fn weight(&self) -> u32 {
        self.weight.get()
    }

    /// Takes `calls` host calls, if this second's quota has them all.
    #[must_use]
    pub(crate) fn take_host_calls(&self, calls: u32) -> bool {
        self.host_calls
            .as_ref()
            .is_none_or(|bucket| bucket.lock().take(calls.into(), Instant::now()))
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Its virtual time; at least `clock`, so that time without work is no credit.
    pub(super) fn catch_up(&self, clock: u128) -> u128 {
        let mut share = self.share.lock();
        share.virtual_time = share.virtual_time.max(clock);
        share.virtual_time
    }

    /// Counts a turn; returns the new virtual time.
    pub(super) fn charge(&self, used: Duration, now: Instant) -> u128 {
        let nanos = u64::try_from(used.as_nanos()).unwrap_or(u64::MAX);
        self.cpu_ns.fetch_add(nanos, Ordering::Relaxed);
        let mut share = self.share.lock();
        if let Some(cpu) = &mut share.cpu {
            cpu.charge(nanos, now);
        }
        share.virtual_time += self.virtual_time(used);
        share.virtual_time
    }

    /// How much virtual time `used` is.
    pub(super) fn virtual_time(&self, used: Duration) -> u128 {
        used.as_nanos() * SCALE / u128::from(self.weight.get())
    }

    /// Until when it must wait because it is over its processor time per second.
    pub(super) fn throttled_until(&self, now: Instant) -> Option<Instant> {
        let enough = u64::try_from(TICK.as_nanos()).unwrap_or(u64::MAX);
        let mut share = self.share.lock();
        share.cpu.as_mut()?.empty_until(enough, now)
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account")
            .field("name", &self.name)
            .field("memory", &self.memory())
            .field("cpu_used", &self.cpu_used())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use routir_core::Quotas;

    use super::*;

    fn tenant(memory_bytes: usize, host_calls_per_s: u32) -> Tenant {
        Tenant {
            name: "t".into(),
            weight: NonZeroU32::MIN,
            quotas: Quotas {
                concurrent_calls: 1,
                memory_bytes,
                cpu_ms_per_s: 1000,
                host_calls_per_s,
                extensions: 1,
            },
            services: vec![],
            collections: vec![],
        }
    }

    #[test]
    fn memory_stops_at_the_quota_and_comes_back() {
        let account = Account::new(&tenant(100, 0));
        assert!(account.try_grow(60));
        assert!(!account.try_grow(41));
        assert!(!account.try_grow(usize::MAX));
        assert!(account.try_grow(40));
        assert_eq!(account.memory(), 100);
        account.shrink(100);
        assert_eq!(account.memory(), 0);
    }

    #[test]
    fn host_calls_are_all_or_none() {
        let account = Account::new(&tenant(0, 3));
        assert!(!account.take_host_calls(4));
        assert!(account.take_host_calls(3));
        assert!(!account.take_host_calls(1));
    }

    #[test]
    fn the_operator_has_no_quotas() {
        let account = Account::operator();
        assert!(account.try_grow(1 << 40));
        assert!(account.take_host_calls(u32::MAX));
        account.charge(Duration::from_secs(1000), Instant::now());
        assert_eq!(account.throttled_until(Instant::now()), None);
    }
}
