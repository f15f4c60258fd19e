//! Extensions: the sandbox, those that the configuration names, and those that tenants bring.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use routir_config::{Config, Loaded};
use routir_core::{Host, Metrics, Roles};
use routir_exec::Runtime;
use routir_extensions::{
    AuditTrail, Operator, OperatorEnv, OperatorProblem, OperatorService, Registry,
    RegistrySettings, TenantExtensions, Watching,
};
use routir_sandbox::{Compiler, Sandbox, SandboxSettings};
use tempfile::TempDir;
use tokio::runtime::Handle;

use super::Trouble;
use crate::failure::from_core;

/// The argument that makes this program the compiler of a component.
pub(crate) const COMPILE: &str = "compile-extension";

/// Where compiled code, the audit and published components lie.
pub(crate) struct Places {
    code: PathBuf,
    state: PathBuf,
    /// Removed in the end.
    _scratch: Option<TempDir>,
}

impl Places {
    /// Those of the server: kept.
    pub(crate) fn kept(loaded: &Loaded, cache_dir: &Path) -> Self {
        let state = state_dir(loaded, cache_dir);
        Self {
            code: state.join("code"),
            state,
            _scratch: None,
        }
    }

    /// For a command that uses the server's compiled code and leaves the rest alone.
    ///
    /// # Errors
    /// When no temporary directory can be made.
    pub(crate) fn borrowed(loaded: &Loaded, cache_dir: &Path) -> anyhow::Result<Self> {
        Ok(Self {
            code: state_dir(loaded, cache_dir).join("code"),
            ..Self::scratch()?
        })
    }

    /// For a command that leaves no trace.
    ///
    /// # Errors
    /// When no temporary directory can be made.
    pub(crate) fn scratch() -> anyhow::Result<Self> {
        let scratch = tempfile::Builder::new().prefix("routir-rt-ext-").tempdir();
        let scratch = scratch.context("a temporary directory cannot be made")?;
        Ok(Self {
            code: scratch.path().join("code"),
            state: scratch.path().to_owned(),
            _scratch: Some(scratch),
        })
    }
}

fn state_dir(loaded: &Loaded, cache_dir: &Path) -> PathBuf {
    match &loaded.config.rt.extensions.state_dir {
        Some(dir) => loaded.resolve_path(dir),
        None => cache_dir.join("extensions"),
    }
}

/// The sandbox and the operator's extensions in it.
pub(crate) struct Extensions {
    sandbox: Arc<Sandbox>,
    operator: Operator,
    audit: AuditTrail,
    places: Places,
}

impl Extensions {
    /// Admits and compiles what the configuration names; `None` where it names nothing and has no
    /// tenants. Blocking, within a tokio runtime.
    ///
    /// # Errors
    /// A sandbox that cannot be made. What is wrong with extensions goes to `trouble`.
    pub(super) fn load(
        loaded: &Loaded,
        places: Places,
        metrics: &Metrics,
        trouble: &mut Trouble,
    ) -> anyhow::Result<Option<Self>> {
        let config = &loaded.config;
        if !wanted(config) {
            return Ok(None);
        }
        let sandbox = Sandbox::new(settings(config, &places)).map_err(from_core)?;
        let audit = AuditTrail::new(&places.state, metrics);
        let env = OperatorEnv {
            config,
            resolve_path: &|path| loaded.resolve_path(path),
            native_engines: &routir_engines::engine_names(),
            sandbox: &sandbox,
            metrics,
            audit: &audit,
        };
        match Handle::current().block_on(Operator::load(env)) {
            Ok(operator) => Ok(Some(Self {
                sandbox,
                operator,
                audit,
                places,
            })),
            Err(problems) => {
                tell(loaded, problems, trouble);
                Ok(None)
            }
        }
    }

    /// Whether the configuration's service at `index` is an extension.
    pub(super) fn is_extension(&self, index: usize) -> bool {
        self.operator.is_extension(index)
    }

    /// Services that `file_imports` brought and no entry of `services` names.
    pub(super) fn imported(&self) -> Vec<Arc<str>> {
        self.operator.imported()
    }

    /// The operator's extensions as services that call `host`.
    pub(super) fn services(
        &self,
        loaded: &Loaded,
        host: &Arc<dyn Host>,
        natives: &BTreeMap<String, Roles>,
        trouble: &mut Trouble,
    ) -> Vec<OperatorService> {
        self.operator
            .services(host, natives)
            .unwrap_or_else(|problems| {
                tell(loaded, problems, trouble);
                Vec::new()
            })
    }

    /// Puts back what tenants have published, and watches their directories. Blocking, within a
    /// tokio runtime.
    ///
    /// # Errors
    /// A state directory that cannot be used.
    pub(crate) fn open_registry(
        &self,
        loaded: &Loaded,
        runtime: &Runtime,
        natives: BTreeMap<String, Roles>,
    ) -> anyhow::Result<(Registry, Watching)> {
        let tenants = loaded.config.tenants.iter().map(|tenant| TenantExtensions {
            tenant: tenant.tenant(),
            limits: tenant.limits.clone(),
            grants: tenant.extension_grants.clone(),
            on_failure: tenant.on_failure.clone(),
            dirs: tenant
                .extension_dirs
                .iter()
                .map(|dir| loaded.resolve_path(dir))
                .collect(),
        });
        let settings = RegistrySettings {
            state_dir: self.places.state.clone(),
            keep_versions: loaded.config.rt.extensions.keep_versions,
            tenants: tenants.collect(),
        };
        let sandbox = Arc::clone(&self.sandbox);
        let registry = Registry::open(settings, sandbox, runtime.clone(), natives, &self.audit);
        let registry = registry.map_err(from_core)?;
        Handle::current().block_on(async {
            registry.restore().await.map_err(from_core)?;
            let watching = registry.watch();
            Ok((registry, watching))
        })
    }
}

fn wanted(config: &Config) -> bool {
    !config.tenants.is_empty()
        || config
            .file_imports
            .iter()
            .any(|file| file.ends_with(".wasm"))
        || config.services.iter().any(|it| it.engine == "Extension")
}

fn settings(config: &Config, places: &Places) -> SandboxSettings {
    let shared = &config.rt.extensions;
    SandboxSettings {
        cache_dir: places.code.clone(),
        instances: shared.instances,
        // This very program, also after its file was replaced by a newer one.
        compiler: Compiler::Child {
            program: PathBuf::from("/proc/self/exe"),
            args: vec![COMPILE.into()],
        },
        compile_memory_mb: shared.compile_memory_mb,
        compile_cpu_s: shared.compile_cpu_s,
        threads: config.rt.engine_threads(),
    }
}

fn tell(loaded: &Loaded, problems: Vec<OperatorProblem>, trouble: &mut Trouble) {
    for OperatorProblem { path, error } in problems {
        trouble.add(loaded, &path, &error);
    }
}
