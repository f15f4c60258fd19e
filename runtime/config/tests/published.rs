//! What is published about the format is what the code does: the JSON schema in
//! `docs/config.schema.json` and the tables in `docs/config.md`. `UPDATE_EXPECT=1` rewrites both.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test's helpers may fail loudly"
)]

use std::path::{Path, PathBuf};

use expect_test::expect_file;
use serde_json::Value;

const BEGIN: &str = "<!-- tables: made from the types; `UPDATE_EXPECT=1 cargo test -p routir-config` rewrites them -->\n";
const END: &str = "<!-- end of tables -->\n";

/// The tables of the reference, in its order: heading and place in the schema.
const TABLES: [(&str, &str); 26] = [
    ("The whole file", ""),
    ("`services[]`", "/$defs/ServiceConfig"),
    ("`services[].rt`", "/$defs/ServiceRt"),
    (
        "`services[].config` of the engine `Extension`",
        "/$defs/ExtensionConfig",
    ),
    (
        "`limits` of an extension, or of all of a tenant's",
        "/$defs/ExtensionLimits",
    ),
    (
        "`grants` of an extension, `extension_grants` of a tenant",
        "/$defs/ExtensionGrants",
    ),
    ("`on_failure`", "/$defs/OnFailure"),
    ("`collections[]`", "/$defs/CollectionConfig"),
    ("`collections[].views.NAME`", "/$defs/ViewSpec"),
    ("A source of the kind `text_jsonl`", "/$defs/Source/oneOf/0"),
    ("A source of the kind `local_path`", "/$defs/Source/oneOf/1"),
    ("A source of the kind `tar`", "/$defs/Source/oneOf/2"),
    ("`matcher` of the kind `glob`", "/$defs/Matcher/oneOf/0"),
    ("`matcher` of the kind `regex`", "/$defs/Matcher/oneOf/1"),
    (
        "`shard_resolver` of the kind `manifest`",
        "/$defs/ShardResolver/oneOf/0",
    ),
    (
        "`shard_resolver` of the kind `modulo`",
        "/$defs/ShardResolver/oneOf/1",
    ),
    (
        "`shard_resolver` of the kind `substring`",
        "/$defs/ShardResolver/oneOf/2",
    ),
    ("`server_imports[]`", "/$defs/ServerImport"),
    ("`tenants[]`", "/$defs/TenantConfig"),
    ("`tenants[].quotas`", "/$defs/TenantQuotas"),
    ("`tenants[].grants`", "/$defs/TenantGrants"),
    ("`rt`", "/$defs/RtConfig"),
    ("`rt.extensions`", "/$defs/ExtensionsRt"),
    ("`rt.models`", "/$defs/ModelsRt"),
    ("`rt.worker`", "/$defs/WorkerRt"),
    ("`rt.worker.models[]`", "/$defs/HostedModelConfig"),
];

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs")
        .canonicalize()
        .unwrap()
}

#[test]
fn the_schema_is_published() {
    let text = serde_json::to_string_pretty(&routir_config::schema()).unwrap() + "\n";
    expect_file![docs().join("config.schema.json")].assert_eq(&text);
}

#[test]
fn every_key_is_in_the_reference() {
    let schema = routir_config::schema();
    let tables: String = TABLES
        .iter()
        .map(|(heading, place)| {
            let part = schema
                .pointer(place)
                .unwrap_or_else(|| panic!("no {place}"));
            format!("\n### {heading}\n\n{}", table(&schema, part))
        })
        .collect();
    let file = docs().join("config.md");
    let text = std::fs::read_to_string(&file).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the begin of the tables");
    let (_, after) = rest.split_once(END).expect("the end of the tables");
    expect_file![file].assert_eq(&format!("{before}{BEGIN}{tables}\n{END}{after}"));
}

/// A part of the schema as a Markdown table.
fn table(schema: &Value, part: &Value) -> String {
    let required = part
        .get("required")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let mut table = "| key | type | default | meaning |\n|---|---|---|---|\n".to_owned();
    for (key, property) in part["properties"].as_object().unwrap() {
        let default = match property.get("default") {
            _ if required.contains(&Value::from(key.as_str())) => "required".to_owned(),
            Some(Value::Object(object)) if !object.is_empty() => "see there".to_owned(),
            Some(default) => format!("`{default}`"),
            None => String::new(),
        };
        let meaning = property
            .get("description")
            .and_then(Value::as_str)
            .unwrap_or("Says which kind.");
        let kind = kind(schema, property);
        let constraint = constraint(property);
        table += &format!("| `{key}` | {kind}{constraint} | {default} | {meaning} |\n");
    }
    table
}

/// What a property may be, in words.
fn kind(schema: &Value, property: &Value) -> String {
    if let Some(name) = property.get("$ref").and_then(Value::as_str) {
        let target = schema.pointer(name.trim_start_matches('#')).unwrap();
        return if target.get("oneOf").is_some() {
            kind(schema, target)
        } else {
            "object".to_owned()
        };
    }
    if let Some(arms) = property
        .get("oneOf")
        .or(property.get("anyOf"))
        .and_then(Value::as_array)
    {
        let mut kinds: Vec<_> = arms.iter().map(|arm| kind(schema, arm)).collect();
        kinds.dedup();
        return kinds.join(" or ");
    }
    if let Some(value) = property.get("const") {
        return format!("`{value}`");
    }
    match &property["type"] {
        Value::Array(kinds) => kinds
            .iter()
            .filter_map(Value::as_str)
            .collect::<Vec<_>>()
            .join(" or "),
        Value::String(array) if array == "array" => {
            format!("list of {}", kind(schema, &property["items"]))
        }
        Value::String(kind) => kind.clone(),
        _ => "any".to_owned(),
    }
}

fn constraint(property: &Value) -> String {
    let bound = |name| property.get(name).map(|bound: &Value| bound.to_string());
    match (bound("minimum"), bound("maximum")) {
        (Some(least), Some(most)) if least == most => format!(", {least}"),
        (Some(least), Some(most)) => format!(", {least} to {most}"),
        (Some(least), None) => format!(", at least {least}"),
        (None, Some(most)) => format!(", at most {most}"),
        (None, None) if bound("minLength").is_some() || bound("minItems").is_some() => {
            ", not empty".to_owned()
        }
        (None, None) => String::new(),
    }
}
