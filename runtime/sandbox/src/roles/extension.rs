//! What the engines of one service share.

use std::sync::Arc;

use routir_core::{
    Error, ErrorCode, Params, ParamsSpec, RequestContext, Result, Role, Roles, shorten,
};
use wasmtime::component::{ComponentExportIndex, ComponentNamedList, Lift, Lower};

use crate::bindings::types;
use crate::calls::{Code, Job, Kept, run};
use crate::convert::{Checked, Crossing, ParamTable};
use crate::guest::{Exports, Phase, Profile, from_guest, malformed};
use crate::sandbox::Machine;
use crate::{Component, ExtensionSpec, Observer};

/// One service made of a component.
pub(crate) struct Extension {
    machine: Arc<Machine>,
    component: Arc<Component>,
    profile: Arc<Profile>,
    /// What is wrong with the service's own parameters or grants is told at each call.
    ready: Result<Ready>,
    kept: Option<Arc<Kept>>,
    observer: Option<Observer>,
}

struct Ready {
    params: ParamTable,
    code: Arc<Code>,
}

impl Extension {
    /// The engines of a component as one service calls it.
    pub(crate) fn roles(
        machine: Arc<Machine>,
        component: Arc<Component>,
        spec: ExtensionSpec,
        observer: Option<Observer>,
    ) -> Roles {
        let ready = Ready::new(&component, &spec).map_err(|error| {
            let place = format!("extension `{}`", spec.identity);
            error.at(place)
        });
        let kept = spec
            .trusted
            .then(|| Kept::new(Arc::clone(&machine.idle_slots)));
        let played = component.role_list().to_vec();
        let extension = Arc::new(Self {
            machine,
            component,
            profile: Arc::new(Profile {
                identity: spec.identity,
                owner: spec.owner,
                limits: spec.limits,
                collection: spec.collection,
                host: Some(spec.host),
            }),
            ready,
            kept,
            observer,
        });
        let plays = |role| played.contains(&role).then(|| Arc::clone(&extension));
        Roles {
            search: plays(Role::Search).map(|e| e as _),
            score: plays(Role::Score).map(|e| e as _),
            fuse: plays(Role::Fuse).map(|e| e as _),
            decompose: plays(Role::DecomposeQuery).map(|e| e as _),
            needs: Vec::new(),
            health: Vec::new(),
        }
    }

    /// The parameters that the manifest states.
    pub(super) fn params_spec(&self) -> ParamsSpec {
        self.component.manifest().params.clone()
    }

    /// A call's parameters as they cross.
    pub(super) fn params(&self, call: &Params) -> Result<Crossing> {
        let ready = self.ready.as_ref().map_err(Clone::clone)?;
        let place = |error: Error| error.at(format!("extension `{}`", self.profile.identity));
        ready.params.merged(call).map_err(place)
    }

    /// Calls one of the component's functions and takes what it says apart.
    ///
    /// # Errors
    /// As [`run`]; the guest's own error under its own code; an answer that `check` refuses.
    pub(super) async fn ask<P, R, T>(
        &self,
        context: &Arc<RequestContext>,
        phase: Phase,
        export: impl FnOnce(&Exports) -> Option<ComponentExportIndex>,
        args: P,
        check: impl FnOnce(R) -> Checked<T>,
    ) -> Result<T>
    where
        P: ComponentNamedList + Lower + Send + Sync + 'static,
        R: Lift + Send + Sync + 'static,
    {
        let identity = &self.profile.identity;
        refuse_circle(identity, context)?;
        let ready = self.ready.as_ref().map_err(Clone::clone)?;
        let export = export(self.component.exports())
            .ok_or_else(|| Error::internal(format!("extension `{identity}` has no such role")))?;
        let job = Job {
            profile: Arc::clone(&self.profile),
            context: Arc::clone(context),
            account: self.machine.accounts.of(context.tenant.as_deref()),
            phase,
        };
        let kept = self.kept.as_ref();
        let answer =
            run::<P, Result<R, types::Error>>(&self.machine, &ready.code, kept, job, export, args);
        let (answer, used) = answer.await?;
        if let Some(observer) = &self.observer {
            observer(&used);
        }
        let answer = answer.map_err(|error| from_guest(identity, &error))?;
        check(answer).map_err(|what| malformed(identity, &what))
    }
}

impl Ready {
    fn new(component: &Arc<Component>, spec: &ExtensionSpec) -> Result<Self> {
        let code = component.code(&spec.grants)?;
        if spec.limits.fuel.is_some() && !code.counts_fuel {
            return Err(Error::invalid(
                "it was admitted without counting instructions, so `limits.fuel` cannot be \
                 kept; admit it with that limit",
            ));
        }
        Ok(Self {
            params: ParamTable::new(component.manifest(), &spec.params)?,
            code,
        })
    }
}

/// Refuses a call that the extension itself is waiting for.
fn refuse_circle(identity: &Arc<str>, context: &RequestContext) -> Result<()> {
    let Some(start) = context.chain.iter().position(|waiting| waiting == identity) else {
        return Ok(());
    };
    let circle: Vec<_> = context
        .chain
        .iter()
        .skip(start)
        .chain([identity])
        .map(|name| shorten(name).into_owned())
        .collect();
    Err(Error::new(
        ErrorCode::InvalidArgument,
        format!(
            "extension `{identity}` would wait for itself: {}",
            circle.join(" > ")
        ),
    ))
}
