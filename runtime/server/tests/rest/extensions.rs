//! The endpoints for extensions, before an administration that remembers what it was asked.

use serde_json::json;

use crate::admin::{ACME, OPERATOR, OTHER, WASM, shared};
use crate::harness::Server;

fn acme() -> String {
    format!("{ACME}{WASM}")
}

#[tokio::test]
async fn an_extension_is_published_replaced_seen_rolled_back_and_withdrawn() {
    let (server, admin) = shared(|_| {}).await;
    let new = server.call("PUT /extensions/mine", &acme(), b"one").await;
    assert_eq!(new.status, 201, "{new:?}");
    assert_eq!(new.json()["roles"], json!(["fuse"]));
    assert_eq!(new.json()["checks"][0]["name"], "size");
    let replaced = server.call("PUT /extensions/mine", &acme(), b"three").await;
    assert_eq!(
        (replaced.status, &replaced.json()["size_bytes"]),
        (200, &json!(5))
    );
    let seen = server.call("GET /extensions/mine", ACME, b"").await;
    assert_eq!((seen.status, &seen.json()), (200, &replaced.json()));
    let list = server.call("GET /extensions", ACME, b"").await.json();
    assert_eq!(list, json!({"tenant": "acme", "extensions": [seen.json()]}));
    let back = server
        .call("POST /extensions/mine/rollback", ACME, b"")
        .await;
    assert_eq!((back.status, &back.json()["name"]), (200, &json!("mine")));
    let gone = server.call("DELETE /extensions/mine", ACME, b"").await;
    assert_eq!((gone.status, &*gone.body), (204, ""));
    for request in [
        "GET /extensions/mine",
        "DELETE /extensions/mine",
        "POST /extensions/mine/rollback",
    ] {
        let response = server.call(request, ACME, b"").await;
        assert_eq!(response.error(404), "there is no extension `mine`");
        assert_eq!(response.json()["code"], "unknown_name");
    }
    assert_eq!(
        admin.calls()[..4],
        [
            "put acme/mine 3",
            "put acme/mine 5",
            "roll back acme/mine",
            "remove acme/mine"
        ]
    );
}

#[tokio::test]
async fn a_tenant_does_not_see_anothers() {
    let (server, admin) = shared(|_| {}).await;
    server.call("PUT /extensions/mine", &acme(), b"x").await;
    assert_eq!(
        server.call("GET /extensions/mine", OTHER, b"").await.status,
        404
    );
    assert_eq!(
        server
            .call("DELETE /extensions/mine", OTHER, b"")
            .await
            .status,
        404
    );
    let list = server.call("GET /extensions", OTHER, b"").await.json();
    assert_eq!(list, json!({"tenant": "other", "extensions": []}));
    // Whether another tenant is there makes no difference to what it is told.
    let refusals =
        ["acme", "other", "nobody"].map(|name| format!("GET /extensions/mine?tenant={name}"));
    for request in refusals {
        let refused = server.call(&request, OTHER, b"").await;
        let told = "`?tenant=` is the operator's; leave it out, your key says who you are";
        assert_eq!(refused.error(403), told);
    }
    assert_eq!(admin.calls(), ["put acme/mine 1", "remove other/mine"]);
}

#[tokio::test]
async fn the_operator_acts_for_a_tenant_that_he_names() {
    let (server, admin) = shared(|_| {}).await;
    let headers = format!("{OPERATOR}{WASM}");
    let put = async |path: &str| server.call(&format!("PUT {path}"), &headers, b"x").await;
    assert_eq!(put("/extensions/mine?tenant=acme").await.status, 201);
    let listed = server.call("GET /extensions", ACME, b"").await.json();
    assert_eq!(listed["extensions"][0]["name"], "mine");
    for (path, status, told) in [
        (
            "/extensions/mine",
            400,
            "extensions belong to tenants; say whose with `?tenant=NAME`",
        ),
        (
            "/extensions/mine?tenant=acne",
            404,
            "there is no tenant `acne`; did you mean `acme`?",
        ),
        (
            "/extensions/mine?tenant=acme&tenant=b",
            400,
            "`tenant` stands there twice",
        ),
        (
            "/extensions/mine?owner=a",
            400,
            "unknown parameter `owner`; the only one is `tenant`",
        ),
    ] {
        assert_eq!(put(path).await.error(status), told);
    }
    assert_eq!(admin.calls(), ["put acme/mine 1"]);
}

#[tokio::test]
async fn what_the_administration_says_has_the_status_of_the_table() {
    let (server, _) = shared(|_| {}).await;
    for (name, status, code) in [
        ("bad", 400, "invalid_argument"),
        ("taken", 403, "permission_denied"),
        ("fat", 413, "too_large"),
        ("full", 429, "overloaded"),
        ("broken", 500, "internal"),
        ("panic", 500, "internal"),
    ] {
        let response = server
            .call(&format!("PUT /extensions/{name}"), &acme(), b"x")
            .await;
        response.error(status);
        assert_eq!(response.json()["code"], code);
        assert!(name != "full" || response.header("retry-after") == Some("7"));
        let diagnostics = response.json()["diagnostics"].clone();
        let failed = "imports: wasi:cli is not granted";
        assert!(
            name != "bad" || diagnostics[0]["message"] == failed,
            "{diagnostics}"
        );
        assert_eq!(
            server
                .call(&format!("GET /extensions/{name}"), ACME, b"")
                .await
                .status,
            404
        );
    }
    server.call("PUT /extensions/first", &acme(), b"x").await;
    let response = server
        .call("POST /extensions/first/rollback", ACME, b"")
        .await;
    assert_eq!(
        response.error(400),
        "there is no earlier version of `first`"
    );
}

#[tokio::test]
async fn a_name_in_the_path_is_a_name() {
    let (server, admin) = shared(|_| {}).await;
    let long = "x".repeat(65);
    for name in ["2nd", "a.wasm", "%2e%2e", "a%2Fb", "..", &long] {
        for method in ["PUT", "GET", "DELETE"] {
            let response = server
                .call(&format!("{method} /extensions/{name}"), &acme(), b"x")
                .await;
            assert!(
                response
                    .error(400)
                    .contains("is not a name of an extension"),
                "{response:?}"
            );
        }
    }
    for path in [
        "/extensions/",
        "/extensions/a/b",
        "/extensions/a/rollback/",
        "/extensions/a/",
    ] {
        assert_eq!(
            server.call(&format!("POST {path}"), ACME, b"").await.status,
            404,
            "{path}"
        );
    }
    let response = server.call("POST /extensions/a", ACME, b"").await;
    assert_eq!(response.status, 405);
    assert_eq!(response.header("allow"), Some("PUT,GET,HEAD,DELETE"));
    assert!(admin.calls().is_empty());
}

#[tokio::test]
async fn without_an_administration_there_is_nothing_there() {
    let server = Server::start().await;
    for request in [
        "GET /extensions",
        "PUT /extensions/e",
        "DELETE /extensions/e",
    ] {
        let error = server.call(request, WASM, b"x").await.error(404);
        assert!(error.contains("takes no extensions over HTTP"), "{error}");
    }
    // With one, but without tenants, there is nobody to own any.
    let (server, _) = shared(|options| options.tenants.clear()).await;
    let response = server
        .call("GET /extensions?tenant=acme", OPERATOR, b"")
        .await;
    assert_eq!(response.error(404), "there is no tenant `acme`");
}

#[tokio::test]
async fn metrics_count_by_endpoint_and_not_by_name() {
    let (server, _) = shared(|_| {}).await;
    server.call("PUT /extensions/mine", &acme(), b"x").await;
    server.call("GET /extensions/mine", ACME, b"").await;
    server.call("GET /extensions/yours", ACME, b"").await;
    let metrics = server.call("GET /metrics", OPERATOR, b"").await.body;
    for line in [
        r#"routir_requests_total{endpoint="extension_put",code="ok"} 1"#,
        r#"routir_requests_total{endpoint="extension_get",code="ok"} 1"#,
        r#"routir_requests_total{endpoint="extension_get",code="unknown_name"} 1"#,
    ] {
        assert!(metrics.lines().any(|other| other == line), "{metrics}");
    }
    assert!(!metrics.contains("mine") && !metrics.contains("acme"));
}

#[tokio::test]
async fn browsers_may_publish_where_cors_is_on() {
    let (server, _) = shared(|options| options.cors = true).await;
    let preflight = "origin: https://example.org\r\naccess-control-request-method: PUT\r\n";
    let response = server
        .call("OPTIONS /extensions/mine", preflight, b"")
        .await;
    let methods = response.header("access-control-allow-methods").unwrap();
    assert!(
        methods.contains("PUT") && methods.contains("DELETE"),
        "{methods}"
    );
}
