//! Views of a cluster whose workers said this and that.

use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus_client::encoding::text;
use serde_json::{Value, json};

use super::{Feed, HealthInput, KnownModel, Qps, health, model, models};
use crate::dial::Dialer;
use crate::fake::{Fake, until};
use crate::worker::tests::{ready, said};
use crate::worker::{Card, Facts, ModelState, Registry, Source, WorkerMetrics, WorkerSettings};

fn seen(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).unwrap()
}

fn input(kind: &str) -> HealthInput<'_> {
    HealthInput {
        kind,
        total_qps: 2.5,
        configured_gpu_types: &[],
        demand: Vec::new(),
    }
}

#[test]
fn health_counts_ready_workers_and_lists_all() {
    let busy = Facts {
        queue_depth: 4,
        gpu_count: 2,
        ..ready(&[
            ("B/two", ModelState::Loaded),
            ("a/one", ModelState::Available),
        ])
    };
    let away = Facts {
        ready: false,
        profile: Arc::from("a100"),
        ..ready(&[("c", ModelState::Loaded)])
    };
    let workers = [
        said(1, busy),
        said(2, away),
        said(3, ready(&[("B/two", ModelState::Loaded)])),
    ];
    let health = seen(&health(&workers, input("gateway")));
    let cluster = json!({"worker_count": 2, "gpu_count": 3, "models_loaded": 1, "total_qps": 2.5});
    assert_eq!(health["cluster"], cluster);
    for key in ["worker_count", "gpu_count", "models_loaded", "total_qps"] {
        assert_eq!(health[key], cluster[key], "flat as well");
    }
    assert_eq!(
        (&health["status"], &health["type"]),
        (&json!("healthy"), &json!("gateway"))
    );
    assert_eq!(health["live_gpu_types"], json!(["l4"]));
    assert_eq!(
        health["models"],
        json!([{"name": "B/two", "state": "loaded", "worker_count": 2, "gpu_types": ["l4"],
                "total_queue_depth": 4}])
    );
    let all = health["workers"].as_array().unwrap();
    assert_eq!(all.len(), 3);
    assert_eq!(
        (&all[1]["healthy"], &all[1]["gpu"]),
        (&json!(false), &json!("a100"))
    );
    assert_eq!(all[0]["loaded_models"], json!(["B/two"]));
    assert_eq!(all[0]["url"], "http://w1");
    for key in [
        "name",
        "gpu_count",
        "queue_depth",
        "memory_used_bytes",
        "memory_total_bytes",
        "bundle",
        "bundle_config_hash",
    ] {
        assert!(!all[0][key].is_null(), "{key}");
    }
}

#[test]
fn health_without_workers_is_degraded_and_complete() {
    let health = seen(&health(&[], input("router")));
    assert_eq!(
        (&health["status"], &health["type"]),
        (&json!("degraded"), &json!("router"))
    );
    assert_eq!(
        (&health["workers"], &health["models"]),
        (&json!([]), &json!([]))
    );
    assert_eq!(health["cluster"]["worker_count"], 0);
}

#[test]
fn models_are_learned_from_workers_or_those_of_the_catalogue() {
    let workers = [
        said(
            1,
            ready(&[("Z", ModelState::Loaded), ("a", ModelState::Loading)]),
        ),
        said(
            2,
            ready(&[("z", ModelState::Available), ("gone", ModelState::Gone)]),
        ),
    ];
    let learned = seen(&models(&workers, None));
    assert_eq!(
        learned["models"],
        json!([
            {"name": "Z", "bundles": ["default"], "worker_count": 1, "workers": ["http://w1"],
             "loaded": true, "state": "loaded"},
            {"name": "a", "bundles": ["default"], "worker_count": 0, "workers": [],
             "loaded": false, "state": "loading"},
        ])
    );
    let known = [KnownModel {
        name: Arc::from("Q"),
        bundles: vec![Arc::from("second"), Arc::from("first")],
        card: Card {
            inputs: Some(json!(["text"])),
            ..Card::default()
        },
    }];
    let listed = seen(&models(&workers, Some(&known)));
    assert_eq!(
        listed["models"],
        json!([{"name": "Q", "bundles": ["second", "first"], "worker_count": 0, "workers": [],
                "loaded": false, "state": "available", "inputs": ["text"]}])
    );
    assert_eq!(model(&workers, None, "z").unwrap().worker_count, 1);
    assert!(model(&workers, None, "q").is_none());
    assert!(model(&workers, Some(&known), "q").is_some());
    assert!(model(&workers, Some(&known), "z").is_none());
}

#[tokio::test]
async fn what_is_told_of_models_is_merged_and_metrics_forget_who_left() {
    let fake = Fake::with(|fake| fake.name = "evil\"\nname".to_owned()).await;
    let registry = Registry::with(WorkerSettings {
        dialer: Dialer::plain(Duration::from_secs(1)),
        silence: Duration::from_secs(30),
        authorization: None,
        own: Arc::default(),
    });
    registry.set(Source::Static, [fake.url.clone()].into());
    let worker = Arc::clone(&registry.workers()[0]);
    until("its models are described", || !worker.cards().is_empty()).await;
    let view = seen(&model(&registry.workers(), None, "baai/BGE-m3"));
    assert_eq!(
        (&view["dims"], &view["max_sequence_length"]),
        (&json!({"dense": 4}), &json!(512))
    );

    let feed = Feed::new(registry.clone(), Arc::new(Qps::default()));
    let now = Instant::now();
    let frame = feed.frame(now);
    assert!(
        Arc::ptr_eq(&frame, &feed.frame(now)),
        "one frame serves all who watch"
    );
    let frame: Value = serde_json::from_str(&frame).unwrap();
    assert_eq!(frame["cluster"]["worker_count"], 1);
    assert_eq!(frame["workers"][0]["name"], "evil\"\nname");
    assert!(frame["timestamp"].as_f64().unwrap() > 1e9);

    let scrape = || {
        let mut metrics = prometheus_client::registry::Registry::default();
        metrics.register_collector(Box::new(WorkerMetrics::new(registry.clone())));
        let mut out = String::new();
        text::encode(&mut out, &metrics).unwrap();
        out
    };
    let _in_flight = worker.begin(&crate::want::Need::Anything);
    let out = scrape();
    let labels = r#"{worker="evil\"\nname",machine_profile="l4-spot",bundle="default"}"#;
    for line in [
        r#"sie_router_workers{status="healthy"} 1"#.to_owned(),
        r#"sie_router_workers{status="unhealthy"} 0"#.to_owned(),
        r#"sie_router_model_workers{model="BAAI/bge-m3"} 1"#.to_owned(),
        format!("sie_router_worker_queue_depth{labels} 0"),
        format!("sie_router_worker_memory_used_bytes{labels} 1073741824"),
        format!("sie_router_worker_in_flight{labels} 1"),
        format!("sie_router_worker_breaker{labels} 0"),
        format!("sie_router_worker_bad_frames_total{labels} 0"),
        format!("sie_router_worker_reconnects_total{labels} 0"),
    ] {
        assert!(
            out.lines().any(|there| there == line),
            "{line} is not in\n{out}"
        );
    }
    registry.set(Source::Static, std::collections::BTreeSet::new());
    let out = scrape();
    assert!(!out.contains("evil") && !out.contains("bge-m3"), "{out}");
}
