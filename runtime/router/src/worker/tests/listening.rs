//! Frames, their absence, and what is no frame.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::HeaderValue;
use routir_core::Role;
use serde_json::json;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

use super::registry;
use crate::dial::Dialer;
use crate::fake::{Fake, until};
use crate::want::Need;
use crate::worker::{ModelState, Outcome, Registry, Source, Standing, Worker, WorkerSettings};

const LONG: Duration = Duration::from_secs(30);

fn listen(registry: &Registry, fakes: &[&Fake]) -> Vec<Arc<Worker>> {
    let urls: BTreeSet<_> = fakes.iter().map(|fake| fake.url.clone()).collect();
    registry.set(Source::Static, urls);
    let workers = registry.workers();
    let of = |fake: &&Fake| workers.iter().find(|worker| **worker.url() == *fake.url);
    fakes
        .iter()
        .map(|fake| Arc::clone(of(fake).unwrap()))
        .collect()
}

async fn one(silence: Duration, fake: &Fake) -> (Registry, Arc<Worker>) {
    let registry = registry(silence);
    let worker = listen(&registry, &[fake]).remove(0);
    until("the worker is ready", || worker.is_routable()).await;
    (registry, worker)
}

#[tokio::test]
async fn malformed_frames_are_counted_and_cost_nothing_else() {
    let fake = Fake::start().await;
    let (_registry, worker) = one(LONG, &fake).await;
    let wrong = [
        Message::text("[]"),
        Message::text("no json"),
        Message::text("null"),
        Message::text(""),
        Message::binary(vec![0xc1, 0, 1]),
        Message::text("{\"ready\": fal"),
    ];
    let count = wrong.len() as u64;
    for message in wrong {
        fake.say(message);
    }
    let bad = || worker.counts.bad_frames.load(Ordering::Relaxed);
    until("all are counted", || bad() == count).await;
    assert!(worker.is_routable());
    assert_eq!(fake.handshakes(), 1, "the connection stands");
    fake.set(|fake| {
        fake.over =
            json!({"models": 7, "gpu_count": "two", "gpus": [null, {"memory_used_bytes": []}]});
    });
    fake.tell();
    let fields = || worker.counts.bad_fields.load(Ordering::Relaxed);
    until("fields are counted", || fields() >= 4).await;
    assert!(worker.is_routable());
    let facts = worker.facts();
    assert_eq!((facts.gpu_count, &*facts.profile), (1, "l4-spot"));
    assert_eq!(facts.model("baai/bge-m3"), Some(ModelState::Loaded));
}

#[tokio::test]
async fn a_frame_that_says_not_ready_counts_at_once_and_so_does_the_next() {
    let fake = Fake::with(|fake| fake.every = Duration::from_secs(3600)).await;
    let (registry, worker) = one(LONG, &fake).await;
    let mut changes = registry.changes();
    for ready in [false, true] {
        changes.mark_unchanged();
        fake.set(|fake| fake.ready = ready);
        fake.tell();
        changes.changed().await.unwrap();
        assert_eq!(worker.is_routable(), ready);
    }
}

#[tokio::test]
async fn a_silent_worker_is_passed_over_asked_again_and_taken_back() {
    let fake = Fake::with(|fake| fake.every = Duration::from_millis(50)).await;
    let silence = Duration::from_secs(1);
    let (_registry, worker) = one(silence, &fake).await;
    fake.set(|fake| fake.mute = true);
    let start = Instant::now();
    // Pings are no signs of readiness.
    until("it is passed over", || {
        fake.say(Message::Ping("?".into()));
        !worker.is_routable()
    })
    .await;
    let passed = start.elapsed();
    assert!(passed > silence / 2 && passed < silence * 2, "{passed:?}");
    until("it is asked again", || fake.handshakes() > 1).await;
    assert!(!worker.is_routable());
    assert!(fake.pongs() > 0, "pings are answered");
    fake.set(|fake| fake.mute = false);
    until("it is taken back", || worker.is_routable()).await;
}

#[tokio::test]
async fn who_says_much_and_nothing_is_silent() {
    let fake = Fake::start().await;
    let (_registry, worker) = one(Duration::from_millis(500), &fake).await;
    fake.set(|fake| {
        fake.every = Duration::from_millis(1);
        fake.instead = Some(Message::text("[]"));
    });
    until("it is passed over", || !worker.is_routable()).await;
    fake.set(|fake| fake.instead = Some(Message::Ping("?".into())));
    let before = fake.handshakes();
    until("it is asked again", || fake.handshakes() > before).await;
    assert!(!worker.is_routable());
    fake.set(|fake| fake.instead = None);
    until("it is taken back", || worker.is_routable()).await;
}

#[tokio::test]
async fn handshakes_that_fail_are_survived() {
    let refuse = StatusCode::INTERNAL_SERVER_ERROR;
    let fake = Fake::with(|fake| fake.handshake = Some(refuse)).await;
    let registry = registry(LONG);
    let worker = listen(&registry, &[&fake]).remove(0);
    until("it is asked three times", || fake.handshakes() >= 3).await;
    assert!(!worker.is_routable());
    fake.set(|fake| fake.handshake = None);
    until("it is ready", || worker.is_routable()).await;
    // What hangs up is asked again.
    fake.hang_up();
    until("it is passed over", || !worker.is_routable()).await;
    until("it is taken back", || worker.is_routable()).await;
}

#[tokio::test]
async fn a_server_without_frames_is_asked_whether_it_is_there() {
    let avail = json!({"search": ["bm25"], "score": [], "content": ["docs"]});
    let fake = Fake::with(|fake| {
        fake.handshake = Some(StatusCode::FORBIDDEN);
        fake.avail = Some(avail);
    })
    .await;
    let (_registry, worker) = one(LONG, &fake).await;
    let services = [(Role::Search, Arc::from("bm25"))];
    let offer = worker.facts().offer.clone().unwrap();
    assert!(offer.holds(&services, &["docs".into()]));
    assert_eq!(worker.facts().model("any"), None, "it serves no models");
    fake.set(|fake| fake.avail = None);
    until("it is passed over", || !worker.is_routable()).await;
    fake.set(|fake| fake.handshake = None);
    until("its frames are found", || worker.is_routable()).await;
    assert_eq!(
        worker.facts().model("baai/bge-m3"),
        Some(ModelState::Loaded)
    );
    assert!(
        worker.facts().offer.is_none(),
        "a worker of SIE offers nothing"
    );
}

#[tokio::test]
async fn a_worker_that_leaves_is_listened_to_no_more_and_keeps_its_requests() {
    let (one, two) = (Fake::start().await, Fake::start().await);
    let registry = registry(LONG);
    let workers = listen(&registry, &[&one, &two]);
    until("both are ready", || {
        workers.iter().all(|worker| worker.is_routable())
    })
    .await;
    let in_flight = workers[0].begin(&Need::Anything);
    let mut changes = registry.changes();
    changes.mark_unchanged();
    registry.set(Source::Static, [two.url.clone()].into());
    assert!(changes.has_changed().unwrap());
    until("its socket is closed", || one.sockets() == 0).await;
    assert_eq!(registry.workers().len(), 1);
    assert_eq!((workers[0].in_flight(), two.sockets()), (1, 1));
    drop(in_flight);
    assert_eq!(workers[0].in_flight(), 0);
    // Another source may know it still.
    registry.set(
        Source::Kubernetes,
        [one.url.clone(), format!("{}/", two.url)].into(),
    );
    assert_eq!(registry.workers().len(), 2);
    let again = registry.workers();
    let again = again
        .iter()
        .find(|worker| **worker.url() == *one.url)
        .unwrap();
    assert_ne!(again.id(), workers[0].id());
    registry.set(Source::Static, BTreeSet::new());
    assert_eq!(registry.workers().len(), 2);
    until("both are listened to", || {
        one.sockets() + two.sockets() == 2
    })
    .await;
    registry.shutdown();
    until("nobody is", || one.sockets() + two.sockets() == 0).await;
    assert_eq!((one.handshakes(), two.handshakes()), (2, 1));
}

#[tokio::test]
async fn a_worker_that_was_killed_comes_back_and_is_trusted_again() {
    let mut fake = Fake::start().await;
    let (_registry, worker) = one(LONG, &fake).await;
    fake.kill().await;
    until("it is passed over", || !worker.is_routable()).await;
    worker.report(Outcome::ConnectFailed);
    for _ in 0..3 {
        // Time out that doubles would keep it out for long.
        let _trial = worker.begin(&Need::Anything);
        worker.report(Outcome::ConnectFailed);
    }
    assert_ne!(worker.standing(std::time::Instant::now()), Standing::In);
    fake.start_again().await;
    until("it is ready", || worker.is_routable()).await;
    assert_eq!(worker.standing(std::time::Instant::now()), Standing::In);
}

#[tokio::test]
async fn an_offer_is_asked_for_when_it_changes_and_with_the_key() {
    let offer = |name: &str| Some(json!({"search": [name], "server": {"id": "x"}}));
    let frames = |generation: u64| {
        json!({"routir": {
            "generation": generation, "grpc_port": 5001, "server_id": "x", "queue_depth": 3
        }})
    };
    let fake = Fake::with(|fake| {
        fake.every = Duration::from_millis(10);
        fake.over = frames(1);
        fake.avail = offer("a");
    })
    .await;
    let mut key = HeaderValue::from_static("Bearer key");
    key.set_sensitive(true);
    let registry = Registry::with(WorkerSettings {
        dialer: Dialer::plain(LONG),
        silence: LONG,
        authorization: Some(key),
        own: Arc::default(),
    });
    let worker = listen(&registry, &[&fake]).remove(0);
    let offers = |name: &str| {
        let services = [(Role::Search, Arc::from(name))];
        let offer = worker.facts().offer.clone();
        offer.is_some_and(|offer| offer.holds(&services, &[]))
    };
    until("the offer is known", || offers("a")).await;
    let facts = worker.facts();
    assert_eq!(facts.queue_depth, 3);
    assert_eq!(facts.offer.as_ref().unwrap().grpc_port, Some(5001));
    let told = worker.counts.frames.load(Ordering::Relaxed);
    let frames_since = || worker.counts.frames.load(Ordering::Relaxed) - told;
    until("more frames", || frames_since() > 5).await;
    assert_eq!(
        fake.count("/avail"),
        1,
        "the same offer is not asked for again"
    );
    fake.set(|fake| {
        fake.over = frames(2);
        fake.avail = offer("b");
    });
    until("the new offer is known", || offers("b") && !offers("a")).await;
    assert_eq!(fake.count("/avail"), 2);
    assert!(
        fake.seen()
            .iter()
            .all(|seen| seen.headers["authorization"] == "Bearer key")
    );
    // A new process at the address is asked anew.
    fake.set(|fake| fake.avail = offer("c"));
    fake.hang_up();
    until("the offer of the new connection is known", || offers("c")).await;
}

#[tokio::test]
async fn models_are_described_once_for_as_long_as_they_are_the_same() {
    let fake = Fake::with(|fake| fake.every = Duration::from_millis(10)).await;
    let (_registry, worker) = one(LONG, &fake).await;
    until("the model is described", || worker.cards().len() == 1).await;
    assert_eq!(
        worker.cards()["baai/bge-m3"].dims,
        Some(json!({"dense": 4}))
    );
    fake.set(|fake| fake.models.push(("Two".to_owned(), "available")));
    until("both are described", || worker.cards().len() == 2).await;
    assert_eq!(fake.count("/v1/models"), 2);
}

#[tokio::test]
async fn a_large_frame_is_read_and_one_without_end_is_not() {
    let fake = Fake::with(|fake| fake.every = Duration::from_secs(3600)).await;
    let (_registry, worker) = one(LONG, &fake).await;
    fake.set(|fake| {
        fake.models = (0..3000)
            .map(|model| (format!("model-{model}"), "available"))
            .collect();
        fake.over = json!({"counters": "x".repeat(2 << 20)});
    });
    fake.tell();
    until("its models are known", || {
        worker.facts().models.len() == 3000
    })
    .await;
    fake.set(|fake| fake.over = json!({"counters": "x".repeat(9 << 20)}));
    fake.tell();
    until("it is cut off", || !worker.is_routable()).await;
    fake.set(|fake| fake.over = json!(null));
    until("it is taken back", || worker.is_routable()).await;
}
