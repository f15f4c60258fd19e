//! Every limit of a call, met by a guest that would go on for ever.

#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use std::time::{Duration, Instant};

use common::{
    Guest, House, PATIENCE, fuse, fuse_request, fuse_with, limits, paid_by, tenant, two_lists,
};
use routir_config::ExtensionLimits;
use routir_core::{Error, ErrorCode};
use serde_json::json;

/// Serves admission, and then does this.
fn evil(body: &str) -> Guest {
    let small = "(if (i32.ne (local.get $ql) (i32.const 1)) (then (return (call $ok
        (call $alloc (i32.const 64)) (local.get $docs)))))";
    Guest::fusion(&format!("{small}\n{body}"))
}

async fn end(limits: ExtensionLimits, body: &str) -> Error {
    let house = House::new();
    let roles = house.under(&limits, evil(body)).await;
    let started = Instant::now();
    let error = fuse(&roles).await.unwrap_err();
    assert!(started.elapsed() < PATIENCE);
    assert_eq!(error.code(), ErrorCode::EngineFailure, "{error:?}");
    assert!(
        error.message().starts_with("extension `acme/test` "),
        "{error}"
    );
    house.holds_nothing(None).await;
    // Whatever it did, others go on.
    fuse(&house.roles(Guest::rrf()).await).await.unwrap();
    error
}

fn says(error: &Error, expected: &str) {
    assert!(error.message().contains(expected), "{error}");
}

const SPIN: &str = "(loop $on (br $on)) unreachable";

#[tokio::test]
async fn processor_time() {
    let short = ExtensionLimits {
        cpu_ms: 30,
        ..limits()
    };
    says(
        &end(short, SPIN).await,
        "more than 30 ms of processor time (`cpu_ms`)",
    );
}

#[tokio::test]
async fn time() {
    let short = ExtensionLimits {
        time_ms: 50,
        ..limits()
    };
    says(&end(short, SPIN).await, "longer than 50 ms (`time_ms`)");
}

#[tokio::test]
async fn the_requests_deadline() {
    let house = House::new();
    let roles = house.roles(evil(SPIN)).await;
    let mut request = fuse_request(two_lists(), json!({}));
    let mut context = (*request.context).clone();
    context.deadline = Some(Instant::now() + Duration::from_millis(50));
    request.context = context.into();
    let error = fuse_with(&roles, request.clone()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::DeadlineExceeded, "{error:?}");
    says(&error, "`acme/test`");
    let error = fuse_with(&roles, request).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::DeadlineExceeded, "already passed");
    house.holds_nothing(None).await;
}

#[tokio::test]
async fn instructions() {
    let counted = ExtensionLimits {
        fuel: Some(100_000),
        ..limits()
    };
    says(
        &end(counted, SPIN).await,
        "more than 100000 instructions (`fuel`)",
    );
}

#[tokio::test]
async fn instructions_are_counted_only_where_they_were_admitted() {
    let house = House::new();
    let counted = ExtensionLimits {
        fuel: Some(100_000),
        ..limits()
    };
    let admitted = house
        .admit(Guest::rrf().component(), &limits())
        .await
        .unwrap();
    let roles = admitted.component.roles(house.spec(&counted));
    says(
        &fuse(&roles).await.unwrap_err(),
        "admitted without counting",
    );
    let admitted = house
        .admit(Guest::rrf().component(), &counted)
        .await
        .unwrap();
    fuse(&admitted.component.roles(house.spec(&counted)))
        .await
        .unwrap();
    fuse(&admitted.component.roles(house.spec(&limits())))
        .await
        .unwrap();
}

#[tokio::test]
async fn memory() {
    let grow = "(loop $on (drop (call $alloc (i32.const 0x100000))) (br $on)) unreachable";
    let small = ExtensionLimits {
        memory_mb: 4,
        ..limits()
    };
    let error = end(small, grow).await;
    says(&error, "aborted");
    says(&error, "refused memory over its 4 MiB (`memory_mb`)");
}

#[tokio::test]
async fn memory_before_it_starts() {
    let house = House::new();
    let huge = Guest::rrf().component();
    let none = ExtensionLimits {
        memory_mb: 0,
        ..limits()
    };
    let admitted = house.admit(huge, &limits()).await.unwrap();
    let error = fuse(&admitted.component.roles(house.spec(&none)))
        .await
        .unwrap_err();
    says(&error, "(`memory_mb`)");
}

#[tokio::test]
async fn the_tenants_memory() {
    let house = House::new();
    let grow = "(loop $on (drop (call $alloc (i32.const 0x100000))) (br $on)) unreachable";
    let roles = house.roles(evil(grow)).await;
    let poor = tenant("poor", |quotas| quotas.memory_bytes = 2 << 20);
    let mut request = fuse_request(two_lists(), json!({}));
    request.context = paid_by(&poor);
    let error = fuse_with(&roles, request).await.unwrap_err();
    says(&error, "`quotas.memory_mb`");
    house.holds_nothing(Some(&poor)).await;
}

#[tokio::test]
async fn tables() {
    let few = ExtensionLimits {
        table_elements: 1_000,
        ..limits()
    };
    let house = House::new();
    let guest = evil(
        "(loop $on (if (i32.eq (i32.const -1) (table.grow $t (ref.null func) (i32.const 100)))
           (then (unreachable))) (br $on)) unreachable",
    )
    .data("(table $t 1 funcref)");
    let roles = house.under(&few, guest).await;
    let error = fuse(&roles).await.unwrap_err();
    says(&error, "1000 elements (`table_elements`)");
}

#[tokio::test]
async fn stack() {
    let house = House::new();
    let deep = "(func $deep (param i32) (result i32)
        (i32.add (i32.const 1) (call $deep (i32.add (local.get 0) (i32.const 1)))))";
    let guest = evil("(drop (call $deep (i32.const 0))) unreachable").data(deep);
    let error = fuse(&house.roles(guest).await).await.unwrap_err();
    says(&error, "too deep for its stack");
}

#[tokio::test]
async fn output() {
    let small = ExtensionLimits {
        output_bytes: 1 << 20,
        ..limits()
    };
    // 256 Ki scores, which are 2 MiB.
    let error = end(
        small,
        "(call $ok (call $alloc (i32.const 0x200000)) (i32.const 0x40000))",
    )
    .await;
    says(
        &error,
        "more than 1048576 bytes to the host at once (`output_bytes`)",
    );
}

#[tokio::test]
async fn traps() {
    says(&end(limits(), "unreachable").await, "crashed: it aborted");
    let divided = "(drop (i32.div_u (i32.const 1) (i32.const 0))) unreachable";
    says(
        &end(limits(), divided).await,
        "crashed: integer divide by zero",
    );
    let outside = "(drop (i32.load (i32.const -8))) unreachable";
    says(
        &end(limits(), outside).await,
        "crashed: out of bounds memory access",
    );
}

#[tokio::test]
async fn starting_is_part_of_the_call() {
    let house = House::new();
    let guest = Guest::rrf().data("(func $on (loop $on (br $on))) (start $on)");
    let short = ExtensionLimits {
        cpu_ms: 30,
        ..limits()
    };
    let error = house.admit(guest.component(), &short).await.err().unwrap();
    assert_eq!(error.code(), ErrorCode::InvalidArgument);
    says(&error, "(`cpu_ms`)");
    house.holds_nothing(None).await;
}

#[tokio::test]
async fn leaving_a_call_gives_its_memory_back() {
    let house = House::new();
    let roles = house.roles(evil(SPIN)).await;
    let call = tokio::time::timeout(Duration::from_millis(30), fuse(&roles));
    assert!(call.await.is_err());
    house.holds_nothing(None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spinning_guest_does_not_hold_the_reactor() {
    let house = House::new();
    let roles = house.roles(evil(SPIN)).await;
    let short = ExtensionLimits {
        time_ms: 2_000,
        ..limits()
    };
    let spinning = house.under(&short, evil(SPIN)).await;
    let calls: Vec<_> = (0..8)
        .map(|_| {
            let fuse = spinning.fuse.clone().unwrap();
            tokio::spawn(async move { fuse.fuse(fuse_request(two_lists(), json!({}))).await })
        })
        .collect();
    drop(roles);
    let good = house.roles(Guest::rrf()).await;
    let started = Instant::now();
    fuse(&good).await.unwrap();
    assert!(started.elapsed() < PATIENCE);
    for call in calls {
        assert!(call.await.unwrap().is_err());
    }
}
