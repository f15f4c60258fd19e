//! What guests may ask of the host, and what they are told.

mod common;

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use common::{Guest, House, context, fuse, limits, owned, paid_by, search, search_in, tenant};
use parking_lot::Mutex;
use routir_config::ExtensionLimits;
use routir_core::{ErrorCode, RequestContext};

const HOST: &str = r#"
(import "routir:extension/host@0.1.0" "search" (func $search (param i32 i32 i32)))
(import "routir:extension/host@0.1.0" "score" (func $score (param i32 i32 i32)))
(import "routir:extension/host@0.1.0" "content"
  (func $content (param i32 i32 i32 i32 i32 i32 i32 i32 i32)))"#;

/// Searches with the query as name of the pipeline, `$count` times the same at once, and answers
/// what the last search found, or its error.
const RELAY: &str = r#"
(local $n i32)
(local.set $out (call $alloc (i32.mul (i32.const 40) (i32.const COUNT))))
(loop $more
  (i32.store (i32.add (local.get $out) (i32.mul (local.get $n) (i32.const 40))) (local.get $q))
  (i32.store offset=4 (i32.add (local.get $out) (i32.mul (local.get $n) (i32.const 40)))
    (local.get $ql))
  (i32.store offset=8 (i32.add (local.get $out) (i32.mul (local.get $n) (i32.const 40)))
    (local.get $q))
  (i32.store offset=12 (i32.add (local.get $out) (i32.mul (local.get $n) (i32.const 40)))
    (local.get $ql))
  (i32.store offset=28 (i32.add (local.get $out) (i32.mul (local.get $n) (i32.const 40)))
    (local.get $limit))
  (local.set $n (i32.add (local.get $n) (i32.const 1)))
  (br_if $more (i32.lt_u (local.get $n) (i32.const COUNT))))
(call $search (local.get $out) (i32.const COUNT) (i32.const 64))
;; The last answer: a result like the one that `search` answers.
(i32.add (i32.load (i32.const 64)) (i32.mul (i32.const 20) (i32.const LAST)))"#;

fn relay(count: u32) -> Guest {
    let body = RELAY
        .replace("COUNT", &count.to_string())
        .replace("LAST", &(count - 1).to_string());
    Guest::searcher(&body).imports(HOST)
}

#[tokio::test]
async fn a_search_is_an_ordinary_request_of_the_extensions() {
    let house = House::new();
    let roles = house.roles(relay(1)).await;
    let mut outer = RequestContext::new("r7");
    outer.chain = vec![Arc::from("outer")].into();
    outer.scope = Some(Arc::from("somebody"));
    let found = search_in(&roles, "q", Arc::new(outer)).await.unwrap();
    let expected = [("q-0", 1.0), ("q-1", 0.5), ("q-2", 1.0 / 3.0)];
    assert_eq!(found, owned(&expected));

    let asked = house.runtime.searches.lock().pop().unwrap();
    assert_eq!(
        (asked.pipeline.as_str(), &*asked.query, asked.limit),
        ("q", "q", 3)
    );
    let inner = house.runtime.context.lock().take().unwrap();
    assert_eq!(&*inner.request_id, "r7");
    assert_eq!(inner.scope.as_deref(), Some("acme"), "the owner's eyes");
    let chain: Vec<&str> = inner.chain.iter().map(|link| &**link).collect();
    assert_eq!(chain, ["outer", common::IDENTITY]);
}

#[tokio::test]
async fn errors_come_as_what_they_are() {
    let house = House::new();
    let roles = house.roles(relay(1)).await;
    for (pipeline, code) in [
        ("invalid", ErrorCode::InvalidArgument),
        ("unknown", ErrorCode::UnknownName),
        ("exhausted", ErrorCode::Overloaded),
        ("failed", ErrorCode::EngineFailure),
    ] {
        let error = search(&roles, pipeline).await.unwrap_err();
        assert_eq!(error.code(), code);
        assert!(
            error.message().contains(&format!("`{pipeline}` it is")),
            "{error}"
        );
    }
}

#[tokio::test]
async fn the_budget_of_a_call_counts_every_request_of_a_list() {
    let house = House::new();
    let few = ExtensionLimits {
        host_calls: 5,
        ..limits()
    };
    let enough = house.under(&few, relay(5)).await;
    search(&enough, "q").await.unwrap();
    house.runtime.searches.lock().clear();
    let over = house.under(&few, relay(6)).await;
    let error = search(&over, "q").await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Overloaded);
    assert!(
        error
            .message()
            .contains("5 requests to the host (`host_calls`)"),
        "{error}"
    );
    assert_eq!(house.runtime.searches.lock().len(), 5, "the others ran");
}

#[tokio::test]
async fn the_budget_of_a_tenant() {
    let house = House::new();
    let poor = tenant("poor", |quotas| quotas.host_calls_per_s = 3);
    let roles = house.roles(relay(4)).await;
    let error = search_in(&roles, "q", paid_by(&poor)).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Overloaded);
    assert!(
        error.message().contains("`quotas.host_calls_per_s`"),
        "{error}"
    );
    search(&roles, "q").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_of_guests_wait_at_once() {
    let house = House::with_instances(200);
    *house.runtime.delay.lock() = Duration::from_millis(200);
    let roles = house.roles(relay(1)).await;
    let calls: Vec<_> = (0..200)
        .map(|_| {
            let roles = roles.clone();
            tokio::spawn(async move { search(&roles, "q").await })
        })
        .collect();
    let started = std::time::Instant::now();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap().len(), 3);
    }
    // One after another would be forty seconds.
    assert!(
        started.elapsed() < Duration::from_secs(20),
        "{:?}",
        started.elapsed()
    );
    house.holds_nothing(None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_calls_than_instances_wait_their_turn() {
    let house = House::with_instances(2);
    *house.runtime.delay.lock() = Duration::from_millis(5);
    let roles = house.roles(relay(1)).await;
    let calls = (0..40).map(|_| search(&roles, "q"));
    for answer in futures_util::future::join_all(calls).await {
        answer.unwrap();
    }
}

#[tokio::test]
async fn nobody_waits_for_himself() {
    let house = House::new();
    let roles = house.roles(relay(1)).await;
    let mut inner = RequestContext::new("r");
    inner.chain = ["outer", common::IDENTITY, "between"]
        .map(Arc::from)
        .to_vec()
        .into();
    let error = search_in(&roles, "q", Arc::new(inner)).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidArgument);
    assert!(
        error.message().contains("acme/test > between > acme/test"),
        "{error}"
    );
    assert!(house.runtime.searches.lock().is_empty());
}

#[tokio::test]
async fn nothing_but_log_while_it_describes_itself() {
    let house = House::new();
    let guest = relay(1).describe("(call $search (i32.const 64) (i32.const 0) (i32.const 64))");
    let error = house
        .admit(guest.component(), &limits())
        .await
        .err()
        .unwrap();
    assert!(error.message().contains("called `host.search`"), "{error}");
    assert!(error.message().contains("only `log`"), "{error}");
}

const CANDIDATES: &str = r#"
(import "routir:extension/candidates@0.1.0" "ids" (func $ids (param i32 i32 i32)))
(import "routir:extension/candidates@0.1.0" "texts" (func $texts (param i32 i32 i32 i32)))"#;

#[tokio::test]
async fn a_fusion_can_look_at_its_candidates() {
    let house = House::new();
    // Each document's score is the first byte of its id.
    let body = r#"
    (local.set $out (call $alloc (i32.const 32)))
    (loop $more
      (i32.store (i32.const 64) (local.get $n))
      (call $ids (i32.const 64) (i32.const 1) (i32.const 72))
      (f64.store (i32.add (local.get $out) (i32.mul (local.get $n) (i32.const 8)))
        (f64.convert_i32_u (i32.load8_u (i32.load (i32.load (i32.const 72))))))
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br_if $more (i32.lt_u (local.get $n) (local.get $docs))))
    (call $ok (local.get $out) (local.get $docs))"#;
    let roles = house.roles(Guest::fusion(body).imports(CANDIDATES)).await;
    let expected = [("d", 100.0), ("c", 99.0), ("b", 98.0), ("a", 97.0)];
    assert_eq!(fuse(&roles).await.unwrap(), owned(&expected));
}

#[tokio::test]
async fn handles_that_were_never_given_out_trap() {
    let house = House::new();
    let body = "(i32.store (i32.const 64) (local.get $docs))
        (if (i32.eq (local.get $ql) (i32.const 1)) (then
          (call $ids (i32.const 64) (i32.const 1) (i32.const 72))))
        (call $ok (call $alloc (i32.const 64)) (local.get $docs))";
    let roles = house.roles(Guest::fusion(body).imports(CANDIDATES)).await;
    let error = fuse(&roles).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::EngineFailure);
    assert!(
        error
            .message()
            .contains("handle 4, which was never given out"),
        "{error}"
    );
}

/// Reads the text of the first document, at most ten bytes, and scores all documents with its
/// length; with -1 when there is none, and answers the error if there is one.
const READER: &str = r#"
(local.set $out (call $alloc (i32.const 64)))
(i32.store (i32.const 64) (i32.const 0))
(call $texts (i32.const 64) (i32.const 1) (i32.const 10) (i32.const 72))
(if (i32.load8_u (i32.const 72)) (then (return (call $error (i32.load8_u (i32.const 76))
  (i32.load (i32.const 80)) (i32.load (i32.const 84))))))
(f64.store (local.get $out) (f64.convert_i32_u (i32.load offset=8 (i32.load (i32.const 76)))))
(call $ok (local.get $out) (local.get $docs))"#;

#[tokio::test]
async fn texts_are_read_from_the_services_collection_and_cut_between_characters() {
    let house = House::new();
    let guest = Guest::fusion(READER).imports(CANDIDATES);
    let without = house.roles(guest.clone()).await;
    let error = fuse(&without).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::UnknownName);
    assert!(error.message().contains("no `collection`"), "{error}");
    let with = house
        .changed(&limits(), guest, |spec| {
            spec.collection = Some("docs".to_owned())
        })
        .await;
    *house.runtime.text_bytes.lock() = 100;
    let fused = fuse(&with).await.unwrap();
    assert_eq!(fused[0], ("a".to_owned(), 10.0));
}

/// Reads documents of 1 MiB each, as many as its query has letters, and answers nothing.
const HOARDER: &str = r#"
(local $n i32)
(local.set $out (call $alloc (i32.const 400)))
(loop $more
  (i32.store (i32.add (local.get $out) (i32.mul (local.get $n) (i32.const 8))) (local.get $q))
  (i32.store offset=4 (i32.add (local.get $out) (i32.mul (local.get $n) (i32.const 8)))
    (i32.const 1))
  (local.set $n (i32.add (local.get $n) (i32.const 1)))
  (br_if $more (i32.lt_u (local.get $n) (local.get $ql))))
(call $content (local.get $q) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0)
  (local.get $out) (local.get $ql) (i32.const -1) (i32.const 64))
(if (i32.load8_u (i32.const 64)) (then (return (call $error (i32.load8_u (i32.const 68))
  (i32.load (i32.const 72)) (i32.load (i32.const 76))))))
(call $hits (i32.const 0) (i32.const 0) (i32.const 0))"#;

#[tokio::test]
async fn what_is_handed_over_at_once_is_bounded() {
    let house = House::new();
    let roles = house.roles(Guest::searcher(HOARDER).imports(HOST)).await;
    *house.runtime.text_bytes.lock() = 1 << 20;
    search(&roles, &"d".repeat(15)).await.unwrap();
    let error = search(&roles, &"d".repeat(17)).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Overloaded);
    assert!(error.message().contains("(16 MiB)"), "{error}");
}

/// Collects what is logged.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn log_lines_are_marked_escaped_cut_and_counted() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(move || writer.clone())
        .with_ansi(false)
        .finish();
    let dispatch = tracing::Dispatch::new(subscriber);
    // Guests may run on any thread.
    tracing::dispatcher::set_global_default(dispatch).unwrap();

    let house = House::new();
    let guest = Guest::searcher(
        "(local $n i32)
        (memory.fill (i32.const 20000) (i32.const 0x61) (i32.const 5000))
        (i32.store8 (i32.const 20003) (i32.const 10))
        (loop $more
          (call $log (i32.const 2) (i32.const 20000) (i32.const 5000))
          (local.set $n (i32.add (local.get $n) (i32.const 1)))
          (br_if $more (i32.lt_u (local.get $n) (i32.const 10))))
        (call $hits (i32.const 0) (i32.const 0) (i32.const 0))",
    )
    .imports("(import \"routir:extension/log@0.1.0\" \"log\" (func $log (param i32 i32 i32)))");
    let few = ExtensionLimits {
        log_bytes: 10_000,
        ..limits()
    };
    let roles = house.under(&few, guest).await;
    search_in(&roles, "q", context()).await.unwrap();
    drop(roles);
    let text = String::from_utf8(lines.0.lock().clone()).unwrap();
    let own: Vec<_> = text
        .lines()
        .filter(|line| line.contains("aaa\\naaa"))
        .collect();
    assert_eq!(own.len(), 2, "{text}");
    for line in own {
        assert!(
            line.contains("WARN") && line.contains("acme/test"),
            "{line}"
        );
        assert!(line.len() < 4_400, "{}", line.len());
    }
    assert!(text.contains("dropped=8"), "{text}");
}
