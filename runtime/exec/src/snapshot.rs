//! What exists at one moment, for everybody: one scope per party, none of which knows another.

use std::collections::HashMap;
use std::sync::Arc;

use routir_core::{Error, Result, Tenant};

use crate::scope::{Scope, Services};
use crate::service::Service;

/// Gives every scope that is made a generation of its own, so that a generation tells the scope too.
#[derive(Default)]
pub(crate) struct Generations(u64);

impl Generations {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }
}

/// The scopes of the operator and of each tenant. Immutable: a change makes a new one that shares
/// the scopes which the change does not touch.
pub(crate) struct Snapshot {
    operator: Arc<Scope>,
    tenants: HashMap<Arc<str>, Party>,
}

#[derive(Clone)]
struct Party {
    tenant: Arc<Tenant>,
    scope: Arc<Scope>,
}

impl Snapshot {
    pub(crate) fn new(
        operator: Scope,
        tenants: impl IntoIterator<Item = Arc<Tenant>>,
        generations: &mut Generations,
    ) -> Self {
        let tenants = tenants.into_iter().map(|tenant| {
            let scope = operator.of_tenant(&tenant, Services::default(), generations.next());
            let scope = Arc::new(scope);
            (Arc::clone(&tenant.name), Party { tenant, scope })
        });
        Self {
            tenants: tenants.collect(),
            operator: Arc::new(operator),
        }
    }

    pub(crate) fn operator(&self) -> &Arc<Scope> {
        &self.operator
    }

    /// The scope of the tenant `name`; `None` is the operator.
    ///
    /// # Errors
    /// [`routir_core::ErrorCode::Internal`] when there is no such tenant: who makes contexts knows
    /// them.
    pub(crate) fn scope(&self, name: Option<&str>) -> Result<&Arc<Scope>> {
        let Some(name) = name else {
            return Ok(&self.operator);
        };
        let party = self.tenants.get(name);
        party
            .map(|party| &party.scope)
            .ok_or_else(|| Error::internal(format!("the runtime knows no tenant `{name}`")))
    }

    /// This with the services of `owner` changed.
    ///
    /// Of a tenant's change nobody else notices anything. The operator's concerns all tenants, also
    /// those who cannot name what changed: what they can name may have used it.
    ///
    /// # Errors
    /// As [`Snapshot::scope`], and the change's own.
    pub(crate) fn changed(
        &self,
        owner: Option<&str>,
        generations: &mut Generations,
        change: impl FnOnce(&Scope, &mut Services) -> Result<()>,
    ) -> Result<Self> {
        let scope = self.scope(owner)?;
        let mut own = own_services(scope, owner);
        change(scope, &mut own)?;
        let Some(owner) = owner else {
            let operator = self.operator.with_services(own, generations.next());
            return Ok(self.with_operator(operator, generations));
        };
        let mut tenants = self.tenants.clone();
        if let Some(party) = tenants.get_mut(owner) {
            party.scope = Arc::new(
                self.operator
                    .of_tenant(&party.tenant, own, generations.next()),
            );
        }
        Ok(Self {
            operator: Arc::clone(&self.operator),
            tenants,
        })
    }

    /// This with another scope of the operator's, and the tenants' made anew of it.
    pub(crate) fn with_operator(&self, operator: Scope, generations: &mut Generations) -> Self {
        let operator = Arc::new(operator);
        let mut tenants = self.tenants.clone();
        for party in tenants.values_mut() {
            let own = own_services(&party.scope, Some(&party.tenant.name));
            party.scope = Arc::new(operator.of_tenant(&party.tenant, own, generations.next()));
        }
        Self { operator, tenants }
    }
}

fn own_services(scope: &Scope, owner: Option<&str>) -> Services {
    let own = |service: &&Arc<Service>| service.owner.as_deref() == owner;
    let services = scope.services.iter();
    services
        .filter(|(_, service)| own(service))
        .map(|(name, service)| (Arc::clone(name), Arc::clone(service)))
        .collect()
}
