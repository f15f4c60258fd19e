//! Extensions as their owners see them.

use std::sync::Arc;

use routir_core::{ExtensionCheck, ExtensionReport, ParamsSpec};
use routir_sandbox::Manifest;
use serde_json::{Value, json};

use super::party::Slot;

/// What there is to say of an extension.
pub(super) fn report(slot: &Slot) -> ExtensionReport {
    let record = &slot.record;
    let active = record.versions.first();
    let base = ExtensionReport {
        name: Arc::from(record.name.as_str()),
        version: active.map(|it| it.version.clone()).unwrap_or_default(),
        description: String::new(),
        roles: Vec::new(),
        params: Value::Null,
        sha256: active.map(|it| it.sha256.clone()).unwrap_or_default(),
        size_bytes: active.map_or(0, |it| it.size_bytes),
        state: "refused",
        published: active.map_or(0.0, |it| it.published),
        source: active.map_or("", |it| it.source.name()),
        previous: record.versions.get(1).map(|it| it.sha256.clone()),
        checks: Vec::new(),
    };
    match &slot.live {
        Ok(live) => {
            let manifest = &live.admission.manifest;
            let tripped = live.guard.is_tripped();
            ExtensionReport {
                description: manifest.description.clone(),
                roles: live.admission.roles.clone(),
                params: params(manifest),
                state: if tripped { "tripped" } else { "active" },
                checks: live.admission.checks.clone(),
                ..base
            }
        }
        Err(why) => ExtensionReport {
            checks: vec![ExtensionCheck {
                name: "restore",
                passed: false,
                detail: why.message().to_owned(),
            }],
            ..base
        },
    }
}

/// A manifest's parameters: `"open"`, or a list of objects with `name`, `kind`, `doc` and, where
/// there is one, `default`.
pub(crate) fn params(manifest: &Manifest) -> Value {
    let ParamsSpec::Known(specs) = &manifest.params else {
        return json!("open");
    };
    let one = |spec: &routir_core::ParamSpec| {
        let mut one = json!(spec);
        if let (Some(default), Value::Object(map)) =
            (manifest.defaults.as_map().get(spec.name.as_ref()), &mut one)
        {
            map.insert("default".to_owned(), default.clone());
        }
        one
    };
    specs.iter().map(one).collect()
}
