//! An administration of extensions that remembers what it was asked, and two tenants.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use routir_core::{
    BoxFuture, Error, ErrorCode, ExtensionAdmin, ExtensionCheck, ExtensionReport, Problem, Quotas,
    Result, Role, Tenant,
};
use routir_server::{ServerOptions, TenantKeys};
use serde_json::Value;
use tokio::sync::Notify;

use crate::harness::Server;

pub(crate) const OPERATOR: &str = "authorization: Bearer operator-key\r\n";
pub(crate) const ACME: &str = "authorization: Bearer acme-key\r\n";
pub(crate) const OTHER: &str = "authorization: Bearer other-key\r\n";
pub(crate) const WASM: &str = "content-type: application/wasm\r\n";

/// Holds what is published; some names make it misbehave.
#[derive(Default)]
pub(crate) struct Admin {
    published: Mutex<BTreeMap<(String, String), ExtensionReport>>,
    calls: Mutex<Vec<String>>,
    pub(crate) started: Notify,
    pub(crate) release: Notify,
    pub(crate) ended: Notify,
}

impl Admin {
    /// What was asked so far.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }

    fn note(&self, call: String) {
        self.calls.lock().unwrap().push(call);
    }

    async fn check(&self, name: &str) -> Result<()> {
        let problem = |message: &str| Problem {
            message: message.to_owned(),
            start: 0,
            end: 0,
            expected: vec![],
            help: None,
        };
        match name {
            "slow" => {
                self.started.notify_one();
                self.release.notified().await;
                self.ended.notify_one();
                Ok(())
            }
            "bad" => {
                let problems = vec![problem("imports: wasi:cli is not granted")];
                Err(Error::invalid("the component is not admitted").with_problems(problems))
            }
            "full" => Err(
                Error::new(ErrorCode::Overloaded, "20 extensions are published")
                    .with_retry_after(Duration::from_secs(7)),
            ),
            "fat" => Err(Error::new(ErrorCode::TooLarge, "the manifest is too large")),
            "taken" => Err(Error::new(ErrorCode::PermissionDenied, "not yours")),
            "broken" => Err(Error::internal("the store cannot be written")),
            "panic" => panic!("the administration has a mistake"),
            _ => Ok(()),
        }
    }
}

fn key(owner: &str, name: &str) -> (String, String) {
    (owner.to_owned(), name.to_owned())
}

fn unknown(name: &str) -> Error {
    Error::new(
        ErrorCode::UnknownName,
        format!("there is no extension `{name}`"),
    )
}

impl ExtensionAdmin for Admin {
    fn put(
        &self,
        owner: Arc<str>,
        name: String,
        component: Vec<u8>,
    ) -> BoxFuture<'_, Result<ExtensionReport>> {
        self.note(format!("put {owner}/{name} {}", component.len()));
        async move {
            self.check(&name).await?;
            let report = ExtensionReport {
                name: name.as_str().into(),
                version: "1.0.0".to_owned(),
                description: "Fuses.".to_owned(),
                roles: vec![Role::Fuse],
                params: Value::Array(vec![]),
                sha256: "00".repeat(32),
                size_bytes: component.len() as u64,
                state: "active",
                published: 1_700_000_000.25,
                source: "api",
                previous: None,
                checks: vec![ExtensionCheck {
                    name: "size",
                    passed: true,
                    detail: "small".to_owned(),
                }],
            };
            let mut published = self.published.lock().unwrap();
            published.insert(key(&owner, &name), report.clone());
            Ok(report)
        }
        .boxed()
    }

    fn get(&self, owner: &str, name: &str) -> Result<ExtensionReport> {
        let published = self.published.lock().unwrap();
        let report = published.get(&key(owner, name));
        report.cloned().ok_or_else(|| unknown(name))
    }

    fn list(&self, owner: &str) -> Vec<ExtensionReport> {
        let published = self.published.lock().unwrap();
        let own = published.iter().filter(|((whose, _), _)| whose == owner);
        own.map(|(_, report)| report.clone()).collect()
    }

    fn remove(&self, owner: Arc<str>, name: String) -> BoxFuture<'_, Result<()>> {
        self.note(format!("remove {owner}/{name}"));
        let removed = self.published.lock().unwrap().remove(&key(&owner, &name));
        async move { removed.map(|_| ()).ok_or_else(|| unknown(&name)) }.boxed()
    }

    fn roll_back(&self, owner: Arc<str>, name: String) -> BoxFuture<'_, Result<ExtensionReport>> {
        self.note(format!("roll back {owner}/{name}"));
        async move {
            let report = self.get(&owner, &name)?;
            self.check(&name).await?;
            match name.as_str() {
                "first" => Err(Error::invalid("there is no earlier version of `first`")),
                _ => Ok(report),
            }
        }
        .boxed()
    }
}

/// A tenant with grants and a quota of calls.
pub(crate) fn tenant(name: &str, services: &[&str], calls: usize) -> TenantKeys {
    let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    let collections = if services.is_empty() {
        &[][..]
    } else {
        &["sh*"]
    };
    TenantKeys {
        tenant: Arc::new(Tenant {
            name: name.into(),
            weight: NonZeroU32::MIN,
            quotas: Quotas {
                concurrent_calls: calls,
                memory_bytes: 1 << 20,
                cpu_ms_per_s: 1000,
                host_calls_per_s: 1000,
                extensions: 20,
            },
            services: owned(services),
            collections: owned(collections),
        }),
        keys: vec![format!("{name}-key"), format!("{name}-second-key")],
        max_component_bytes: 1000,
    }
}

/// A server with an operator, the tenant `acme`, which may use `seek` and `First`, and the tenant
/// `other`, which may use nothing.
pub(crate) async fn shared(change: impl FnOnce(&mut ServerOptions)) -> (Server, Arc<Admin>) {
    let admin = Arc::new(Admin::default());
    let extensions: Arc<dyn ExtensionAdmin> = Arc::clone(&admin) as _;
    let server = Server::with(|options| {
        options.api_key = Some("operator-key".to_owned());
        options.tenants = vec![
            tenant("acme", &["se*", "First"], 8),
            tenant("other", &[], 8),
        ];
        options.extensions = Some(extensions);
        change(options);
    })
    .await;
    (server, admin)
}
