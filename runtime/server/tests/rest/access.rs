//! Who may ask, from where, and how a request is named.

use crate::harness::Server;

const KEY: &str = "authorization: Bearer k3y\r\n";

#[tokio::test]
async fn probes_and_options_need_no_key_and_all_else_does() {
    let server = Server::with(|options| options.api_key = Some("k3y".to_owned())).await;
    for probe in [
        "GET /ping",
        "GET /healthz",
        "GET /readyz",
        "POST /ping",
        "OPTIONS /search",
    ] {
        assert_ne!(server.call(probe, "", b"").await.status, 401, "{probe}");
    }
    for other in [
        "GET /",
        "GET /metrics",
        "GET /avail",
        "POST /search",
        "GET /nowhere",
        "GET /score",
    ] {
        assert_eq!(server.call(other, "", b"").await.status, 401, "{other}");
    }
    assert_eq!(server.call("GET /metrics", KEY, b"").await.status, 200);
}

#[tokio::test]
async fn a_refused_request_names_the_scheme_and_itself() {
    let server = Server::with(|options| options.api_key = Some("k3y".to_owned())).await;
    let refused = server
        .call("GET /avail", "x-request-id: mine-7\r\n", b"")
        .await;
    assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
    assert_eq!(refused.json()["request_id"], "mine-7");
    assert_eq!(refused.header("x-request-id"), Some("mine-7"));
}

#[tokio::test]
async fn request_ids_are_taken_or_made() {
    let server = Server::start().await;
    let given = server
        .call("GET /avail", "x-request-id: 4f-2\r\n", b"")
        .await;
    assert_eq!(given.header("x-request-id"), Some("4f-2"));
    let first = server
        .call("GET /avail", "x-request-id: not sane\r\n", b"")
        .await;
    let second = server.get("/avail").await;
    let ids = [first, second].map(|response| response.header("x-request-id").unwrap().to_owned());
    assert!(
        ids[0] != ids[1] && ids.iter().all(|id| !id.contains(' ')),
        "{ids:?}"
    );
}

#[tokio::test]
async fn any_origin_may_call_when_cors_is_on() {
    let server = Server::with(|options| {
        options.cors = true;
        options.api_key = Some("k3y".to_owned());
    })
    .await;
    let preflight = "origin: https://example.org\r\naccess-control-request-method: POST\r\n\
                     access-control-request-headers: authorization, content-type\r\n";
    let response = server.call("OPTIONS /search", preflight, b"").await;
    assert_eq!((response.status, &*response.body), (204, ""));
    assert_eq!(response.header("access-control-allow-origin"), Some("*"));
    assert!(
        response
            .header("access-control-allow-methods")
            .unwrap()
            .contains("POST")
    );
    assert!(
        response
            .header("access-control-allow-headers")
            .unwrap()
            .contains("authorization")
    );
    for headers in [KEY, ""] {
        let response = server.call("GET /avail", headers, b"").await;
        assert_eq!(
            response.header("access-control-allow-origin"),
            Some("*"),
            "{response:?}"
        );
    }
}

#[tokio::test]
async fn without_cors_no_origin_is_allowed() {
    let server = Server::start().await;
    let preflight = "origin: https://example.org\r\naccess-control-request-method: POST\r\n";
    let response = server.call("OPTIONS /search", preflight, b"").await;
    assert_eq!(
        (response.status, response.header("allow")),
        (204, Some("POST"))
    );
    assert!(!response.head.contains("access-control"), "{response:?}");
    assert_eq!(server.call("OPTIONS /nowhere", "", b"").await.status, 404);
}

#[tokio::test]
async fn a_stranger_learns_whether_the_server_is_ready_but_not_what_it_serves() {
    let server = Server::with(|options| options.api_key = Some("k3y".to_owned())).await;
    assert_eq!(server.get("/readyz").await.body, r#"{"ready":true}"#);
    let checks = server.call("GET /readyz", KEY, b"").await.json()["checks"].clone();
    assert!(
        checks
            .as_array()
            .unwrap()
            .iter()
            .any(|check| check["name"] == "service seek")
    );
}
