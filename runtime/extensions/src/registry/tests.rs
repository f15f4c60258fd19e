//! A registry over a sandbox and a runtime made for tests, and a disk that fails.

mod crash;
mod rules;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use routir_config::{ExtensionGrants, ExtensionLimits, OnFailure};
use routir_core::{ExtensionAdmin, ExtensionReport, Metrics, Quotas, Result, Tenant};

use super::{Registry, Shared, TenantExtensions};
use crate::audit::{Audit, Rotation};
use crate::fake::{FakeAdmitter, FakeRuntime, FaultyDisk, NoHost};
use crate::store::Store;

pub(crate) fn tenant(name: &str) -> TenantExtensions {
    TenantExtensions {
        tenant: Arc::new(Tenant {
            name: Arc::from(name),
            weight: std::num::NonZeroU32::MIN,
            quotas: Quotas {
                concurrent_calls: 1,
                memory_bytes: 1,
                cpu_ms_per_s: 1,
                host_calls_per_s: 1,
                extensions: 3,
            },
            services: Vec::new(),
            collections: Vec::new(),
        }),
        limits: ExtensionLimits {
            component_mb: 1,
            ..ExtensionLimits::default()
        },
        grants: ExtensionGrants::default(),
        on_failure: OnFailure::default(),
        dirs: Vec::new(),
    }
}

/// A server's life from one start to the next.
pub(crate) struct Life {
    pub(crate) registry: Registry,
    pub(crate) admitter: Arc<FakeAdmitter>,
    pub(crate) runtime: Arc<FakeRuntime>,
    pub(crate) disk: Arc<FaultyDisk>,
    pub(crate) metrics: Metrics,
    audit: Arc<Audit>,
}

impl Life {
    pub(crate) async fn begin(dir: &Path, tenants: Vec<TenantExtensions>) -> Self {
        let life = Self::unrestored(dir, tenants);
        life.registry.restore().await.unwrap();
        life
    }

    pub(crate) fn unrestored(dir: &Path, tenants: Vec<TenantExtensions>) -> Self {
        let admitter = Arc::new(FakeAdmitter {
            broken: AtomicBool::new(false),
            ..FakeAdmitter::default()
        });
        let runtime = Arc::new(FakeRuntime::default());
        let disk = Arc::new(FaultyDisk::default());
        let metrics = Metrics::default();
        let audit = Arc::new(Audit::new(dir, Rotation::default(), &metrics));
        let shared = Shared {
            admitter: Box::new(Arc::clone(&admitter)),
            publisher: Box::new(Arc::clone(&runtime)),
            host: Arc::new(NoHost),
            store: Store::open(dir, Arc::<FaultyDisk>::clone(&disk)).unwrap(),
            audit: Arc::clone(&audit),
            metrics: metrics.clone(),
            keep_versions: 2,
        };
        Self {
            registry: Registry::with(shared, tenants).unwrap(),
            admitter,
            runtime,
            disk,
            metrics,
            audit,
        }
    }

    pub(crate) async fn put(&self, owner: &str, name: &str, text: &str) -> Result<ExtensionReport> {
        let (name, bytes) = (name.to_owned(), text.as_bytes().to_vec());
        self.registry.put(Arc::from(owner), name, bytes).await
    }

    pub(crate) async fn roll_back(&self, owner: &str, name: &str) -> Result<ExtensionReport> {
        let name = name.to_owned();
        self.registry.roll_back(Arc::from(owner), name).await
    }

    pub(crate) async fn remove(&self, owner: &str, name: &str) -> Result<()> {
        self.registry
            .remove(Arc::from(owner), name.to_owned())
            .await
    }

    /// The version that answers under a name.
    pub(crate) async fn version(&self, owner: &str, name: &str) -> Option<String> {
        self.runtime.version(owner, name).await
    }

    /// The audit so far, one `action outcome extension version` per line.
    pub(crate) fn audit(&self, dir: &Path) -> Vec<String> {
        self.audit.flush();
        let text = std::fs::read_to_string(dir.join("audit.jsonl")).unwrap_or_default();
        let lines = text.lines().map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let word = |key: &str| line[key].as_str().unwrap_or("-").to_owned();
            let [action, outcome, extension, version] =
                ["action", "outcome", "extension", "version"].map(word);
            format!("{action} {outcome} {extension} {version}")
        });
        lines.map(|line| line.trim_end().to_owned()).collect()
    }
}

/// The names of the files in a tenant's part of the store.
pub(crate) fn stored(dir: &Path, tenant: &str) -> (Vec<String>, usize) {
    let dir = dir.join("tenants").join(tenant);
    let names = |dir: &Path| -> Vec<String> {
        let entries = std::fs::read_dir(dir).into_iter().flatten();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "components")
            .collect();
        names.sort();
        names
    };
    let components = names(&dir.join("components")).len();
    (names(&dir), components)
}
