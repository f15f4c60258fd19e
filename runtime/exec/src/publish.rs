//! Extensions that come and go while the runtime runs.

use std::sync::Arc;

use routir_core::{Error, ErrorCode, Result, Tenant};

use crate::runtime::Runtime;
use crate::scope::{Scope, Services};
use crate::service::Service;
use crate::spec::ServiceSpec;

impl Runtime {
    /// Puts an extension of `owner` (a tenant; `None` is the operator) into service, in place of
    /// the one that it has under the same name. Requests that have begun finish as they began; from
    /// here on, all see the new one, and no answer that was kept of the old one is given out.
    ///
    /// A change of the operator's makes all tenants' scopes anew and takes time in proportion to
    /// their number; a tenant's change makes its own.
    ///
    /// # Errors
    /// [`routir_core::ErrorCode::InvalidArgument`] when the name could not be written in a pipeline
    /// or means something else to the owner: a native service, one of the operator's that it is
    /// granted, an alias. [`routir_core::ErrorCode::Internal`] when there is no such tenant.
    pub fn publish(&self, owner: Option<&str>, mut spec: ServiceSpec) -> Result<()> {
        let name = Arc::clone(&spec.name);
        if !routir_dsl::is_name(&name) {
            return Err(Error::invalid(format!(
                "`{}` is no name for an extension; a name is a letter, then letters, digits, `_` \
                 or `-` (ASCII only)",
                routir_core::shorten(&name)
            )));
        }
        spec.identity
            .get_or_insert_with(|| Tenant::identity(owner, &name));
        let (settings, metrics) = (&self.inner.settings, &self.inner.metrics);
        self.change(owner, |scope, services| {
            scope.check_free(owner, &name)?;
            let service = Service::new(spec, owner, settings.max_depth, metrics);
            services.insert(name, Arc::new(service));
            Ok(())
        })
    }

    /// Takes an extension of `owner` out of service. Requests that have begun finish with it.
    /// Answers whether there was one; native services stay.
    pub fn withdraw(&self, owner: Option<&str>, name: &str) -> bool {
        let there = |scope: &Scope| {
            let service = scope.services.get(name);
            service.is_some_and(|it| it.identity.is_some() && it.owner.as_deref() == owner)
        };
        let none = || Error::new(ErrorCode::UnknownName, "no such extension");
        let change = self.change(owner, |scope, services| {
            services.remove(name);
            there(scope).then_some(()).ok_or_else(none)
        });
        change.is_ok()
    }

    /// Makes the next snapshot, with `change` made to the services of `owner`, unless that fails.
    fn change(
        &self,
        owner: Option<&str>,
        change: impl FnOnce(&Scope, &mut Services) -> Result<()>,
    ) -> Result<()> {
        // Dropped after the lock is free: what leaves may take its time.
        let _before = {
            let mut generations = self.inner.generations.lock();
            let now = self.inner.snapshot.load_full();
            let next = now.changed(owner, &mut generations, change)?;
            self.inner.snapshot.store(Arc::new(next));
            now
        };
        Ok(())
    }
}
