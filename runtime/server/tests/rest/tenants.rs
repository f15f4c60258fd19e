//! Who may do what on a server that tenants share.

use serde_json::json;

use crate::admin::{ACME, OPERATOR, OTHER, WASM, shared, tenant};
use crate::harness::Server;

const WRONG: &str = "authorization: Bearer acme-key2\r\n";
const SEARCH: &[u8] = br#"{"service":"seek","query":"q"}"#;

#[tokio::test]
async fn everybody_gets_what_is_his_at_every_endpoint() {
    let (server, _) = shared(|_| {}).await;
    let score = br#"{"service":"length","query":"q","passages":["p"]}"#;
    let content = br#"{"collection":"shelf","id":"d1"}"#;
    let pipeline = br#"{"pipeline":"{seek, seek}First","query":"q"}"#;
    let get = &b""[..];
    // Status for the operator, acme, other, a wrong key and none.
    for (request, body, expected) in [
        ("GET /ping", get, [200, 200, 200, 200, 200]),
        ("GET /healthz", get, [200, 200, 200, 200, 200]),
        ("GET /readyz", get, [200, 200, 200, 200, 200]),
        ("OPTIONS /search", get, [204, 204, 204, 204, 204]),
        ("GET /", get, [200, 200, 200, 401, 401]),
        ("GET /avail", get, [200, 200, 200, 401, 401]),
        ("GET /metrics", get, [200, 403, 403, 401, 401]),
        ("GET /nowhere", get, [404, 404, 404, 401, 401]),
        ("GET /search", get, [405, 405, 405, 401, 401]),
        ("POST /search", SEARCH, [200, 200, 400, 401, 401]),
        ("POST /query", SEARCH, [200, 200, 400, 401, 401]),
        ("POST /score", score, [200, 400, 400, 401, 401]),
        ("POST /content", content, [200, 200, 400, 401, 401]),
        ("POST /pipeline", pipeline, [200, 200, 400, 401, 401]),
        ("POST /explain", pipeline, [200, 200, 400, 401, 401]),
        ("GET /extensions", get, [400, 200, 200, 401, 401]),
        (
            "GET /extensions?tenant=acme",
            get,
            [200, 403, 403, 401, 401],
        ),
        ("PUT /extensions/e", b"x", [400, 201, 201, 401, 401]),
        (
            "PUT /extensions/e?tenant=acme",
            b"x",
            [200, 403, 403, 401, 401],
        ),
        ("GET /extensions/e", get, [400, 200, 200, 401, 401]),
        (
            "POST /extensions/e/rollback",
            get,
            [400, 200, 200, 401, 401],
        ),
        ("DELETE /extensions/e", get, [400, 204, 204, 401, 401]),
    ] {
        for (key, expected) in [OPERATOR, ACME, OTHER, WRONG, ""].into_iter().zip(expected) {
            let headers = if request.starts_with("PUT") {
                format!("{key}{WASM}")
            } else {
                key.to_owned()
            };
            let response = server.call(request, &headers, body).await;
            assert_eq!(response.status, expected, "{request} {key}: {response:?}");
        }
    }
}

#[tokio::test]
async fn a_tenant_sees_what_it_is_granted_and_no_more() {
    let (server, _) = shared(|_| {}).await;
    let avail = async |key| server.call("GET /avail", key, b"").await.json();
    let acme = avail(ACME).await;
    assert_eq!(acme["search"], json!(["seek"]));
    assert_eq!(
        (&acme["score"], &acme["fuse"]),
        (&json!([]), &json!(["First"]))
    );
    assert_eq!(acme["content"], json!(["shelf"]));
    assert_eq!(
        acme["pipeline_aliases"],
        json!({"both": "{seek, seek}First%4"})
    );
    let other = avail(OTHER).await.to_string();
    for name in ["seek", "First", "shelf", "both"] {
        assert!(!other.contains(name), "{other}");
    }
    assert_eq!(avail(OPERATOR).await["score"], json!(["length"]));
    // To ask for what is not granted is to ask for what is not there.
    let refused = server.call("POST /search", OTHER, SEARCH).await.error(400);
    assert_eq!(
        refused,
        "Service 'seek' not found or does not support search"
    );
}

#[tokio::test]
async fn each_of_a_tenants_keys_opens() {
    let (server, _) = shared(|_| {}).await;
    let second = "authorization: Bearer acme-second-key\r\n";
    assert_eq!(
        server.call("POST /search", second, SEARCH).await.status,
        200
    );
}

#[tokio::test]
async fn what_the_server_is_made_of_is_told_to_the_operator_alone() {
    let (server, _) = shared(|_| {}).await;
    let told = async |key| server.call("GET /readyz", key, b"").await.body;
    assert!(told(OPERATOR).await.contains("service seek"));
    for key in [ACME, OTHER, WRONG, ""] {
        assert_eq!(told(key).await, r#"{"ready":true}"#, "{key}");
    }
}

#[tokio::test]
async fn without_a_key_of_the_operator_nobody_is_the_operator() {
    let (server, _) = shared(|options| options.api_key = None).await;
    for key in [OPERATOR, ""] {
        assert_eq!(server.call("GET /avail", key, b"").await.status, 401);
    }
    assert_eq!(server.call("GET /metrics", ACME, b"").await.status, 403);
    assert_eq!(server.get("/readyz").await.body, r#"{"ready":true}"#);
}

#[tokio::test]
async fn a_tenant_without_keys_is_locked_out_and_locks_the_door() {
    let server = Server::with(|options| {
        let mut locked = tenant("acme", &["*"], 1);
        locked.keys.clear();
        options.tenants = vec![locked];
    })
    .await;
    assert_eq!(server.call("GET /avail", ACME, b"").await.status, 401);
    assert_eq!(server.get("/avail").await.status, 401);
    assert_eq!(server.get("/ping").await.status, 200);
}
