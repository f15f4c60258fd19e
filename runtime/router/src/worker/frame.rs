//! A worker's status frame, as far as it is sane.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize as _;

use super::field::{Field, List, Object, object};
use super::one::lower;
use super::{Facts, ModelFacts, ModelState};

/// A worker that does not say how much it takes at once takes this.
const CAPACITY: u32 = 64;

/// The deepest nesting of msgpack; what is JSON may be 128 deep.
const MAX_DEPTH: usize = 64;

/// A frame that told something.
#[derive(Debug)]
pub(super) struct Frame {
    /// Without an offer, which is asked for apart.
    pub(super) facts: Facts,
    pub(super) grpc_port: Option<u16>,
    pub(super) server_id: Option<Arc<str>>,
    /// Malformed fields, for which their defaults stand.
    pub(super) bad_fields: u64,
}

#[derive(Debug, Default, PartialEq)]
struct Fields {
    ready: Field<bool>,
    name: Field<Arc<str>>,
    profile: Field<Arc<str>>,
    gpu_count: Field<u64>,
    bundle: Field<Arc<str>>,
    bundle_config_hash: Field<Arc<str>>,
    loaded_models: Field<List<Arc<str>>>,
    capacity: Field<u64>,
    models: Field<List<Model>>,
    gpus: Field<List<Gpu>>,
    routir: Field<Routir>,
}

object!(Fields {
    "ready" => ready,
    "name" => name,
    "machine_profile" => profile,
    "gpu_count" => gpu_count,
    "bundle" => bundle,
    "bundle_config_hash" => bundle_config_hash,
    "loaded_models" => loaded_models,
    "max_batch_requests" => capacity,
    "models" => models,
    "gpus" => gpus,
    "routir" => routir,
});

#[derive(Debug, Default, PartialEq)]
struct Model {
    name: Field<Arc<str>>,
    state: Field<Arc<str>>,
    queue_depth: Field<u64>,
}

object!(Model { "name" => name, "state" => state, "queue_depth" => queue_depth });

#[derive(Debug, Default, PartialEq)]
struct Gpu {
    used: Field<u64>,
    total: Field<u64>,
}

object!(Gpu { "memory_used_bytes" => used, "memory_total_bytes" => total });

/// What workers of this project say besides.
#[derive(Debug, Default, PartialEq)]
struct Routir {
    generation: Field<u64>,
    grpc_port: Field<u64>,
    server_id: Field<Arc<str>>,
    queue_depth: Field<u64>,
}

object!(Routir {
    "generation" => generation,
    "grpc_port" => grpc_port,
    "server_id" => server_id,
    "queue_depth" => queue_depth,
});

/// Reads a frame: JSON, or msgpack. `None` for what is no object.
pub(super) fn read(bytes: &[u8], url: &Arc<str>) -> Option<Frame> {
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace())?;
    let fields = match first {
        b'{' => serde_json::from_slice::<Object<Fields>>(bytes).ok()?,
        _ => {
            let mut reader = rmp_serde::Deserializer::from_read_ref(bytes);
            reader.set_max_depth(MAX_DEPTH);
            Object::<Fields>::deserialize(&mut reader).ok()?
        }
    };
    Some(sane(fields.0, url))
}

fn sane(fields: Fields, url: &Arc<str>) -> Frame {
    let mut bad = 0;
    let bad = &mut bad;
    let listed = fields.models.take(bad).unwrap_or_default();
    *bad += listed.bad;
    let lists = !listed.entries.is_empty();
    let mut queue_depth = 0_u64;
    let mut models = BTreeMap::new();
    for model in listed.entries {
        let depth = model.queue_depth.take(bad).unwrap_or(0);
        queue_depth = queue_depth.saturating_add(depth);
        let state = state(model.state, bad);
        if let Some(name) = named(model.name, bad) {
            let facts = ModelFacts {
                name: Arc::clone(&name),
                state,
                queue_depth: depth,
            };
            models.insert(lower(&name), facts);
        }
    }
    let loaded = fields.loaded_models.take(bad).unwrap_or_default();
    *bad += loaded.bad;
    for name in loaded.entries {
        let entry = models.entry(lower(&name)).or_insert_with(|| ModelFacts {
            name,
            state: ModelState::Available,
            queue_depth: 0,
        });
        if entry.state != ModelState::Gone {
            entry.state = ModelState::Loaded;
        }
    }
    let ours = !matches!(fields.routir, Field::Absent);
    let routir = fields.routir.take(bad).unwrap_or_default();
    let own_depth = routir.queue_depth.take(bad).unwrap_or(0);
    let gpus = fields.gpus.take(bad).unwrap_or_default();
    *bad += gpus.bad;
    let (mut used, mut total) = (0_u64, 0_u64);
    for gpu in gpus.entries {
        used = used.saturating_add(gpu.used.take_or_null(bad).unwrap_or(0));
        total = total.saturating_add(gpu.total.take_or_null(bad).unwrap_or(0));
    }
    let facts = Facts {
        heard: true,
        ready: fields.ready.take(bad).unwrap_or(false),
        name: named(fields.name, bad).unwrap_or_else(|| Arc::clone(url)),
        profile: fields.profile.take(bad).unwrap_or_default(),
        bundle: named(fields.bundle, bad).unwrap_or_else(|| Arc::from("default")),
        bundle_config_hash: fields.bundle_config_hash.take(bad).unwrap_or_default(),
        gpu_count: small(fields.gpu_count.take(bad)).unwrap_or(1),
        capacity: small(fields.capacity.take(bad))
            .filter(|capacity| *capacity > 0)
            .unwrap_or(CAPACITY),
        // A worker of this project without models serves none.
        lists_models: lists || ours,
        models,
        queue_depth: queue_depth.saturating_add(own_depth),
        memory_used_bytes: used,
        memory_total_bytes: total,
        generation: routir.generation.take(bad),
        offer: None,
    };
    let grpc_port = routir.grpc_port.take_or_null(bad);
    Frame {
        facts,
        grpc_port: grpc_port.and_then(|port| u16::try_from(port).ok()),
        server_id: routir.server_id.take_or_null(bad),
        bad_fields: *bad,
    }
}

fn small(number: Option<u64>) -> Option<u32> {
    number.map(|number| u32::try_from(number).unwrap_or(u32::MAX))
}

/// A name that is one.
fn named(name: Field<Arc<str>>, bad: &mut u64) -> Option<Arc<str>> {
    name.take(bad).filter(|name| !name.is_empty())
}

fn state(state: Field<Arc<str>>, bad: &mut u64) -> ModelState {
    match state.take(bad).as_deref() {
        Some("loaded") => ModelState::Loaded,
        Some("loading") => ModelState::Loading,
        Some("unloading" | "failed") => ModelState::Gone,
        Some("available") | None => ModelState::Available,
        Some(_) => {
            *bad += 1;
            ModelState::Available
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

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
}
