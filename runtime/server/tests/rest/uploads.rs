//! How large a component may be, how it may be sent, and how many at once.

use std::time::Duration;

use crate::admin::{ACME, OPERATOR, OTHER, WASM, shared, tenant};
use crate::client::Connection;
use crate::harness::Server;

/// The head of an upload by acme, without the lines on its length.
const HEAD: &str = "PUT /extensions/mine HTTP/1.1\r\nhost: t\r\nauthorization: Bearer acme-key\r\n";

async fn begin(server: &Server, rest: &str) -> Connection {
    let mut connection = server.connect().await;
    connection.send(format!("{HEAD}{rest}\r\n")).await;
    connection
}

#[tokio::test]
async fn a_component_over_the_limit_is_refused_before_it_is_read() {
    let (server, admin) = shared(|_| {}).await;
    let mut connection = begin(&server, "content-length: 1001\r\n").await;
    assert_eq!(
        connection.read().await.unwrap().error(413),
        "the request body is over the tenant's limit (`limits.component_mb`) of 1000 bytes"
    );
    let mut connection = begin(&server, "content-length: 99999999999999999999\r\n").await;
    let refused = connection.read().await;
    assert!(refused.is_none_or(|response| response.status >= 400));
    assert!(admin.calls().is_empty());
}

#[tokio::test]
async fn a_component_that_hides_its_length_is_refused_when_it_passes_the_limit() {
    let (server, admin) = shared(|_| {}).await;
    let mut connection = begin(&server, "transfer-encoding: chunked\r\n").await;
    for _ in 0..2 {
        connection
            .send(format!("1f5\r\n{}\r\n", "x".repeat(0x1f5)))
            .await;
    }
    assert_eq!(connection.read().await.unwrap().status, 413);
    assert!(admin.calls().is_empty());
    // Within it, it is taken.
    let mut connection = begin(&server, "transfer-encoding: chunked\r\n").await;
    connection.send("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n").await;
    assert_eq!(connection.read().await.unwrap().status, 201);
    assert_eq!(admin.calls(), ["put acme/mine 5"]);
}

#[tokio::test]
async fn the_limit_of_other_bodies_does_not_hold_for_components() {
    let (server, _) = shared(|options| options.max_body_bytes = 10).await;
    let headers = format!("{ACME}{WASM}");
    let response = server
        .call("PUT /extensions/mine", &headers, &[0; 1000])
        .await;
    assert_eq!(response.status, 201, "{response:?}");
    assert_eq!(
        server.call("POST /search", ACME, &[b' '; 11]).await.status,
        413
    );
}

#[tokio::test]
async fn a_client_that_waits_for_leave_to_send_gets_it_only_if_it_may() {
    let (server, _) = shared(|_| {}).await;
    let rest = "content-length: 5\r\nexpect: 100-continue\r\n";
    let mut connection = begin(&server, rest).await;
    let leave = connection.read_head().await.unwrap();
    assert_eq!(leave.status, 100);
    connection.send("abcde").await;
    assert_eq!(connection.read().await.unwrap().status, 201);

    let rest = "content-length: 5000000\r\nexpect: 100-continue\r\n";
    let mut connection = begin(&server, rest).await;
    assert_eq!(connection.read().await.unwrap().status, 413);
}

#[tokio::test]
async fn a_component_that_comes_too_slowly_is_given_up() {
    let (server, admin) = shared(|options| options.io_timeout = Duration::from_millis(50)).await;
    let mut connection = begin(&server, "content-length: 20\r\n").await;
    connection.send("abc").await;
    let error = connection.read().await.unwrap().error(408);
    assert!(
        error.starts_with("the request body did not arrive within 0.05"),
        "{error}"
    );
    // Its place is free again.
    for _ in 0..3 {
        let headers = format!("{ACME}{WASM}");
        let response = server.call("PUT /extensions/mine", &headers, b"x").await;
        assert!(response.status < 300, "{response:?}");
    }
    assert_eq!(admin.calls().len(), 3);
}

#[tokio::test]
async fn a_tenant_sends_two_at_once_and_keeps_nobody_from_sending() {
    let (server, admin) = shared(|_| {}).await;
    let headers = format!("{ACME}{WASM}");
    let mut slow = Vec::new();
    for _ in 0..2 {
        let mut connection = server.connect().await;
        connection
            .request("PUT /extensions/slow", &headers, b"x")
            .await;
        admin.started.notified().await;
        slow.push(connection);
    }
    let third = server.call("PUT /extensions/mine", &headers, b"x").await;
    assert_eq!(third.header("retry-after"), Some("5"));
    assert!(
        third.error(429).contains("2 components of tenant `acme`"),
        "{third:?}"
    );
    for (key, path) in [
        (OTHER, "/extensions/e"),
        (OPERATOR, "/extensions/e?tenant=acme"),
    ] {
        let response = server
            .call(&format!("PUT {path}"), &format!("{key}{WASM}"), b"x")
            .await;
        assert_eq!(response.status, 201, "{response:?}");
    }
    for connection in &mut slow {
        admin.release.notify_one();
        assert!(connection.read().await.unwrap().status < 300);
    }
    assert!(
        server
            .call("PUT /extensions/mine", &headers, b"x")
            .await
            .status
            < 300
    );
}

#[tokio::test]
async fn the_server_takes_so_many_components_and_no_more() {
    let (server, admin) = shared(|options| {
        options.tenants = (0..9).map(|n| tenant(&format!("t{n}"), &[], 8)).collect();
    })
    .await;
    let headers = |n: usize| format!("authorization: Bearer t{n}-key\r\n{WASM}");
    let mut slow = Vec::new();
    for n in 0..16 {
        let mut connection = server.connect().await;
        connection
            .request("PUT /extensions/slow", &headers(n / 2), b"x")
            .await;
        admin.started.notified().await;
        slow.push(connection);
    }
    let one_more = server.call("PUT /extensions/mine", &headers(8), b"x").await;
    assert!(
        one_more.error(429).starts_with("16 components"),
        "{one_more:?}"
    );
}

#[tokio::test]
async fn a_component_that_is_there_is_published_also_when_its_sender_has_left() {
    let (server, admin) = shared(|_| {}).await;
    let mut connection = server.connect().await;
    let headers = format!("{ACME}{WASM}");
    connection
        .request("PUT /extensions/slow", &headers, b"x")
        .await;
    admin.started.notified().await;
    drop(connection);
    tokio::time::sleep(Duration::from_millis(50)).await;
    admin.release.notify_one();
    admin.ended.notified().await;
    for _ in 0..500 {
        if server.call("GET /extensions/slow", ACME, b"").await.status == 200 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it was never published");
}

#[tokio::test]
async fn a_component_is_sent_as_it_is() {
    let (server, admin) = shared(|_| {}).await;
    for kind in [
        "",
        "application/wasm",
        "application/octet-stream; x=y",
        "Application/WASM",
    ] {
        let headers = match kind {
            "" => ACME.to_owned(),
            kind => format!("{ACME}content-type: {kind}\r\n"),
        };
        let response = server.call("PUT /extensions/mine", &headers, b"x").await;
        assert!(response.status < 300, "{kind}: {response:?}");
    }
    for wrong in [
        "content-type: application/x-www-form-urlencoded",
        "content-type: multipart/form-data; boundary=x",
        "content-type: application/wasm\r\ncontent-encoding: gzip",
    ] {
        let headers = format!("{ACME}{wrong}\r\n");
        let response = server.call("PUT /extensions/mine", &headers, b"x").await;
        assert!(
            response.error(415).contains("--data-binary @FILE"),
            "{response:?}"
        );
    }
    let empty = server
        .call("PUT /extensions/mine", &format!("{ACME}{WASM}"), b"")
        .await;
    assert!(
        empty.error(400).contains("the request body is empty"),
        "{empty:?}"
    );
    assert_eq!(admin.calls().len(), 4);
}
