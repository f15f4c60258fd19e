//! What is answered when: the table of SIE's router, row by row.

use std::time::Duration;

use routir_router::RouterOptions;
use serde_json::json;
use tempfile::TempDir;

use crate::fake::{Fake, Mode};
use crate::harness::{Front, asked, options};
use hyper::StatusCode;

/// A catalogue of one model in two bundles, and one in none.
fn catalogue(options: &mut RouterOptions) -> [TempDir; 2] {
    let [bundles, models] = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let write = |directory: &TempDir, name: &str, text: &str| {
        std::fs::write(directory.path().join(name), text).unwrap();
    };
    write(&bundles, "default.yaml", "adapters: [a.dense]\n");
    write(
        &bundles,
        "later.yaml",
        "priority: 200\nadapters: [a.dense]\n",
    );
    write(
        &models,
        "m3.yaml",
        "sie_id: BAAI/bge-m3\nprofiles: {default: {adapter_path: 'a.dense:D'}}\n",
    );
    write(&models, "lone.yaml", "sie_id: org/lone\n");
    options.bundles_dir = Some(bundles.path().to_owned());
    options.models_dir = Some(models.path().to_owned());
    [bundles, models]
}

#[tokio::test]
async fn models_that_are_not_served_are_404_and_bundles_that_do_not_serve_them_409() {
    let worker = Fake::start().await;
    let mut options = options(&[&worker]);
    let _files = catalogue(&mut options);
    let front = Front::start(options, 1).await;
    for model in ["no/such", "org/lone"] {
        let answer = front.post(&format!("/v1/encode/{model}"), &[], "{}").await;
        assert_eq!(
            (answer.status, answer.code()),
            (404, "MODEL_NOT_FOUND".into())
        );
        assert_eq!(answer.json()["model"], model);
        assert!(answer.json().get("error").is_none());
    }
    let answer = front.post("/v1/score/Other:/baai/bge-m3", &[], "{}").await;
    assert_eq!(
        (answer.status, answer.code()),
        (409, "BUNDLE_CONFLICT".into())
    );
    let body = answer.json();
    assert_eq!(body["requested_bundle"], "other");
    assert_eq!(body["compatible_bundles"], json!(["default", "later"]));
    let answer = front
        .post("/v1/encode/DEFAULT:/baai/BGE-m3?a=b", &[], "{}")
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(worker.count("/v1/encode/BAAI/bge-m3?a=b"), 1);
    let models = front.get("/v1/models").await.json();
    assert_eq!(models["models"][0]["name"], "BAAI/bge-m3");
    assert_eq!(models["models"][0]["bundles"], json!(["default", "later"]));
    assert_eq!(front.get("/v1/models/baai/bge-m3").await.status, 200);
    assert_eq!(front.get("/v1/models/no/such").await.status, 404);
}

#[tokio::test]
async fn without_a_catalogue_models_are_what_workers_say() {
    let [one, two] = [
        Fake::start().await,
        Fake::with(|it| {
            it.bundle = "audio".into();
            it.models = vec![("org/clap".into(), "available")];
        })
        .await,
    ];
    let front = Front::of(&[&one, &two]).await;
    let answer = front.post("/v1/encode/BAAI%2FBGE-M3", &[], "{}").await;
    assert_eq!(answer.status, 200);
    assert_eq!(one.count("/v1/encode/BAAI/bge-m3"), 1);
    assert_eq!(
        front.post("/v1/encode/ORG/clap", &[], "{}").await.status,
        200
    );
    let answer = front.post("/v1/encode/no/such", &[], "{}").await;
    assert_eq!(
        (answer.status, answer.code()),
        (404, "MODEL_NOT_FOUND".into())
    );
    let answer = front.post("/v1/encode/audio:/BAAI/bge-m3", &[], "{}").await;
    assert_eq!(
        (answer.status, answer.code()),
        (409, "BUNDLE_CONFLICT".into())
    );
    assert_eq!(answer.json()["compatible_bundles"], json!(["default"]));
    let answer = front
        .post(
            "/v1/embeddings",
            &[],
            r#"{"input":"x","model":"baai/BGE-m3"}"#,
        )
        .await;
    assert_eq!(answer.status, 200);
    let last = asked(&one);
    assert_eq!(last.path, "/v1/embeddings");
    let sent: serde_json::Value = serde_json::from_slice(&last.body).unwrap();
    assert_eq!(sent, json!({"input": "x", "model": "BAAI/bge-m3"}));
    assert_eq!(front.post("/v1/embeddings", &[], "{}").await.status, 400);
}

#[tokio::test]
async fn a_machine_that_is_not_there_is_started_or_refused() {
    let mut options = options(&[]);
    options.configured_gpus = vec!["l4-spot".into(), "a100-80gb".into()];
    let front = Front::start(options.clone(), 0).await;
    let answer = front.encode(&[("x-sie-machine-profile", "L4")]).await;
    assert_eq!(
        (answer.status, answer.header("retry-after")),
        (202, Some("120"))
    );
    let body = answer.json();
    assert_eq!(body["status"], "provisioning");
    assert_eq!(
        (&body["gpu"], &body["estimated_wait_s"]),
        (&json!("l4-spot"), &json!(180))
    );
    assert!(body["message"].is_string());
    let pending = r#"sie_router_pending_demand{machine_profile="l4-spot",bundle="default"}"#;
    assert_eq!(front.metric(pending).await, 1.0);
    let missing = json!([{"machine_profile": "l4-spot", "bundle": "default", "pools": 1}]);
    assert_eq!(front.get("/health").await.json()["demand"], missing);

    let answer = front.encode(&[("x-sie-machine-profile", "h100")]).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, None));
    let body = answer.json();
    assert_eq!(
        (&body["status"], &body["gpu"]),
        (&json!("gpu_not_configured"), &json!("h100"))
    );
    assert_eq!(
        body["configured_gpu_types"],
        json!(["l4-spot", "a100-80gb"])
    );

    let answer = front.encode(&[]).await;
    assert_eq!((answer.status, answer.code()), (503, "NO_WORKER".into()));
    let answer = front.encode(&[("x-sie-pool", "nobodys")]).await;
    assert_eq!(
        (answer.status, answer.code()),
        (404, "POOL_NOT_FOUND".into())
    );

    options.unknown_gpu_status = 422;
    let front = Front::start(options, 0).await;
    let answer = front.encode(&[("x-sie-machine-profile", "h100")]).await;
    assert_eq!(answer.status, 422);
}

#[tokio::test]
async fn who_waits_for_a_machine_that_is_getting_ready_waits_less() {
    let worker = Fake::with(|it| it.ready = false).await;
    let front = Front::start(options(&[&worker]), 0).await;
    let mut answer = front.encode(&[("x-sie-machine-profile", "l4-spot")]).await;
    // Until the worker has said what it is.
    for _ in 0..200 {
        if answer.header("retry-after") != Some("120") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        answer = front.encode(&[("x-sie-machine-profile", "l4-spot")]).await;
    }
    assert_eq!(
        (answer.status, answer.header("retry-after")),
        (202, Some("5"))
    );
    worker.set(|it| it.ready = true);
    front.settled(1).await;
    assert_eq!(
        front
            .encode(&[("x-sie-machine-profile", "l4-spot")])
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn a_worker_that_does_not_answer_is_502_504_or_loading() {
    let worker = Fake::with(|it| it.mode = Mode::Reset).await;
    let mut options = options(&[&worker]);
    options.header_timeout = Duration::from_millis(200);
    let front = Front::start(options, 1).await;
    let answer = front.encode(&[]).await;
    assert_eq!(
        (answer.status, answer.code()),
        (502, "WORKER_UNREACHABLE".into())
    );
    worker.set(|it| it.mode = Mode::Hang);
    let answer = front.encode(&[]).await;
    assert_eq!(
        (answer.status, answer.code()),
        (504, "WORKER_TIMEOUT".into())
    );
    worker.set(|it| it.models = vec![("BAAI/bge-m3".into(), "loading")]);
    worker.tell();
    let patience = tokio::time::Instant::now() + Duration::from_secs(5);
    loop {
        let answer = front.encode(&[]).await;
        if answer.status == 503 {
            assert_eq!(answer.code(), "MODEL_LOADING");
            assert_eq!(answer.header("retry-after"), Some("5"));
            break;
        }
        assert!(tokio::time::Instant::now() < patience, "{answer:?}");
    }
    let requests = |status| {
        format!(
            r#"sie_router_requests_total{{endpoint="encode",status="{status}",machine_profile="unknown"}}"#
        )
    };
    assert_eq!(front.metric(&requests(502)).await, 1.0);
    assert!(front.metric(&requests(504)).await >= 1.0);
    assert_eq!(front.metric(&requests(503)).await, 1.0);
}

#[tokio::test]
async fn what_a_worker_answers_is_the_answer() {
    let worker = Fake::start().await;
    let front = Front::of(&[&worker]).await;
    for (status, code, after) in [
        (400, "INVALID_INPUT", None),
        (404, "MODEL_NOT_FOUND", None),
        (500, "INFERENCE_ERROR", None),
        (502, "MODEL_LOAD_FAILED", None),
        (503, "MODEL_LOADING", Some(5)),
        (503, "LORA_LOADING", Some(1)),
        (503, "MODEL_NOT_LOADED", None),
        (503, "RESOURCE_EXHAUSTED", Some(5)),
    ] {
        let status = StatusCode::from_u16(status).unwrap();
        worker.set(|it| it.mode = Mode::Coded(status, code, after));
        let answer = front.encode(&[]).await;
        assert_eq!(answer.status, status, "{code}");
        assert_eq!(answer.json()["detail"]["code"], code);
        let after = after.map(|after| after.to_string());
        assert_eq!(answer.header("retry-after"), after.as_deref());
        assert_eq!(answer.header("x-sie-worker"), Some("fake"));
    }
    worker.set(|it| it.mode = Mode::Draining);
    let answer = front.encode(&[]).await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["error"], "Server is shutting down");
    let rejected = r#"sie_router_rejected_requests_total{machine_profile="unknown",bundle="default",reason="worker_503"}"#;
    assert!(front.metric(rejected).await >= 5.0);
}

#[tokio::test]
async fn what_makes_no_sense_is_a_clients_error() {
    let worker = Fake::start().await;
    let front = Front::of(&[&worker]).await;
    for path in [
        "/v1/encode/",
        "/v1/encode/:/m",
        "/v1/encode/b:/",
        "/v1/encode/%ff",
        "/v1/encode",
    ] {
        assert_eq!(front.post(path, &[], "{}").await.status, 400, "{path}");
    }
    let long = "x".repeat(200);
    assert_eq!(front.encode(&[("x-sie-pool", &long)]).await.status, 400);
    assert_eq!(front.ask("GET", "/nowhere", &[]).await.status, 404);
    let answer = front.ask("PUT", "/v1/pools", &[]).await;
    assert_eq!(
        (answer.status, answer.header("allow")),
        (405, Some("GET, HEAD, POST"))
    );
    assert_eq!(front.get("/v1/configs/models").await.status, 404);
    assert_eq!(
        front.ask("POST", "/v1/configs/models", &[]).await.status,
        405
    );
    assert_eq!(worker.count("/v1/encode"), 0);
}

#[tokio::test]
async fn pools_are_made_renewed_told_and_taken_down() {
    let worker = Fake::start().await;
    let front = Front::of(&[&worker]).await;
    let body = r#"{"name":"eval","gpus":{"l4-spot":1}}"#;
    let answer = front.post("/v1/pools", &[], body).await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.json()["spec"]["gpus"], json!({"l4-spot": 1}));
    let answer = front
        .encode(&[("x-sie-machine-profile", "eval/l4-spot")])
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let last = asked(&worker);
    assert_eq!(last.headers["x-sie-machine-profile"], "l4-spot");
    assert!(!last.headers.contains_key("x-sie-pool"));
    // The worker is reserved now.
    let answer = front.encode(&[]).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(
        front.get("/v1/pools/eval").await.json()["status"]["state"],
        "active"
    );
    assert_eq!(front.get("/v1/pools").await.status, 200);
    assert_eq!(
        front.post("/v1/pools/eval/renew", &[], "").await.status,
        200
    );
    for (method, path, body, status) in [
        ("POST", "/v1/pools", "[]", 422),
        ("POST", "/v1/pools", "{", 422),
        (
            "POST",
            "/v1/pools",
            r#"{"name":"a","gpus":{"l4":"two"}}"#,
            400,
        ),
        ("GET", "/v1/pools/none", "", 404),
        ("POST", "/v1/pools/none/renew", "", 404),
        ("DELETE", "/v1/pools/default", "", 400),
        ("DELETE", "/v1/pools/eval", "", 200),
        ("DELETE", "/v1/pools/eval", "", 404),
    ] {
        let request = crate::harness::request(method, path, &[], body);
        let answer = crate::harness::read(front.send(request).await).await;
        assert_eq!(answer.status, status, "{method} {path} {body}");
        if status != 200 {
            assert!(answer.json()["detail"]["message"].is_string());
        }
    }
    assert_eq!(front.encode(&[]).await.status, 200);
}
