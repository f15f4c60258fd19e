//! The workers, as RoutIR's endpoints see them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use hyper::{Request, Response};
use routir_core::{BoxFuture, Error, ErrorCode, Result};

use crate::demand::{DemandMetrics, Reason};
use crate::pools::{DEFAULT, Pools};
use crate::proxy::{Broken, Held, Proxy, Refusal};
use crate::want::Want;
use crate::worker::{Choice, Policy, Registry, Why, Worker, choose};

/// The workers, chosen and asked as for every request.
pub(crate) struct Fleet {
    pub(crate) proxy: Arc<Proxy>,
    pub(crate) registry: Registry,
    pub(crate) pools: Arc<Pools>,
    pub(crate) demand: Arc<DemandMetrics>,
    pub(crate) policy: Policy,
    /// When to come again while a machine is being started, and while one gets ready.
    pub(crate) cold: Duration,
    pub(crate) warming: Duration,
}

impl Fleet {
    /// Whether a worker that could be asked now has all that is wanted.
    pub(super) fn hosts(&self, want: &Want) -> bool {
        self.pick(want, &[]).is_some()
    }

    /// The best worker for what is wanted, but for those with these ids.
    pub(super) fn pick(&self, want: &Want, tried: &[u64]) -> Option<Arc<Worker>> {
        match self.choose(want, tried) {
            Choice::Worker(worker) => Some(worker),
            Choice::None(_) => None,
        }
    }

    fn choose(&self, want: &Want, tried: &[u64]) -> Choice {
        let membership = self.pools.membership(want.pool.as_deref());
        let workers = self.registry.workers();
        let mut rng = fastrand::Rng::new();
        choose(&workers, want, &membership, tried, self.policy, &mut rng)
    }

    /// As [`Carry::carry`](crate::spread::Carry::carry).
    pub(super) fn carry<'a>(
        &'a self,
        want: &'a Want,
        request: Request<Body>,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Response<Body>>> {
        Box::pin(async move {
            let answer = self.proxy.forward(want, request, Some(deadline.into()));
            let answer = answer.await.map_err(|why| self.refused(want, &why))?;
            let mut response = answer.response;
            response.extensions_mut().insert(answer.served);
            Ok(response)
        })
    }

    /// A place for a request at `worker`, which is counted there from now on; waits for one. `None`
    /// when the worker began to fail meanwhile, unless the request `stays`.
    ///
    /// # Errors
    /// As clients are told, when too many wait already or time is over.
    pub(super) async fn hold(
        &self,
        worker: &Arc<Worker>,
        want: &Want,
        deadline: Instant,
        stays: bool,
    ) -> Result<Option<Held>> {
        let held = self.proxy.hold(worker, &want.need, deadline.into(), stays);
        held.await.map_err(|why| self.refused(want, &why))
    }

    /// Why nobody answered, as RoutIR's clients are told. Who asks for a machine that is not there is
    /// counted, so that it is started.
    fn refused(&self, want: &Want, why: &Refusal) -> Error {
        let error = |code| Error::new(code, why.to_string());
        match why {
            Refusal::Nobody(Why::UnknownPool) => {
                let pool = routir_core::shorten(want.pool.as_deref().unwrap_or_default());
                let message = format!("there is no pool `{pool}`; POST /v1/pools makes one");
                Error::new(ErrorCode::UnknownName, message)
            }
            Refusal::Nobody(why) => self.nobody(want, *why),
            Refusal::Busy => error(ErrorCode::Overloaded).with_retry_after(Duration::from_secs(1)),
            Refusal::Unreachable { .. } => error(ErrorCode::Unavailable),
            // Asking again would break more of them.
            Refusal::Lost { .. } => error(ErrorCode::EngineFailure),
            Refusal::TimedOut { .. } | Refusal::Deadline => error(ErrorCode::DeadlineExceeded),
            Refusal::Body(Broken::TooLarge) => error(ErrorCode::TooLarge),
            Refusal::Body(_) => error(ErrorCode::InvalidArgument),
        }
    }

    /// What is told when no worker is there that could be asked.
    pub(super) fn nobody_for(&self, want: &Want) -> Error {
        match self.choose(want, &[]) {
            Choice::None(why) => self.refused(want, &Refusal::Nobody(why)),
            // One came meanwhile.
            Choice::Worker(_) => self.nobody(want, Why::Warming),
        }
    }

    fn nobody(&self, want: &Want, why: Why) -> Error {
        let pool = want.pool.as_deref();
        let profile = want.profile.clone();
        if let Some(profile) = profile.or_else(|| self.pools.profile_of(pool)) {
            self.demand.want(&profile, DEFAULT, pool);
            self.demand.reject(&profile, DEFAULT, Reason::NoCapacity);
        } else {
            self.demand.reject("", DEFAULT, Reason::NoHealthyWorkers);
        }
        let among = match (pool, want.profile.as_deref()) {
            (None, None) => String::new(),
            (Some(pool), None) => format!(" of pool `{pool}`"),
            (None, Some(profile)) => format!(" of kind `{profile}`"),
            (Some(pool), Some(profile)) => format!(" of pool `{pool}` and kind `{profile}`"),
        };
        let (again, state) = match why {
            Why::Warming | Why::Tried => (self.warming, "is ready"),
            _ => (self.cold, "is there"),
        };
        let message = format!("no worker{among} that has what the request needs {state}");
        Error::new(ErrorCode::Unavailable, message).with_retry_after(again)
    }
}
