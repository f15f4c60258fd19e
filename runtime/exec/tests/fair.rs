//! Tenants share an engine by weight, and none fills its queue for the others.
#![expect(
    clippy::unwrap_used,
    reason = "outside a test function clippy does not see that this is a test"
)]

mod common;

use std::sync::Arc;

use common::guest::*;
use common::*;
use futures_util::future::join_all;
use routir_core::{ErrorCode, Tenant};
use routir_exec::{PipelineCall, Runtime};

/// A runtime with one engine that works on one request at a time, and two tenants.
fn shared(engine: &Arc<Searcher>, capacity: usize) -> (Runtime, Arc<Tenant>, Arc<Tenant>) {
    let noisy = tenant("noisy", &["*"], &[]);
    let mut quiet = tenant("quiet", &["*"], &[]);
    Arc::make_mut(&mut quiet).weight = 2.try_into().unwrap();
    let mut spec = spec("s", searcher(engine));
    spec.batch.policy.max_requests = 1;
    spec.batch.concurrency = 1;
    spec.batch.capacity = capacity;
    let builder = builder().service(spec);
    let builder = builder.tenant(Arc::clone(&noisy));
    let runtime = builder.tenant(Arc::clone(&quiet)).build().unwrap();
    (runtime, noisy, quiet)
}

fn asks(tenant: &Arc<Tenant>, count: usize) -> impl Iterator<Item = PipelineCall> {
    (0..count).map(|number| PipelineCall {
        query: Arc::from(format!("{}{number}", &tenant.name[..1])),
        ..call_of(tenant, "s")
    })
}

#[tokio::test]
async fn who_comes_late_gets_his_share_at_once() {
    let engine = Searcher::named("s");
    let (runtime, noisy, quiet) = shared(&engine, 64);
    let calls = asks(&noisy, 5).chain(asks(&quiet, 4));
    let answers = join_all(calls.map(|call| runtime.pipeline(call))).await;
    assert!(answers.iter().all(Result::is_ok));
    let order = engine.queries().join(" ");
    assert_eq!(order, "n0 q0 q1 n1 q2 q3 n2 n3 n4");
}

#[tokio::test]
async fn a_queue_that_one_tenant_filled_has_room_for_another() {
    let engine = Searcher::named("s");
    let (runtime, noisy, quiet) = shared(&engine, 6);
    let calls = asks(&noisy, 9).chain(asks(&quiet, 6));
    let answers = join_all(calls.map(|call| runtime.pipeline(call))).await;
    let refused: Vec<_> = answers.iter().map(Result::is_err).collect();
    // One runs and six wait; then a weight of two of three gets four of six.
    let expected = [[false; 7].as_slice(), &[true; 2], &[false; 4], &[true; 2]].concat();
    assert_eq!(refused, expected);
    for error in answers.into_iter().filter_map(Result::err) {
        assert_eq!(error.code(), ErrorCode::Overloaded);
    }
}
