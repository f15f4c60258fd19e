//! Vectors of an index that lie on a device.

use std::io::Write as _;
use std::sync::Arc;

use futures_util::future::join_all;
use routir_core::ErrorCode;
use routir_device::Devices;
use routir_index::faiss::Metric;
use serde_json::{Value, json};

use crate::common::{Home, ask, ask_with, search};
use crate::emulator::{Manner, device};
use crate::{
    ENGINE, asks, assert_all_as_on_processor, first_failure, home, index, leave, set_up, subsets,
};

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
    let home = home.file("subsets.json", &subsets(300));
    let Some((folder, texts)) = set_up(&home) else {
        return;
    };
    let kinds = [
        ("Flat", Metric::InnerProduct, Value::Null, 1e-5),
        ("Flat", Metric::InnerProduct, json!("fp32"), 1e-5),
        ("Flat", Metric::L2, Value::Null, 1e-5),
        ("Flat", Metric::L2, json!("fp32"), 1e-5),
        ("Flat", Metric::InnerProduct, json!("fp16"), 1e-2),
        ("Flat", Metric::L2, json!("int8"), 5e-2),
        ("SQ8", Metric::InnerProduct, json!("fp32"), 1e-5),
        ("SQfp16", Metric::L2, json!("fp32"), 1e-5),
        ("PQ4x4", Metric::L2, Value::Null, 1e-5),
        ("IVF4,PQ4x4", Metric::InnerProduct, Value::Null, 1e-5),
    ];
    let config = json!({"embedding_model_name": folder, "id_to_subset_mapping": "subsets.json"});
    let placed = json!({"index_device": "cuda"});
    let params = [json!({}), json!({"subset": "odd"}), json!({"nprobe": 2})];
    let asks = asks(&texts[..6], 12, &params);
    assert_all_as_on_processor(&home, &kinds, (&config, &placed), &asks).await;

    index(&home, "flat", "Flat", Metric::L2, 300);
    let flat =
        json!({"embedding_model_name": folder, "index_path": "flat", "index_device": "cuda"});
    let roles = home.build(ENGINE, &flat).unwrap();
    assert_eq!(search(&roles, ask("x", 1000)).await.unwrap().len(), 200);
    let unknown = ask_with("x", 3, &json!({"subset": "odd"}));
    assert!(search(&roles, unknown).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_device_cannot_take_is_refused_and_auto_leaves_it_on_the_processor() {
    let device = device(Manner::default());
    let home = home(vec![Arc::clone(&device)]);
    let Some((folder, _)) = set_up(&home) else {
        return;
    };
    index(&home, "graph", "HNSW8", Metric::L2, 50);
    index(&home, "flat", "Flat", Metric::L2, 50);
    index(&home, "codes", "PQ4x4", Metric::L2, 50);
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

    let others = leave(&device, 100);
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
    let Some((folder, _)) = set_up(&home) else {
        return;
    };
    index(&home, "flat", "Flat", Metric::L2, 1600);
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
    let Some((folder, texts)) = set_up(&home) else {
        return;
    };
    index(&home, "index", "Flat", Metric::L2, 300);
    let build = |device: &str| {
        let config =
            json!({"embedding_model_name": folder, "index_path": "index", "index_device": device});
        home.build(ENGINE, &config).unwrap()
    };
    let [failing, other, cpu] = ["cuda:0", "cuda:1", "cpu"].map(build);
    search(&failing, ask(&texts[0], 5)).await.unwrap();
    let told = first_failure(&failing, &texts[0], 60).await;
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
