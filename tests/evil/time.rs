//! Guests that take time: processor time, the host's time, or the caller's.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use routir_core::{Error, ErrorCode};

use crate::house::{
    End, House, PATIENCE, context, failed, fuse, limits, search, short, try_evil, try_guest,
};
use crate::wrap;

/// Processor time is what a spinning guest runs out of, wherever it spins.
const CPU: End = End::Fails("processor time");

#[tokio::test]
async fn a_fusion_that_spins() {
    try_evil("spin_fuse", CPU).await;
}

#[tokio::test]
async fn a_searcher_that_spins() {
    try_evil("spin_search", CPU).await;
}

#[tokio::test]
async fn a_scorer_that_spins() {
    try_evil("spin_score", CPU).await;
}

#[tokio::test]
async fn a_decomposer_that_spins() {
    try_evil("spin_decompose", CPU).await;
}

#[tokio::test]
async fn spinning_when_asked_who_it_is() {
    try_evil("spin_describe", End::Refused("processor time")).await;
}

#[tokio::test]
async fn spinning_while_it_is_instantiated() {
    try_evil("spin_start", End::Refused("processor time")).await;
}

#[tokio::test]
async fn spinning_in_the_allocator_while_arguments_are_passed() {
    try_evil("spin_realloc", CPU).await;
}

#[tokio::test]
async fn spinning_after_the_answer() {
    try_evil("spin_post_return", CPU).await;
}

#[tokio::test]
async fn spinning_by_calls_alone() {
    try_evil("spin_calls", CPU).await;
}

#[tokio::test]
async fn filling_memory_for_ever() {
    try_evil("bulk_fill", CPU).await;
}

#[tokio::test]
async fn copying_memory_for_ever() {
    try_evil("bulk_copy", CPU).await;
}

/// Ten thousand fills of 32 MiB without a loop or a call between them: a minute of work, if nothing
/// looks at the clock.
#[tokio::test]
async fn filling_memory_in_straight_code() {
    let (head, tail) = (wrap::text("bulk_fill"), "  unreachable)");
    let (head, _) = head.split_once("  (loop").unwrap();
    let fill = "  (memory.fill (i32.const 65536) (i32.const 1) (i32.const 33488896))\n";
    let text = head.to_owned() + &fill.repeat(10_000) + tail;
    try_guest(&text, CPU, &limits()).await;
}

#[tokio::test]
async fn logging_for_ever() {
    try_evil("log_flood", CPU).await;
}

#[tokio::test]
async fn logging_nothing_for_ever() {
    try_evil("log_empty_flood", CPU).await;
}

#[tokio::test]
async fn a_call_may_take_what_stays_under_its_limit() {
    let house = House::new();
    let mut limits = limits();
    limits.cpu_ms = 10_000;
    limits.time_ms = 20_000;
    let roles = house.roles(wrap::evil("slow_drip"), &limits).await.unwrap();
    for _ in 0..3 {
        fuse(&roles, context(None)).await.unwrap();
    }
    house.is_sound().await;
}

/// Waiting costs no processor time, so another limit must end it, and it must end what is waited
/// for too.
#[tokio::test]
async fn waiting_for_the_host_ends_with_the_time_of_the_call() {
    let house = House::new();
    let roles = house
        .roles(wrap::evil("memory_hold"), &short())
        .await
        .unwrap();
    let started = Instant::now();
    failed(search(&roles, context(None), "q").await, "1000 ms");
    assert!(started.elapsed() < PATIENCE);
    assert_eq!(house.runtime.waiting.load(Ordering::SeqCst), 0);
    house.is_sound().await;
}

/// The request's own deadline ends a call sooner than its limits, and that is nobody's fault.
#[tokio::test]
async fn the_deadline_of_the_request_ends_a_call() {
    let house = House::new();
    let roles = house
        .roles(wrap::evil("memory_hold"), &short())
        .await
        .unwrap();
    let mut hurried = Arc::unwrap_or_clone(context(None));
    hurried.deadline = Some(Instant::now() + Duration::from_millis(50));
    let started = Instant::now();
    let error: Error = search(&roles, Arc::new(hurried), "q").await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::DeadlineExceeded, "{error:?}");
    assert!(
        started.elapsed() < Duration::from_millis(900),
        "{:?}",
        started.elapsed()
    );
    house.is_sound().await;
}

/// A caller who goes away takes his spinning guest with him.
#[tokio::test]
async fn a_dropped_call_stops() {
    let house = House::new();
    let mut generous = limits();
    generous.cpu_ms = 600_000;
    generous.time_ms = 600_000;
    let roles = house
        .roles(wrap::asleep("spin_fuse"), &generous)
        .await
        .unwrap();
    let call = fuse(&roles, context(None));
    assert!(
        tokio::time::timeout(Duration::from_millis(100), call)
            .await
            .is_err()
    );
    // With one thread the next call runs only when the first has left it.
    tokio::time::timeout(PATIENCE, house.is_sound())
        .await
        .unwrap();
}
