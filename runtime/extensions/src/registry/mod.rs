//! What tenants have published: versions, swap, rollback.

mod admin;
mod install;
mod party;
mod publish;
mod report;
mod restore;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use routir_config::{ExtensionGrants, ExtensionLimits, OnFailure};
use routir_core::{Error, Host, Metrics, Result, Roles, Tenant, nearest};
use routir_exec::Runtime;
use routir_sandbox::Sandbox;

use crate::AuditTrail;
use crate::admit::{Admitter, Publisher};
use crate::audit::Audit;
use crate::name::check_name;
use crate::real::RuntimePublisher;
use crate::store::{LocalDisk, Store};

pub(crate) use party::{Holder, Party};
pub(crate) use publish::{Offered, Origin};

/// A tenant as far as its extensions are concerned.
#[derive(Clone, Debug)]
pub struct TenantExtensions {
    /// The tenant.
    pub tenant: Arc<Tenant>,
    /// What one call of each of its extensions may use.
    pub limits: ExtensionLimits,
    /// What each of its extensions may see of the world.
    pub grants: ExtensionGrants,
    /// What happens when a call of one of its extensions fails.
    pub on_failure: OnFailure,
    /// The directories that are watched for its extensions. Where two have a file of the same
    /// name, the one that was published first keeps the name.
    pub dirs: Vec<PathBuf>,
}

/// What a registry is made with.
#[derive(Clone, Debug)]
pub struct RegistrySettings {
    /// Where published components are kept. Nobody but the server may write there.
    pub state_dir: PathBuf,
    /// How many versions before the active one are kept for a rollback.
    pub keep_versions: usize,
    /// Who may publish.
    pub tenants: Vec<TenantExtensions>,
}

/// The extensions of all tenants. Clones are one.
///
/// An extension's name is held by what published it first, the API or a file of a watched
/// directory, until that withdraws it; the other is refused meanwhile.
#[derive(Clone)]
pub struct Registry {
    parties: Arc<BTreeMap<Arc<str>, Arc<Party>>>,
}

/// What all tenants' parts of a registry use.
pub(crate) struct Shared {
    admitter: Box<dyn Admitter>,
    host: Arc<dyn Host>,
    publisher: Box<dyn Publisher>,
    store: Store,
    pub(crate) audit: Arc<Audit>,
    metrics: Metrics,
    keep_versions: usize,
}

impl Registry {
    /// A registry over what lies in the state directory; nothing is in service before
    /// [`Registry::restore`]. `services` are the engines of the operator's services by name, for
    /// extensions that fail to fall back on; a tenant's fall back only on what it is granted.
    /// Blocking.
    ///
    /// # Errors
    /// A tenant's name that is none, or that two have; a state directory that cannot be made or
    /// that another server has open.
    pub fn open(
        settings: RegistrySettings,
        sandbox: Arc<Sandbox>,
        runtime: Runtime,
        services: BTreeMap<String, Roles>,
        audit: &AuditTrail,
    ) -> Result<Self> {
        let metrics = runtime.metrics().clone();
        let store = Store::open(&settings.state_dir, Arc::new(LocalDisk))?;
        let shared = Shared {
            admitter: Box::new(sandbox),
            host: runtime.host(),
            publisher: Box::new(RuntimePublisher { runtime, services }),
            store,
            audit: Arc::clone(&audit.0),
            metrics,
            keep_versions: settings.keep_versions,
        };
        Self::with(shared, settings.tenants)
    }

    fn with(shared: Shared, tenants: Vec<TenantExtensions>) -> Result<Self> {
        let shared = Arc::new(shared);
        let mut parties = BTreeMap::new();
        for tenant in tenants {
            let name = Arc::clone(&tenant.tenant.name);
            check_name("a tenant", &name)?;
            let party = Arc::new(Party::new(tenant, Arc::clone(&shared)));
            if parties.insert(Arc::clone(&name), party).is_some() {
                return Err(Error::invalid(format!("two tenants are named `{name}`")));
            }
        }
        Ok(Self {
            parties: Arc::new(parties),
        })
    }

    pub(crate) fn parties(&self) -> impl Iterator<Item = &Arc<Party>> {
        self.parties.values()
    }

    /// The tenant's part.
    ///
    /// # Errors
    /// [`routir_core::ErrorCode::Internal`]: who asks knows the tenants.
    fn party(&self, owner: &str) -> Result<&Arc<Party>> {
        let party = self.parties.get(owner);
        party.ok_or_else(|| Error::internal(format!("there is no tenant `{owner}`")))
    }
}

/// There is no such extension.
fn unknown<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Error {
    let hint = nearest(name, known).map(|near| format!("; did you mean `{near}`?"));
    let name = routir_core::shorten(name);
    Error::new(
        routir_core::ErrorCode::UnknownName,
        format!("there is no extension `{name}`{}", hint.unwrap_or_default()),
    )
}
