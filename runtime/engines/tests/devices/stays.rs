//! Vectors of queries that stay on the device where they are made.

use routir_index::faiss::Metric;
use serde_json::json;

use crate::common::{ask, score, score_request, search};
use crate::{ENGINE, asks, assert_as_on_processor, computing, home, index, set_up, subsets};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_querys_vector_stays_on_the_device_that_its_index_is_on() {
    let home = home(vec![computing(), computing()]).file("subsets.json", &subsets(300));
    let Some((folder, texts)) = set_up(&home) else {
        return;
    };
    let kinds = [
        ("Flat", Metric::InnerProduct, json!(null), 1e-5),
        ("Flat", Metric::L2, json!("fp16"), 2e-2),
        ("PQ4x4", Metric::L2, json!(null), 1e-5),
        ("IVF4,PQ4x4", Metric::L2, json!(null), 1e-5),
    ];
    let params = [json!({}), json!({"subset": "odd"}), json!({"nprobe": 2})];
    let asks = asks(&texts, 12, &params);
    for (factory, metric, element, tolerance) in kinds {
        let path = format!("{factory}-{metric:?}");
        index(&home, &path, factory, metric, 300);
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
            assert_as_on_processor((&gpu, &cpu), &asks, tolerance, &what).await;
            // Scores are made on the processor, of the same vectors.
            let passages: Vec<&str> = texts.iter().map(String::as_str).collect();
            let pairs = || score_request(&texts[0], &passages);
            let scores = score(&gpu, pairs()).await.unwrap();
            let wanted = score(&cpu, pairs()).await.unwrap();
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
    let Some((folder, texts)) = set_up(&home) else {
        return;
    };
    index(&home, "index", "Flat", Metric::L2, 300);
    let mut config = json!({
        "embedding_model_name": folder, "index_path": "index", "device": "cuda:0",
        "device_memory_mb": 64,
    });
    // What the search takes of the model's device, after one that took what it needs itself.
    let mut taken = Vec::new();
    for index_device in ["cuda:1", "cuda:0"] {
        config["index_device"] = json!(index_device);
        let roles = home.build(ENGINE, &config).unwrap();
        let pair = score_request(&texts[0], &[&texts[1]]);
        score(&roles, pair).await.unwrap();
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
