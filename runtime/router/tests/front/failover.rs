//! Another worker answers when one fails before it answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;

use crate::fake::{Fake, Mode};
use crate::harness::{Front, asked, options};

/// A worker that fails in a way, and one that does not; the first is asked first.
async fn pair(mode: Mode) -> (Fake, Fake, Front) {
    let bad = Fake::with(|it| {
        it.name = "bad".into();
        it.mode = mode;
    })
    .await;
    let good = Fake::with(|it| {
        it.name = "good".into();
        it.depth = Some(50);
    })
    .await;
    let front = Front::of(&[&bad, &good]).await;
    (bad, good, front)
}

#[tokio::test]
async fn a_worker_that_refuses_or_breaks_is_passed_over() {
    let unavailable = StatusCode::SERVICE_UNAVAILABLE;
    for mode in [
        Mode::Draining,
        Mode::Reset,
        Mode::Coded(unavailable, "MODEL_NOT_LOADED", None),
        Mode::Coded(unavailable, "MODEL_LOADING", Some(5)),
        Mode::Coded(unavailable, "RESOURCE_EXHAUSTED", Some(5)),
    ] {
        let (bad, good, front) = pair(mode.clone()).await;
        let body = r#"{"items":[{"text":"as it was"}]}"#;
        let answer = front.post("/v1/encode/BAAI/bge-m3", &[], body).await;
        assert_eq!(answer.status, 200, "{mode:?} {answer:?}");
        assert_eq!(answer.header("x-sie-worker"), Some("good"));
        assert_eq!(bad.count("/v1/encode"), 1, "{mode:?}");
        let seen = good.seen();
        let seen = seen.iter().find(|seen| seen.path.starts_with("/v1/encode"));
        assert_eq!(seen.unwrap().body, body);
        assert_eq!(front.metric("sie_router_failovers_total").await, 1.0);
    }
}

#[tokio::test]
async fn what_another_would_not_do_better_is_answered() {
    for (mode, status) in [
        (
            Mode::Coded(StatusCode::INTERNAL_SERVER_ERROR, "INFERENCE_ERROR", None),
            500,
        ),
        (
            Mode::Coded(StatusCode::BAD_REQUEST, "INVALID_INPUT", None),
            400,
        ),
    ] {
        let (bad, good, front) = pair(mode).await;
        assert_eq!(front.encode(&[]).await.status, status);
        assert_eq!((bad.count("/v1/encode"), good.count("/v1/encode")), (1, 0));
    }
}

#[tokio::test]
async fn a_load_is_not_started_elsewhere_because_one_goes_on() {
    let loading = Mode::Coded(StatusCode::SERVICE_UNAVAILABLE, "MODEL_LOADING", Some(5));
    let one = Fake::with(|it| {
        it.models = vec![("BAAI/bge-m3".into(), "loading")];
        it.mode = loading;
    })
    .await;
    let two = Fake::with(|it| it.models = vec![("BAAI/bge-m3".into(), "available")]).await;
    let front = Front::of(&[&one, &two]).await;
    let answer = front.encode(&[]).await;
    assert_eq!(
        (answer.status, answer.header("retry-after")),
        (503, Some("5"))
    );
    assert_eq!((one.count("/v1/encode"), two.count("/v1/encode")), (1, 0));
}

#[tokio::test]
async fn a_body_that_cannot_be_sent_again_is_sent_once() {
    let (bad, good, front) = pair(Mode::Reset).await;
    let body = Bytes::from(vec![b'x'; 3 << 20]);
    let answer = front.post("/v1/encode/BAAI/bge-m3", &[], body).await;
    assert_eq!(answer.status, 502);
    assert_eq!((bad.count("/v1/encode"), good.count("/v1/encode")), (1, 0));
    let body = Bytes::from(vec![b'x'; 1 << 20]);
    let answer = front.post("/v1/encode/BAAI/bge-m3", &[], body).await;
    assert_eq!(answer.status, 200);
    assert_eq!(asked(&good).bytes, 1 << 20);
}

#[tokio::test]
async fn a_request_that_breaks_its_workers_breaks_two_and_no_more() {
    let bad = |depth| {
        Fake::with(move |it| {
            it.mode = Mode::Reset;
            it.depth = Some(depth);
        })
    };
    let refusing = Fake::with(|it| it.mode = Mode::Draining).await;
    let [one, two, three] = [bad(1).await, bad(2).await, bad(3).await];
    let front = Front::of(&[&refusing, &one, &two, &three]).await;
    let answer = front.encode(&[]).await;
    assert_eq!(
        (answer.status, answer.code()),
        (502, "WORKER_UNREACHABLE".into())
    );
    let why = answer.json()["message"].as_str().unwrap().to_owned();
    assert!(why.contains("2 workers broke with this request"), "{why}");
    let asked = [&refusing, &one, &two, &three].map(|worker| worker.count("/v1/encode"));
    assert_eq!(asked, [1, 1, 1, 0]);
    let refused = r#"sie_router_refused_requests_total{reason="lost"}"#;
    assert_eq!(front.metric(refused).await, 1.0);
    // Once is no more than bad luck.
    two.set(|it| it.mode = Mode::Ok);
    assert_eq!(front.encode(&[]).await.status, 200);
}

#[tokio::test]
async fn the_first_refusal_is_the_answer_when_others_do_no_better() {
    let unavailable = StatusCode::SERVICE_UNAVAILABLE;
    let first = Fake::with(|it| it.mode = Mode::Coded(unavailable, "MODEL_LOADING", Some(7))).await;
    let second = Fake::with(|it| it.depth = Some(5)).await;
    let mut options = options(&[&first, &second]);
    options.header_timeout = Duration::from_millis(100);
    let front = Front::start(options, 2).await;
    let other = Mode::Coded(unavailable, "RESOURCE_EXHAUSTED", Some(1));
    for mode in [other, Mode::Hang, Mode::Reset] {
        second.set(|it| it.mode = mode.clone());
        let before = second.count("/v1/encode");
        let answer = front.encode(&[]).await;
        assert_eq!(answer.status, 503, "{mode:?} {answer:?}");
        assert_eq!(answer.header("retry-after"), Some("7"), "{mode:?}");
        assert!(second.count("/v1/encode") > before, "{mode:?}");
    }
}

#[tokio::test]
async fn who_has_the_model_is_asked_though_an_idle_one_could_load_it() {
    let idle = |name: &'static str| {
        Fake::with(move |it| {
            it.name = name.into();
            it.models = vec![("BAAI/bge-m3".into(), "available")];
            let unavailable = StatusCode::SERVICE_UNAVAILABLE;
            it.mode = Mode::Coded(unavailable, "MODEL_LOADING", Some(5));
        })
    };
    let full = Fake::with(|it| {
        it.name = "full".into();
        it.depth = Some(60);
    })
    .await;
    let [one, two] = [idle("one").await, idle("two").await];
    let front = Front::of(&[&full, &one, &two]).await;
    let answer = front.encode(&[]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("x-sie-worker"), Some("full"));
    assert_eq!(one.count("/v1/encode") + two.count("/v1/encode"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_killed_under_load_is_not_noticed() {
    let slow = |it: &mut crate::fake::Behaviour| it.service = Duration::from_millis(5);
    let [mut one, two] = [Fake::with(slow).await, Fake::with(slow).await];
    let front = Arc::new(Front::of(&[&one, &two]).await);
    let stop = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..16)
        .map(|_| {
            let (front, stop) = (Arc::clone(&front), Arc::clone(&stop));
            let answered = Arc::clone(&answered);
            tokio::spawn(async move {
                while !stop.load(Ordering::SeqCst) {
                    let answer = front.encode(&[]).await;
                    assert_eq!(answer.status, 200, "{answer:?}");
                    answered.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    let more = |than: usize| {
        let answered = Arc::clone(&answered);
        async move { crate::fake::until("answers", || answered.load(Ordering::SeqCst) > than).await }
    };
    more(100).await;
    assert!(one.count("/v1/encode") > 10 && two.count("/v1/encode") > 10);
    one.kill().await;
    more(answered.load(Ordering::SeqCst) + 200).await;
    one.start_again().await;
    front.settled(2).await;
    let before = one.count("/v1/encode");
    crate::fake::until("the worker is asked again", || {
        one.count("/v1/encode") > before + 10
    })
    .await;
    stop.store(true, Ordering::SeqCst);
    for client in clients {
        client.await.unwrap();
    }
}
