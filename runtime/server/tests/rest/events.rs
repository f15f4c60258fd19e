//! A pipeline over REST whose stages are told as server-sent events.

use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpSocket;

use crate::client::Connection;
use crate::harness::Server;

const EVENTS: &str = "accept: text/event-stream\r\nconnection: close\r\n";

fn body(pipeline: &str, query: &str) -> String {
    let body = serde_json::json!({"pipeline": pipeline, "query": query, "collection": "shelf"});
    body.to_string()
}

/// The whole answer, less what says how long its parts are.
async fn answer(server: &Server, body: &str) -> (String, String) {
    let mut connection = server.connect().await;
    connection
        .request("POST /pipeline", EVENTS, body.as_bytes())
        .await;
    let head = connection.read_head().await.unwrap();
    let mut rest = head.body.clone();
    connection.0.read_to_string(&mut rest).await.unwrap();
    let lines = rest.split("\r\n").filter(|line| line.contains("data: "));
    (head.head, lines.collect())
}

/// Events as `name data`, with what differs from run to run left out.
fn events(answer: &str) -> Vec<String> {
    let events = answer.split("\n\n").filter(|event| !event.is_empty());
    let shown = events.map(|event| {
        let (name, data) = event.split_once("\ndata: ").unwrap();
        let mut data: serde_json::Value = serde_json::from_str(data).unwrap();
        for field in ["took_ms", "timestamp", "request_id"] {
            data.as_object_mut().unwrap().shift_remove(field);
        }
        format!("{} {data}", name.strip_prefix("event: ").unwrap())
    });
    shown.collect()
}

#[tokio::test]
async fn stages_come_as_events_and_then_the_answer() {
    let server = Server::start().await;
    let (head, rest) = answer(&server, &body("seek%2 >> length", "q")).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(head.contains("content-type: text/event-stream"), "{head}");
    assert!(head.contains("x-request-id: "), "{head}");
    expect_test::expect![[r#"
        [
            "stage {\"node\":0,\"stage\":\"seek\",\"service\":\"seek\",\"role\":\"search\",\"query\":\"q\",\"scores\":{\"d1\":9.0,\"d2\":8.0},\"cached\":false}",
            "stage {\"node\":1,\"stage\":\"length\",\"service\":\"length\",\"role\":\"score\",\"query\":\"q\",\"scores\":{\"d2\":2.0,\"d1\":1.0},\"cached\":false}",
            "result {\"query\":\"q\",\"pipeline\":\"seek%2 >> length\",\"collection\":\"shelf\",\"scores\":{\"d2\":2.0,\"d1\":1.0},\"service\":\"length\",\"processed\":true,\"cached\":false}",
        ]
    "#]]
    .assert_debug_eq(&events(&rest));
    let line = r#"routir_requests_total{endpoint="pipeline",code="ok"} 1"#;
    server.until_metric(line).await;
}

#[tokio::test]
async fn what_fails_on_the_way_is_the_last_event() {
    let server = Server::start().await;
    let (_, rest) = answer(&server, &body("words{seek}First", "fail")).await;
    expect_test::expect![[r#"
        [
            "stage {\"node\":0,\"stage\":\"words\",\"service\":\"words\",\"role\":\"decompose_query\",\"query\":\"fail\",\"sub_queries\":[\"fail\"],\"cached\":false}",
            "error {\"error\":\"service `seek`: the index is gone\",\"code\":\"engine_failure\"}",
        ]
    "#]]
    .assert_debug_eq(&events(&rest));
    let line = r#"routir_requests_total{endpoint="pipeline",code="engine_failure"} 1"#;
    server.until_metric(line).await;
}

#[tokio::test]
async fn what_is_wrong_from_the_start_is_no_stream() {
    let server = Server::start().await;
    for wrong in [body("seek >> nosuch", "q"), body("", ""), "{".to_owned()] {
        let accept = "accept: text/event-stream\r\n";
        let refused = server
            .call("POST /pipeline", accept, wrong.as_bytes())
            .await;
        refused.error(400);
    }
}

/// Reads until the answer holds `text`.
async fn until(connection: &mut Connection, text: &str) {
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains(text) {
        let read = connection.0.read_buf(&mut seen).await.unwrap();
        assert_ne!(read, 0, "{}", String::from_utf8_lossy(&seen));
    }
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_run() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    let body = body("words{seek}First", "slow");
    connection
        .request("POST /pipeline", EVENTS, body.as_bytes())
        .await;
    // The first stage is told while the second one works.
    until(&mut connection, "decompose_query").await;
    server.probe.started.notified().await;
    drop(connection);
    server.probe.dropped.notified().await;
    let line = r#"routir_requests_total{endpoint="pipeline",code="cancelled"} 1"#;
    server.until_metric(line).await;
}

/// A pipeline whose events are many and large, and its query.
pub(crate) fn lengthy() -> (String, String) {
    let pipeline = format!("seek%2{}", " >> length".repeat(50));
    (pipeline, "😀".repeat(65_536))
}

#[tokio::test]
async fn a_client_that_takes_a_little_now_and_then_is_cut_off_when_time_is_over() {
    let server = Server::start().await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 << 10).unwrap();
    let mut connection = Connection(socket.connect(server.address).await.unwrap());
    let (pipeline, query) = lengthy();
    let body = serde_json::json!({"pipeline": pipeline, "query": query, "collection": "shelf",
        "timeout": 1});
    let body = body.to_string();
    connection
        .request("POST /pipeline", EVENTS, body.as_bytes())
        .await;
    let taking = tokio::spawn(async move {
        let mut piece = vec![0; 16 << 10];
        while let Ok(1..) = connection.0.read(&mut piece).await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let line = r#"routir_requests_total{endpoint="pipeline",code="deadline_exceeded"} 1"#;
    server.until_metric(line).await;
    taking.await.unwrap();
}
