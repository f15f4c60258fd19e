//! Guests that look for what is not theirs, keep what they may not, or use the host against itself.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use routir_core::ErrorCode;

use crate::host::Runtime;
use crate::house::{End, House, PATIENCE, context, failed, fuse, limits, search, short, try_evil};
use crate::wrap;

/// Slots of the pool are used again; what was in them must not be there.
#[tokio::test]
async fn no_instance_sees_what_another_left() {
    let house = House::with(|settings| settings.instances = 4);
    let roles = house
        .roles(wrap::evil("leftover"), &limits())
        .await
        .unwrap();
    for _ in 0..12 {
        fuse(&roles, context(None)).await.unwrap();
    }
    house.is_sound().await;
}

#[tokio::test]
async fn no_state_from_call_to_call() {
    let house = House::new();
    let roles = house.roles(wrap::evil("smuggle"), &limits()).await.unwrap();
    for _ in 0..5 {
        fuse(&roles, context(None)).await.unwrap();
    }
    house.is_sound().await;
}

/// Otherwise the test above proves nothing.
#[tokio::test]
async fn a_trusted_instance_does_remember() {
    let house = House::new();
    let admitted = house.admit(wrap::evil("smuggle"), &limits()).await.unwrap();
    let mut spec = house.spec(&limits());
    spec.trusted = true;
    let roles = admitted.component.roles(spec);
    fuse(&roles, context(None)).await.unwrap();
    let error = fuse(&roles, context(None)).await.unwrap_err();
    assert!(
        error.message().contains("remembers an earlier call"),
        "{error:?}"
    );
}

/// A storm of traps costs the host nothing that stays.
#[tokio::test]
async fn a_trap_storm() {
    let house = House::new();
    let roles = house.roles(wrap::asleep("trap"), &limits()).await.unwrap();
    for _ in 0..300 {
        failed(fuse(&roles, context(None)).await, "unreachable");
    }
    house.is_sound().await;
}

/// One call traps while another of the same extension waits for the host.
#[tokio::test]
async fn a_trap_beside_a_pending_host_call() {
    let house = House::new();
    let roles = house
        .roles(wrap::evil("trap_pending"), &short())
        .await
        .unwrap();
    let waiting = tokio::spawn({
        let roles = roles.clone();
        async move { search(&roles, context(None), "wait").await }
    });
    let since = Instant::now();
    while house.runtime.waiting.load(Ordering::SeqCst) == 0 {
        assert!(since.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    failed(search(&roles, context(None), "trap").await, "unreachable");
    assert_eq!(house.runtime.waiting.load(Ordering::SeqCst), 1);
    failed(waiting.await.unwrap(), "1000 ms");
    house.is_sound().await;
}

#[tokio::test]
async fn one_host_call_after_another() {
    let house = House::new();
    let mut limits = limits();
    limits.host_calls = 50;
    let roles = house
        .roles(wrap::evil("host_flood"), &limits)
        .await
        .unwrap();
    failed(search(&roles, context(None), "q").await, "");
    assert!(house.runtime.requests.load(Ordering::SeqCst) <= 50);
    house.is_sound().await;
}

/// Two thousand at once, where one thousand are allowed: the others are answered, not asked.
#[tokio::test]
async fn more_requests_at_once_than_allowed() {
    let house = House::new();
    let text = wrap::text("host_list").replace("100000", "2000");
    let roles = house.roles(wrap::component_of(&text), &limits()).await;
    search(&roles.unwrap(), context(None), "q").await.unwrap();
    assert_eq!(house.runtime.requests.load(Ordering::SeqCst), 1_000);
    house.is_sound().await;
}

#[tokio::test]
async fn no_host_calls_when_it_says_who_it_is() {
    try_evil("host_in_describe", End::Refused("describe")).await;
}

#[tokio::test]
async fn no_host_calls_while_it_is_instantiated() {
    try_evil("host_in_start", End::Refused("")).await;
}

#[tokio::test]
async fn no_host_calls_out_of_its_allocator() {
    try_evil("host_in_realloc", End::Fails("")).await;
}

/// Where the runtime breaks the circle, the guest is told so.
#[tokio::test]
async fn a_circle_that_the_runtime_breaks() {
    for name in ["self_by_name", "self_by_pipeline"] {
        let mut house = House::new();
        house.runtime = Arc::new(Runtime {
            breaks_circles: true,
            ..Runtime::default()
        });
        let roles = house.roles(wrap::evil(name), &limits()).await.unwrap();
        *house.runtime.evil.lock().unwrap() = Some(roles.clone());
        let error = search(&roles, context(None), "q").await.unwrap_err();
        assert!(error.message().contains("the host refused"), "{error:?}");
        assert_eq!(house.runtime.requests.load(Ordering::SeqCst), 1);
        house.is_sound().await;
    }
}

/// And if it did not: the pool is smaller than the depth, so the calls wait for each other until
/// their time is over, and then all is as before.
#[tokio::test]
async fn a_circle_that_nobody_breaks() {
    let house = House::with(|settings| settings.instances = 8);
    let roles = house
        .roles(wrap::evil("self_by_name"), &short())
        .await
        .unwrap();
    *house.runtime.evil.lock().unwrap() = Some(roles.clone());
    let started = Instant::now();
    let error = search(&roles, context(None), "q").await.unwrap_err();
    assert!(
        [ErrorCode::EngineFailure, ErrorCode::Overloaded].contains(&error.code()),
        "{error:?}"
    );
    assert!(started.elapsed() < PATIENCE);
    *house.runtime.evil.lock().unwrap() = None;
    house.is_sound().await;
}
