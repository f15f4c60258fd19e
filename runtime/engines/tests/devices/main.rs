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

mod asked;
mod by_faiss;
mod company;
mod late;
mod resident;
mod split;
mod stays;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use common::{Home, ask, ids, tiny};
use emulator::{Manner, device};
use futures_util::future::join_all;
use routir_core::{Error, Params, Ranking, Roles, SearchRequest};
use routir_device::Device;
use routir_engines::SharedDevices;
use routir_index::faiss::{DenseIndexBuilder, Faiss, Metric};
use serde_json::Value;

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

/// FAISS and a tiny model with its vectors; `None`, told loudly, without.
fn set_up(home: &Home) -> Option<(Arc<Faiss>, String, Vec<String>)> {
    let (folder, expected) = tiny(home, "dense-mean")?;
    let texts = expected["texts"].as_array().unwrap().iter();
    let texts = texts
        .map(|text| text.as_str().unwrap().to_owned())
        .collect();
    match Faiss::load(None) {
        Ok(faiss) => Some((faiss, folder, texts)),
        Err(why) => {
            let _ = writeln!(std::io::stderr(), "SKIPPED: what needs FAISS: {why}");
            None
        }
    }
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

/// An index of [`vectors`]; every third one belongs to the document before it.
fn index(faiss: &Arc<Faiss>, folder: &Path, factory: &str, metric: Metric, count: usize) {
    fs::create_dir_all(folder).unwrap();
    let vectors = vectors(count);
    let mut builder = DenseIndexBuilder::new(faiss, 16, factory, metric, 1).unwrap();
    if factory != "Flat" && factory != "HNSW8" {
        builder.train(&vectors).unwrap();
    }
    builder.add(&vectors).unwrap();
    builder.write(&folder.join("index.faiss")).unwrap();
    let id = |n: usize| format!("d{}\n", if n % 3 == 2 { n - 1 } else { n });
    let ids: Vec<String> = (0..count).map(id).collect();
    fs::write(folder.join("index.ids"), ids.concat()).unwrap();
}

fn request(query: &str, limit: usize, params: &Value) -> SearchRequest {
    SearchRequest {
        params: Params::from(params.as_object().cloned().unwrap()),
        ..ask(query, limit)
    }
}

async fn search(roles: &Roles, request: SearchRequest) -> routir_core::Result<Ranking> {
    roles
        .search
        .as_ref()
        .unwrap()
        .search(vec![request])
        .await
        .remove(0)
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

/// The same of two services that are asked for all `texts` at once, which go to a device together.
async fn assert_alike_together(
    (got, wanted): (&Roles, &Roles),
    texts: &[String],
    tolerance: f64,
    what: &str,
) {
    let both = texts.iter().map(async |text| {
        let got = search(got, ask(text, 5)).await.unwrap();
        (got, search(wanted, ask(text, 5)).await.unwrap())
    });
    for (got, wanted) in join_all(both).await {
        assert_alike(&got, &wanted, tolerance, what);
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
