//! What tells the answers of one service from those of another where servers share a cache: its
//! configuration, and what lies in the files that this names.
//!
//! Servers with the same configuration and copies of the same files agree, wherever the files lie and
//! whenever they were written; one whose index is another does not.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use routir_cache::{Key, write_canonical};
use routir_config::{Loaded, Remote};
use serde_json::{Map, Value, json};

/// How many files of a folder are looked at, and how deep.
const FILES: usize = 4096;
const DEPTH: usize = 4;
/// How much of a file is looked at, at its start and at its end.
const PIECE: usize = 64 << 10;

/// Of the `i`th service.
pub(super) fn service(loaded: &Loaded, i: usize) -> Arc<str> {
    let effective = loaded.effective();
    let services = at(&effective, "services");
    let service = services.get(i).cloned().unwrap_or_default();
    let config = at(&service, "config");
    let mut collections = Vec::new();
    let configured = at(&effective, "collections");
    for collection in configured.as_array().into_iter().flatten() {
        let named = at(collection, "name");
        if mentions(&config, named.as_str().unwrap_or_default()) {
            collections.push(collection.clone());
        }
    }
    let said = json!({
        "name": at(&service, "name"),
        "engine": at(&service, "engine"),
        "config": config,
        "collections": collections,
    });
    digest(loaded, "service", &said)
}

/// Of everything together, for answers of pipelines.
pub(super) fn whole(loaded: &Loaded) -> Arc<str> {
    let effective = loaded.effective();
    let services = at(&effective, "services");
    let services = services.as_array().into_iter().flatten();
    let services: Vec<_> = services
        .map(|service| {
            json!({
                "name": at(service, "name"),
                "engine": at(service, "engine"),
                "config": at(service, "config"),
                "scoring_disabled": at(service, "scoring_disabled"),
            })
        })
        .collect();
    let said = json!({
        "services": services,
        "collections": at(&effective, "collections"),
        "server_imports": at(&effective, "server_imports"),
        "max_limit": at(&at(&effective, "rt"), "max_limit"),
    });
    digest(loaded, "pipeline", &said)
}

fn digest(loaded: &Loaded, what: &str, said: &Value) -> Arc<str> {
    let mut files = Map::new();
    seen(loaded, "", said, &mut files);
    let mut text = String::new();
    write_canonical(&mut text, said);
    let mut found = String::new();
    write_canonical(&mut found, &Value::Object(files));
    let key = Key::builder(what).digest("is", [env!("CARGO_PKG_VERSION"), &text, &found]);
    Arc::from(key.build().as_str())
}

/// What stands under `key`, or null.
fn at(value: &Value, key: &str) -> Value {
    value.get(key).cloned().unwrap_or_default()
}

/// Whether `name` is one of the strings in `value`.
fn mentions(value: &Value, name: &str) -> bool {
    match value {
        Value::String(text) => text == name,
        Value::Array(items) => items.iter().any(|item| mentions(item, name)),
        Value::Object(object) => object.values().any(|item| mentions(item, name)),
        _ => false,
    }
}

/// Notes what the files are that `value` names. A folder counts only under a key that speaks of one.
fn seen(loaded: &Loaded, key: &str, value: &Value, files: &mut Map<String, Value>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| seen(loaded, key, item, files)),
        Value::Object(object) => {
            for (key, item) in object {
                seen(loaded, key, item, files);
            }
        }
        Value::String(text) if !text.is_empty() && text.len() < 4096 => {
            let path = leads(loaded, text);
            let folder = ["path", "index", "dir", "model", "checkpoint"]
                .iter()
                .any(|word| key.contains(word));
            if path.is_file() || (folder && path.is_dir()) {
                let mut parts = Vec::new();
                look(&path, "", DEPTH, &mut parts);
                parts.sort();
                files.insert(text.clone(), parts.into());
            }
        }
        _ => {}
    }
}

/// Where `text` leads, should it be a path.
fn leads(loaded: &Loaded, text: &str) -> PathBuf {
    let remote = [Remote::Documents, Remote::Segments].into_iter();
    let mut remote = remote.map(|what| loaded.origin.resolve_remote(what, text));
    remote
        .find(|path| Remote::is_meant(text) && path.exists())
        .unwrap_or_else(|| loaded.resolve_path(text))
}

/// Adds name, size and ends of every file at or below `path`.
fn look(path: &Path, name: &str, depth: usize, parts: &mut Vec<String>) {
    if parts.len() >= FILES {
        return;
    }
    if path.is_dir() {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        for entry in entries.filter(|_| depth > 0) {
            let inner = format!("{name}/{}", entry.file_name().to_string_lossy());
            look(&entry.path(), &inner, depth - 1, parts);
        }
        return;
    }
    let Ok(file) = File::open(path) else { return };
    let size = file.metadata().map_or(0, |it| it.len());
    let mut ends = vec![0; PIECE * 2];
    let (head, tail) = ends.split_at_mut(PIECE);
    let mut hasher = crc32fast::Hasher::new();
    for (piece, at) in [(head, 0), (tail, size.saturating_sub(PIECE as u64))] {
        let got = file.read_at(piece, at).unwrap_or(0);
        hasher.update(piece.get(..got).unwrap_or_default());
    }
    parts.push(format!("{name}:{size}:{:08x}", hasher.finalize()));
}
