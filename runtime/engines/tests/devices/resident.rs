//! Vectors of an index that lie on a device.

use std::io::Write as _;
use std::sync::Arc;

use futures_util::future::join_all;
use routir_core::ErrorCode;
use routir_device::Devices;
use routir_index::faiss::Metric;
use serde_json::json;

use crate::common::{Home, ask};
use crate::emulator::{Manner, device};
use crate::{
    ENGINE, assert_alike, assert_alike_together, first_failure, home, index, request, search,
    set_up, subsets,
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
            assert_alike_together((&gpu, &cpu), &texts[..4], tolerance, &path).await;
        }
    }
    let flat =
        json!({"embedding_model_name": folder, "index_path": "Flat-L2", "index_device": "cuda"});
    let roles = home.build(ENGINE, &flat).unwrap();
    assert_eq!(search(&roles, ask("x", 1000)).await.unwrap().len(), 200);
    let unknown = request("x", 3, &json!({"subset": "odd"}));
    assert!(search(&roles, unknown).await.is_err());
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
