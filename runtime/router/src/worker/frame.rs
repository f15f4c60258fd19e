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
        b'{' => match serde_json::from_slice::<Object<Fields>>(bytes) {
            Ok(fields) => fields,
            Err(_) => serde_json::from_slice(&without_nan(bytes)?).ok()?,
        },
        _ => {
            let mut reader = rmp_serde::Deserializer::from_read_ref(bytes);
            reader.set_max_depth(MAX_DEPTH);
            Object::<Fields>::deserialize(&mut reader).ok()?
        }
    };
    Some(sane(fields.0, url))
}

/// Python's JSON with `NaN` and infinities, which are none in JSON, as `null`; `None` if it has none.
fn without_nan(bytes: &[u8]) -> Option<Vec<u8>> {
    const WORDS: [&[u8]; 3] = [b"NaN", b"-Infinity", b"Infinity"];
    let mut plain = Vec::with_capacity(bytes.len());
    let (mut rest, mut in_text, mut found) = (bytes, false, false);
    while let Some((first, after)) = rest.split_first() {
        let word = WORDS.iter().find(|word| !in_text && rest.starts_with(word));
        if let Some(word) = word {
            plain.extend_from_slice(b"null");
            rest = rest.get(word.len()..).unwrap_or_default();
            found = true;
            continue;
        }
        plain.push(*first);
        rest = after;
        match first {
            b'"' => in_text = !in_text,
            b'\\' if in_text => {
                if let Some((escaped, after)) = rest.split_first() {
                    plain.push(*escaped);
                    rest = after;
                }
            }
            _ => {}
        }
    }
    found.then_some(plain)
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
            models.insert(lower(Arc::clone(&name)), facts);
        }
    }
    let loaded = fields.loaded_models.take(bad).unwrap_or_default();
    *bad += loaded.bad;
    for name in loaded.entries {
        let entry = models
            .entry(lower(Arc::clone(&name)))
            .or_insert_with(|| ModelFacts {
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
