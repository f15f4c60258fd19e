//! What the tests share: guests that are built when they are wanted, and a sandbox for them.

#![allow(
    dead_code,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "each test file uses its part, and may fail"
)]

pub(crate) mod runtime;

use std::io::Write;
use std::sync::{Arc, LazyLock};

use routir_config::{ExtensionGrants, ExtensionLimits};
use routir_core::{Params, Role, Roles};
use routir_guests::{Guest, Made, Workshop};
use routir_sandbox::{Admitted, Compiler, ExtensionSpec, Sandbox, SandboxSettings};
use serde_json::Value;

pub(crate) use runtime::Runtime;

/// Builds a guest, or says aloud that it cannot be built here.
pub(crate) fn component(guest: Guest) -> Option<Vec<u8>> {
    match Workshop::here().make(guest).unwrap() {
        Made::Skipped { missing, install } => {
            // Not a print macro: of a test that passes the runner hides those.
            let _ = writeln!(
                std::io::stderr(),
                "SKIPPED: {}: {missing} is missing; run: {install}",
                guest.name
            );
            None
        }
        made => Some(std::fs::read(made.component().unwrap()).unwrap()),
    }
}

/// One sandbox for all tests, with a cache that outlives them: Python is long in compiling.
pub(crate) fn sandbox() -> Arc<Sandbox> {
    static SANDBOX: LazyLock<Arc<Sandbox>> = LazyLock::new(|| {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let cache_dir = root.join("target/guests/compiled");
        std::fs::create_dir_all(&cache_dir).unwrap();
        let settings = SandboxSettings {
            cache_dir,
            instances: 32,
            compiler: Compiler::InProcess,
            compile_memory_mb: 2048,
            compile_cpu_s: 600,
            threads: 2,
        };
        Sandbox::new(settings).unwrap()
    });
    Arc::clone(&SANDBOX)
}

/// Room for a slow machine: time is not what is tested.
pub(crate) fn limits() -> ExtensionLimits {
    ExtensionLimits {
        time_ms: 60_000,
        cpu_ms: 30_000,
        ..ExtensionLimits::default()
    }
}

/// Nothing, except for Go, whose runtime needs WASI.
pub(crate) fn grants(guest: Guest) -> ExtensionGrants {
    ExtensionGrants {
        wasi: guest.lang == routir_guests::Lang::Go,
        ..ExtensionGrants::default()
    }
}

/// Lets a guest in.
pub(crate) async fn admit(guest: Guest, component: Vec<u8>) -> Admitted {
    let admitted = sandbox()
        .admit(None, component.into(), &limits(), &grants(guest))
        .await;
    admitted.unwrap_or_else(|error| panic!("{}: {error}\n{:?}", guest.name, error.problems()))
}

/// A guest as engines of a service with these parameters; `None` when it cannot be built here.
pub(crate) async fn roles(name: &str, runtime: Arc<Runtime>, params: Value) -> Option<Roles> {
    let guest = Guest::by_name(name).unwrap();
    let admitted = admit(guest, component(guest)?).await;
    Some(engines(guest, &admitted, runtime, params))
}

/// A component as engines of a service with these parameters.
pub(crate) fn engines(
    guest: Guest,
    admitted: &Admitted,
    runtime: Arc<Runtime>,
    params: Value,
) -> Roles {
    admitted.component.roles(ExtensionSpec {
        identity: guest.name.into(),
        owner: None,
        params: self::params(params),
        trusted: false,
        limits: limits(),
        grants: grants(guest),
        collection: None,
        host: runtime,
    })
}

pub(crate) fn params(value: Value) -> Params {
    value.as_object().cloned().unwrap_or_default().into()
}

/// What a component of this world can do.
pub(crate) fn roles_of(world: &str) -> &'static [Role] {
    match world {
        "fusion" => &[Role::Fuse],
        "decomposer" => &[Role::DecomposeQuery],
        "searcher" => &[Role::Search],
        "scorer" => &[Role::Score],
        _ => &[Role::Search, Role::Score],
    }
}
