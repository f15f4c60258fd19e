//! Engines placed on a device: a GPU that is not there, and one that is the emulator of the device
//! room's tests.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, and helpers are not seen as tests"
)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../../../device/tests/emulated/emulator.rs"]
mod emulator;
#[path = "../common/faiss.rs"]
mod faiss;

mod asked;
mod by_faiss;
mod company;
mod late;
mod resident;
mod split;
mod stays;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Home, ask, ask_with, ids, search, tiny};
use emulator::{Manner, device};
use futures_util::future::join_all;
use routir_core::{Error, Ranking, Roles, SearchRequest};
use routir_device::{Device, Reservation};
use routir_engines::SharedDevices;
use routir_index::faiss::Metric;
use serde_json::{Value, json};

const ENGINE: &str = "SentenceTransformerEngine";

/// A machine with these devices.
fn home(devices: Vec<Arc<Device>>) -> Home {
    Home {
        devices: SharedDevices::of(devices),
        ..Home::new()
    }
}

/// A device on which models compute, too: ONNX Runtime binds its memory as a GPU's.
fn computing() -> Arc<Device> {
    device(Manner {
        on_processor: true,
        ..Manner::default()
    })
}

/// A tiny model and texts for it; `None`, told loudly, without it or FAISS.
fn set_up(home: &Home) -> Option<(String, Vec<String>)> {
    let (folder, expected) = tiny(home, "dense-mean")?;
    let texts = expected["texts"].as_array().unwrap().iter();
    let texts = texts
        .map(|text| text.as_str().unwrap().to_owned())
        .collect();
    faiss::loaded()?;
    Some((folder, texts))
}

/// `count` vectors of 16 numbers.
fn vectors(count: usize) -> Vec<f32> {
    let mut state = 7_u64;
    let mut number = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(99);
        (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    };
    (0..count * 16).map(|_| number()).collect()
}

/// A mapping that puts `count` documents by turns into the subsets `even` and `odd`.
fn subsets(count: usize) -> String {
    let subset = |n: usize| format!("\"d{n}\": \"{}\"", ["even", "odd"][n % 2]);
    let all: Vec<String> = (0..count).map(subset).collect();
    format!("{{{}}}", all.join(","))
}

/// An index of [`vectors`] in the folder `name`; every third one belongs to the document before it.
fn index(home: &Home, name: &str, factory: &str, metric: Metric, count: usize) {
    let id = |n: usize| format!("d{}", if n % 3 == 2 { n - 1 } else { n });
    let ids: Vec<String> = (0..count).map(id).collect();
    let folder = home.dir.path().join(name);
    faiss::index(&folder, (factory, metric), &vectors(count), &ids);
}

/// Keeps all but `bytes` of a device's memory, until the result is dropped.
fn leave(device: &Device, bytes: u64) -> Reservation {
    let budget = device.budget();
    budget.reserve("others", budget.left() - bytes).unwrap()
}

/// The same documents with scores as close as `tolerance`, in an order that differs only among such.
fn assert_alike(got: &Ranking, wanted: &Ranking, tolerance: f64, what: &str) {
    assert_eq!(got.len(), wanted.len(), "{what}");
    for (got, wanted) in got.hits().iter().zip(wanted.hits()) {
        assert!(
            (got.score - wanted.score).abs() <= tolerance,
            "{what}: {got:?} {wanted:?}"
        );
    }
    if tolerance < 1e-4 {
        assert_eq!(ids(got), ids(wanted), "{what}");
    }
}

/// A search for `limit` documents of each text, with these parameters by turns.
fn asks(texts: &[String], limit: usize, params: &[Value]) -> Vec<SearchRequest> {
    let asked = texts.iter().zip(params.iter().cycle());
    asked
        .map(|(text, params)| ask_with(text, limit, params))
        .collect()
}

/// What is asked of a service on a device is answered as by the same on the processor: one after
/// another, and all at once, so that they go to the device together.
async fn assert_as_on_processor(
    (on_device, on_processor): (&Roles, &Roles),
    asks: &[SearchRequest],
    tolerance: f64,
    what: &str,
) {
    let mut wanted = Vec::new();
    for ask in asks {
        let what = format!("{what}: {}%{} {:?}", ask.query, ask.limit, ask.params);
        let got = search(on_device, ask.clone()).await.unwrap();
        let on_processor = search(on_processor, ask.clone()).await.unwrap();
        assert_eq!(got.len(), ask.limit, "{what}");
        assert_alike(&got, &on_processor, tolerance, &what);
        wanted.push(on_processor);
    }
    let together = asks.iter().map(|ask| search(on_device, ask.clone()));
    for (got, wanted) in join_all(together).await.iter().zip(&wanted) {
        let what = format!("{what}, together");
        assert_alike(got.as_ref().unwrap(), wanted, tolerance, &what);
    }
}

/// An index to compare: how it is made, what its numbers are on the device, and how close scores
/// of there are to the processor's.
type Kind = (&'static str, Metric, Value, f64);

/// The same of an index of each kind, for a service of `config` with what `placed` adds to it.
async fn assert_all_as_on_processor(
    home: &Home,
    kinds: &[Kind],
    (config, placed): (&Value, &Value),
    asks: &[SearchRequest],
) {
    for (factory, metric, element, tolerance) in kinds {
        let name = format!("{factory}-{metric:?}-{element}");
        index(home, &name, factory, *metric, 300);
        let mut config = config.clone();
        config["index_path"] = json!(name);
        let on_processor = home.build(ENGINE, &config).unwrap();
        assert!(on_processor.health.is_empty(), "{name}");
        let placed = placed.as_object().unwrap().clone();
        config.as_object_mut().unwrap().extend(placed);
        config["index_dtype"] = element.clone();
        let on_device = home.build(ENGINE, &config).unwrap();
        assert_eq!(on_device.health.len(), 1, "{name}");
        assert_as_on_processor((&on_device, &on_processor), asks, *tolerance, &name).await;
        on_device.health[0].check().unwrap();
    }
}

/// Until `done`, which something that is under way makes true.
async fn until(done: impl Fn() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < Duration::from_secs(60), "in vain");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// How a search for `text` fails, of at most so many.
async fn first_failure(roles: &Roles, text: &str, tries: usize) -> Error {
    for _ in 0..tries {
        if let Err(error) = search(roles, ask(text, 5)).await {
            return error;
        }
    }
    panic!("the device did not fail");
}
