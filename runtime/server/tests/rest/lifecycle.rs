//! Clients that leave, engines that break, and the end of the server.

use std::time::Duration;

use tokio::net::TcpStream;

use crate::harness::Server;

const SLOW: &[u8] = br#"{"service":"seek","query":"slow"}"#;

#[tokio::test]
async fn a_client_that_leaves_takes_its_engine_call_along() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    connection.request("POST /search", "", SLOW).await;
    server.probe.started.notified().await;
    drop(connection);
    server.probe.dropped.notified().await;
    server
        .until_metric(r#"routir_requests_total{endpoint="search",code="cancelled"} 1"#)
        .await;
}

#[tokio::test]
async fn a_connection_serves_one_request_after_another() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    for limit in 1..4 {
        let body = format!(r#"{{"service":"seek","query":"q","limit":{limit}}}"#);
        connection
            .request("POST /search", "", body.as_bytes())
            .await;
        let answer = connection.read().await.unwrap().json();
        assert_eq!(answer["scores"].as_object().unwrap().len(), limit);
    }
}

#[tokio::test]
async fn a_panic_in_an_engine_is_an_error_and_the_server_lives() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    connection
        .request("POST /search", "", br#"{"service":"seek","query":"panic"}"#)
        .await;
    let response = connection.read().await.unwrap();
    assert!((500..=502).contains(&response.status), "{response:?}");
    assert!(response.json()["error"].is_string());
    connection
        .request("POST /search", "", br#"{"service":"seek","query":"q"}"#)
        .await;
    assert_eq!(connection.read().await.unwrap().status, 200);
}

#[tokio::test]
async fn shutdown_lets_requests_in_flight_end_and_takes_no_new_ones() {
    let server = Server::start().await;
    let mut busy = server.connect().await;
    busy.request("POST /search", "", SLOW).await;
    server.probe.started.notified().await;
    let mut idle = server.connect().await;
    idle.request("GET /ping", "", b"").await;
    assert_eq!(idle.read().await.unwrap().status, 200);

    server.stop.send(()).unwrap();
    assert!(idle.read().await.is_none(), "an idle connection is closed");
    assert!(
        TcpStream::connect(server.address).await.is_err(),
        "a new one is refused"
    );
    server.probe.release.notify_one();
    let response = busy.read().await.unwrap();
    assert_eq!(
        (response.status, response.header("connection")),
        (200, Some("close"))
    );
    server.ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn shutdown_cuts_off_what_outlives_the_grace_period() {
    let server = Server::with(|options| options.shutdown_grace = Duration::from_millis(50)).await;
    let mut busy = server.connect().await;
    busy.request("POST /search", "", SLOW).await;
    server.probe.started.notified().await;
    server.stop.send(()).unwrap();
    server.ended.await.unwrap().unwrap();
    server.probe.dropped.notified().await;
    assert!(busy.read().await.is_none());
}

#[tokio::test]
async fn a_panic_on_the_way_to_an_answer_is_an_error_and_the_server_lives() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    let mut content = async |id: &str| {
        let body = format!(r#"{{"collection":"shelf","id":"{id}"}}"#);
        connection
            .request("POST /content", "", body.as_bytes())
            .await;
        connection.read().await.unwrap()
    };
    let response = content("boom").await;
    assert_eq!(
        response.error(500),
        "the server made a mistake; its log says which"
    );
    assert_eq!(response.json()["code"], "internal");
    assert_eq!(content("d1").await.status, 200);
    let line = r#"routir_requests_total{endpoint="content",code="internal"} 1"#;
    server.until_metric(line).await;
}
