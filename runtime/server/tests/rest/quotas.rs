//! How much a tenant may ask at once.

use routir_server::ServerOptions;

use crate::admin::{ACME, OPERATOR, OTHER, shared, tenant};

const SLOW: &[u8] = br#"{"service":"seek","query":"slow"}"#;
const QUICK: &[u8] = br#"{"service":"seek","query":"q"}"#;

/// Both tenants may ask for one thing at a time.
fn one_each(options: &mut ServerOptions) {
    options.tenants = ["acme", "other"].map(|name| tenant(name, &["*"], 1)).into();
}

#[tokio::test]
async fn a_tenant_over_its_quota_is_told_so_and_nobody_else_notices() {
    let (server, _) = shared(one_each).await;
    let mut first = server.connect().await;
    first.request("POST /search", ACME, SLOW).await;
    server.probe.started.notified().await;
    for request in ["POST /search", "POST /explain", "GET /extensions"] {
        let refused = server.call(request, ACME, QUICK).await;
        assert_eq!(refused.header("retry-after"), Some("1"));
        assert_eq!(
            refused.error(429),
            "tenant `acme` has 1 requests in the works, as many as its quota `concurrent_calls` \
             allows; try again soon"
        );
    }
    assert_eq!(server.call("GET /avail", ACME, b"").await.status, 200);
    for key in [OTHER, OPERATOR] {
        assert_eq!(server.call("POST /search", key, QUICK).await.status, 200);
    }
    server.probe.release.notify_one();
    assert_eq!(first.read().await.unwrap().status, 200);
    assert_eq!(server.call("POST /search", ACME, QUICK).await.status, 200);
}

/// Asks until the tenant's place is free again.
async fn until_free(server: &crate::harness::Server) {
    for _ in 0..500 {
        if server.call("POST /search", ACME, QUICK).await.status == 200 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the place was never given back");
}

#[tokio::test]
async fn a_client_that_leaves_gives_its_place_back() {
    let (server, _) = shared(one_each).await;
    let mut first = server.connect().await;
    first.request("POST /search", ACME, SLOW).await;
    server.probe.started.notified().await;
    drop(first);
    server.probe.dropped.notified().await;
    until_free(&server).await;
}

#[tokio::test]
async fn a_body_that_comes_slowly_takes_its_own_tenants_place_and_no_others() {
    let (server, _) = shared(|options| {
        one_each(options);
        options.max_in_flight = 1;
    })
    .await;
    let mut slow = server.connect().await;
    let head = format!("POST /search HTTP/1.1\r\nhost: t\r\n{ACME}content-length: 30\r\n\r\n{{");
    slow.send(head).await;
    let mut refused = false;
    for _ in 0..500 {
        refused = server.call("POST /search", ACME, QUICK).await.status == 429;
        if refused {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert!(refused);
    for key in [OTHER, OPERATOR] {
        assert_eq!(server.call("POST /search", key, QUICK).await.status, 200);
    }
    drop(slow);
    until_free(&server).await;
}

#[tokio::test]
async fn a_place_is_taken_until_the_answer_has_been_written() {
    const LETTERS: usize = 24 << 20;
    let (server, _) = shared(|options| {
        one_each(options);
        options.max_query_chars = LETTERS;
    })
    .await;
    // The answer repeats the query, which is more than the buffers between the two hold.
    let body = format!(r#"{{"service":"seek","query":"{}"}}"#, "x".repeat(LETTERS));
    let mut deaf = server.connect().await;
    deaf.request("POST /search", ACME, body.as_bytes()).await;
    let head = deaf.read_head().await.unwrap();
    assert_eq!(head.status, 200);
    assert_eq!(server.call("POST /search", ACME, QUICK).await.status, 429);
    drop(deaf);
    until_free(&server).await;
}
