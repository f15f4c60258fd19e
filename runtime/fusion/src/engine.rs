//! The mergers as engines.

use routir_core::{BoxFuture, FuseEngine, FuseRequest, ParamsSpec, Ranking, Result};

use crate::Method;

/// A merger in the role `fuse`.
///
/// It works in place, on the thread that polls it: some tens of microseconds for two lists of 1000
/// hits, and growing a little faster than their number. Whoever fuses tens of thousands of hits
/// where a thread must not be held up polls it on another.
#[derive(Clone, Copy, Debug)]
pub struct NativeFusion(pub Method);

impl FuseEngine for NativeFusion {
    fn fuse(&self, request: FuseRequest) -> BoxFuture<'_, Result<Ranking>> {
        let method = self.0;
        Box::pin(async move {
            let expanded = request.sub_queries.is_some();
            method.fuse(&request.rankings, expanded, request.limit, &request.params)
        })
    }

    fn params(&self) -> ParamsSpec {
        ParamsSpec::known(self.0.params())
    }
}
