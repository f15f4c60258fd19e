//! What a stranger may send, and how long they may take.

use std::time::Duration;

use tokio::io::AsyncReadExt;

use crate::harness::Server;

#[tokio::test]
async fn a_body_over_the_limit_is_refused_before_it_is_read() {
    let server = Server::with(|options| options.max_body_bytes = 100).await;
    let mut connection = server.connect().await;
    connection
        .send("POST /search HTTP/1.1\r\nhost: t\r\ncontent-length: 101\r\n\r\n")
        .await;
    let response = connection.read().await.unwrap();
    assert!(
        response.error(413).contains("limit of 100 bytes"),
        "{response:?}"
    );
}

#[tokio::test]
async fn a_body_that_hides_its_length_is_refused_when_it_passes_the_limit() {
    let server = Server::with(|options| options.max_body_bytes = 100).await;
    let mut connection = server.connect().await;
    connection
        .send("POST /search HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n")
        .await;
    connection
        .send(format!("65\r\n{}\r\n", " ".repeat(101)))
        .await;
    assert_eq!(connection.read().await.unwrap().status, 413);
}

#[tokio::test]
async fn a_chunked_body_is_read() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    connection
        .send("POST /search HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n")
        .await;
    connection
        .send("12\r\n{\"service\":\"seek\",\r\nb\r\n\"query\":\"\"}\r\n0\r\n\r\n")
        .await;
    assert_eq!(connection.read().await.unwrap().status, 200);
}

#[tokio::test]
async fn a_huge_head_is_refused() {
    let server = Server::with(|options| options.max_header_bytes = 16 << 10).await;
    let response = server
        .call(
            "GET /ping",
            &format!("x: {}\r\n", "y".repeat(20 << 10)),
            b"",
        )
        .await;
    assert_eq!(response.status, 431);
    let many: String = (0..200).map(|n| format!("x{n}: y\r\n")).collect();
    assert_eq!(server.call("GET /ping", &many, b"").await.status, 431);
    assert_eq!(server.get("/ping").await.status, 200);
}

#[tokio::test]
async fn a_client_that_never_ends_its_head_is_cut_off() {
    let server = Server::with(|options| options.io_timeout = Duration::from_millis(50)).await;
    let mut connection = server.connect().await;
    connection
        .send("GET /ping HTTP/1.1\r\nhost: t\r\nx-slow: ")
        .await;
    assert!(
        connection
            .read()
            .await
            .is_none_or(|response| response.status == 408)
    );
}

#[tokio::test]
async fn a_client_that_never_ends_its_body_is_told_so() {
    let server = Server::with(|options| options.io_timeout = Duration::from_millis(50)).await;
    let mut connection = server.connect().await;
    connection
        .send("POST /search HTTP/1.1\r\nhost: t\r\ncontent-length: 20\r\n\r\n{\"que")
        .await;
    let response = connection.read().await.unwrap();
    assert!(
        response.error(408).contains("did not arrive within 0.05 s"),
        "{response:?}"
    );
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off() {
    let server = Server::with(|options| {
        options.io_timeout = Duration::from_millis(200);
        options.max_connections = 1;
    })
    .await;
    let mut deaf = server.connect().await;
    // More answers than the buffers of both sides hold.
    let request = "GET /metrics HTTP/1.1\r\nhost: t\r\n\r\n".repeat(5_000);
    let sending = tokio::spawn(async move {
        use tokio::io::AsyncWriteExt;
        let _ = deaf.0.write_all(request.as_bytes()).await;
        deaf
    });
    // The only slot becomes free again only when the deaf client has lost it.
    assert_eq!(server.get("/ping").await.status, 200);
    let mut deaf = sending.await.unwrap();
    let mut rest = Vec::new();
    let _ = deaf.0.read_to_end(&mut rest).await;
}

#[tokio::test]
async fn limits_on_fields_are_told_together() {
    let server = Server::with(|options| {
        options.max_limit = 20;
        options.max_query_chars = 4;
        options.max_passages = 1;
    })
    .await;
    let body = r#"{"service":"seek","query":"größe","limit":21}"#;
    assert_eq!(
        server.refused("/search", body, 400).await,
        "`query` has 5 characters, over this server's limit of 4; \
         `limit` is 21, over this server's limit of 20"
    );
    let body = r#"{"service":"length","query":"q","passages":["a","b"]}"#;
    assert_eq!(
        server.refused("/score", body, 400).await,
        "`passages` has 2 entries, over this server's limit of 1"
    );
}

#[tokio::test]
async fn more_requests_than_may_be_in_flight_are_turned_away() {
    let server = Server::with(|options| options.max_in_flight = 1).await;
    let mut first = server.connect().await;
    first
        .request("POST /search", "", br#"{"service":"seek","query":"slow"}"#)
        .await;
    server.probe.started.notified().await;
    let second = server
        .post("/search", r#"{"service":"seek","query":"q"}"#)
        .await;
    assert_eq!(
        (second.status, second.header("retry-after")),
        (429, Some("1"))
    );
    assert_eq!(server.get("/avail").await.status, 200);
    server.probe.release.notify_one();
    assert_eq!(first.read().await.unwrap().status, 200);
    server
        .ok("/search", r#"{"service":"seek","query":"q"}"#)
        .await;
}

#[tokio::test]
async fn a_request_may_ask_for_less_time_but_not_for_more() {
    let server = Server::start().await;
    let body = r#"{"pipeline":"seek","query":"slow","timeout":0.02}"#;
    let response = server.post("/pipeline", body).await;
    assert_eq!(
        (response.status, &response.json()["code"]),
        (504, &"deadline_exceeded".into())
    );
    server.probe.dropped.notified().await;

    let server = Server::with(|options| options.request_timeout = Duration::from_millis(20)).await;
    let body = r#"{"service":"seek","query":"slow","timeout":"3600"}"#;
    assert_eq!(server.post("/search", body).await.status, 504);
}

#[tokio::test]
async fn a_client_that_sends_slowly_takes_nobodys_place() {
    let server = Server::with(|options| options.max_in_flight = 1).await;
    let mut slow = server.connect().await;
    slow.send("POST /search HTTP/1.1\r\nhost: t\r\ncontent-length: 30\r\n\r\n{\"que")
        .await;
    server.until_metric("routir_requests_in_flight 2").await;
    server
        .ok("/search", r#"{"service":"seek","query":"q"}"#)
        .await;
}

#[tokio::test]
async fn a_body_of_absurdly_many_values_is_refused_and_long_texts_are_not() {
    let server = Server::start().await;
    let values = format!(
        r#"{{"service":"seek","query":"q","x":[{}1]}}"#,
        "1,".repeat(2 << 20)
    );
    let refused = server.refused("/search", &values, 413).await;
    assert!(refused.contains("values"), "{refused}");
    let text = ",".repeat(3 << 20);
    let long = format!(r#"{{"service":"length","query":"q","passages":["{text}"]}}"#);
    let scored = server.ok("/score", &long).await;
    assert_eq!(scored["scores"][0], 3_145_728.0);
}
