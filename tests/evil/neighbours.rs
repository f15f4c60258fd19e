//! A quiet tenant beside one who takes whatever he can get.

use std::fs;
use std::num::NonZeroU32;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use routir_config::{ExtensionGrants, ExtensionLimits};
use routir_core::{Quotas, RequestContext, Roles, Tenant};

use crate::house::{House, call, context, fuse, limits, search, short};
use crate::wrap;

fn tenant(name: &str) -> Arc<Tenant> {
    Arc::new(Tenant {
        name: Arc::from(name),
        weight: NonZeroU32::MIN,
        quotas: Quotas {
            concurrent_calls: 64,
            memory_bytes: 512 << 20,
            cpu_ms_per_s: 64_000,
            host_calls_per_s: 100_000,
            extensions: 20,
        },
        services: Vec::new(),
        collections: Vec::new(),
    })
}

/// A fusion that works for about a millisecond.
fn work() -> Vec<u8> {
    let text = wrap::text("slow_drip").replace("30000000", "1000000");
    wrap::component_of(&text)
}

/// Callers that call one after another until they are told to stop.
struct Callers {
    on: Arc<AtomicBool>,
    answers: Arc<AtomicUsize>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Callers {
    fn start(many: usize, roles: &Roles, tenant: &Arc<Tenant>) -> Self {
        let on = Arc::new(AtomicBool::new(true));
        let answers = Arc::new(AtomicUsize::new(0));
        let context: Arc<RequestContext> = context(Some(tenant));
        let one = || {
            let (roles, context) = (roles.clone(), Arc::clone(&context));
            let (on, answers) = (Arc::clone(&on), Arc::clone(&answers));
            tokio::spawn(async move {
                while on.load(Ordering::Relaxed) {
                    if call(&roles, Arc::clone(&context)).await.is_ok() {
                        answers.fetch_add(1, Ordering::Relaxed);
                    } else {
                        tokio::task::yield_now().await;
                    }
                }
            })
        };
        let tasks = std::iter::repeat_with(one).take(many).collect();
        Self { on, answers, tasks }
    }

    async fn stop(self) -> usize {
        let answers = self.answers.load(Ordering::Relaxed);
        self.on.store(false, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
        answers
    }
}

fn house() -> House {
    House::with(|settings| settings.instances = 64)
}

/// The same work from both, by four callers and by thirty-two: who has more callers gets no more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_callers_get_no_more_than_their_tenants_share() {
    let house = house();
    let roles = house.roles(work(), &generous()).await.unwrap();
    let (quiet, noisy) = (tenant("quiet"), tenant("noisy"));
    let few = Callers::start(4, &roles, &quiet);
    let many = Callers::start(32, &roles, &noisy);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (few, many) = tokio::join!(few.stop(), many.stop());
    eprintln!("answers: 4 callers {few}, 32 callers {many}");
    let share = few as f64 / (few + many) as f64;
    assert!(share > 0.3, "{share:.2} of the answers at equal weights");
}

/// How much a quiet tenant gets done beside `evil`, against alone, both for each second of
/// processor time that the sandbox had: the machine has other things to do.
async fn beside(evil: &str, limits: &ExtensionLimits) {
    let house = house();
    let work = house.roles(work(), &generous()).await.unwrap();
    let evil = house.roles(wrap::asleep(evil), limits).await.unwrap();
    let (quiet, noisy) = (tenant("quiet"), tenant("noisy"));
    let cpu = || {
        let both = [&quiet, &noisy].map(|tenant| house.sandbox.account(Some(tenant)).cpu_used());
        both.iter().sum::<Duration>().as_secs_f64()
    };
    let (mut alone, mut together) = ((0, 0.0), (0, 0.0));
    for _ in 0..4 {
        let before = cpu();
        let callers = Callers::start(4, &work, &quiet);
        tokio::time::sleep(Duration::from_millis(250)).await;
        alone = (alone.0 + callers.stop().await, alone.1 + cpu() - before);

        let noise = Callers::start(8, &evil, &noisy);
        tokio::time::sleep(Duration::from_millis(50)).await;
        let before = cpu();
        let callers = Callers::start(4, &work, &quiet);
        tokio::time::sleep(Duration::from_millis(500)).await;
        together = (
            together.0 + callers.stop().await,
            together.1 + cpu() - before,
        );
        noise.stop().await;
    }
    let ratio = (together.0 as f64 / together.1) / (alone.0 as f64 / alone.1);
    eprintln!(
        "alone {} answers in {:.2} s, beside the noise {} in {:.2} s: {ratio:.2}",
        alone.0, alone.1, together.0, together.1
    );
    assert!(ratio > 0.25, "{ratio:.2} of what it gets done alone");
    house.holds_nothing(Some(&noisy)).await;
    house.holds_nothing(Some(&quiet)).await;
}

fn generous() -> ExtensionLimits {
    ExtensionLimits {
        cpu_ms: 10_000,
        time_ms: 30_000,
        ..ExtensionLimits::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_one_who_spins() {
    beside("spin_fuse", &limits()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_one_who_drips() {
    beside("slow_drip", &generous()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_one_who_takes_memory() {
    beside("memory_touch", &generous()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_one_who_fills_memory() {
    beside("bulk_fill", &limits()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_one_who_traps() {
    beside("trap", &limits()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_one_who_never_stops_logging() {
    beside("log_flood", &limits()).await;
}

/// A lone call waits for a tick or two of the other's, not for all of his calls.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lone_call_beside_many_that_spin() {
    let house = house();
    let good = house.roles(wrap::evil("good"), &generous()).await.unwrap();
    let evil = house
        .roles(wrap::asleep("spin_fuse"), &limits())
        .await
        .unwrap();
    let (quiet, noisy) = (tenant("quiet"), tenant("noisy"));
    let noise = Callers::start(32, &evil, &noisy);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut waits = Vec::new();
    for _ in 0..21 {
        let since = Instant::now();
        fuse(&good, context(Some(&quiet))).await.unwrap();
        waits.push(since.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    noise.stop().await;
    waits.sort();
    eprintln!(
        "a lone call: median {:?}, longest {:?}",
        waits[10], waits[20]
    );
    // 32 calls of 100 ms each would be 3.2 s.
    assert!(waits[10] < Duration::from_millis(500), "{:?}", waits[10]);
}

/// Calls that wait for the host cost nothing but instances, so instances must be shared too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_one_who_holds_instances() {
    let house = House::with(|settings| settings.instances = 8);
    let good = house.roles(wrap::evil("good"), &generous()).await.unwrap();
    let mut patient = generous();
    patient.time_ms = 60_000;
    let evil = house
        .roles(wrap::evil("memory_hold"), &patient)
        .await
        .unwrap();
    let (quiet, noisy) = (tenant("quiet"), tenant("noisy"));
    let holders: Vec<_> = (0..40)
        .map(|_| {
            let (evil, context) = (evil.clone(), context(Some(&noisy)));
            tokio::spawn(async move { search(&evil, context, "q").await })
        })
        .collect();
    while house.runtime.waiting.load(Ordering::SeqCst) < 5 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for _ in 0..5 {
        let call = fuse(&good, context(Some(&quiet)));
        let answer = tokio::time::timeout(Duration::from_secs(10), call).await;
        answer.expect("an instance within ten seconds").unwrap();
    }
    for holder in holders {
        holder.abort();
        let _ = holder.await;
    }
    house.holds_nothing(Some(&noisy)).await;
}

/// A tenant's guests together stay within its memory, however many calls it makes at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenants_memory_bounds_its_calls_together() {
    let house = House::with(|settings| settings.instances = 64);
    let mut small = Arc::unwrap_or_clone(tenant("small"));
    small.quotas.memory_bytes = 32 << 20;
    let small = Arc::new(small);
    let roles = house
        .roles(wrap::evil("memory_hold"), &short())
        .await
        .unwrap();
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let (roles, context) = (roles.clone(), context(Some(&small)));
            tokio::spawn(async move { search(&roles, context, "q").await })
        })
        .collect();
    let account = house.sandbox.account(Some(&small));
    let mut most = 0;
    while !calls.iter().all(tokio::task::JoinHandle::is_finished) {
        most = most.max(account.memory());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert!(most > 0);
    assert!(most <= 32 << 20, "{most}");
    house.holds_nothing(Some(&small)).await;
}

/// What the host holds for a waiting guest is its tenant's memory too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_host_holds_for_guests_is_on_their_account() {
    const EACH: usize = 6 << 20;
    let house = house();
    let mut small = Arc::unwrap_or_clone(tenant("small"));
    small.quotas.memory_bytes = 40 << 20;
    let small = Arc::new(small);
    let roles = house.roles(wrap::evil("host_hold"), &short()).await;
    let roles = roles.unwrap();
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let (roles, context) = (roles.clone(), context(Some(&small)));
            tokio::spawn(async move { search(&roles, context, "q").await })
        })
        .collect();
    let account = house.sandbox.account(Some(&small));
    let (mut most_memory, mut most_waiting) = (0, 0);
    while !calls.iter().all(tokio::task::JoinHandle::is_finished) {
        most_memory = most_memory.max(account.memory());
        most_waiting = most_waiting.max(house.runtime.waiting.load(Ordering::SeqCst));
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert!((EACH..=40 << 20).contains(&most_memory), "{most_memory}");
    assert!(
        (1..=6).contains(&most_waiting),
        "{most_waiting} calls held {EACH} bytes each"
    );
    house.holds_nothing(Some(&small)).await;
}

/// Runs [`storm`] in a process of its own, whose memory nobody else uses.
#[test]
fn memory_returns_after_a_storm() {
    let run = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", "neighbours::storm"])
        .output()
        .unwrap();
    let said =
        String::from_utf8_lossy(&run.stdout).into_owned() + &String::from_utf8_lossy(&run.stderr);
    eprintln!("{said}");
    assert!(run.status.success(), "{said}");
    assert!(said.contains("1 passed"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by `memory_returns_after_a_storm` in a process of its own"]
async fn storm() {
    let house = House::with(|settings| settings.instances = 32);
    let noisy = tenant("noisy");
    let mut quick = limits();
    quick.time_ms = 1_000;
    let mut evils = Vec::new();
    for name in [
        "memory_touch",
        "memory_bomb",
        "memory_hold",
        "bulk_fill",
        "table_bomb",
        "recursion",
        "answer_huge",
        "hits_amplified",
        "hits_empty_strings",
        "host_amplified",
        "host_list",
        "host_json",
        "error_huge",
        "log_line",
        "leftover",
        "trap",
        "decompose_flood",
    ] {
        evils.push(house.roles(wrap::asleep(name), &quick).await.unwrap());
    }
    let mut after = Vec::new();
    for _ in 0..4 {
        let callers: Vec<_> = evils
            .iter()
            .map(|evil| Callers::start(2, evil, &noisy))
            .collect();
        tokio::time::sleep(Duration::from_millis(700)).await;
        for callers in callers {
            callers.stop().await;
        }
        house.holds_nothing(Some(&noisy)).await;
        after.push(resident_mib());
    }
    eprintln!("resident after each storm, in MiB: {after:?}");
    house.is_sound().await;
    // The first storm warms allocators up; the later ones must add next to nothing.
    assert!(after[3] < after[0] + 96, "{after:?}");
    assert!(after[3] < 600, "{after:?}");
}

/// What this process has in memory, in MiB.
fn resident_mib() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split_whitespace().nth(1).unwrap().parse().unwrap();
    (pages * 4096) >> 20
}

/// What is looked at before it is let in runs, too: at the cost of who sent it.
#[tokio::test]
async fn an_upload_that_spins_is_paid_by_who_uploads_it() {
    let house = house();
    let noisy = tenant("noisy");
    let (limits, grants) = (limits(), ExtensionGrants::default());
    let evil = wrap::evil("spin_describe").into();
    let admitted = house.sandbox.admit(Some(&noisy), evil, &limits, &grants);
    assert!(admitted.await.is_err());
    let paid = |tenant| house.sandbox.account(tenant).cpu_used();
    let half = Duration::from_millis(limits.cpu_ms.into()) / 2;
    assert!(paid(Some(&noisy)) > half, "{:?}", paid(Some(&noisy)));
    assert_eq!(paid(None), Duration::ZERO);
}
