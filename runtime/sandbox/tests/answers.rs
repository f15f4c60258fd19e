//! What a guest says is not believed: each way to answer wrongly, through a real guest.

#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{Guest, House, decompose, fuse, score, search};
use routir_core::{Batching, Error, ErrorCode};

/// A fusion that does this once it serves; admission fuses a little too, with other queries.
fn misbehaving(body: &str) -> Guest {
    let small = "(if (i32.ne (local.get $ql) (i32.const 1)) (then (return (call $ok
        (call $alloc (i32.const 64)) (local.get $docs)))))";
    Guest::fusion(&format!("{small}\n{body}"))
}

async fn refusal(body: &str) -> String {
    let house = House::new();
    let roles = house.roles(misbehaving(body)).await;
    let error = fuse(&roles).await.unwrap_err();
    own_fault(&error);
    house.holds_nothing(None).await;
    error.message().to_owned()
}

fn own_fault(error: &Error) {
    assert_eq!(error.code(), ErrorCode::EngineFailure, "{error:?}");
    assert!(
        error.message().starts_with("extension `acme/test` "),
        "{error}"
    );
}

fn says(message: &str, expected: &str) {
    assert!(message.contains(expected), "{message}");
}

#[tokio::test]
async fn another_number_of_scores() {
    for (length, given) in [("0", "0 scores"), ("3", "3 scores"), ("5", "5 scores")] {
        let body = format!("(call $ok (call $alloc (i32.const 64)) (i32.const {length}))");
        says(
            &refusal(&body).await,
            &format!("answered {given} for 4 documents"),
        );
    }
}

#[tokio::test]
async fn scores_that_are_no_numbers() {
    for (score, shown) in [("nan", "NaN"), ("inf", "inf")] {
        let body = format!(
            "(local.set $out (call $alloc (i32.const 32)))
             (f64.store offset=8 (local.get $out) (f64.const {score}))
             (call $ok (local.get $out) (i32.const 4))"
        );
        says(
            &refusal(&body).await,
            &format!("gave document `b` (handle 1) the score {shown}"),
        );
    }
}

#[tokio::test]
async fn lists_outside_its_memory() {
    let out = "(call $ok (i32.const 0x7ffffff8) (i32.const 4))";
    says(&refusal(out).await, "out of bounds");
    let endless = "(call $ok (i32.const 8) (i32.const -1))";
    refusal(endless).await;
    let crooked = "(call $ok (i32.const 9) (i32.const 4))";
    says(&refusal(crooked).await, "not aligned");
    let nowhere = "(i32.const -4)";
    refusal(nowhere).await;
}

#[tokio::test]
async fn variants_that_do_not_exist() {
    let body = "(local.set $out (call $alloc (i32.const 24)))
        (i32.store8 (local.get $out) (i32.const 7)) (local.get $out)";
    says(&refusal(body).await, "discriminant");
    says(
        &refusal("(call $error (i32.const 9) (i32.const 0) (i32.const 0))").await,
        "discriminant",
    );
}

#[tokio::test]
async fn text_that_is_not_unicode() {
    let body = "(i32.store (i32.const 8) (i32.const 0xfffefd))
        (call $error (i32.const 3) (i32.const 8) (i32.const 3))";
    refusal(body).await;
}

#[tokio::test]
async fn its_own_errors_have_their_own_codes_and_short_texts() {
    let house = House::new();
    let codes = [
        ErrorCode::InvalidArgument,
        ErrorCode::UnknownName,
        ErrorCode::Overloaded,
        ErrorCode::EngineFailure,
    ];
    for (kind, code) in codes.into_iter().enumerate() {
        let guest = Guest::fusion(&format!(
            "(memory.fill (i32.const 20000) (i32.const 0x61) (i32.const 30000))
             (i32.store8 (i32.const 20001) (i32.const 10))
             (i32.store8 (i32.const 20002) (i32.const 27))
             (call $error (i32.const {kind}) (i32.const 20000) (i32.const 30000))"
        ));
        let roles = house.roles(guest).await;
        let error = fuse(&roles).await.unwrap_err();
        assert_eq!(error.code(), code);
        let text = error.message();
        assert!(
            text.starts_with("extension `acme/test` failed: a aaa"),
            "{text}"
        );
        assert!(text.chars().count() < 1100 && text.ends_with('…'), "{text}");
    }
}

#[tokio::test]
async fn hits() {
    let house = House::new();
    // The ids `a`, `b`, `b`, ``, as their places in memory.
    let ids = "(data (i32.const 64) \"ab\")
        (data (i32.const 128) \"\\40\\00\\00\\00\\01\\00\\00\\00\\41\\00\\00\\00\\01\\00\\00\\00\")
        (data (i32.const 144) \"\\41\\00\\00\\00\\01\\00\\00\\00\\41\\00\\00\\00\\00\\00\\00\\00\")";
    let scores =
        "(f64.store (i32.const 200) (f64.const 1)) (f64.store (i32.const 208) (f64.const 2))
        (f64.store (i32.const 216) (f64.const 3)) (f64.store (i32.const 224) (f64.const 4))";
    let guest = |body: &str| {
        let text = format!("{scores} {body}");
        Guest::searcher(&text).imports("").data(ids)
    };
    let answer = async |body: &str| {
        let roles = house.roles(guest(body)).await;
        search(&roles, "q").await
    };
    let good = answer("(call $hits (i32.const 128) (i32.const 200) (i32.const 2))").await;
    assert_eq!(good.unwrap(), common::owned(&[("b", 2.0), ("a", 1.0)]));
    for (body, expected) in [
        (
            "(call $hits (i32.const 128) (i32.const 200) (i32.const 3))",
            "answered document `b` twice",
        ),
        (
            "(call $hits (i32.const 144) (i32.const 200) (i32.const 2))",
            "empty document id (hit 2)",
        ),
        (
            "(local.set $out (call $hits (i32.const 128) (i32.const 200) (i32.const 2)))
             (i32.store offset=16 (local.get $out) (i32.const 1)) (local.get $out)",
            "answered 2 ids with 1 scores",
        ),
        (
            "(f64.store (i32.const 200) (f64.const nan))
             (call $hits (i32.const 128) (i32.const 200) (i32.const 2))",
            "gave document `a` the score NaN",
        ),
        (
            "(i32.store (i32.const 128) (i32.const 20000)) (i32.store (i32.const 132) (i32.const 5000))
             (call $hits (i32.const 128) (i32.const 200) (i32.const 1))",
            "document id of 5000 bytes",
        ),
    ] {
        let error = answer(body).await.unwrap_err();
        own_fault(&error);
        says(error.message(), expected);
    }
}

#[tokio::test]
async fn more_hits_than_asked_for_are_cut_after_sorting() {
    let house = House::new();
    // Five hits, numbered by their ids, the last the best; three are asked for.
    let body = "(local $n i32)
        (loop $more
          (i32.store8 (i32.add (i32.const 64) (local.get $n)) (i32.add (i32.const 48) (local.get $n)))
          (i32.store (i32.add (i32.const 128) (i32.mul (local.get $n) (i32.const 8)))
            (i32.add (i32.const 64) (local.get $n)))
          (i32.store offset=4 (i32.add (i32.const 128) (i32.mul (local.get $n) (i32.const 8)))
            (i32.const 1))
          (f64.store (i32.add (i32.const 200) (i32.mul (local.get $n) (i32.const 8)))
            (f64.convert_i32_u (local.get $n)))
          (local.set $n (i32.add (local.get $n) (i32.const 1)))
          (br_if $more (i32.lt_u (local.get $n) (i32.const 5))))
        (call $hits (i32.const 128) (i32.const 200) (i32.const 5))";
    let roles = house.roles(Guest::searcher(body)).await;
    let best = common::owned(&[("4", 4.0), ("3", 3.0), ("2", 2.0)]);
    assert_eq!(search(&roles, "q").await.unwrap(), best);
}

#[tokio::test]
async fn scores_of_passages() {
    let house = House::new();
    let scorer = |body: &str| {
        Guest::new(
            "scorer",
            &format!(
                "(func (export \"score\") (param $q i32) (param $ql i32) (param $t i32)
                 (param $n i32) (param $p i32) (param $pl i32) (result i32) {body})"
            ),
        )
    };
    // As many scores as there are passages, all of them the number of passages.
    let good = scorer(
        "(f64.store (i32.const 64) (f64.convert_i32_u (local.get $n)))
         (f64.store (i32.const 72) (f64.const -1))
         (call $ok (i32.const 64) (local.get $n))",
    );
    let roles = house.roles(good).await;
    assert_eq!(score(&roles, &["x", "y"]).await.unwrap(), [2.0, -1.0]);
    assert_eq!(roles.score.unwrap().batching(), Batching::Alone);
    let short = house
        .roles(scorer("(call $ok (i32.const 64) (i32.const 1))"))
        .await;
    let error = score(&short, &["x", "y"]).await.unwrap_err();
    own_fault(&error);
    says(error.message(), "answered 1 scores for 2 passages");
    let nan = "(f64.store (i32.const 64) (f64.const nan)) (call $ok (i32.const 64) (i32.const 1))";
    let error = score(&house.roles(scorer(nan)).await, &["x"])
        .await
        .unwrap_err();
    says(error.message(), "gave passage 1 the score NaN");
}

#[tokio::test]
async fn sub_queries() {
    let house = House::new();
    let decomposer = |body: &str| {
        let head = "(func (export \"decompose\") (param $q i32) (param $ql i32) (param $some i32)
            (param $limit i32) (param $p i32) (param $pl i32) (result i32)";
        Guest::new("decomposer", &format!("{head} {body})"))
    };
    // The query, and the query without its first letter.
    let twice =
        "(i32.store (i32.const 64) (local.get $q)) (i32.store (i32.const 68) (local.get $ql))
        (i32.store (i32.const 72) (i32.add (local.get $q) (i32.const 1)))
        (i32.store (i32.const 76) (i32.sub (local.get $ql) (i32.const 1)))
        (call $ok (i32.const 64) (i32.const 2))";
    let roles = house.roles(decomposer(twice)).await;
    let both = decompose(&roles, "abc", None).await.unwrap();
    assert_eq!(both.iter().map(|q| &**q).collect::<Vec<_>>(), ["abc", "bc"]);
    assert_eq!(decompose(&roles, "abc", Some(1)).await.unwrap().len(), 1);
    let error = decompose(&roles, "a", None).await.unwrap_err();
    own_fault(&error);
    says(error.message(), "empty sub-query (number 2)");
}
