//! Who is let in, and what the audit tells of it.

use std::io::Write;
use std::sync::{Arc, Mutex, OnceLock};

use http_body_util::BodyExt;
use routir_router::{RouterOptions, Secret};
use serde_json::Value;
use tracing_subscriber::fmt::MakeWriter;

use crate::fake::{Fake, Mode, until};
use crate::harness::{Front, options, request, send};

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
    let mut request = request("GET", "/v1/models", &[], "");
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
    /// Everything that this process tells. For all tests, since what listens to one thread alone may
    /// be passed over while another says something for the first time.
    fn open() -> &'static Self {
        static LOG: OnceLock<Log> = OnceLock::new();
        LOG.get_or_init(|| {
            let log = Self::default();
            let subscriber = tracing_subscriber::fmt()
                .json()
                .flatten_event(true)
                .with_writer(log.clone())
                .finish();
            tracing::subscriber::set_global_default(subscriber).unwrap();
            log
        })
    }

    /// The lines of the requests whose ids begin so.
    fn lines(&self, ids: &str) -> Vec<String> {
        let text = self.0.lock().unwrap().clone();
        let text = String::from_utf8(text).unwrap();
        let lines = text.lines().filter(|line| line.contains(ids));
        lines.map(str::to_owned).collect()
    }

    /// What was told of them to the audit.
    fn audit(&self, ids: &str) -> Vec<Value> {
        let lines = self.lines(ids);
        let lines = lines
            .iter()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines
            .filter(|line| line["target"] == "sie_router.audit")
            .collect()
    }
}

#[tokio::test]
async fn every_request_for_work_is_in_the_audit_with_its_token_masked() {
    let log = Log::open();
    let worker = Fake::start().await;
    let front = Front::start(closed(&worker), 1).await;
    let id = ("x-request-id", "told-of-1");
    let token = ("authorization", "Bearer t0ken-one");
    front
        .encode(&[id, token, ("x-sie-machine-profile", "l4-spot")])
        .await;
    front
        .encode(&[id, ("authorization", "Bearer wr0ng-token")])
        .await;
    let pool = r#"{"name":"p","gpus":{"l4-spot":1}}"#;
    front.post("/v1/pools", &[id, token], pool).await;
    front.ask("DELETE", "/v1/pools/p", &[id, token]).await;
    front.ask("GET", "/v1/models", &[id, token]).await;
    until("all is told", || log.audit("told-of-1").len() >= 4).await;
    let told = log.audit("told-of-1");
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
    let text = log.lines("told-of-1").join("\n");
    assert!(!text.contains("t0ken-one") && !text.contains("wr0ng-token"));
}

#[tokio::test]
async fn what_is_cut_and_who_leaves_is_in_the_audit_as_such() {
    let log = Log::open();
    let worker = Fake::with(|it| it.mode = Mode::Cut).await;
    let front = Front::of(&[&worker]).await;
    let path = "/v1/encode/BAAI/bge-m3";
    let cut = request("POST", path, &[("x-request-id", "told-of-2")], "{}");
    let response = front.send(cut).await;
    assert!(response.into_body().collect().await.is_err());
    worker.set(|it| it.mode = Mode::Hang);
    let left = request("POST", path, &[("x-request-id", "told-of-3")], "{}");
    let asking = tokio::spawn(send(front.address, left));
    until("it is there", || worker.open() == 1).await;
    asking.abort();
    for (id, status) in [("told-of-2", 200), ("told-of-3", 499)] {
        until("it is told", || !log.audit(id).is_empty()).await;
        let told = log.audit(id);
        assert_eq!(
            (&told[0]["status"], &told[0]["complete"]),
            (&status.into(), &false.into())
        );
    }
}
