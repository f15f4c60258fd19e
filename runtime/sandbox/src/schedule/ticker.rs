//! Lets time pass for guests, while there are any.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, Thread};

use super::TICK;

/// Ticks without a guest after which the thread sleeps until it is woken: a call that comes soon
/// after another need not wake it.
const LINGER: u32 = 50;

/// A thread that calls a function once per tick while there are guests, such as one that raises the
/// epoch of their engines. It ends when the ticker is dropped.
pub(super) struct Ticker {
    shared: Arc<Shared>,
    thread: Thread,
}

#[derive(Default)]
struct Shared {
    guests: AtomicUsize,
    parked: AtomicBool,
    stopping: AtomicBool,
}

impl Ticker {
    /// Starts the thread.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub(super) fn new(tick: impl Fn() + Send + 'static) -> std::io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let ticking = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("guest-ticker".to_owned())
            .spawn(move || ticking.run(tick))?
            .thread()
            .clone();
        Ok(Self { shared, thread })
    }

    /// Keeps time passing until the guard is dropped.
    #[must_use]
    pub(super) fn guard(&self) -> TickGuard {
        // Paired with the ticker's: either it sees the guest, or this sees it parked.
        self.shared.guests.fetch_add(1, Ordering::SeqCst);
        if self.shared.parked.load(Ordering::SeqCst) {
            self.thread.unpark();
        }
        TickGuard(Arc::clone(&self.shared))
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

/// There is a guest.
pub(super) struct TickGuard(Arc<Shared>);

impl Drop for TickGuard {
    fn drop(&mut self) {
        self.0.guests.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Shared {
    fn run(&self, tick: impl Fn()) {
        let mut quiet = 0;
        while !self.stopping.load(Ordering::SeqCst) {
            if self.guests.load(Ordering::SeqCst) > 0 {
                quiet = 0;
            } else {
                quiet += 1;
            }
            if quiet > LINGER {
                self.parked.store(true, Ordering::SeqCst);
                // An `unpark` before this makes it return at once; a spurious return costs a tick.
                if self.guests.load(Ordering::SeqCst) == 0 && !self.stopping.load(Ordering::SeqCst)
                {
                    thread::park();
                }
                self.parked.store(false, Ordering::SeqCst);
                quiet = 0;
            }
            thread::sleep(TICK);
            tick();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use wasmtime::{Config, Engine, Instance, Module, Store};

    use super::*;

    fn spin(engine: &Engine) -> wasmtime::Result<()> {
        let wasm = wat::parse_str("(module (func (export \"spin\") (loop br 0)))")?;
        let mut store = Store::new(engine, ());
        store.set_epoch_deadline(5);
        let instance = Instance::new(&mut store, &Module::new(engine, wasm)?, &[])?;
        let spin = instance.get_typed_func::<(), ()>(&mut store, "spin")?;
        spin.call(&mut store, ())
    }

    #[test]
    fn a_spinning_guest_is_interrupted_also_after_a_rest() {
        let engine = Engine::new(Config::new().epoch_interruption(true)).unwrap();
        let ticking = engine.clone();
        let ticker = Ticker::new(move || ticking.increment_epoch()).unwrap();
        for _ in 0..3 {
            while !ticker.shared.parked.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(5));
            }
            let _guest = ticker.guard();
            let start = Instant::now();
            assert!(spin(&engine).is_err());
            assert!(start.elapsed() < Duration::from_secs(5));
        }
    }

    #[test]
    fn nothing_ticks_without_guests_nor_after_the_end() {
        let ticks = Arc::new(AtomicUsize::new(0));
        let ticking = Arc::clone(&ticks);
        let ticker = Ticker::new(move || {
            ticking.fetch_add(1, Ordering::SeqCst);
        })
        .unwrap();
        while !ticker.shared.parked.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(5));
        }
        let before = ticks.load(Ordering::SeqCst);
        thread::sleep(Duration::from_millis(30));
        assert_eq!(ticks.load(Ordering::SeqCst), before);
        drop(ticker);
        while Arc::strong_count(&ticks) > 1 {
            thread::sleep(Duration::from_millis(5));
        }
    }
}
