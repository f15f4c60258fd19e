//! Guests whose answers are wrong: malformed, not what was asked for, or out of bounds.

use routir_core::ErrorCode;

use crate::house::{End, House, IDENTITY, context, decompose, failed, fuse, limits, try_evil};
use crate::wrap;

macro_rules! evils {
    ($($(#[$about:meta])* $name:ident: $end:expr;)*) => {
        $(
            $(#[$about])*
            #[tokio::test]
            async fn $name() {
                try_evil(stringify!($name), $end).await;
            }
        )*
    };
}

evils! {
    answer_overflow: End::Fails("out of bounds");
    answer_outside: End::Fails("out of bounds");
    answer_unaligned: End::Fails("not aligned");
    answer_nowhere: End::Fails("out of bounds");
    answer_variant: End::Fails("discriminant");
    answer_error_case: End::Fails("discriminant");
    answer_short: End::Fails("scores for");
    answer_long: End::Fails("scores for");
    answer_nan: End::Fails("NaN");
    answer_infinity: End::Fails("inf");
    error_utf8: End::Fails("utf-8");
    hits_duplicate: End::Fails("d1");
    hits_nan: End::Fails("NaN");
    hits_infinite: End::Fails("inf");
    hits_unequal: End::Fails("2 ids");
    hits_utf8: End::Fails("utf-8");
    decompose_empty: End::Fails("empty");
    score_short: End::Fails("2 scores for 3");
    score_infinity: End::Fails("inf");
    log_line: End::Answers;
    log_utf8: End::Fails("utf-8");
    log_level: End::Fails("discriminant");
    log_outside: End::Fails("out of bounds");
    host_answer_outside: End::Fails("out of bounds");
    realloc_liar: End::Fails("beyond end of memory");
    unknown_handle: End::Fails("handle");
    trap: End::Fails("unreachable");
    trap_division: End::Fails("zero");
    trap_bounds: End::Fails("memory");
    trap_start: End::Refused("unreachable");
    trap_describe: End::Refused("unreachable");
}

/// A guest's own words are shown, but not more of them than a person would read.
#[tokio::test]
async fn error_huge() {
    let house = House::new();
    let roles = house
        .roles(wrap::asleep("error_huge"), &limits())
        .await
        .unwrap();
    let error = fuse(&roles, context(None)).await.unwrap_err();
    assert!(error.message().contains(IDENTITY), "{error:?}");
    assert!(
        error.message().chars().count() < 1_200,
        "{}",
        error.message().len()
    );
    house.is_sound().await;
}

/// Nobody's terminal or log file takes orders from a guest.
#[tokio::test]
async fn error_control() {
    let house = House::new();
    let roles = house
        .roles(wrap::asleep("error_control"), &limits())
        .await
        .unwrap();
    failed(fuse(&roles, context(None)).await, "all fine");
    house.is_sound().await;
}

/// More sub-queries than anybody can use are cut off, not an error.
#[tokio::test]
async fn decompose_flood() {
    let house = House::new();
    let roles = house
        .roles(wrap::evil("decompose_flood"), &limits())
        .await
        .unwrap();
    match decompose(&roles, context(None)).await {
        Ok(queries) => assert!(queries.len() <= 100_000),
        Err(error) => assert_eq!(error.code(), ErrorCode::EngineFailure, "{error:?}"),
    }
    house.is_sound().await;
}
