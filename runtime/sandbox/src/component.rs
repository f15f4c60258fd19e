//! A component that was admitted, and the engines made of it.

use std::sync::Arc;

use routir_config::{ExtensionGrants, ExtensionLimits};
use routir_core::{Error, ExtensionCheck, Host, Params, Result, Role, Roles};
use wasmtime::component::{Component as Compiled, Linker};

use crate::calls::{CallReport, Code};
use crate::guest::Exports;
use crate::roles::Extension;
use crate::sandbox::Machine;
use crate::{Manifest, host, wasi};

/// A component that passed all checks, compiled and ready to be instantiated.
pub struct Component {
    pub(crate) machine: Arc<Machine>,
    pub(crate) compiled: Compiled,
    pub(crate) counts_fuel: bool,
    pub(crate) exports: Exports,
    pub(crate) manifest: Manifest,
    pub(crate) roles: Vec<Role>,
    pub(crate) sha256: String,
    pub(crate) size: u64,
}

/// A component with what was looked at before it was let in.
pub struct Admitted {
    /// The component.
    pub component: Arc<Component>,
    /// What was looked at, with figures; all passed.
    pub checks: Vec<ExtensionCheck>,
}

/// What one service tells, allows and limits a component to.
#[derive(Clone)]
pub struct ExtensionSpec {
    /// What the extension is called in chains, logs and errors
    /// ([`Tenant::identity`](routir_core::Tenant::identity)).
    pub identity: Arc<str>,
    /// The tenant who owns it; `None` is the operator.
    pub owner: Option<Arc<str>>,
    /// The service's parameters: over the manifest's defaults, under the call's own.
    pub params: Params,
    /// Whether instances are kept between calls.
    pub trusted: bool,
    /// What one call may use. Instructions are counted only if they were when it was admitted.
    pub limits: ExtensionLimits,
    /// What it may see of the world.
    pub grants: ExtensionGrants,
    /// The collection whose texts a fusion may read.
    pub collection: Option<String>,
    /// The runtime, as the extension may use it.
    pub host: Arc<dyn Host>,
}

/// Is told what a call used.
pub type Observer = Arc<dyn Fn(&CallReport) + Send + Sync>;

impl Component {
    /// What it says of itself.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The roles that it plays, read off its exports.
    #[must_use]
    pub fn role_list(&self) -> &[Role] {
        &self.roles
    }

    /// SHA-256 of the component file, in hexadecimal.
    #[must_use]
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// The component file's size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The component as engines, one per role that it plays. What is wrong with the service's own
    /// parameters or grants is told at each call, as
    /// [`routir_core::ErrorCode::InvalidArgument`]; `params` can be checked before with
    /// [`Manifest::params`].
    #[must_use]
    pub fn roles(self: &Arc<Self>, spec: ExtensionSpec) -> Roles {
        Extension::roles(Arc::clone(&self.machine), Arc::clone(self), spec, None)
    }

    /// As [`Component::roles`]; `observer` is told of every call that the guest answered, right or
    /// wrong.
    #[must_use]
    pub fn observed(self: &Arc<Self>, spec: ExtensionSpec, observer: Observer) -> Roles {
        let observer = Some(observer);
        Extension::roles(Arc::clone(&self.machine), Arc::clone(self), spec, observer)
    }

    pub(crate) fn exports(&self) -> &Exports {
        &self.exports
    }

    /// The code, linked to what `grants` allow.
    ///
    /// # Errors
    /// [`routir_core::ErrorCode::InvalidArgument`] for an import that is not granted.
    pub(crate) fn code(&self, grants: &ExtensionGrants) -> Result<Arc<Code>> {
        link(&self.compiled, self.counts_fuel, grants)
    }
}

/// Links a component to what it may import.
///
/// # Errors
/// [`routir_core::ErrorCode::InvalidArgument`] for an import that is not there or has another type.
pub(crate) fn link(
    compiled: &Compiled,
    counts_fuel: bool,
    grants: &ExtensionGrants,
) -> Result<Arc<Code>> {
    let mut linker = Linker::new(compiled.engine());
    let linked = host::add_to_linker(&mut linker).and_then(|()| {
        if grants.wasi {
            wasi::add_to_linker(&mut linker, compiled)
        } else {
            Ok(())
        }
    });
    linked.map_err(|error| Error::internal(format!("cannot link the host: {error:#}")))?;
    let pre = linker
        .instantiate_pre(compiled)
        .map_err(|error| Error::invalid(format!("its imports cannot be linked: {error:#}")))?;
    Ok(Arc::new(Code {
        pre,
        counts_fuel,
        grants: grants.clone(),
    }))
}
