//! Engines that share what they compute on, such as a GPU, as their callers see them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use parking_lot::Mutex;
use routir_batch::{BatchSettings, Batcher, Flow, Policy};
use routir_core::{BoxFuture, ErrorCode, Load, Metrics, Result};
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{Instant, sleep};

const MS: Duration = Duration::from_millis(1);
/// Longer than any test: what is held back for so long was forgotten.
const FOREVER: Duration = Duration::from_secs(1 << 20);

/// What is shared: how many use it, and how often it fell idle.
struct Toy(watch::Sender<(usize, u64)>);

impl Toy {
    fn new() -> Arc<Self> {
        Arc::new(Self(watch::Sender::new((0, 0))))
    }

    fn enter(self: &Arc<Self>) -> Used {
        self.0.send_modify(|(users, _)| *users += 1);
        Used(Arc::clone(self))
    }
}

impl Load for Toy {
    fn busy(&self) -> Option<BoxFuture<'static, ()>> {
        let mut seen = self.0.subscribe();
        let (users, rests) = *seen.borrow_and_update();
        let rest = async move {
            let _ = seen.wait_for(|(_, now)| *now > rests).await;
        };
        (users > 0).then_some(rest.boxed())
    }
}

struct Used(Arc<Toy>);

impl Drop for Used {
    fn drop(&mut self) {
        self.0.0.send_modify(|(users, rests)| {
            *users -= 1;
            *rests += u64::from(*users == 0);
        });
    }
}

type Batches = Arc<Mutex<Vec<Vec<u32>>>>;

/// An engine that uses `toy` for 10 ms a batch, and writes down its batches.
fn engine(toys: &[&Arc<Toy>], max_wait: Duration) -> (Arc<Batcher<u32, u32>>, Batches) {
    let batches = Batches::default();
    let seen = Arc::clone(&batches);
    let own: Vec<Arc<Toy>> = toys.iter().map(|toy| Arc::clone(toy)).collect();
    let loads = own.iter().map(|toy| Arc::clone(toy) as Arc<dyn Load>);
    let loads: Vec<_> = loads.collect();
    let run = move |batch: Vec<u32>| -> BoxFuture<'static, Vec<Result<u32>>> {
        seen.lock().push(batch.clone());
        let used: Vec<Used> = own.iter().map(Toy::enter).collect();
        async move {
            sleep(MS * 10).await;
            drop(used);
            batch.into_iter().map(Ok).collect()
        }
        .boxed()
    };
    let settings = BatchSettings {
        name: "toy".into(),
        policy: Policy {
            max_requests: 4,
            max_tokens: None,
            max_wait,
        },
        capacity: 1000,
        concurrency: 1,
    };
    let metrics = Metrics::default().queue("toy", "search");
    let batcher = Batcher::sharing(loads, settings, metrics, run);
    (Arc::new(batcher), batches)
}

fn ask(batcher: &Arc<Batcher<u32, u32>>, n: u32) -> JoinHandle<Result<Duration>> {
    let answer = batcher.submit(Flow::default(), n, 1);
    tokio::spawn(async move {
        let (value, stats) = answer.await?;
        assert_eq!(value, n);
        Ok(stats.queued)
    })
}

/// Until so many wait.
async fn waiting(batcher: &Batcher<u32, u32>, count: usize) {
    while batcher.depth() != count {
        yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_while_others_work_leaves_together_when_they_end() {
    let toy = Toy::new();
    let (batcher, batches) = engine(&[&toy], FOREVER);
    // Idle: nothing is held back.
    assert_eq!(ask(&batcher, 0).await.unwrap().unwrap(), Duration::ZERO);
    let (one, other) = (toy.enter(), toy.enter());
    let asked: Vec<_> = (1..4).map(|n| ask(&batcher, n)).collect();
    waiting(&batcher, 3).await;
    drop(one);
    sleep(MS * 500).await;
    assert_eq!(batcher.depth(), 3);
    drop(other);
    // Somebody is quicker, and it does not matter.
    let _again = toy.enter();
    for answer in asked {
        assert_eq!(answer.await.unwrap().unwrap(), MS * 500);
    }
    assert_eq!(*batches.lock(), [vec![0], vec![1, 2, 3]]);
}

#[tokio::test(start_paused = true)]
async fn others_hold_nothing_back_for_longer_than_max_wait_nor_a_full_batch_at_all() {
    let toy = Toy::new();
    let (batcher, batches) = engine(&[&toy], MS * 20);
    let _others = toy.enter();
    let asked: Vec<_> = (0..6).map(|n| ask(&batcher, n)).collect();
    let mut queued = Vec::new();
    for answer in asked {
        queued.push(answer.await.unwrap().unwrap());
    }
    assert_eq!(*batches.lock(), [vec![0, 1, 2, 3], vec![4, 5]]);
    assert_eq!(queued[..4], [Duration::ZERO; 4]);
    assert_eq!(queued[4..], [MS * 20; 2]);
    let (impatient, batches) = engine(&[&toy], Duration::ZERO);
    let started = Instant::now();
    ask(&impatient, 1).await.unwrap().unwrap();
    assert_eq!((started.elapsed(), batches.lock().len()), (MS * 10, 1));
}

#[tokio::test(start_paused = true)]
async fn two_engines_take_turns_and_gather_meanwhile() {
    let toy = Toy::new();
    let (one, of_one) = engine(&[&toy], FOREVER);
    let (other, of_other) = engine(&[&toy], FOREVER);
    let mut asked = vec![ask(&one, 0)];
    while of_one.lock().is_empty() {
        yield_now().await;
    }
    asked.extend((1..4).map(|n| ask(&other, n)));
    asked.extend((4..6).map(|n| ask(&one, n)));
    waiting(&other, 3).await;
    waiting(&one, 2).await;
    for answer in asked {
        answer.await.unwrap().unwrap();
    }
    assert_eq!(*of_one.lock(), [vec![0], vec![4, 5]]);
    assert_eq!(*of_other.lock(), [vec![1, 2, 3]]);
}

#[tokio::test(start_paused = true)]
async fn an_engine_on_several_waits_until_each_has_fallen_idle() {
    let toys = [Toy::new(), Toy::new()];
    let (batcher, batches) = engine(&[&toys[0], &toys[1]], FOREVER);
    let used = toys.each_ref().map(Toy::enter);
    let answer = ask(&batcher, 1);
    waiting(&batcher, 1).await;
    let [first, second] = used;
    drop(first);
    let _again = toys[0].enter();
    sleep(MS).await;
    assert!(batches.lock().is_empty());
    drop(second);
    assert_eq!(answer.await.unwrap().unwrap(), MS);
}

#[tokio::test(start_paused = true)]
async fn who_leaves_or_is_stopped_while_others_work_leaves_nothing_behind() {
    let toy = Toy::new();
    let (batcher, batches) = engine(&[&toy], FOREVER);
    let used = toy.enter();
    let first = ask(&batcher, 1);
    waiting(&batcher, 1).await;
    first.abort();
    waiting(&batcher, 0).await;
    drop(used);
    // That it fell idle for the first one does not count for the next.
    let used = toy.enter();
    let second = ask(&batcher, 2);
    waiting(&batcher, 1).await;
    sleep(MS).await;
    assert!(batches.lock().is_empty());
    drop(batcher);
    let told = second.await.unwrap().unwrap_err();
    assert_eq!(told.code(), ErrorCode::Unavailable);
    drop(used);
    sleep(MS).await;
    assert!(batches.lock().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_end_of_others_work_is_missed() {
    let toy = Toy::new();
    let (batcher, _) = engine(&[&toy], FOREVER);
    let (ended, mut end) = oneshot::channel::<()>();
    let others = Arc::clone(&toy);
    // Uses it again and again, and lets go for a moment only.
    let busy = tokio::spawn(async move {
        while end.try_recv() == Err(oneshot::error::TryRecvError::Empty) {
            let _used = others.enter();
            yield_now().await;
        }
    });
    let answered = Arc::new(AtomicUsize::new(0));
    let callers = (0..16_u32).map(|caller| {
        let (batcher, answered) = (Arc::clone(&batcher), Arc::clone(&answered));
        tokio::spawn(async move {
            for call in 0..25 {
                let answer = ask(&batcher, caller * 100 + call);
                // Some leave.
                if (caller + call) % 5 == 0 {
                    yield_now().await;
                    answer.abort();
                } else {
                    answer.await.unwrap().unwrap();
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            }
        })
    });
    for caller in join_all(callers).await {
        caller.unwrap();
    }
    assert_eq!(answered.load(Ordering::Relaxed), 16 * 20);
    ended.send(()).unwrap();
    busy.await.unwrap();
}
