//! `wasi:clocks` and `wasi:io/poll`: time, and waiting for it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::time::sleep_until;
use wasmtime::component::{ComponentType, Lift, LinkerInstance, Lower, Resource};
use wasmtime::{Result, StoreContextMut};

use super::{Wasi, end};

/// What the monotonic clock says at the start, in nanoseconds. Not 0, which Go takes for a broken
/// clock.
const START: u64 = 1_000_000_000;
/// The wall clock where it stands still: the first second of 2000, in seconds since 1970.
const STANDING: u64 = 946_684_800;

/// Something to wait for. Its number is the time, in milliseconds of the store's life; what is
/// ready from the start has 0. So there is no table that a guest could fill.
pub(super) enum Pollable {}

/// The clocks of a store.
pub(super) struct Clocks {
    /// The store's birth, where clocks run.
    born: Option<Instant>,
}

/// A point in time, as WASI writes it.
#[derive(Clone, Copy, Debug, PartialEq, ComponentType, Lift, Lower)]
#[component(record)]
pub(super) struct Datetime {
    pub(super) seconds: u64,
    pub(super) nanoseconds: u32,
}

impl Clocks {
    pub(super) fn new(granted: bool) -> Self {
        Self {
            born: granted.then(Instant::now),
        }
    }

    fn monotonic(&self) -> u64 {
        let lived = self.born.map_or(0, |born| nanos(born.elapsed()));
        START.saturating_add(lived)
    }

    fn wall(&self) -> Datetime {
        if self.born.is_none() {
            return Datetime {
                seconds: STANDING,
                nanoseconds: 0,
            };
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default();
        Datetime {
            seconds: now.as_secs(),
            nanoseconds: now.subsec_nanos(),
        }
    }

    /// A pollable that is ready when the monotonic clock says `when`. Where clocks stand still it
    /// is ready at once: a guest that sleeps must not sleep for ever.
    fn at(&self, when: u64) -> Resource<Pollable> {
        let ms = when.saturating_sub(START).div_ceil(1_000_000);
        let ms = self
            .born
            .map_or(0, |_| u32::try_from(ms).unwrap_or(u32::MAX));
        Resource::new_own(ms)
    }

    /// When a pollable is ready; `None` is now.
    fn due(&self, pollable: &Resource<Pollable>) -> Option<Instant> {
        let due = self.born? + Duration::from_millis(pollable.rep().into());
        (due > Instant::now()).then_some(due)
    }
}

/// A pollable that is ready.
pub(super) fn ready() -> Resource<Pollable> {
    Resource::new_own(0)
}

/// Defines a function; `false` when it is none of these.
pub(super) fn define<T: Wasi>(
    instance: &mut LinkerInstance<'_, T>,
    interface: &str,
    name: &str,
) -> Result<bool> {
    match (interface, name) {
        ("clocks/monotonic-clock", "now") => {
            instance.func_wrap(name, |mut store, (): ()| {
                Ok((clocks(&mut store).monotonic(),))
            })?;
        }
        ("clocks/monotonic-clock", "resolution") => {
            instance.func_wrap(name, |_, (): ()| Ok((1_u64,)))?;
        }
        (_, "subscribe-instant") => {
            instance.func_wrap(name, |mut store, (when,): (u64,)| {
                Ok((clocks(&mut store).at(when),))
            })?;
        }
        (_, "subscribe-duration") => {
            instance.func_wrap(name, |mut store, (wait,): (u64,)| {
                let clocks = clocks(&mut store);
                Ok((clocks.at(clocks.monotonic().saturating_add(wait)),))
            })?;
        }
        ("clocks/wall-clock", "now") => {
            instance.func_wrap(name, |mut store, (): ()| Ok((clocks(&mut store).wall(),)))?;
        }
        ("clocks/wall-clock", "resolution") => {
            let resolution = Datetime {
                seconds: 0,
                nanoseconds: 1,
            };
            instance.func_wrap(name, move |_, (): ()| Ok((resolution,)))?;
        }
        (_, "poll") => {
            instance.func_wrap_async(name, |store, (list,): (Vec<Resource<Pollable>>,)| {
                Box::new(async move { Ok((poll(store, &list).await?,)) })
            })?;
        }
        (_, "[method]pollable.ready") => {
            instance.func_wrap(name, |mut store, (one,): (Resource<Pollable>,)| {
                Ok((clocks(&mut store).due(&one).is_none(),))
            })?;
        }
        (_, "[method]pollable.block") => {
            instance.func_wrap_async(name, |store, (one,): (Resource<Pollable>,)| {
                Box::new(async move { poll(store, &[one]).await.map(|_| ()) })
            })?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// Waits until one of them is ready; says which are.
async fn poll<T: Wasi>(
    mut store: StoreContextMut<'_, T>,
    list: &[Resource<Pollable>],
) -> Result<Vec<u32>> {
    if list.is_empty() {
        return Err(end(
            "it waits for nothing (`poll` of `wasi:io/poll`)".to_owned()
        ));
    }
    let clocks = clocks(&mut store);
    loop {
        let due: Vec<_> = list.iter().map(|one| clocks.due(one)).collect();
        let ready = (0..).zip(&due).filter(|(_, due)| due.is_none());
        let ready: Vec<u32> = ready.map(|(index, _)| index).collect();
        if !ready.is_empty() {
            return Ok(ready);
        }
        // All of them have a time; the call's own limit of time ends a wait that is too long.
        if let Some(first) = due.into_iter().flatten().min() {
            sleep_until(first.into()).await;
        }
    }
}

fn clocks<'a, T: Wasi>(store: &'a mut StoreContextMut<'_, T>) -> &'a mut Clocks {
    &mut store.data_mut().wasi().clocks
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
