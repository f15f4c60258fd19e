//! Instances: fresh for every call, unless the service is trusted, and then only as long as all
//! goes well.

mod common;

use common::{Guest, House, limits, owned, paid_by, search, tenant};

/// Finds one document whose score is how many calls its instance has seen; what the query's first
/// letter asks for comes before.
fn counting() -> Guest {
    Guest::searcher(
        r#"
        (global.set $calls (f64.add (global.get $calls) (f64.const 1)))
        (if (i32.eq (i32.load8_u (local.get $q)) (i32.const 0x74)) (then (unreachable)))
        (if (i32.eq (i32.load8_u (local.get $q)) (i32.const 0x65)) (then
          (return (call $error (i32.const 0) (i32.const 64) (i32.const 0)))))
        (if (i32.eq (i32.load8_u (local.get $q)) (i32.const 0x67)) (then
          (drop (call $alloc (i32.const 0x200000)))))
        (i32.store (i32.const 64) (local.get $q))
        (i32.store (i32.const 68) (i32.const 1))
        (f64.store (i32.const 72) (global.get $calls))
        (call $hits (i32.const 64) (i32.const 72) (i32.const 1))"#,
    )
    .data("(global $calls (mut f64) (f64.const 0))")
}

#[tokio::test]
async fn a_fresh_instance_knows_nothing() {
    let house = House::new();
    let roles = house.roles(counting()).await;
    for _ in 0..3 {
        assert_eq!(search(&roles, "q").await.unwrap(), owned(&[("q", 1.0)]));
    }
    house.holds_nothing(None).await;
}

#[tokio::test]
async fn a_trusted_one_is_kept_until_something_goes_wrong() {
    let house = House::new();
    let roles = house
        .changed(&limits(), counting(), |spec| spec.trusted = true)
        .await;
    let calls = async |query| search(&roles, query).await.unwrap()[0].1;
    assert_eq!((calls("q").await, calls("q").await), (1.0, 2.0));
    assert!(search(&roles, "e").await.is_err(), "its own error");
    assert_eq!(calls("q").await, 4.0, "is no reason to let it go");
    assert!(search(&roles, "t").await.is_err(), "a trap");
    assert_eq!(calls("q").await, 1.0, "is");
    assert_eq!(calls("g").await, 2.0, "and so is growing");
    assert_eq!(calls("q").await, 1.0);
    assert!(house.sandbox.account(None).memory() > 0, "it is kept");
    drop(roles);
    house.holds_nothing(None).await;
}

#[tokio::test]
async fn a_trusted_one_is_let_go_after_a_thousand_calls() {
    let house = House::new();
    let roles = house
        .changed(&limits(), counting(), |spec| spec.trusted = true)
        .await;
    for _ in 0..999 {
        search(&roles, "q").await.unwrap();
    }
    assert_eq!(search(&roles, "q").await.unwrap()[0].1, 1000.0);
    assert_eq!(search(&roles, "q").await.unwrap()[0].1, 1.0);
}

#[tokio::test]
async fn services_share_no_instance() {
    let house = House::new();
    let trust = |spec: &mut routir_sandbox::ExtensionSpec| spec.trusted = true;
    let one = house.changed(&limits(), counting(), trust).await;
    let other = house.changed(&limits(), counting(), trust).await;
    search(&one, "q").await.unwrap();
    assert_eq!(search(&other, "q").await.unwrap()[0].1, 1.0);
}

#[tokio::test]
async fn whoever_calls_pays_for_a_kept_instance() {
    let house = House::new();
    let roles = house
        .changed(&limits(), counting(), |spec| spec.trusted = true)
        .await;
    search(&roles, "q").await.unwrap();
    let rich = tenant("rich", |_| {});
    let poor = tenant("poor", |quotas| quotas.memory_bytes = 1000);
    common::search_in(&roles, "q", paid_by(&rich))
        .await
        .unwrap();
    assert_eq!(house.sandbox.account(None).memory(), 0);
    assert!(house.sandbox.account(Some(&rich)).memory() > 0);
    let error = common::search_in(&roles, "q", paid_by(&poor))
        .await
        .unwrap_err();
    assert!(error.message().contains("`quotas.memory_mb`"), "{error}");
    house.holds_nothing(Some(&rich)).await;
    house.holds_nothing(Some(&poor)).await;
}

#[tokio::test]
async fn a_batch_fails_one_by_one() {
    let house = House::new();
    let roles = house.roles(counting()).await;
    let engine = roles.search.clone().unwrap();
    let request = |query: &str| routir_core::SearchRequest {
        query: query.into(),
        limit: 1,
        params: routir_core::Params::default(),
        context: common::context(),
    };
    let batch = ["q", "t", "e", "q"].map(request).to_vec();
    let answers = engine.search(batch).await;
    let good: Vec<_> = answers.iter().map(Result::is_ok).collect();
    assert_eq!(good, [true, false, false, true]);
}
