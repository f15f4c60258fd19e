//! The scheduler with futures that take the processor for measured turns.

use std::future::poll_fn;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use routir_core::{Quotas, Tenant};
use rustix::time::{ClockId, clock_gettime};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::*;

const LONG: Duration = Duration::from_secs(60);

fn scheduler(threads: usize) -> Arc<Scheduler> {
    Scheduler::new(threads, || ()).unwrap()
}

fn account(weight: u32, cpu_ms_per_s: u32) -> Arc<Account> {
    Account::new(&Tenant {
        name: "t".into(),
        weight: NonZeroU32::new(weight).unwrap(),
        quotas: Quotas {
            concurrent_calls: 1,
            memory_bytes: 0,
            cpu_ms_per_s,
            host_calls_per_s: 0,
            extensions: 0,
        },
        services: vec![],
        collections: vec![],
    })
}

fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Takes the processor for `turn`.
fn burn(turn: Duration) {
    let end = cpu() + turn;
    while cpu() < end {}
}

/// Comes back as a guest does at a tick.
async fn tick() {
    let mut came_back = false;
    poll_fn(|context| {
        if came_back {
            return Poll::Ready(());
        }
        came_back = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

async fn hog(turns: Arc<AtomicUsize>) {
    loop {
        burn(TICK);
        turns.fetch_add(1, Ordering::SeqCst);
        tick().await;
    }
}

/// Says when it is dropped.
struct Dropped(Arc<AtomicBool>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn tattle() -> (Arc<AtomicBool>, Dropped) {
    let gone = Arc::new(AtomicBool::new(false));
    (Arc::clone(&gone), Dropped(gone))
}

async fn soon(what: impl Fn() -> bool) {
    let wait = async {
        while !what() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(LONG, wait).await.expect("it did not come about");
}

#[tokio::test(flavor = "multi_thread")]
async fn short_work_is_done_where_it_is_awaited() {
    let scheduler = scheduler(1);
    let here = thread::current().id();
    let run = scheduler.run(Account::operator(), LONG, async { thread::current().id() });
    assert_eq!(run.await, Ok(here));
}

#[tokio::test(flavor = "multi_thread")]
async fn long_work_moves_to_threads_of_its_own_with_the_runtime() {
    let scheduler = scheduler(1);
    let run = scheduler.run(Account::operator(), LONG, async {
        tick().await;
        let name = thread::current().name().map(str::to_owned);
        sleep(Duration::from_millis(2)).await;
        let answer = tokio::spawn(async { 7 }).await.unwrap();
        (name, answer)
    });
    assert_eq!(run.await, Ok((Some("guest".to_owned()), 7)));
}

#[tokio::test(flavor = "multi_thread")]
async fn processor_time_follows_weights() {
    let scheduler = scheduler(1);
    let accounts = [account(1, u32::MAX), account(3, u32::MAX)];
    let turns = Arc::new(AtomicUsize::new(0));
    let mut calls = Vec::new();
    for account in accounts.iter().cycle().take(8) {
        let work = hog(Arc::clone(&turns));
        calls.push(tokio::spawn(scheduler.run(Arc::clone(account), LONG, work)));
    }
    soon(|| turns.load(Ordering::SeqCst) > 400).await;
    calls.iter().for_each(|call| call.abort());
    let [light, heavy] = accounts.map(|account| account.cpu_used().as_secs_f64());
    assert!(
        (2.0..4.5).contains(&(heavy / light)),
        "{light} s and {heavy} s"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_light_user_waits_for_few_turns_of_a_crowd() {
    let scheduler = scheduler(1);
    let (crowd, light) = (account(1, u32::MAX), account(1, u32::MAX));
    let turns = Arc::new(AtomicUsize::new(0));
    let hogs: Vec<_> = (0..50)
        .map(|_| scheduler.run(Arc::clone(&crowd), LONG, hog(Arc::clone(&turns))))
        .map(tokio::spawn)
        .collect();
    soon(|| turns.load(Ordering::SeqCst) > 100).await;
    let before = turns.load(Ordering::SeqCst);
    for _ in 0..20 {
        let work = async {
            for _ in 0..4 {
                burn(TICK / 10);
                tick().await;
            }
        };
        scheduler.run(Arc::clone(&light), LONG, work).await.unwrap();
    }
    let waited = turns.load(Ordering::SeqCst) - before;
    hogs.iter().for_each(JoinHandle::abort);
    // 80 turns, each of which may find one of the crowd's being had; in one queue for all, each
    // would wait for 50.
    assert!(waited < 800, "{waited}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_over_its_processor_time_per_second_waits() {
    let scheduler = scheduler(2);
    let account = account(1, 100);
    let turns = Arc::new(AtomicUsize::new(0));
    let start = Instant::now();
    let calls: Vec<_> = (0..3)
        .map(|_| scheduler.run(Arc::clone(&account), LONG, hog(Arc::clone(&turns))))
        .map(tokio::spawn)
        .collect();
    soon(|| account.cpu_used() > Duration::from_millis(140)).await;
    let most = 0.1 + 0.1 * start.elapsed().as_secs_f64() + 0.02;
    assert!(account.cpu_used().as_secs_f64() < most);
    assert!(start.elapsed() > Duration::from_millis(200));

    calls.iter().for_each(JoinHandle::abort);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_waits_for_its_turn_can_be_given_up() {
    let scheduler = scheduler(1);
    let account = account(1, 10);
    let debt = scheduler.run(Arc::clone(&account), LONG, async {
        burn(Duration::from_millis(200));
    });
    debt.await.unwrap();
    let (gone, dropped) = tattle();
    let waiting = scheduler.run(account, LONG, async move { drop(dropped) });
    let given_up = timeout(Duration::from_millis(20), waiting).await;
    assert!(given_up.is_err());
    assert!(gone.load(Ordering::SeqCst));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_ends_at_its_limit_of_processor_time() {
    let scheduler = scheduler(1);
    let turns = Arc::new(AtomicUsize::new(0));
    let limit = Duration::from_millis(20);
    let run = scheduler.run(Account::operator(), limit, hog(turns));
    let Err(Stopped::CpuLimit { used }) = run.await else {
        panic!("it was not stopped");
    };
    assert!(
        (limit..limit + Duration::from_millis(20)).contains(&used),
        "{used:?}"
    );
    // Waiting costs nothing.
    let run = scheduler.run(Account::operator(), limit, sleep(2 * limit));
    assert_eq!(run.await, Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_ends_its_call_and_no_thread() {
    let scheduler = scheduler(1);
    for late in [false, true, false, true] {
        let (gone, dropped) = tattle();
        let run = scheduler.run(Account::operator(), LONG, async move {
            let _dropped = dropped;
            if late {
                tick().await;
            }
            panic!("oh no");
        });
        let ended: Result<(), _> = run.await;
        assert_eq!(ended, Err(Stopped::Panicked("oh no".to_owned())));
        assert!(gone.load(Ordering::SeqCst));
    }
    assert_eq!(
        scheduler.run(Account::operator(), LONG, tick()).await,
        Ok(())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_a_call_drops_its_work() {
    let scheduler = scheduler(1);
    // Never polled.
    let (gone, dropped) = tattle();
    drop(scheduler.run(Account::operator(), LONG, async move { drop(dropped) }));
    assert!(gone.load(Ordering::SeqCst));
    // Waiting for the host.
    let (gone, dropped) = tattle();
    let waiting = scheduler.run(Account::operator(), LONG, async move {
        let _dropped = dropped;
        std::future::pending::<()>().await;
    });
    assert!(timeout(Duration::from_millis(5), waiting).await.is_err());
    assert!(gone.load(Ordering::SeqCst));
    // Having its turn.
    let (gone, dropped) = tattle();
    let turns = Arc::new(AtomicUsize::new(0));
    let work = hog(Arc::clone(&turns));
    let running = scheduler.run(Account::operator(), LONG, async move {
        let _dropped = dropped;
        work.await;
    });
    assert!(timeout(Duration::from_millis(20), running).await.is_err());
    soon(|| gone.load(Ordering::SeqCst)).await;
    let after = turns.load(Ordering::SeqCst);
    sleep(Duration::from_millis(10)).await;
    assert_eq!(turns.load(Ordering::SeqCst), after);
}

/// One guest's host call runs another guest, on the only thread there is.
#[tokio::test]
async fn calls_nest() {
    fn nested(
        scheduler: Arc<Scheduler>,
        depth: usize,
    ) -> Pin<Box<dyn Future<Output = usize> + Send>> {
        Box::pin(async move {
            tick().await;
            if depth == 0 {
                return 0;
            }
            let work = nested(Arc::clone(&scheduler), depth - 1);
            let inner = scheduler.run(Account::operator(), LONG, work).await;
            tick().await;
            inner.unwrap() + 1
        })
    }
    let scheduler = scheduler(1);
    let work = nested(Arc::clone(&scheduler), 20);
    assert_eq!(
        scheduler.run(account(1, u32::MAX), LONG, work).await,
        Ok(20)
    );
}

/// Thousands of calls that are woken by themselves, timers, other tasks and other threads.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_wake_up_is_lost() {
    let scheduler = scheduler(3);
    let accounts = [
        account(1, u32::MAX),
        account(7, u32::MAX),
        account(1, 2_000),
    ];
    let (ask, asked) = std::sync::mpsc::channel::<oneshot::Sender<()>>();
    let answering = thread::spawn(move || {
        for answer in asked {
            let _ = answer.send(());
        }
    });
    let calls: Vec<_> = (0..3_000)
        .map(|i: usize| {
            let ask = ask.clone();
            let work = async move {
                for round in 0..20 {
                    match (i + round) % 4 {
                        0 => tick().await,
                        1 => {
                            let (answer, answered) = oneshot::channel();
                            ask.send(answer).unwrap();
                            answered.await.unwrap();
                        }
                        2 => tokio::task::yield_now().await,
                        _ => tokio::spawn(async {}).await.unwrap(),
                    }
                }
                i
            };
            tokio::spawn(scheduler.run(Arc::clone(&accounts[i % 3]), LONG, work))
        })
        .collect();
    drop(ask);
    for (i, call) in calls.into_iter().enumerate() {
        let ended = timeout(LONG, call).await.expect("lost").unwrap();
        assert_eq!(ended, Ok(i));
    }
    answering.join().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn threads_end_with_the_scheduler() {
    let scheduler = scheduler(2);
    let calls = (0..4).map(|_| scheduler.run(Account::operator(), LONG, tick()));
    for ended in futures_util::future::join_all(calls).await {
        ended.unwrap();
    }
    let shared = Arc::downgrade(&scheduler.shared);
    drop(scheduler);
    soon(|| shared.upgrade().is_none()).await;
}
