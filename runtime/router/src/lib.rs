//! The router: a stateless front for many workers, and a drop-in for SIE's.
//!
//! Guards: a request goes to a worker that may and can serve it (pool, machine profile, model or
//! services), to the one that is least busy, and to another when that one fails before it answered;
//! a worker that hangs, lies or dies costs the requests that it holds and no other; nothing of a
//! client who left stays behind. Must never know: a model, an index, how an answer is computed.
//!
//! The way of a request: `front` takes it in (id, caller, limits, audit, metrics); `want` says what
//! it needs; `worker` knows who is there and chooses; `proxy` forwards, streaming both ways, and
//! fails over, over connections that `dial` opens. RoutIR's endpoints (`routir`) go the same way, or are answered here by pipelines whose
//! stages are workers' (`spread`). `pools` says who is reserved for whom, `discovery` who exists, `demand` what is
//! missing.

mod auth;
mod catalog;
#[cfg(test)]
#[path = "../tests/certificates/mod.rs"]
mod certificates;
mod cluster;
mod demand;
mod dial;
mod discovery;
#[cfg(test)]
#[path = "../tests/fake/mod.rs"]
mod fake;
mod framing;
mod front;
mod large;
mod metrics;
mod pools;
mod proxy;
mod router;
mod routir;
mod secret;
mod settings;
mod spread;
mod want;
mod whole;
mod worker;

pub use discovery::{KubernetesOptions, PERMISSIONS};
pub use router::{Listeners, Router, serve};
pub use routir::{Local, RoutirSide};
pub use secret::Secret;
pub use settings::{HealthType, ReadyRule, RouterOptions, WorkerTls};
pub use spread::Offered;

#[cfg(test)]
#[path = "../tests/kube/mod.rs"]
mod standin;
