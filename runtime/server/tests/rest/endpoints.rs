//! What each endpoint answers when all is well.

use expect_test::expect;
use serde_json::Value;

use crate::admin::{OPERATOR, shared};
use crate::harness::Server;

/// The body with its time taken out, after a check that it is one.
fn timeless(mut body: Value) -> String {
    let timestamp = body
        .as_object_mut()
        .unwrap()
        .shift_remove("timestamp")
        .unwrap();
    assert!(
        timestamp.is_f64() && timestamp.as_f64().unwrap() > 1.6e9,
        "{timestamp}"
    );
    body.to_string()
}

#[tokio::test]
async fn ping_and_probes() {
    let server = Server::start().await;
    assert_eq!(server.get("/ping").await.body, r#"{"status":"pong"}"#);
    assert_eq!(server.get("/healthz").await.body, r#"{"status":"ok"}"#);
    let ready = server.get("/readyz").await;
    assert_eq!(
        (ready.status, &ready.json()["ready"]),
        (200, &Value::Bool(true))
    );
    let mut connection = server.connect().await;
    connection.request("HEAD /ping", "", b"").await;
    let head = connection.read_head().await.unwrap();
    assert_eq!(head.body, "");
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, Some("17"))
    );
}

#[tokio::test]
async fn index_lists_all_endpoints() {
    let (server, _) = shared(|_| {}).await;
    let index = server.call("GET /", OPERATOR, b"").await.json();
    assert_eq!(
        (&index["name"], &index["version"]),
        (&"routir-rt".into(), &"1.2.3".into())
    );
    let endpoints = index["endpoints"].as_array().unwrap();
    assert_eq!(endpoints.len(), 27);
    for endpoint in endpoints {
        let path = endpoint["path"].as_str().unwrap();
        let path = path.replace("{name}", "e").replace("{*model}", "length");
        let request = format!("{} {path}", endpoint["method"].as_str().unwrap());
        let status = server.call(&request, OPERATOR, b"").await.status;
        let fits = match path.as_str() {
            "/ws/status" => status == 426,
            _ => status == 200 || status == 400,
        };
        assert!(fits, "{request}: {status}");
    }
}

#[tokio::test]
async fn avail_speaks_both_wire_levels() {
    let server = Server::start().await;
    let avail = server.get("/avail").await;
    // Another one for every start.
    let id = avail.json()["server"]["id"].as_str().unwrap().to_owned();
    assert_eq!(id.len(), 16);
    expect![[r#"{"search":["seek"],"score":["length"],"fuse":["First"],"decompose_query":["words"],"content":["shelf"],"collection":{"shelf":{"views":{"text":"text"},"default":"text"}},"score_view_kinds":{"length":"text"},"collection_view_kinds":{"shelf":{"text":"text"}},"pipeline_aliases":{"both":"{seek, seek}First%4"},"server":{"name":"routir-rt","version":"1.2.3","id":"ID","endpoints":["contents","decompose","fuse"]}}"#]]
        .assert_eq(&avail.body.replace(&id, "ID"));
    let server = Server::with(|options| options.grpc_port = Some(50051)).await;
    assert_eq!(server.get("/avail").await.json()["grpc_port"], 50051);
}

#[tokio::test]
async fn search() {
    let server = Server::start().await;
    let body = r#"{"service":"seek","query":"q","limit":"2","subset":null}"#;
    for path in ["/search", "/query"] {
        expect![[r#"{"query":"q","scores":{"d1":9.0,"d2":8.0},"service":"seek","processed":true,"cached":false}"#]]
            .assert_eq(&timeless(server.ok(path, body).await));
    }
    let default = server
        .ok("/search", r#"{"service":"seek","query":"q"}"#)
        .await;
    assert_eq!(default["scores"].as_object().unwrap().len(), 10);
}

#[tokio::test]
async fn search_hands_extra_fields_to_the_engine_which_may_refuse_them() {
    let server = Server::start().await;
    server
        .ok("/search", r#"{"service":"seek","query":"q","subset":"en"}"#)
        .await;
    let body = r#"{"service":"seek","query":"q","subst":"en"}"#;
    let error = server.refused("/search", body, 400).await;
    assert!(
        error.contains("`subst`") && error.contains("`subset`"),
        "{error}"
    );
}

#[tokio::test]
async fn scores_come_best_first_as_text() {
    let server = Server::start().await;
    let response = server
        .post("/search", r#"{"service":"seek","query":"q","limit":12}"#)
        .await;
    let at = |id: &str| response.body.find(&format!("\"{id}\":")).unwrap();
    assert!(at("d2") < at("d10"), "{}", response.body);
}

#[tokio::test]
async fn score() {
    let server = Server::start().await;
    let body = r#"{"service":"length","query":"q","passages":["ccc","a","bb"],"prompt":"p"}"#;
    expect![[r#"{"query":"q","scores":[3.0,1.0,2.0],"service":"length","processed":true,"cached":false,"meta":{"n_passages":3}}"#]]
        .assert_eq(&timeless(server.ok("/score", body).await));
    let none = server
        .ok(
            "/score",
            r#"{"service":"length","query":"q","passages":[]}"#,
        )
        .await;
    assert_eq!(
        (none["scores"].to_string(), &none["meta"]["n_passages"]),
        ("[]".into(), &0.into())
    );
}

#[tokio::test]
async fn content() {
    let server = Server::start().await;
    expect![[r#"{"collection":"shelf","id":"d1","text":"x","title":"One","language":"eng","cached":false}"#]]
        .assert_eq(&timeless(server.ok("/content", r#"{"collection":"shelf","id":"d1"}"#).await));
    expect![[r#"{"collection":"shelf","id":"d3","text":"xxx","cached":false}"#]].assert_eq(
        &timeless(
            server
                .ok("/content", r#"{"collection":"shelf","id":"d3"}"#)
                .await,
        ),
    );
}

#[tokio::test]
async fn pipeline() {
    let server = Server::start().await;
    let body = r#"{"pipeline":"seek%3 >> length","query":"q","collection":"shelf","unknown":1}"#;
    expect![[r#"{"query":"q","pipeline":"seek%3 >> length","collection":"shelf","scores":{"d3":3.0,"d2":2.0,"d1":1.0},"service":"length","processed":true,"cached":false}"#]]
        .assert_eq(&timeless(server.ok("/pipeline", body).await));
    let body = r#"{"pipeline":"both","query":"q"}"#;
    expect![[r#"{"query":"q","pipeline":"both","scores":{"d1":9.0,"d2":8.0,"d3":7.0,"d4":6.0},"service":"First","processed":true,"cached":false}"#]]
        .assert_eq(&timeless(server.ok("/pipeline", body).await));
}

#[tokio::test]
async fn pipeline_reports_what_is_asked_for() {
    let server = Server::start().await;
    let body =
        r#"{"pipeline":"words{seek%1}First","query":"one two","explain":true,"provenance":true}"#;
    let answer = server.ok("/pipeline", body).await;
    assert_eq!(answer["expanded_queries"].to_string(), r#"["one","two"]"#);
    assert!(answer["explain"].is_object(), "{answer}");
    let traces = answer["provenance"]["d1"].as_array().unwrap();
    assert!(
        traces
            .iter()
            .any(|trace| trace["stage"] == "seek" && trace["query"] == "two"),
        "{answer}"
    );
    assert!(answer.get("partial").is_none(), "{answer}");
}

#[tokio::test]
async fn a_partial_answer_says_so_and_why() {
    let server = Server::start().await;
    let body = r#"{"pipeline":"words{seek%1}First","query":"one fail","partial":true}"#;
    let answer = server.ok("/pipeline", body).await;
    assert_eq!(answer["partial"], true, "{answer}");
    assert_eq!(answer["failures"][0]["code"], "engine_failure", "{answer}");
    assert_eq!(answer["scores"].to_string(), r#"{"d1":9.0}"#);
    assert_eq!(
        server
            .post("/pipeline", &body.replace("true", "false"))
            .await
            .status,
        502
    );
}

#[tokio::test]
async fn explain_compiles_without_running() {
    let server = Server::start().await;
    let plan = server
        .ok("/explain", r#"{"pipeline":"both","collection":"shelf"}"#)
        .await;
    assert!(plan["text"].as_str().unwrap().contains("seek"), "{plan}");
    assert!(plan["json"].is_object(), "{plan}");
    assert!(
        plan["mermaid"].as_str().unwrap().starts_with("flowchart"),
        "{plan}"
    );
}
