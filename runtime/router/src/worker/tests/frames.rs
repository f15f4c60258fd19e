//! What is made of frames, sane or not.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::worker::ModelState;
use crate::worker::frame::{Frame, read};

fn url() -> Arc<str> {
    Arc::from("http://w:1")
}

fn of(frame: &Value) -> Frame {
    read(frame.to_string().as_bytes(), &url()).unwrap()
}

fn whole() -> Value {
    json!({
        "ready": true, "name": "w-1", "machine_profile": "L4-spot", "gpu_count": 2,
        "bundle": "Default", "bundle_config_hash": "abc", "loaded_models": ["BAAI/bge-m3"],
        "max_batch_requests": 32, "timestamp": 1.5, "counters": {"a": [1, {"b": null}]},
        "models": [
            {"name": "BAAI/bge-m3", "state": "loaded", "queue_depth": 3, "device": "cuda:0",
             "config": {"x": [1, 2]}, "adaptive_batching": {"calibrated": true}},
            {"name": "other", "state": "loading", "queue_depth": 4},
            {"name": "third", "state": "available"},
            {"name": "fourth", "state": "unloading", "queue_depth": 0}
        ],
        "gpus": [{"memory_used_bytes": 10, "memory_total_bytes": 100, "device": 0},
                 {"memory_used_bytes": 5.0, "memory_total_bytes": 100}]
    })
}

#[test]
fn a_frame_of_sie_is_read() {
    let frame = of(&whole());
    assert_eq!(frame.bad_fields, 0);
    let facts = frame.facts;
    assert!(facts.ready && facts.heard && facts.lists_models);
    assert_eq!(
        (&*facts.name, &*facts.profile, &*facts.bundle),
        ("w-1", "L4-spot", "Default")
    );
    assert_eq!(
        (facts.gpu_count, facts.capacity, facts.queue_depth),
        (2, 32, 7)
    );
    assert_eq!(
        (facts.memory_used_bytes, facts.memory_total_bytes),
        (15, 200)
    );
    assert_eq!(facts.model("baai/bge-m3"), Some(ModelState::Loaded));
    assert_eq!(&*facts.models["baai/bge-m3"].name, "BAAI/bge-m3");
    assert_eq!(facts.model("other"), Some(ModelState::Loading));
    assert_eq!(facts.model("third"), Some(ModelState::Available));
    assert_eq!(facts.model("fourth"), Some(ModelState::Gone));
    assert_eq!(facts.model("fifth"), None);
    assert_eq!(facts.generation, None);
}

#[test]
fn msgpack_says_the_same() {
    let bytes = rmp_serde::to_vec_named(&whole()).unwrap();
    assert_eq!(read(&bytes, &url()).unwrap().facts, of(&whole()).facts);
}

#[test]
fn an_empty_object_is_a_worker_that_is_not_ready() {
    let frame = of(&json!({}));
    assert_eq!(frame.bad_fields, 0);
    assert!(!frame.facts.ready && !frame.facts.lists_models);
    assert_eq!(&*frame.facts.name, "http://w:1");
    assert_eq!(
        (&*frame.facts.bundle, &*frame.facts.profile),
        ("default", "")
    );
    assert_eq!((frame.facts.gpu_count, frame.facts.capacity), (1, 64));
    assert_eq!(frame.facts.model("any"), Some(ModelState::Available));
}

#[test]
fn a_malformed_field_is_its_default_and_the_rest_counts() {
    let values = [
        json!(null),
        json!(true),
        json!(-1),
        json!(1.5e300),
        json!("text"),
        json!([]),
        json!([1, null, {"a": []}]),
        json!({}),
        json!({"name": 7, "generation": "x"}),
        json!("x".repeat(2000)),
    ];
    for key in [
        "name",
        "machine_profile",
        "gpu_count",
        "bundle",
        "bundle_config_hash",
        "loaded_models",
        "max_batch_requests",
        "models",
        "gpus",
        "routir",
    ] {
        for value in &values {
            let mut frame = whole();
            frame[key] = value.clone();
            let read = of(&frame);
            assert!(read.facts.ready, "{key}: {value}");
            assert!(read.facts.capacity > 0);
        }
    }
    for (key, value) in [
        ("ready", json!("yes")),
        ("loaded_models", json!(null)),
        ("models", json!({})),
        ("loaded_models", json!(["a", 1])),
        ("max_batch_requests", json!(-3)),
        ("models", json!([{"name": "m", "state": "dancing"}])),
    ] {
        let mut frame = whole();
        frame[key] = value;
        assert_eq!(of(&frame).bad_fields, 1, "{key}");
    }
    let mut frame = whole();
    frame["models"][0]["queue_depth"] = json!(u64::MAX);
    frame["models"][1]["queue_depth"] = json!(u64::MAX);
    assert_eq!(of(&frame).facts.queue_depth, u64::MAX);
}

#[test]
fn numbers_that_are_none_cost_their_field_alone() {
    let text = r#"{"ready": true, "name": "a \" NaN", "gpu_count": NaN, "counters": [-Infinity, Infinity],
                   "models": [{"name": "m", "state": "loaded", "adaptive_batching": {"p50_ms": NaN}}]}"#;
    let frame = read(text.as_bytes(), &url()).unwrap();
    assert_eq!((frame.bad_fields, &*frame.facts.name), (1, "a \" NaN"));
    assert_eq!(frame.facts.model("m"), Some(ModelState::Loaded));
    assert!(read(b"{\"ready\": NaNNaN}", &url()).is_none());
}

#[test]
fn what_is_no_object_is_no_frame() {
    for text in [
        "",
        "  ",
        "null",
        "[]",
        "[{}]",
        "7",
        "\"ready\"",
        "{",
        "{\"ready\":",
        "ready",
    ] {
        assert!(read(text.as_bytes(), &url()).is_none(), "{text}");
    }
    assert!(read("[".repeat(100_000).as_bytes(), &url()).is_none());
    assert!(
        read(
            format!("{{\"a\":{}", "[".repeat(100_000)).as_bytes(),
            &url()
        )
        .is_none()
    );
    assert!(read(&[0x91; 100_000], &url()).is_none());
    assert!(read(&[0xdf, 0xff, 0xff, 0xff, 0xff], &url()).is_none());
    assert!(read(&[0xdd, 0xff, 0xff, 0xff, 0xff, 1], &url()).is_none());
}

#[test]
fn a_worker_of_this_project_is_told_from_others() {
    let frame = of(&json!({"ready": true, "models": [], "routir": {
        "generation": 9, "grpc_port": null, "server_id": "s", "queue_depth": 5
    }}));
    assert_eq!(frame.bad_fields, 0);
    assert_eq!(frame.facts.generation, Some(9));
    assert_eq!(
        (frame.grpc_port, frame.server_id.as_deref()),
        (None, Some("s"))
    );
    assert_eq!(frame.facts.queue_depth, 5);
    assert_eq!(
        frame.facts.model("any"),
        None,
        "it lists no model and serves none"
    );
    let frame = of(&json!({"routir": {"generation": 1, "grpc_port": 5001}}));
    assert_eq!(frame.grpc_port, Some(5001));
}

#[test]
fn lists_have_an_end() {
    let names: Vec<_> = (0..6000).map(|name| format!("m{name}")).collect();
    let frame = of(&json!({"loaded_models": names}));
    assert_eq!(
        (frame.facts.models.len(), frame.bad_fields),
        (4096, 6000 - 4096)
    );
}

fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let keys = prop_oneof![
            Just("name".to_owned()),
            Just("state".to_owned()),
            Just("queue_depth".to_owned()),
            Just("generation".to_owned()),
            "[a-z]{0,4}"
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((keys, inner), 0..4)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_bytes_do_harm(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(&bytes, &url());
    }

    #[test]
    fn one_field_of_any_kind_leaves_the_others(
        key in prop::sample::select(vec![
            "name", "machine_profile", "gpu_count", "bundle", "loaded_models", "models", "gpus",
            "max_batch_requests", "routir", "counters",
        ]),
        value in anything(),
    ) {
        let mut frame = whole();
        frame[key] = value;
        for bytes in [frame.to_string().into_bytes(), rmp_serde::to_vec_named(&frame).unwrap()] {
            let facts = read(&bytes, &url()).unwrap().facts;
            prop_assert!(facts.ready && facts.capacity > 0 && !facts.name.is_empty());
            prop_assert_eq!(&*facts.bundle_config_hash, "abc");
            if key != "loaded_models" && key != "models" {
                prop_assert_eq!(facts.model("baai/bge-m3"), Some(ModelState::Loaded));
            }
        }
    }
}
