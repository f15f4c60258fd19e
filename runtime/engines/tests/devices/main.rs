//! Engines placed on a device: a GPU that is not there, and one that is the emulator of the device
//! room's tests.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, and helpers are not seen as tests"
)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../../../device/tests/emulated/emulator.rs"]
mod emulator;
mod late;
mod split;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use common::{Home, ask, ids, tiny};
use emulator::{Manner, device};
use futures_util::future::join_all;
use routir_core::{ErrorCode, Params, Ranking, Roles, SearchRequest};
use routir_device::{Device, Devices};
use routir_engines::SharedDevices;
use routir_index::faiss::{DenseIndexBuilder, Faiss, Metric};
use serde_json::{Value, json};

const ENGINE: &str = "SentenceTransformerEngine";

/// A machine with these devices.
fn home(devices: Vec<Arc<Device>>) -> Home {
    Home {
        devices: SharedDevices::of(devices),
        ..Home::new()
    }
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

#[test]
fn a_gpu_that_is_not_there_is_told_before_anything_is_opened() {
    let home = home(Vec::new())
        .file("index/index.faiss", "")
        .file("index/index.ids", "");
    let Some((_, folder, _)) = set_up(&home) else {
        return;
    };
    let mut config = json!({"embedding_model_name": folder, "index_path": "index"});
    for (key, value) in [
        ("device", "cuda"),
        ("device", "cuda:0"),
        ("index_device", "cuda"),
    ] {
        config[key] = json!(value);
        let wanted = format!(
            "service `svc` (engine {ENGINE}): `{key}` asks for `{value}`, but there is no GPU; \
             `routir-rt devices` shows what there is, `auto` takes the processor where there is no GPU"
        );
        let checked = home.check(ENGINE, &config).map(drop).unwrap_err();
        assert_eq!(checked.message(), wanted);
        assert_eq!(checked.code(), ErrorCode::Unavailable);
        assert_eq!(
            home.build(ENGINE, &config).map(drop).unwrap_err().message(),
            wanted
        );
        config.as_object_mut().unwrap().remove(key);
    }
    config["use_gpu"] = json!(true);
    assert!(
        home.refusal(ENGINE, &config)
            .contains("`device` asks for `cuda`")
    );
    for engine in ["CrossEncoder", "mT5", "Qwen3Reranker"] {
        let config =
            json!({"model_name_or_path": folder, "file": "model.onnx", "device": "cuda:1"});
        let told = home.try_out(engine, &config).map(drop).unwrap_err();
        assert!(
            told.message().contains("`device` asks for `cuda:1`"),
            "{told}"
        );
    }
    let config = json!({"checkpoint": folder, "device": "cuda"});
    let told = home.try_out("PLAIDX", &config).map(drop).unwrap_err();
    assert!(
        told.message().contains("`device` asks for `cuda`"),
        "{told}"
    );
    let config = json!({"model_name": folder, "index_path": "hfds:a/b", "device": "cuda"});
    let told = home.try_out("LSR", &config).map(drop).unwrap_err();
    assert!(
        told.message().contains("`device` asks for `cuda`"),
        "{told}"
    );
}

#[test]
fn wrong_values_are_told_with_their_key() {
    let home = home(Vec::new());
    let told = home.refusal(
        ENGINE,
        &json!({
            "embedding_model_name": "x", "index_path": "index", "device": "gpu",
            "index_device": "cuda:x", "index_dtype": "fp8", "device_memory_mb": 3,
        }),
    );
    for part in [
        "`device` is one of `cpu`, `cuda`, `cuda:N` (N from 0) and `auto`, not `gpu`",
        "`index_device` is one of `cpu`, `cuda`, `cuda:N` (N from 0) and `auto`, not `cuda:x`",
        "`index_dtype` must be one of `fp32`, `fp16`, `int8`",
        "`device_memory_mb` must be at least 64, not 3",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let told = home.refusal(
        ENGINE,
        &json!({"embedding_model_name": "x", "device": "cpu", "use_gpu": true}),
    );
    assert!(
        told.contains("`use_gpu` is true and `device` is `cpu`"),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn auto_uses_the_processor_where_there_is_no_gpu() {
    let home = home(Vec::new());
    let Some((faiss, folder, texts)) = set_up(&home) else {
        return;
    };
    index(
        &faiss,
        &home.dir.path().join("index"),
        "Flat",
        Metric::L2,
        300,
    );
    let mut config = json!({"embedding_model_name": folder, "index_path": "index"});
    let wanted = search(&home.build(ENGINE, &config).unwrap(), ask(&texts[0], 9)).await;
    config["device"] = json!("auto");
    home.check(ENGINE, &config).unwrap();
    let roles = home.build(ENGINE, &config).unwrap();
    assert!(roles.health.is_empty());
    let got = search(&roles, ask(&texts[0], 9)).await;
    assert_eq!(got.unwrap(), wanted.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_on_a_device_answers_as_on_the_processor() {
    compared(home(vec![device(Manner::default())])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_on_a_gpu_answers_as_on_the_processor() {
    match Devices::discover().absent {
        None => compared(Home::new()).await,
        Some(why) => {
            let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
        }
    }
}

/// Compares indices on a device of `home` with the same on the processor.
async fn compared(home: Home) {
    let subsets: Vec<String> = (0..300)
        .map(|n| format!("\"d{n}\": \"{}\"", if n % 2 == 0 { "even" } else { "odd" }))
        .collect();
    let home = home.file("subsets.json", &format!("{{{}}}", subsets.join(",")));
    let Some((faiss, folder, texts)) = set_up(&home) else {
        return;
    };
    let exact = [None, Some("fp32")];
    let kinds: [(&str, Metric, &[Option<&str>], f64); 8] = [
        ("Flat", Metric::InnerProduct, &exact, 1e-5),
        ("Flat", Metric::L2, &exact, 1e-5),
        ("Flat", Metric::InnerProduct, &[Some("fp16")], 1e-2),
        ("Flat", Metric::L2, &[Some("int8")], 5e-2),
        ("SQ8", Metric::InnerProduct, &[Some("fp32")], 1e-5),
        ("SQfp16", Metric::L2, &[Some("fp32")], 1e-5),
        ("PQ4x4", Metric::L2, &[None], 1e-5),
        ("IVF4,PQ4x4", Metric::InnerProduct, &[None], 1e-5),
    ];
    for (factory, metric, elements, tolerance) in kinds {
        let path = format!("{factory}-{metric:?}");
        index(&faiss, &home.dir.path().join(&path), factory, metric, 300);
        let mut config = json!({
            "embedding_model_name": folder, "index_path": path, "id_to_subset_mapping": "subsets.json",
        });
        let cpu = home.build(ENGINE, &config).unwrap();
        assert!(cpu.health.is_empty());
        config["index_device"] = json!("cuda");
        for element in elements {
            config["index_dtype"] = json!(element);
            let gpu = home.build(ENGINE, &config).unwrap();
            assert_eq!(gpu.health.len(), 1);
            gpu.health[0].check().unwrap();
            let params = [json!({}), json!({"subset": "odd"}), json!({"nprobe": 2})];
            for (text, params) in texts.iter().take(3).zip(&params) {
                let what = format!("{path} {element:?} {params}");
                let got = search(&gpu, request(text, 12, params)).await.unwrap();
                let wanted = search(&cpu, request(text, 12, params)).await.unwrap();
                assert_eq!(got.len(), 12, "{what}");
                assert_alike(&got, &wanted, tolerance, &what);
            }
            // All at once: they go to the device together.
            let both = texts.iter().take(4).map(async |text| {
                let got = search(&gpu, ask(text, 5)).await.unwrap();
                (got, search(&cpu, ask(text, 5)).await.unwrap())
            });
            for (got, wanted) in join_all(both).await {
                assert_alike(&got, &wanted, tolerance, &path);
            }
        }
    }
    let flat =
        json!({"embedding_model_name": folder, "index_path": "Flat-L2", "index_device": "cuda"});
    let roles = home.build(ENGINE, &flat).unwrap();
    assert_eq!(search(&roles, ask("x", 1000)).await.unwrap().len(), 200);
    let unknown = request("x", 3, &json!({"subset": "odd"}));
    assert!(search(&roles, unknown).await.is_err());
}

/// A device on which models compute, too: ONNX Runtime binds its memory as a GPU's.
fn computing() -> Arc<Device> {
    device(Manner {
        on_processor: true,
        ..Manner::default()
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_querys_vector_stays_on_the_device_that_its_index_is_on() {
    let subsets: Vec<String> = (0..300)
        .map(|n| format!("\"d{n}\": \"s{}\"", n % 2))
        .collect();
    let home = home(vec![computing(), computing()])
        .file("subsets.json", &format!("{{{}}}", subsets.join(",")));
    let Some((faiss, folder, texts)) = set_up(&home) else {
        return;
    };
    let kinds = [
        ("Flat", Metric::InnerProduct, json!(null), 1e-5),
        ("Flat", Metric::L2, json!("fp16"), 2e-2),
        ("PQ4x4", Metric::L2, json!(null), 1e-5),
        ("IVF4,PQ4x4", Metric::L2, json!(null), 1e-5),
    ];
    for (factory, metric, element, tolerance) in kinds {
        let path = format!("{factory}-{metric:?}");
        index(&faiss, &home.dir.path().join(&path), factory, metric, 300);
        let mut config = json!({
            "embedding_model_name": folder, "index_path": path, "id_to_subset_mapping": "subsets.json",
        });
        let cpu = home.build(ENGINE, &config).unwrap();
        config["index_dtype"] = element;
        for (model, cuda_graphs) in [("cuda:1", false), ("cuda:1", true), ("cuda:0", false)] {
            config["device"] = json!(model);
            config["device_memory_mb"] = json!(64);
            config["cuda_graphs"] = json!(cuda_graphs);
            config["index_device"] = json!("cuda:1");
            let gpu = home.build(ENGINE, &config).unwrap();
            assert_eq!(gpu.health.len(), 2);
            let what = format!("{path} {model} {cuda_graphs}");
            let params = [json!({}), json!({"subset": "s1"}), json!({"nprobe": 2})];
            for (text, params) in texts.iter().zip(params.iter().cycle()) {
                let got = search(&gpu, request(text, 12, params)).await.unwrap();
                let wanted = search(&cpu, request(text, 12, params)).await.unwrap();
                assert_alike(&got, &wanted, tolerance, &what);
            }
            let both = texts.iter().map(async |text| {
                let got = search(&gpu, ask(text, 5)).await.unwrap();
                (got, search(&cpu, ask(text, 5)).await.unwrap())
            });
            for (got, wanted) in join_all(both).await {
                assert_alike(&got, &wanted, tolerance, &what);
            }
            // Scores are made on the processor, of the same vectors.
            let [scorer, wanted] = [&gpu, &cpu].map(|it| it.score.clone().unwrap());
            let passages: Vec<&str> = texts.iter().map(String::as_str).collect();
            let pairs = || vec![common::score_request(&texts[0], &passages)];
            let scores = scorer.score(pairs()).await.remove(0).unwrap();
            let wanted = wanted.score(pairs()).await.remove(0).unwrap();
            for (score, wanted) in scores.iter().zip(&wanted) {
                assert!((score - wanted).abs() < 1e-5, "{what}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_vectors_that_stay_take_places_on_the_device() {
    let devices = [computing(), computing()];
    let home = home(devices.to_vec());
    let Some((faiss, folder, texts)) = set_up(&home) else {
        return;
    };
    let path = home.dir.path().join("index");
    index(&faiss, &path, "Flat", Metric::L2, 300);
    let mut config = json!({
        "embedding_model_name": folder, "index_path": "index", "device": "cuda:0",
        "device_memory_mb": 64,
    });
    // What the search takes of the model's device, after one that took what it needs itself.
    let mut taken = Vec::new();
    for index_device in ["cuda:1", "cuda:0"] {
        config["index_device"] = json!(index_device);
        let roles = home.build(ENGINE, &config).unwrap();
        let scorer = roles.score.clone().unwrap();
        let scores = scorer.score(vec![common::score_request(&texts[0], &[&texts[1]])]);
        scores.await.remove(0).unwrap();
        let before = devices[0].budget().left();
        search(&roles, ask(&texts[0], 5)).await.unwrap();
        taken.push(before - devices[0].budget().left());
        assert!(devices.iter().all(|device| device.queued() == 0));
    }
    let shown = home.metrics.encode();
    for device in ["cuda:0", "cuda:1"] {
        let line = format!("routir_device_queue_depth{{device=\"{device}\"}} 0");
        assert!(shown.contains(&line), "{shown}");
    }
    let held = devices[0].queue();
    assert_eq!(home.metrics.devices_queue(), 1);
    drop(held);
    assert_eq!(home.metrics.devices_queue(), 0);
    // 1024 places of 16 numbers, and what the search itself needs.
    assert_eq!(taken[0], 0);
    assert!(taken[1] >= 1024 * 16 * 4, "{taken:?}");
}

#[test]
fn how_a_model_is_run_on_a_gpu_is_checked() {
    let home = home(vec![computing()]);
    let Some((_, folder, _)) = set_up(&home) else {
        return;
    };
    let told = home.refusal(
        ENGINE,
        &json!({
            "embedding_model_name": folder, "provider": "tensorrt", "cuda_graphs": true,
            "length_buckets": [64],
        }),
    );
    for key in ["provider", "cuda_graphs", "length_buckets"] {
        assert!(
            told.contains(&format!("`{key}` is of models on a GPU")),
            "{told}"
        );
    }
    let told = home.refusal(
        ENGINE,
        &json!({
            "embedding_model_name": folder, "device": "cuda", "provider": "rocm",
            "tensorrt_fp16": true, "length_buckets": [64, 0],
        }),
    );
    for part in [
        "`provider` must be one of `cuda`, `tensorrt`",
        "`tensorrt_fp16` needs `provider`: \"tensorrt\"",
        "`length_buckets` must be a list of whole numbers of at least 1",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let told = home.refusal(
        ENGINE,
        &json!({
            "embedding_model_name": folder, "device": "cuda", "provider": "tensorrt",
            "length_buckets": [],
        }),
    );
    assert!(told.contains("to build for"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_device_cannot_take_is_refused_and_auto_leaves_it_on_the_processor() {
    let device = device(Manner::default());
    let home = home(vec![Arc::clone(&device)]);
    let Some((faiss, folder, _)) = set_up(&home) else {
        return;
    };
    let dir = home.dir.path();
    index(&faiss, &dir.join("graph"), "HNSW8", Metric::L2, 50);
    index(&faiss, &dir.join("flat"), "Flat", Metric::L2, 50);
    index(&faiss, &dir.join("codes"), "PQ4x4", Metric::L2, 50);
    let config = |path: &str, device: &str| json!({"embedding_model_name": folder, "index_path": path, "index_device": device});
    let graph = home.refusal(ENGINE, &config("graph", "cuda"));
    for part in [
        "graph/index.faiss` cannot be searched on a device: it is of the kind `IHNf`",
        "`Flat`, `SQ8`, `SQfp16`, `SQbf16`, `PQ…` and `IVF…,PQ…`",
        "`routir-rt index faiss`",
        "`index_device`: \"cpu\"",
    ] {
        assert!(graph.contains(part), "{part}: {graph}");
    }
    let mut codes = config("codes", "cuda");
    codes["index_dtype"] = json!("fp16");
    let codes = home.refusal(ENGINE, &codes);
    assert!(codes.contains("leave `index_dtype` out"), "{codes}");

    let others = device
        .budget()
        .reserve("others", device.budget().left() - 100)
        .unwrap();
    let full = home.refusal(ENGINE, &config("flat", "cuda:0"));
    for part in ["flat` needs 3.1 KiB on `emulated`", "others 1024.0 MiB"] {
        assert!(full.contains(part), "{part}: {full}");
    }
    for path in ["graph", "flat"] {
        let roles = home.build(ENGINE, &config(path, "auto")).unwrap();
        assert!(roles.health.is_empty(), "{path} is on the device");
        assert_eq!(search(&roles, ask("x", 5)).await.unwrap().len(), 5);
    }
    drop(others);
    let roles = home.build(ENGINE, &config("flat", "auto")).unwrap();
    assert_eq!(roles.health.len(), 1);
    device.health().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_results_than_a_device_finds_are_refused_by_request() {
    let home = home(vec![device(Manner::default())]);
    let Some((faiss, folder, _)) = set_up(&home) else {
        return;
    };
    index(
        &faiss,
        &home.dir.path().join("flat"),
        "Flat",
        Metric::L2,
        1600,
    );
    let config =
        json!({"embedding_model_name": folder, "index_path": "flat", "index_device": "cuda"});
    let roles = home.build(ENGINE, &config).unwrap();
    let both = [1024, 1025].map(|limit| search(&roles, ask("x", limit)));
    let [most, more]: [_; 2] = join_all(both).await.try_into().unwrap();
    // Some documents have two vectors.
    assert!((600..=1024).contains(&most.unwrap().len()));
    let told = more.unwrap_err();
    assert_eq!(told.code(), ErrorCode::InvalidArgument);
    assert!(
        told.message().contains("1025 results of one search"),
        "{told}"
    );
    roles.health[0].check().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_fails_costs_its_requests_and_nobody_elses() {
    let manner = Manner {
        fails_after: Some(60),
        ..Manner::default()
    };
    let home = home(vec![device(manner), device(Manner::default())]);
    let Some((faiss, folder, texts)) = set_up(&home) else {
        return;
    };
    index(
        &faiss,
        &home.dir.path().join("index"),
        "Flat",
        Metric::L2,
        300,
    );
    let build = |device: &str| {
        let config =
            json!({"embedding_model_name": folder, "index_path": "index", "index_device": device});
        home.build(ENGINE, &config).unwrap()
    };
    let [failing, other, cpu] = ["cuda:0", "cuda:1", "cpu"].map(build);
    search(&failing, ask(&texts[0], 5)).await.unwrap();
    let mut told = None;
    for _ in 0..60 {
        if let Err(error) = search(&failing, ask(&texts[0], 5)).await {
            told = Some(error);
            break;
        }
    }
    let told = told.unwrap();
    assert_eq!(told.code(), ErrorCode::Unavailable);
    assert!(
        told.message()
            .contains("`emulated` failed and is not used any more"),
        "{told}"
    );
    let health = failing.health[0].check().unwrap_err();
    assert_eq!(health.message(), told.message());
    let again = search(&failing, ask(&texts[1], 5)).await.unwrap_err();
    assert_eq!(again.message(), told.message());
    for roles in [&other, &cpu] {
        assert_eq!(search(roles, ask(&texts[0], 5)).await.unwrap().len(), 5);
        assert!(roles.health.iter().all(|it| it.check().is_ok()));
    }
    // Whoever searches with it is not ready either.
    let config = json!({"upstream_service": [
        {"engine": ENGINE, "config": {
            "embedding_model_name": folder, "index_path": "index", "index_device": "cuda:0"}},
    ]});
    let fused = home.build("Fusion", &config).unwrap();
    assert!(fused.health[0].check().is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_goes_where_onnx_runtime_can_go() {
    let device = device(Manner::default());
    let home = home(vec![Arc::clone(&device)]);
    let Some((_, folder, texts)) = set_up(&home) else {
        return;
    };
    let mut config =
        json!({"embedding_model_name": folder, "device": "cuda", "device_memory_mb": 64});
    let told = match home.build(ENGINE, &config) {
        Ok(_) => {
            let _ = writeln!(std::io::stderr(), "SKIPPED: this ONNX Runtime has CUDA");
            return;
        }
        Err(error) => error,
    };
    assert_eq!(told.code(), ErrorCode::Unavailable);
    assert!(
        told.message().contains("runs no models on `cuda:0`"),
        "{told}"
    );
    assert_eq!(device.budget().left(), device.budget().total());
    config["device_memory_mb"] = json!(4096);
    let told = home.refusal(ENGINE, &config);
    assert!(told.contains("needs 4.0 GiB on `emulated`"), "{told}");
    config["device"] = json!("auto");
    let roles = home.build(ENGINE, &config).unwrap();
    assert!(roles.health.is_empty());
    let scorer = roles.score.unwrap();
    let scores = scorer.score(vec![common::score_request(&texts[0], &[&texts[0]])]);
    assert_eq!(scores.await.remove(0).unwrap().len(), 1);
}
