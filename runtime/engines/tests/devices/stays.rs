//! Vectors of queries that stay on the device where they are made.

use routir_index::faiss::Metric;
use serde_json::json;

use crate::common::{self, ask};
use crate::{
    ENGINE, assert_alike, assert_alike_together, computing, home, index, request, search, set_up,
    subsets,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_querys_vector_stays_on_the_device_that_its_index_is_on() {
    let home = home(vec![computing(), computing()]).file("subsets.json", &subsets(300));
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
            let params = [json!({}), json!({"subset": "odd"}), json!({"nprobe": 2})];
            for (text, params) in texts.iter().zip(params.iter().cycle()) {
                let got = search(&gpu, request(text, 12, params)).await.unwrap();
                let wanted = search(&cpu, request(text, 12, params)).await.unwrap();
                assert_alike(&got, &wanted, tolerance, &what);
            }
            assert_alike_together((&gpu, &cpu), &texts, tolerance, &what).await;
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
