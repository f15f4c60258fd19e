//! The queue before a model that services share, with a model that can be held up and tells what it
//! was asked.
#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, and helpers are not seen as tests"
)]

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use routir_compute::{Compute, ComputeSettings, Model, Tokens};
use routir_core::{Error, ErrorCode, Metrics, Quotas, RequestContext, Result, Tenant};
use routir_engines::{ModelQueue, ModelSettings, SharedModels};
use tokio::task::JoinHandle;

/// The most tokens of one call of the model.
const CALL_TOKENS: usize = 8;

/// Answers the sum of a text's ids; one that holds 13 fails. Held up while closed.
#[derive(Default)]
struct Sums {
    /// The first ids of the texts of each call.
    calls: Mutex<Vec<Vec<u32>>>,
    closed: Mutex<bool>,
    opened: Condvar,
    cancelled: AtomicBool,
}

impl Sums {
    fn set(&self, closed: bool) {
        *self.closed.lock().unwrap() = closed;
        self.opened.notify_all();
    }

    fn calls(&self) -> Vec<Vec<u32>> {
        self.calls.lock().unwrap().clone()
    }
}

impl Model for Sums {
    type Output = u32;

    fn name(&self) -> &str {
        "sums"
    }

    fn max_batch_tokens(&self) -> usize {
        CALL_TOKENS
    }

    fn run(&self, texts: &[Tokens], cancelled: &AtomicBool) -> Vec<Result<u32>> {
        let firsts = texts.iter().map(|text| text.ids.first().copied());
        self.calls.lock().unwrap().push(firsts.flatten().collect());
        let mut closed = self.closed.lock().unwrap();
        while *closed {
            let wait = Duration::from_millis(1);
            closed = self.opened.wait_timeout(closed, wait).unwrap().0;
            if cancelled.load(Ordering::Relaxed) {
                self.cancelled.store(true, Ordering::Relaxed);
                break;
            }
        }
        let answer = |text: &Tokens| match text.ids.contains(&13) {
            true => Err(Error::engine("13 brings bad luck")),
            false => Ok(text.ids.iter().sum()),
        };
        texts.iter().map(answer).collect()
    }
}

fn text(ids: &[u32]) -> Tokens {
    Tokens {
        ids: ids.into(),
        ..Tokens::default()
    }
}

/// Texts of one token each.
fn texts(ids: impl IntoIterator<Item = u32>) -> Vec<Tokens> {
    ids.into_iter().map(|id| text(&[id])).collect()
}

fn shared(capacity: usize) -> (SharedModels, Metrics) {
    let settings = ModelSettings {
        capacity,
        threads: 1,
        max_wait: Duration::ZERO,
    };
    let metrics = Metrics::default();
    let compute = Compute::new(ComputeSettings::default());
    (
        SharedModels::new(compute, settings, metrics.clone()),
        metrics,
    )
}

fn tenant(name: &str) -> RequestContext {
    let tenant = Tenant {
        name: Arc::from(name),
        weight: NonZeroU32::MIN,
        quotas: Quotas {
            concurrent_calls: 100,
            memory_bytes: 1 << 20,
            cpu_ms_per_s: 1000,
            host_calls_per_s: 100,
            extensions: 1,
        },
        services: Vec::new(),
        collections: Vec::new(),
    };
    RequestContext {
        tenant: Some(Arc::new(tenant)),
        ..RequestContext::default()
    }
}

type Asked = JoinHandle<Result<Vec<u32>>>;

fn ask(queue: &ModelQueue<Sums>, context: &RequestContext, texts: Vec<Tokens>) -> Asked {
    tokio::spawn(queue.run(context, texts))
}

/// Waits until `done`, which something that is under way makes true.
async fn until(done: impl Fn() -> bool) {
    while !done() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Holds the model up with a text 1, behind which everything else has to wait.
async fn hold(model: &Sums, queue: &ModelQueue<Sums>) -> Asked {
    model.set(true);
    let before = model.calls().len();
    let first = ask(queue, &RequestContext::default(), texts([1]));
    until(|| model.calls().len() > before).await;
    first
}

fn waiting(metrics: &Metrics) -> usize {
    let text = metrics.encode();
    let line = text
        .lines()
        .find(|line| line.starts_with("routir_queue_depth{"));
    line.and_then(|line| line.split_whitespace().last()?.parse().ok())
        .unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_that_share_a_model_fill_its_calls_together() {
    let (shared, metrics) = shared(100);
    let model = Arc::new(Sums::default());
    let services: Vec<_> = (0..3).map(|_| shared.queue(Arc::clone(&model))).collect();
    assert!(services.iter().all(|it| Arc::ptr_eq(it, &services[0])));
    let other = shared.queue(Arc::new(Sums::default()));
    assert!(!Arc::ptr_eq(&other, &services[0]));

    let first = hold(&model, &services[0]).await;
    let operator = RequestContext::default();
    let asked: Vec<_> = (2..8)
        .map(|id| ask(&services[id as usize % 3], &operator, texts([id])))
        .collect();
    until(|| waiting(&metrics) == 6).await;
    model.set(false);
    for (id, asked) in (2..).zip(asked) {
        assert_eq!(asked.await.unwrap().unwrap(), [id]);
    }
    assert_eq!(first.await.unwrap().unwrap(), [1]);
    let calls = model.calls();
    assert_eq!(calls.len(), 2, "{calls:?}");
    assert_eq!(calls[1].len(), 6, "{calls:?}");
    let counted = r#"routir_batch_size_sum{service="model:sums",role="model"} 7.0"#;
    assert!(metrics.encode().contains(counted), "{}", metrics.encode());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_come_in_the_order_of_the_texts_in_however_small_a_queue() {
    let (shared, _) = shared(2);
    let queue = shared.queue(Arc::new(Sums::default()));
    let lengths = (0..500).map(|n| text(&vec![1; n * 7 % 23]));
    let answers = queue
        .run(&RequestContext::default(), lengths.collect())
        .await
        .unwrap();
    let expected: Vec<u32> = (0..500).map(|n| n * 7 % 23).collect();
    assert_eq!(answers, expected);
    assert!(
        queue
            .run(&RequestContext::default(), Vec::new())
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_one_tenant_does_not_keep_another_waiting() {
    let (shared, metrics) = shared(100);
    let model = Arc::new(Sums::default());
    let queue = shared.queue(Arc::clone(&model));
    let first = hold(&model, &queue).await;
    let flood = ask(&queue, &tenant("loud"), texts((0..1000).map(|_| 5)));
    until(|| waiting(&metrics) > 0).await;
    let before = waiting(&metrics);
    let quiet = ask(&queue, &tenant("quiet"), texts([99]));
    until(|| waiting(&metrics) > before).await;
    model.set(false);
    assert_eq!(quiet.await.unwrap().unwrap(), [99]);
    assert_eq!(flood.await.unwrap().unwrap().len(), 1000);
    first.await.unwrap().unwrap();
    let calls = model.calls();
    let at = calls.iter().position(|call| call.contains(&99)).unwrap();
    assert!(
        at <= 2,
        "the quiet tenant was served by call {at} of {}",
        calls.len()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_request_lets_short_ones_of_the_same_caller_in_between() {
    let (shared, metrics) = shared(100);
    let model = Arc::new(Sums::default());
    let queue = shared.queue(Arc::clone(&model));
    let operator = RequestContext::default();
    let first = hold(&model, &queue).await;
    let long = ask(&queue, &operator, texts((0..1000).map(|_| 5)));
    until(|| waiting(&metrics) >= 8).await;
    let short = ask(&queue, &operator, texts([99]));
    until(|| waiting(&metrics) >= 9).await;
    model.set(false);
    short.await.unwrap().unwrap();
    assert_eq!(long.await.unwrap().unwrap().len(), 1000);
    first.await.unwrap().unwrap();
    let calls = model.calls();
    let at = calls.iter().position(|call| call.contains(&99)).unwrap();
    assert!(
        at <= 3,
        "the short request was served by call {at} of {}",
        calls.len()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_is_not_computed_for() {
    let (shared, metrics) = shared(100);
    let model = Arc::new(Sums::default());
    let queue = shared.queue(Arc::clone(&model));
    let first = hold(&model, &queue).await;
    let gone = ask(&queue, &RequestContext::default(), texts([7; 20]));
    until(|| waiting(&metrics) > 0).await;
    gone.abort();
    until(|| waiting(&metrics) == 0).await;
    let stays = ask(&queue, &RequestContext::default(), texts([3]));
    until(|| waiting(&metrics) == 1).await;
    model.set(false);
    assert_eq!(stays.await.unwrap().unwrap(), [3]);
    first.await.unwrap().unwrap();
    assert_eq!(model.calls(), [vec![1], vec![3]]);

    let running = hold(&model, &queue).await;
    running.abort();
    until(|| model.cancelled.load(Ordering::Relaxed)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_that_fails_fails_its_own_request_alone() {
    let (shared, metrics) = shared(100);
    let model = Arc::new(Sums::default());
    let queue = shared.queue(Arc::clone(&model));
    let first = hold(&model, &queue).await;
    let bad = ask(&queue, &RequestContext::default(), texts([2, 13]));
    let good = ask(&queue, &RequestContext::default(), texts([3, 4]));
    until(|| waiting(&metrics) == 2).await;
    model.set(false);
    let error = bad.await.unwrap().unwrap_err();
    assert_eq!(error.message(), "13 brings bad luck");
    assert_eq!(good.await.unwrap().unwrap(), [3, 4]);
    first.await.unwrap().unwrap();
    assert_eq!(model.calls().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_that_passes_ends_the_wait() {
    let (shared, metrics) = shared(100);
    let model = Arc::new(Sums::default());
    let queue = shared.queue(Arc::clone(&model));
    let first = hold(&model, &queue).await;
    let context = RequestContext {
        deadline: Some(Instant::now()),
        ..RequestContext::default()
    };
    let error = queue.run(&context, texts([2])).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::DeadlineExceeded);
    assert_eq!(waiting(&metrics), 0);
    model.set(false);
    first.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_refuses_at_once() {
    let (shared, metrics) = shared(1);
    let model = Arc::new(Sums::default());
    let queue = shared.queue(Arc::clone(&model));
    let first = hold(&model, &queue).await;
    let second = ask(&queue, &RequestContext::default(), texts([2]));
    until(|| waiting(&metrics) == 1).await;
    let error = queue
        .run(&RequestContext::default(), texts([3]))
        .await
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::Overloaded);
    assert!(error.retry_after().is_some());
    model.set(false);
    first.await.unwrap().unwrap();
    second.await.unwrap().unwrap();
}
