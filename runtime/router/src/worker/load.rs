//! How busy a worker is: what it told, and what this router has sent since.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use parking_lot::Mutex;

/// No worker's word makes it busier than this.
const MOST: u64 = 1_000_000_000;
/// How long a model counts as being loaded after the first request for it: by then the worker's
/// frames say how it is.
const EXPECTED: Duration = Duration::from_secs(1);
/// A worker that was asked for a model and still does not say that it loads it is not expected to
/// for this long.
const DOUBTED: Duration = Duration::from_secs(10);

/// The load of a worker: the requests of this router that it has now, and those of others, as far as
/// its last frame told of more waiting than this router had there then.
#[derive(Debug, Default)]
pub(crate) struct Load {
    own: AtomicU64,
    others: AtomicU64,
    models: Mutex<HashMap<Arc<str>, OfModel, RandomState>>,
}

#[derive(Debug, Default)]
struct OfModel {
    in_flight: u64,
    /// When the worker was asked for the model without having it loaded.
    asked: Option<Instant>,
}

impl Load {
    /// Requests that this router has sent and that have not ended.
    pub(crate) fn in_flight(&self) -> u64 {
        self.own.load(Ordering::Relaxed)
    }

    /// In flight now, and what is other routers'.
    pub(crate) fn now(&self) -> u64 {
        self.in_flight() + self.others.load(Ordering::Relaxed)
    }

    /// In flight of one model, by lower-case name.
    pub(crate) fn of_model(&self, model: &str) -> u64 {
        self.models.lock().get(model).map_or(0, |of| of.in_flight)
    }

    /// Whether the model was asked for so lately that the worker may be loading it untold.
    pub(crate) fn expects(&self, model: &str, now: Instant) -> bool {
        let models = self.models.lock();
        let asked = models.get(model).and_then(|of| of.asked);
        asked.is_some_and(|asked| now.saturating_duration_since(asked) < EXPECTED)
    }

    /// One more, of that model; `cold` if the worker has yet to load it.
    pub(crate) fn begin(&self, model: Option<&Arc<str>>, cold: bool) {
        self.own.fetch_add(1, Ordering::Relaxed);
        let Some(model) = model else {
            return;
        };
        let mut models = self.models.lock();
        let of = match models.get_mut(&**model) {
            Some(of) => of,
            None => models.entry(Arc::clone(model)).or_default(),
        };
        of.in_flight += 1;
        if cold && of.asked.is_none() {
            of.asked = Some(Instant::now());
        }
    }

    /// One less.
    pub(crate) fn end(&self, model: Option<&Arc<str>>) {
        self.own.fetch_sub(1, Ordering::Relaxed);
        let Some(model) = model else {
            return;
        };
        let mut models = self.models.lock();
        if let Some(of) = models.get_mut(&**model) {
            of.in_flight = of.in_flight.saturating_sub(1);
            if of.in_flight == 0 && of.asked.is_none() {
                models.remove(&**model);
            }
        }
    }

    /// A frame told this depth.
    pub(crate) fn told(&self, depth: u64, now: Instant) {
        let own = self.in_flight();
        let others = depth.min(MOST).saturating_sub(own);
        self.others.store(others, Ordering::Relaxed);
        self.models.lock().retain(|_, of| {
            of.asked = of
                .asked
                .filter(|asked| now.saturating_duration_since(*asked) < DOUBTED);
            of.in_flight > 0 || of.asked.is_some()
        });
    }

    /// The worker is gone, and with it what it told.
    pub(crate) fn forget(&self) {
        self.others.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_that_is_our_own_does_not_count_twice_and_others_do() {
        let load = Load::default();
        for _ in 0..5 {
            load.begin(None, false);
        }
        load.told(5, Instant::now());
        assert_eq!(load.now(), 5);
        load.told(12, Instant::now());
        assert_eq!(load.now(), 12);
        // What ends of ours is gone at once; what others sent stays until the next frame.
        for _ in 0..5 {
            load.end(None);
        }
        assert_eq!(load.now(), 7);
        load.begin(None, false);
        assert_eq!(load.now(), 8);
        load.told(0, Instant::now());
        assert_eq!(load.now(), 1);
        load.told(u64::MAX, Instant::now());
        assert!(load.now() <= MOST);
        load.forget();
        assert_eq!(load.now(), 1);
    }

    #[test]
    fn models_are_counted_apart_and_nothing_stays_of_them() {
        let load = Load::default();
        let model: Arc<str> = Arc::from("m");
        let now = Instant::now();
        load.begin(Some(&model), true);
        load.begin(Some(&model), true);
        assert_eq!((load.of_model("m"), load.of_model("n")), (2, 0));
        assert!(load.expects("m", now) && !load.expects("n", now));
        assert!(!load.expects("m", now + EXPECTED + Duration::from_secs(1)));
        load.end(Some(&model));
        load.end(Some(&model));
        assert_eq!((load.of_model("m"), load.in_flight()), (0, 0));
        load.told(0, now + DOUBTED + Duration::from_secs(1));
        assert!(load.models.lock().is_empty());
    }
}
