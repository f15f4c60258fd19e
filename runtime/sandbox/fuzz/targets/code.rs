//! Random but valid code, with the exports of a fusion: whatever it does, it ends within its limits.

#![no_main]

#[path = "../../../../tests/evil/wrap.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod wrap;

use std::sync::LazyLock;

use arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;
use wasm_smith::{Config, Module};

/// What the generated module exports, under the same names and types.
static EXPORTS: LazyLock<Vec<u8>> = LazyLock::new(|| wrap::core_of(&wrap::text("good")));

fuzz_target!(|data: &[u8]| {
    let config = Config {
        exports: Some(EXPORTS.clone()),
        export_everything: false,
        max_imports: 0,
        min_imports: 0,
        max_memories: 1,
        bulk_memory_enabled: true,
        gc_enabled: false,
        exceptions_enabled: false,
        threads_enabled: false,
        memory64_enabled: false,
        ..Config::default()
    };
    let Ok(module) = Module::new(config, &mut Unstructured::new(data)) else {
        return;
    };
    // Not all that is a valid module is a fusion's.
    if let Ok(component) = wrap::try_component("fusion", &module.to_bytes()) {
        routir_sandbox::fuzzing::load(&component);
    }
});
