//! What this room needs of the sandbox and of the runtime, as two seams, so that its own rules can
//! be tested without either.

use std::sync::Arc;

use routir_config::{ExtensionGrants, ExtensionLimits};
use routir_core::{BoxFuture, ExtensionCheck, Host, Params, Result, Role, Roles, Tenant};
use routir_sandbox::Manifest;

/// Looks at components and compiles them.
pub(crate) trait Admitter: Send + Sync {
    /// Lets a component in; `payer` pays for looking at it, `None` is the operator.
    ///
    /// # Errors
    /// One problem per failed check.
    fn admit<'a>(
        &'a self,
        payer: Option<&'a Tenant>,
        bytes: Arc<[u8]>,
        limits: &'a ExtensionLimits,
        grants: &'a ExtensionGrants,
    ) -> BoxFuture<'a, Result<Admission>>;
}

/// A component that was let in.
#[derive(Clone)]
pub(crate) struct Admission {
    /// What it says of itself.
    pub(crate) manifest: Manifest,
    /// The roles that it plays.
    pub(crate) roles: Vec<Role>,
    /// SHA-256 of the file, in hexadecimal.
    pub(crate) sha256: String,
    /// The file's size in bytes.
    pub(crate) size: u64,
    /// What was looked at.
    pub(crate) checks: Vec<ExtensionCheck>,
    /// Its code.
    pub(crate) code: Arc<dyn Code>,
}

/// Compiled code of a component.
pub(crate) trait Code: Send + Sync {
    /// The component as engines.
    fn engines(&self, service: Service) -> Roles;
}

/// What one service tells, allows and limits a component to.
pub(crate) struct Service {
    pub(crate) identity: Arc<str>,
    /// `None` is the operator.
    pub(crate) owner: Option<Arc<str>>,
    pub(crate) params: Params,
    pub(crate) trusted: bool,
    pub(crate) limits: ExtensionLimits,
    pub(crate) grants: ExtensionGrants,
    pub(crate) collection: Option<String>,
    /// The runtime as the component may use it.
    pub(crate) host: Arc<dyn Host>,
}

/// Puts tenants' extensions into service.
pub(crate) trait Publisher: Send + Sync {
    /// Puts an extension into service in place of the one of that name.
    ///
    /// # Errors
    /// A name that means something else to its owner.
    fn publish(&self, owner: &str, name: &str, engines: Roles) -> Result<()>;

    /// Takes an extension out of service, if it is there.
    fn withdraw(&self, owner: &str, name: &str);

    /// The engine of a service of the operator's that `tenant` may call.
    fn granted(&self, tenant: &Tenant, service: &str) -> Option<Roles>;
}
