//! Every row of the table of errors in the compatibility specification, by its name.

use crate::harness::Server;

/// Endpoints that take a body.
const POSTS: [&str; 6] = [
    "/search",
    "/query",
    "/score",
    "/content",
    "/pipeline",
    "/explain",
];

#[tokio::test]
async fn body_is_empty_not_json_or_not_an_object() {
    let server = Server::start().await;
    for path in POSTS {
        for (body, why) in [
            ("", "it is empty"),
            (
                "{\"service\": ",
                "it is not JSON: EOF while parsing a value at line 1 column 12",
            ),
            (
                "service=x",
                "it is not JSON: expected value at line 1 column 1",
            ),
            ("[1]", "it is an array"),
            ("\"text\"", "it is a string"),
            ("7", "it is a number"),
        ] {
            let error = server.refused(path, body, 400).await;
            assert_eq!(
                error,
                format!("the request body must be a JSON object; {why}")
            );
        }
    }
}

#[tokio::test]
async fn empty_object_is_no_data() {
    let server = Server::start().await;
    for path in POSTS {
        for body in ["{}", "[]", "null", "false", "0", "\"\""] {
            assert_eq!(server.refused(path, body, 400).await, "No data provided");
        }
    }
}

#[tokio::test]
async fn service_missing() {
    let server = Server::start().await;
    let passages = r#"{"query":"q","passages":["p"]}"#;
    assert_eq!(
        server.refused("/search", r#"{"query":"q"}"#, 400).await,
        "No service provided"
    );
    assert_eq!(
        server.refused("/score", passages, 400).await,
        "No service provided"
    );
}

#[tokio::test]
async fn unknown_service_or_role_not_supported() {
    let server = Server::start().await;
    for service in ["nowhere", "length"] {
        let body = format!(r#"{{"service":"{service}","query":"q"}}"#);
        assert_eq!(
            server.refused("/search", &body, 400).await,
            format!("Service '{service}' not found or does not support search")
        );
    }
    let body = r#"{"service":"seek","query":"q","passages":["p"]}"#;
    assert_eq!(
        server.refused("/score", body, 400).await,
        "Service 'seek' not found or does not support score"
    );
}

#[tokio::test]
async fn query_missing() {
    let server = Server::start().await;
    for (path, body) in [
        ("/search", r#"{"service":"seek"}"#),
        ("/search", r#"{"service":"seek","query":null}"#),
        ("/score", r#"{"service":"length","passages":["p"]}"#),
        ("/pipeline", r#"{"pipeline":"seek"}"#),
    ] {
        assert_eq!(server.refused(path, body, 400).await, "No query provided");
    }
}

#[tokio::test]
async fn limit_not_a_number() {
    let server = Server::start().await;
    for limit in [r#""ten""#, r#""NaN""#, "[3]", "true", "1.5", r#""""#] {
        let body = format!(r#"{{"service":"seek","query":"q","limit":{limit}}}"#);
        let error = server.refused("/search", &body, 400).await;
        assert!(
            error.starts_with("`limit` must be a whole number, not "),
            "{error}"
        );
    }
}

#[tokio::test]
async fn limit_negative() {
    let server = Server::start().await;
    for limit in ["-1", r#""-1""#] {
        let body = format!(r#"{{"service":"seek","query":"q","limit":{limit}}}"#);
        let error = server.refused("/search", &body, 400).await;
        assert!(error.starts_with("`limit` must be at least 0"), "{error}");
    }
    let zero = server
        .ok("/search", r#"{"service":"seek","query":"q","limit":0}"#)
        .await;
    assert_eq!(zero["scores"].to_string(), "{}");
}

#[tokio::test]
async fn passages_missing() {
    let server = Server::start().await;
    let body = r#"{"service":"length","query":"q"}"#;
    assert_eq!(
        server.refused("/score", body, 400).await,
        "No passages provided"
    );
}

#[tokio::test]
async fn engine_failure() {
    let server = Server::start().await;
    let failing = [
        (
            "/search",
            r#"{"service":"seek","query":"fail"}"#,
            "the index is gone",
        ),
        (
            "/score",
            r#"{"service":"length","query":"fail","passages":["p"]}"#,
            "the model is gone",
        ),
        (
            "/pipeline",
            r#"{"pipeline":"seek","query":"fail"}"#,
            "the index is gone",
        ),
    ];
    for (path, body, why) in failing {
        let response = server.post(path, body).await;
        assert!(response.error(502).contains(why), "{response:?}");
        assert_eq!(response.json()["code"], "engine_failure");
    }
}

#[tokio::test]
async fn unknown_doc_id() {
    let server = Server::start().await;
    let body = r#"{"collection":"shelf","id":"zz"}"#;
    assert_eq!(
        server.refused("/content", body, 400).await,
        "ID zz is not found."
    );
    let body = r#"{"collection":"shelf","id":"zz","missing_status":404}"#;
    assert_eq!(
        server.refused("/content", body, 404).await,
        "ID zz is not found."
    );
}

#[tokio::test]
async fn unknown_collection_in_content() {
    let server = Server::start().await;
    assert_eq!(
        server
            .refused("/content", r#"{"collection":"attic","id":"d1"}"#, 400)
            .await,
        "Service 'attic' not found or does not support content"
    );
}

#[tokio::test]
async fn dsl_syntax_error() {
    let server = Server::start().await;
    for path in ["/pipeline", "/explain"] {
        let response = server
            .post(path, r#"{"pipeline":"seek%5 >> ","query":"q"}"#)
            .await;
        let error = response.error(400);
        assert!(
            error.contains("seek%5 >>") && error.contains('^'),
            "{error}"
        );
        let diagnostics = response.json()["diagnostics"].clone();
        let first = &diagnostics[0];
        assert!(first["message"].is_string(), "{diagnostics}");
        assert!(
            first["start"].as_u64() >= Some(7) && first["end"].is_u64(),
            "{diagnostics}"
        );
        assert!(
            !first["expected"].as_array().unwrap().is_empty(),
            "{diagnostics}"
        );
    }
}

#[tokio::test]
async fn unknown_names_in_a_pipeline_all_at_once() {
    let server = Server::start().await;
    let body = r#"{"pipeline":"{sek, nowhere}First >> length","query":"q","collection":"shelv",
        "runtime_kwargs":{"seeek":{"x":1}}}"#;
    let response = server.post("/pipeline", body).await;
    let error = response.error(400);
    let diagnostics = response.json()["diagnostics"].clone();
    let diagnostics = diagnostics.as_array().unwrap();
    for (start, what) in [
        (Some(1), "sek"),
        (Some(6), "nowhere"),
        (None, "shelv"),
        (None, "seeek"),
    ] {
        let found = diagnostics
            .iter()
            .find(|one| one["message"].as_str().unwrap().contains(what));
        let found = found.unwrap_or_else(|| panic!("nothing about {what} in {error}"));
        if start.is_some() {
            assert_eq!(found["start"].as_u64(), start);
        }
        assert!(error.contains(what), "{error}");
    }
    assert!(error.contains("did you mean `seek`?"), "{error}");
}

#[tokio::test]
async fn rerank_without_collection() {
    let server = Server::start().await;
    assert_eq!(
        server
            .refused(
                "/pipeline",
                r#"{"pipeline":"seek >> length","query":"q"}"#,
                400
            )
            .await,
        "pipeline contains reranking stage(s) and requires a `collection` field"
    );
}

#[tokio::test]
async fn auth_missing_or_wrong() {
    let server = Server::with(|options| options.api_key = Some("k3y".to_owned())).await;
    let missing = server.call("GET /avail", "", b"").await;
    assert_eq!(
        missing.error(401),
        "missing or invalid Authorization header"
    );
    let wrong = server
        .call("GET /avail", "authorization: Bearer nope\r\n", b"")
        .await;
    assert_eq!(wrong.error(401), "invalid API key");
}

#[tokio::test]
async fn unknown_path_or_method() {
    let server = Server::start().await;
    for path in ["/nowhere", "/search/", "/Search"] {
        let response = server.post(path, "{}").await;
        assert!(response.error(404).contains(path), "{response:?}");
    }
    let response = server.get("/search").await;
    assert_eq!(
        response.error(405),
        "/search does not take GET; see `Allow`"
    );
    assert_eq!(response.header("allow"), Some("POST"));
    let response = server.post("/avail", "{}").await;
    assert_eq!(
        response.error(405),
        "/avail does not take POST; see `Allow`"
    );
    assert_eq!(response.header("allow"), Some("GET,HEAD"));
}

#[tokio::test]
async fn retries_help_only_where_the_status_says_so() {
    let server = Server::start().await;
    let full = server
        .post("/search", r#"{"service":"seek","query":"full"}"#)
        .await;
    assert_eq!((full.status, full.header("retry-after")), (429, Some("2")));
    let down = server
        .post("/search", r#"{"service":"seek","query":"down"}"#)
        .await;
    assert_eq!(down.status, 503);
}
