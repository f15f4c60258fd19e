//! Where requests go, what they are told, and who is left alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::body::Body;
use http_body_util::BodyExt;
use hyper::{Request, StatusCode};
use routir_core::{
    BoxFuture, Hit, ParamsSpec, Ranking, Result, Roles, SearchEngine, SearchRequest,
};
use routir_router::{RouterOptions, Secret};
use serde_json::json;

use super::stand::{Kit, Stand, post, ranking, send, until};

/// Answers one document with its own name, after a while; counts those who wait.
pub(super) struct Named {
    name: &'static str,
    takes: Duration,
    pub(super) waiting: Arc<AtomicUsize>,
}

struct Waits(Arc<AtomicUsize>);

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl SearchEngine for Named {
    fn search(&self, batch: Vec<SearchRequest>) -> BoxFuture<'_, Vec<Result<Ranking>>> {
        Box::pin(async move {
            self.waiting.fetch_add(1, Ordering::SeqCst);
            let _waits = Waits(Arc::clone(&self.waiting));
            tokio::time::sleep(self.takes).await;
            let one = |_: &SearchRequest| Ranking::from_hits(vec![Hit::new(self.name, 1.0)]);
            batch.iter().map(one).collect()
        })
    }

    fn params(&self) -> ParamsSpec {
        ParamsSpec::Open
    }
}

pub(super) fn named(name: &'static str, takes: Duration) -> (Arc<AtomicUsize>, Roles) {
    let waiting = Arc::new(AtomicUsize::default());
    let search = Named {
        name,
        takes,
        waiting: Arc::clone(&waiting),
    };
    let roles = Roles {
        search: Some(Arc::new(search)),
        ..Roles::default()
    };
    (waiting, roles)
}

fn worker(name: &'static str) -> Kit {
    Kit::toys(&[]).and("who", named(name, Duration::ZERO).1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_that_one_worker_hosts_is_one_request() {
    let all = Kit::toys(&["s1", "s2", "r1"]).docs().serve().await;
    let some = Kit::toys(&["s1", "s3"]).serve().await;
    let stand = Stand::before(&[&all, &some]).await;
    stand.pipeline("{s1, s2}RRF >> r1%3").await.unwrap();
    all.counts([("pipeline", 1)]).await;
    assert!(some.answered().is_empty());
    // One that nobody hosts alone is run here and fused here.
    let found = stand.pipeline("{s2, s3}RRF%4").await.unwrap();
    assert_eq!(found.len(), 4);
    all.counts([("pipeline", 1), ("search", 1)]).await;
    some.counts([("search", 1)]).await;
    // And it is the ranking of a server that has all of it.
    let both = Kit::toys(&["s2", "s3"]).serve().await;
    let body = json!({"pipeline": "{s2, s3}RRF%4", "query": "q"}).to_string();
    let (_, told) = post(&both.base(), "/pipeline", body, &[]).await;
    assert_eq!(ranking(&serde_json::from_slice(&told).unwrap()), found);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_told_in_a_workers_words() {
    let names = ["s1", "r1"];
    let one = Kit::toys(&names)
        .docs()
        .alias("best", "s1%3 >> r1")
        .serve()
        .await;
    let two = Kit::toys(&names)
        .docs()
        .alias("best", "s1%3 >> r1")
        .serve()
        .await;
    let stand = Stand::before(&[&one, &two]).await;
    for (path, body) in [
        ("/pipeline", json!({"pipeline": "s1 >>", "query": "q"})),
        (
            "/pipeline",
            json!({"pipeline": "s9 >> r1", "query": "q", "collection": "docs"}),
        ),
        ("/pipeline", json!({"pipeline": "s1 >> r1", "query": "q"})),
        (
            "/pipeline",
            json!({"pipeline": "s1 >> r1", "query": "q", "collection": "dogs"}),
        ),
        ("/pipeline", json!({"pipeline": "best[x]", "query": "q"})),
        ("/pipeline", json!({"pipeline": 3})),
        ("/explain", json!({"pipeline": "{s1}r1"})),
        ("/search", json!({"service": "s9", "query": "q"})),
        ("/search", json!({"service": "best", "query": "q"})),
        ("/search", json!({"service": "s1"})),
        (
            "/score",
            json!({"service": "s1", "query": "q", "passages": ["a"]}),
        ),
        ("/content", json!({"collection": "docs", "id": "zz"})),
        ("/content", json!({"collection": "dogs", "id": "d1"})),
        (
            "/fuse",
            json!({"service": "nobody", "query": "q", "rankings": []}),
        ),
        ("/avail", json!({})),
    ] {
        let id = [("x-request-id", "same")];
        let (status, told) = post(&one.base(), path, body.to_string(), &id).await;
        let (here, said) = post(&stand.base, path, body.to_string(), &id).await;
        assert_eq!((here, &said), (status, &told), "{path} {body}");
        assert!(status.is_client_error(), "{path} {body}: {status}");
    }
    // The alias that all agree on is known, and goes to them as it is written.
    let body = json!({"pipeline": "best%2", "query": "q", "collection": "docs"});
    let (status, told) = stand.post("/pipeline", &body, &[]).await;
    assert_eq!(status, StatusCode::OK, "{told}");
    assert_eq!(ranking(&told).len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_argument_of_a_spread_stage_never_stands_for_a_field_of_its_request() {
    let one = Kit::toys(&["s1"]).serve().await;
    let two = Kit::toys(&["s2"]).serve().await;
    let stand = Stand::before(&[&one, &two]).await;
    for field in ["service", "query", "limit", "sub_queries"] {
        let body = json!({
            "pipeline": "{s1[a], s2}RRF",
            "query": "q",
            "runtime_kwargs": {"a": {field: "s2"}},
        });
        let (status, told) = stand.post("/pipeline", &body, &[]).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{field}: {told}");
        assert!(told.to_string().contains(field), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alias_that_workers_dispute_is_its_workers_own() {
    let one = Kit::toys(&["s1"]).alias("best", "s1%3").serve().await;
    let two = Kit::toys(&["s1"]).alias("best", "s1%5").serve().await;
    let third = Kit::toys(&["s1", "s2"]).serve().await;
    let stand = Stand::before(&[&one, &two, &third]).await;
    for _ in 0..8 {
        let found = stand.pipeline("best").await.unwrap().len();
        assert!(found == 3 || found == 5, "{found}");
    }
    assert!(third.answered().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn avail_tells_what_all_workers_offer() {
    let one = Kit::toys(&["s1", "r1"]).alias("x", "s1").serve().await;
    let two = Kit::toys(&["s2", "e1"]).docs().serve().await;
    let stand = Stand::before(&[&one, &two]).await;
    let told = stand.avail().await;
    assert_eq!(told["search"], json!(["s1", "s2"]));
    assert_eq!(told["score"], json!(["r1"]));
    assert_eq!(told["decompose_query"], json!(["e1"]));
    assert_eq!(told["content"], json!(["docs"]));
    assert_eq!(told["pipeline_aliases"], json!({"x": "s1"}));
    assert_eq!(told["server"]["id"], "router");
    assert_eq!(told["imports"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_dies_is_passed_over_and_a_name_stays() {
    let mut one = Kit::toys(&["s1", "r1"]).docs().profile("l4").serve().await;
    let two = Kit::toys(&["s1", "s2"]).docs().serve().await;
    let stand = Stand::before(&[&one, &two]).await;
    let spread = "{s1, s2}RRF >> r1";
    assert!(!stand.pipeline(spread).await.unwrap().is_empty());
    one.kill().await;
    // At once, before anybody has noticed: what another hosts is answered.
    for _ in 0..20 {
        stand.pipeline("{s1, s2}RRF").await.unwrap();
        stand.pipeline("s1").await.unwrap();
    }
    let body = json!({"pipeline": spread, "query": "q", "collection": "docs"});
    for pause in [0, 1500] {
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let started = Instant::now();
        let (status, told) = stand.post("/pipeline", &body, &[]).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{told}");
        assert!(told["error"].as_str().unwrap().contains("r1"), "{told}");
        assert!(started.elapsed() < Duration::from_secs(5));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_killed_under_load_costs_no_request_that_another_can_answer() {
    let mut one = Kit::toys(&["s1", "r1"]).docs().profile("l4").serve().await;
    let two = Kit::toys(&["s1", "r1"]).docs().profile("l4").serve().await;
    let three = Kit::toys(&["s2"]).serve().await;
    let stand = Arc::new(Stand::before(&[&one, &two, &three]).await);
    let expected = stand.pipeline("{s1, s2}RRF >> r1").await.unwrap();
    let asking = (0..8).map(|_| {
        let (stand, expected) = (Arc::clone(&stand), expected.clone());
        tokio::spawn(async move {
            for number in 0..60 {
                match number % 2 {
                    // Spread over workers, and placed whole.
                    0 => {
                        let found = stand.pipeline("{s1, s2}RRF >> r1").await;
                        assert_eq!(found.unwrap(), expected);
                    }
                    _ => assert!(!stand.pipeline("s1 >> r1").await.unwrap().is_empty()),
                }
            }
        })
    });
    let asking: Vec<_> = asking.collect();
    until("the load is on", || {
        one.answered().values().sum::<u64>() > 40
    })
    .await;
    one.kill().await;
    for task in asking {
        task.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn time_that_is_left_travels_along() {
    let (waiting, slow) = named("slow", Duration::from_secs(60));
    let one = Kit::toys(&["s1"]).and("slow", slow).serve().await;
    let two = Kit::toys(&["s2"]).serve().await;
    let stand = Stand::before(&[&one, &two]).await;
    for pipeline in ["slow", "{s2, slow}RRF"] {
        let body = json!({"pipeline": pipeline, "query": "q"});
        let started = Instant::now();
        let header = [("x-routir-timeout-ms", "400")];
        let (status, told) = stand.post("/pipeline", &body, &header).await;
        assert_eq!(status, StatusCode::GATEWAY_TIMEOUT, "{told}");
        assert!(started.elapsed() < Duration::from_secs(3));
        until("nobody works for it", || {
            waiting.load(Ordering::SeqCst) == 0
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_is_too_large_is_told_so() {
    let one = Kit::toys(&["s1"]).serve().await;
    let stand = Stand::with(RouterOptions {
        workers: vec![one.base()],
        max_body_bytes: 10_000,
        ..RouterOptions::default()
    });
    let stand = stand.await;
    stand.until_ready(1).await;
    let body = json!({"service": "s1", "query": "q", "more": "x".repeat(20_000)});
    let (status, told) = stand.post("/search", &body, &[]).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{told}");
    assert_eq!(told["code"], "too_large");
    assert!(one.answered().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pools_keep_to_themselves_also_when_pipelines_are_spread() {
    // The pool takes all workers of its kind of machine.
    let inside = worker("inside").profile("l4").serve().await;
    let outside = worker("outside").profile("a100").serve().await;
    let extra = Kit::toys(&["s1"]).profile("l4").serve().await;
    let further = Kit::toys(&["s1"]).serve().await;
    let stand = Stand::before(&[&inside, &outside, &extra, &further]).await;
    let pool = json!({"name": "mine", "gpus": {"l4": 2}});
    let (status, told) = stand.post("/v1/pools", &pool, &[]).await;
    assert_eq!(status, StatusCode::CREATED, "{told}");
    assert_eq!(
        told["status"]["assigned_workers"].as_array().map(Vec::len),
        Some(2)
    );
    let ask = async |pipeline: &str, pool: Option<&str>| {
        let body = json!({"pipeline": pipeline, "query": "q"});
        let headers: Vec<_> = pool.iter().map(|pool| ("x-sie-pool", *pool)).collect();
        stand.post("/pipeline", &body, &headers).await
    };
    let mut asked = 0;
    for (pool, expected, other) in [
        (Some("mine"), "inside", "outside"),
        (None, "outside", "inside"),
    ] {
        // One that a worker hosts, and one that is spread over two.
        for pipeline in ["who", "{who, s1}RRF"] {
            // Several at once share no answer across pools.
            for _ in 0..5 {
                let (status, told) = ask(pipeline, pool).await;
                assert_eq!(status, StatusCode::OK, "{told}");
                let docs: Vec<_> = ranking(&told).into_iter().map(|(doc, _)| doc).collect();
                assert!(docs.iter().any(|doc| doc == expected), "{docs:?}");
                assert!(docs.iter().all(|doc| doc != other), "{docs:?}");
                asked += 1;
            }
        }
    }
    assert_eq!(asked, 20);
    until("both serve", || {
        let serves = |server: &super::stand::Server| server.answered().contains_key("search");
        serves(&further) && serves(&extra)
    })
    .await;
    for pipeline in ["who", "{who, s1}RRF"] {
        let (status, told) = ask(pipeline, Some("nobodys")).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{told}");
        assert!(
            told["error"]
                .as_str()
                .unwrap()
                .contains("no pool `nobodys`"),
            "{told}"
        );
    }
    // The kind of machine is kept to as well.
    let body = json!({"pipeline": "{who, s1}RRF", "query": "q"});
    let kind = [("x-sie-machine-profile", "a100")];
    let (status, told) = stand.post("/pipeline", &body, &kind).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{told}");
    assert!(
        told["error"].as_str().unwrap().contains("of kind `a100`"),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_come_as_they_happen_whoever_runs_the_pipeline() {
    let (_, slow) = named("slow", Duration::from_millis(1500));
    let one = Kit::toys(&["s1", "Fuse"])
        .and("slow", slow.clone())
        .serve()
        .await;
    let two = Kit::toys(&["s2"]).serve().await;
    let stand = Stand::before(&[&one, &two]).await;
    for pipeline in ["{s1, slow}Fuse", "{s2, slow}Fuse"] {
        let body = json!({"pipeline": pipeline, "query": "q"}).to_string();
        let request = Request::post(format!("{}/pipeline", stand.base))
            .header("accept", "text/event-stream")
            .body(Body::from(body));
        let started = Instant::now();
        let response = send(request.unwrap()).await;
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut body = response.into_body();
        let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert!(
            started.elapsed() < Duration::from_millis(1200),
            "{pipeline}"
        );
        assert!(
            String::from_utf8_lossy(&first).contains("stage"),
            "{first:?}"
        );
        let rest = body.collect().await.unwrap().to_bytes();
        assert!(
            started.elapsed() >= Duration::from_millis(1400),
            "{pipeline}"
        );
        assert!(
            String::from_utf8_lossy(&rest).contains("\"scores\""),
            "{rest:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_takes_the_work_along() {
    let (waiting, slow) = named("slow", Duration::from_secs(60));
    let one = Kit::toys(&["s1"]).and("slow", slow).serve().await;
    let two = Kit::toys(&["s2"]).serve().await;
    let stand = Stand::before(&[&one, &two]).await;
    for pipeline in ["slow", "{s2, slow}RRF"] {
        let body = json!({"pipeline": pipeline, "query": "q"});
        let asked = stand.post("/pipeline", &body, &[]);
        let left = tokio::time::timeout(Duration::from_millis(500), asked).await;
        assert!(left.is_err());
        until("nobody works for it", || {
            waiting.load(Ordering::SeqCst) == 0
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_went_in_a_circle_are_refused() {
    let one = Kit::toys(&["s1"]).serve().await;
    let stand = Stand::before(&[&one]).await;
    let body = json!({"service": "s1", "query": "q"});
    let via = [("x-routir-via", "a,router,b")];
    let (status, told) = stand.post("/search", &body, &via).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(told["error"].as_str().unwrap().contains("circle"), "{told}");
    assert!(one.answered().is_empty());
    // The way that it came travels along: the ninth server is one too many.
    let via = [("x-routir-via", "1,2,3,4,5,6,7,8")];
    let (status, told) = stand.post("/search", &body, &via).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{told}");
    let (status, _) = stand
        .post("/search", &body, &[("x-routir-via", "1,2,3")])
        .await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_router_itself_is_no_worker() {
    let one = Kit::toys(&["s1"]).serve().await;
    let front = Stand::before(&[&one]).await;
    // One whose list has a router of the same id, which is what it is to itself.
    let workers = vec![one.base(), front.base.clone()];
    let stand = Stand::with(RouterOptions {
        workers,
        ..RouterOptions::default()
    });
    let stand = stand.await;
    stand.until_ready(1).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    for _ in 0..8 {
        assert!(stand.pipeline("s1").await.is_ok());
    }
    one.counts([("pipeline", 8)]).await;
    let told = stand.avail().await;
    assert_eq!(told["imports"].as_array().map(Vec::len), Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_ask_is_the_routers_to_say() {
    let one = Kit::toys(&["s1"]).serve().await;
    let stand = Stand::with(RouterOptions {
        workers: vec![one.base()],
        auth_mode: "static".to_owned(),
        auth_tokens: vec![Secret::new("t0ken-one")],
        ..RouterOptions::default()
    });
    let stand = stand.await;
    let body = json!({"pipeline": "{s1, s1%2}RRF", "query": "q"});
    let (status, _) = stand.post("/pipeline", &body, &[]).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let token = [("authorization", "Bearer t0ken-one")];
    for _ in 0..200 {
        let (status, _) = stand.post("/pipeline", &body, &token).await;
        if status == StatusCode::OK {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    one.counts([("pipeline", 1)]).await;
    let ping = Request::get(format!("{}/ping", stand.base)).body(Body::empty());
    assert_eq!(send(ping.unwrap()).await.status(), StatusCode::OK);
}
