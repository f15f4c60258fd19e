//! Who is let in, and what the audit tells of it.

use std::io::Write;
use std::sync::{Arc, Mutex};

use routir_router::{RouterOptions, Secret};
use serde_json::Value;
use tracing_subscriber::fmt::MakeWriter;

use crate::fake::Fake;
use crate::harness::{Front, options};

fn closed(worker: &Fake) -> RouterOptions {
    RouterOptions {
        auth_mode: "static".into(),
        auth_tokens: vec![Secret::new("t0ken-one"), Secret::new("t0ken-two")],
        ..options(&[worker])
    }
}

#[tokio::test]
async fn without_a_token_only_probes_answer() {
    let worker = Fake::start().await;
    let front = Front::start(closed(&worker), 1).await;
    for path in [
        "/",
        "/health",
        "/metrics",
        "/v1/models",
        "/v1/pools",
        "/nowhere",
        "/ws/status",
    ] {
        let answer = front.get(path).await;
        assert_eq!(
            (answer.status, answer.code()),
            (401, "UNAUTHORIZED".into()),
            "{path}"
        );
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(front.get(path).await.status, 200, "{path}");
    }
    assert_eq!(front.encode(&[]).await.status, 401);
    assert_eq!(
        front
            .encode(&[("authorization", "Bearer t0ken")])
            .await
            .status,
        401
    );
    assert_eq!(worker.count("/v1/encode"), 0);
    for token in ["Bearer t0ken-one", "t0ken-two", "bearer t0ken-two"] {
        let answer = front.encode(&[("authorization", token)]).await;
        assert_eq!(answer.status, 200, "{token}");
    }
    let mut options = closed(&worker);
    options.auth_exempt_operational = true;
    let front = Front::start(options, 1).await;
    for (path, status) in [
        ("/", 200),
        ("/health", 200),
        ("/metrics", 200),
        ("/v1/models", 401),
    ] {
        assert_eq!(front.get(path).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn a_token_that_is_no_text_is_wrong_and_not_a_failure() {
    let worker = Fake::start().await;
    let front = Front::start(closed(&worker), 1).await;
    let mut request = crate::harness::request("GET", "/v1/models", &[], "");
    let value = hyper::header::HeaderValue::from_bytes(b"Bearer t\xc3\xb6ken\xff").unwrap();
    request.headers_mut().insert("authorization", value);
    assert_eq!(front.send(request).await.status(), 401);
}

#[tokio::test]
async fn pools_may_be_the_admins_alone() {
    let worker = Fake::start().await;
    let mut options = closed(&worker);
    options.admin_token = Some(Secret::new("adm1n-token"));
    options.pools_need_admin = true;
    let front = Front::start(options, 1).await;
    let body = r#"{"name":"p","gpus":{"l4-spot":1}}"#;
    for (token, status) in [("t0ken-one", 403), ("nobody", 401), ("adm1n-token", 201)] {
        let answer = front
            .post("/v1/pools", &[("authorization", token)], body)
            .await;
        assert_eq!(answer.status, status, "{token}");
    }
    let user = [("authorization", "t0ken-one")];
    assert_eq!(front.ask("GET", "/v1/pools/p", &user).await.status, 200);
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Log {
    /// What was told to the audit.
    fn audit(&self) -> Vec<Value> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let lines = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines
            .filter(|line| line["target"] == "sie_router.audit")
            .collect()
    }
}

#[tokio::test]
async fn every_request_for_work_is_in_the_audit_with_its_token_masked() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_writer(log.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let worker = Fake::start().await;
    let front = Front::start(closed(&worker), 1).await;
    let token = ("authorization", "Bearer t0ken-one");
    front
        .encode(&[token, ("x-sie-machine-profile", "l4-spot")])
        .await;
    front
        .encode(&[("authorization", "Bearer wr0ng-token")])
        .await;
    front
        .post(
            "/v1/pools",
            &[token],
            r#"{"name":"p","gpus":{"l4-spot":1}}"#,
        )
        .await;
    front.ask("DELETE", "/v1/pools/p", &[token]).await;
    front.ask("GET", "/v1/models", &[token]).await;
    crate::fake::until("all is told", || log.audit().len() >= 4).await;
    let told = log.audit();
    assert_eq!(told.len(), 4, "{told:#?}");
    let [request, stranger, create, delete] = &told[..] else {
        panic!("{told:#?}");
    };
    for (key, value) in [
        ("event", "api_request"),
        ("method", "POST"),
        ("endpoint", "encode"),
        ("token_id", "****-one"),
        ("model", "BAAI/bge-m3"),
        ("gpu", "l4-spot"),
        ("worker", "fake"),
    ] {
        assert_eq!(request[key], value, "{key} {request}");
    }
    assert_eq!(
        (&request["status"], &request["body_bytes"]),
        (&200.into(), &14.into())
    );
    assert!(request["latency_ms"].is_f64() && request["response_bytes"].as_u64() > Some(0));
    assert_eq!(request["complete"], true);
    assert!(request.get("pool").is_none());
    assert_eq!(
        (&stranger["event"], &stranger["status"]),
        (&"auth_failure".into(), &401.into())
    );
    assert_eq!(stranger["token_id"], "****oken");
    assert_eq!(
        (&create["event"], &create["pool"]),
        (&"pool_create".into(), &"p".into())
    );
    assert_eq!(
        (&delete["event"], &delete["status"]),
        (&"pool_delete".into(), &200.into())
    );
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(!text.contains("t0ken-one") && !text.contains("wr0ng-token"));
}
