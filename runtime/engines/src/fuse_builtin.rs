//! The native mergers: as services that are always there under their own names, and as engines
//! whose configuration gives their parameters other defaults.

use std::sync::Arc;

use routir_core::{
    BoxFuture, Error, FuseEngine, FuseRequest, Params, ParamsSpec, Ranking, Result, Roles,
};
use routir_fusion::{Method, NativeFusion, methods};

use crate::build::EngineSpec;

/// Every native merger as a service of its own name, with its own defaults.
#[must_use]
pub fn builtin_mergers() -> Vec<(&'static str, Roles)> {
    let roles = |method| Roles {
        fuse: Some(Arc::new(NativeFusion(method))),
        ..Roles::default()
    };
    methods()
        .iter()
        .map(|info| (info.name, roles(info.method)))
        .collect()
}

/// A merger with other defaults.
struct Configured {
    merger: NativeFusion,
    defaults: Params,
}

impl FuseEngine for Configured {
    fn fuse(&self, mut request: FuseRequest) -> BoxFuture<'_, Result<Ranking>> {
        if request.params.is_empty() {
            request.params = self.defaults.clone();
        } else {
            let mut params = self.defaults.as_map().clone();
            let said = request
                .params
                .as_map()
                .iter()
                .map(|(name, value)| (name.clone(), value.clone()));
            params.extend(said);
            request.params = params.into();
        }
        self.merger.fuse(request)
    }

    fn params(&self) -> ParamsSpec {
        self.merger.params()
    }
}

/// The merger `method`; the configuration holds its parameters.
pub(crate) fn build(method: Method, spec: EngineSpec<'_>) -> Result<Roles> {
    let defaults = Params::from(spec.config.clone());
    let problems = ParamsSpec::known(method.params()).check(&defaults);
    if !problems.is_empty() {
        return Err(Error::invalid(problems.join("; ")));
    }
    let merger = NativeFusion(method);
    Ok(Roles {
        fuse: Some(Arc::new(Configured { merger, defaults })),
        ..Roles::default()
    })
}
