//! What is asked of which model now.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

/// Requests that wait or are being answered, by the model's name.
#[derive(Default)]
pub(super) struct Loads(Mutex<BTreeMap<Arc<str>, Load>>);

/// What is asked of one model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) requests: usize,
    pub(super) items: usize,
}

/// A request that counts until it is dropped.
pub(super) struct Counted<'a> {
    loads: &'a Loads,
    model: Arc<str>,
    items: usize,
}

impl Loads {
    /// Counts a request for `items` of them.
    pub(super) fn count(&self, model: &Arc<str>, items: usize) -> Counted<'_> {
        let mut loads = self.0.lock();
        let load = loads.entry(Arc::clone(model)).or_default();
        load.requests += 1;
        load.items += items;
        Counted {
            loads: self,
            model: Arc::clone(model),
            items,
        }
    }

    /// What is asked of `model`.
    pub(super) fn of(&self, model: &str) -> Load {
        self.0.lock().get(model).copied().unwrap_or_default()
    }

    /// All requests.
    pub(super) fn requests(&self) -> usize {
        self.0.lock().values().map(|load| load.requests).sum()
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        let mut loads = self.loads.0.lock();
        let Some(load) = loads.get_mut(&self.model) else {
            return;
        };
        load.requests = load.requests.saturating_sub(1);
        load.items = load.items.saturating_sub(self.items);
        if load.requests == 0 {
            loads.remove(&self.model);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_counts_as_long_as_it_lasts() {
        let (loads, model) = (Loads::default(), Arc::from("m"));
        let first = loads.count(&model, 3);
        let second = loads.count(&model, 4);
        let expected = Load {
            requests: 2,
            items: 7,
        };
        assert_eq!((loads.of("m"), loads.requests()), (expected, 2));
        drop(first);
        assert_eq!(loads.of("m").items, 4);
        drop(second);
        assert_eq!((loads.of("m"), loads.0.lock().len()), (Load::default(), 0));
    }
}
