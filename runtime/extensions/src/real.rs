//! The sandbox and the runtime behind this room's seams.

use std::collections::BTreeMap;
use std::sync::Arc;

use routir_config::{ExtensionGrants, ExtensionLimits};
use routir_core::{BoxFuture, RequestContext, Result, Roles, Tenant};
use routir_exec::{Runtime, ServiceSpec};
use routir_sandbox::{Component, ExtensionSpec, Sandbox};

use crate::admit::{Admission, Admitter, Code, Publisher, Service};

impl Admitter for Arc<Sandbox> {
    fn admit<'a>(
        &'a self,
        payer: Option<&'a Tenant>,
        bytes: Arc<[u8]>,
        limits: &'a ExtensionLimits,
        grants: &'a ExtensionGrants,
    ) -> BoxFuture<'a, Result<Admission>> {
        Box::pin(async move {
            let admitted = Sandbox::admit(self, payer, bytes, limits, grants).await?;
            let component = admitted.component;
            Ok(Admission {
                manifest: component.manifest().clone(),
                roles: component.role_list().to_vec(),
                sha256: component.sha256().to_owned(),
                size: component.size(),
                checks: admitted.checks,
                code: Arc::new(component),
            })
        })
    }
}

impl Code for Arc<Component> {
    fn engines(&self, service: Service) -> Roles {
        self.roles(ExtensionSpec {
            identity: service.identity,
            owner: service.owner,
            params: service.params,
            trusted: service.trusted,
            limits: service.limits,
            grants: service.grants,
            collection: service.collection,
            host: service.host,
        })
    }
}

/// Publishes into a runtime.
pub(crate) struct RuntimePublisher {
    pub(crate) runtime: Runtime,
    /// The operator's services.
    pub(crate) services: BTreeMap<String, Roles>,
}

impl Publisher for RuntimePublisher {
    fn publish(&self, owner: &str, name: &str, engines: Roles) -> Result<()> {
        let spec = ServiceSpec::extension(Some(owner), name, engines);
        self.runtime.publish(Some(owner), spec)
    }

    fn withdraw(&self, owner: &str, name: &str) {
        self.runtime.withdraw(Some(owner), name);
    }

    fn granted(&self, tenant: &Tenant, service: &str) -> Option<Roles> {
        let context = RequestContext {
            scope: Some(Arc::clone(&tenant.name)),
            ..RequestContext::default()
        };
        let catalog = self.runtime.catalog_for(&context).ok()?;
        let info = catalog.services.get(service)?;
        // An extension that is not granted can only be the tenant's own of the same name.
        let is_operators =
            info.engine.as_ref() != "Extension" || routir_core::granted(&tenant.services, service);
        is_operators
            .then(|| self.services.get(service).cloned())
            .flatten()
    }
}
