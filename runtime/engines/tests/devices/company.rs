//! Services on one device: what waits for it grows while it works for others, and leaves when it ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use routir_compute::{Compute, ComputeSettings};
use routir_core::{ErrorCode, Ranking, Result, Roles};
use routir_device::Device;
use routir_engines::{ModelSettings, SharedModels};
use routir_index::faiss::Metric;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::common::{Home, ask, score_request, search, tiny};
use crate::emulator::{Gate, Manner, gated};
use crate::{ENGINE, computing, home, index, set_up, until};

/// Longer than any test.
const FOREVER: Duration = Duration::from_secs(1 << 20);

/// A machine where nothing is held back for longer than `max_wait`.
fn patient(devices: Vec<Arc<Device>>, max_wait: Duration) -> Home {
    let home = home(devices);
    let settings = ModelSettings {
        capacity: 1000,
        threads: 2,
        max_wait,
    };
    let compute = Compute::new(ComputeSettings {
        threads: Some(2),
        max_batch_tokens: 2000,
        ..ComputeSettings::default()
    });
    Home {
        models: SharedModels::new(compute, settings, home.metrics.clone()),
        ..home
    }
}

/// The number that `name` has for the queue of `service`.
fn counted(home: &Home, name: &str, service: &str) -> usize {
    let start = format!("routir_{name}{{service=\"{service}\"");
    let text = home.metrics.encode();
    let line = text.lines().find(|line| line.starts_with(&start));
    let value = line.and_then(|line| line.split_whitespace().last());
    value.map_or(0, |value| value.parse::<f64>().unwrap() as usize)
}

/// Batches that left the queue of `service`, and requests in them.
fn batches(home: &Home, service: &str) -> [usize; 2] {
    ["batch_size_count", "batch_size_sum"].map(|name| counted(home, name, service))
}

fn asked(roles: &Roles, text: &str) -> JoinHandle<Result<Ranking>> {
    let (roles, text) = (roles.clone(), text.to_owned());
    tokio::spawn(async move { search(&roles, ask(&text, 5)).await })
}

/// Two services with an index each on the device, and some texts.
fn two(home: &Home) -> Option<([Roles; 2], Vec<String>)> {
    let (folder, texts) = set_up(home)?;
    let roles = ["one", "other"].map(|path| {
        index(home, path, "Flat", Metric::L2, 300);
        let config =
            json!({"embedding_model_name": folder, "index_path": path, "index_device": "cuda:0"});
        home.build(ENGINE, &config).unwrap()
    });
    Some((roles, texts))
}

/// Has a kernel of `first` stand at the gate, and so many queries of `second` wait for its end.
async fn gathered(
    home: &Home,
    gate: &Gate,
    [first, second]: &[Roles; 2],
    texts: &[String],
) -> (
    JoinHandle<Result<Ranking>>,
    Vec<JoinHandle<Result<Ranking>>>,
) {
    let running = asked(first, &texts[0]);
    until(|| gate.standing() == 1).await;
    let waiting: Vec<_> = texts.iter().map(|text| asked(second, text)).collect();
    until(|| counted(home, "queue_depth", "index:svc") == texts.len()).await;
    (running, waiting)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn searches_gather_while_anothers_kernel_runs_and_leave_together_when_it_ends() {
    let (device, gate) = gated(Manner::default());
    let home = patient(vec![Arc::clone(&device)], FOREVER);
    let Some((roles, texts)) = two(&home) else {
        return;
    };
    // Idle: nothing is held back, though it would be for good.
    for (roles, text) in roles.iter().zip(&texts) {
        assert_eq!(search(roles, ask(text, 5)).await.unwrap().len(), 5);
    }
    assert_eq!(batches(&home, "index:svc"), [2, 2]);
    let closed = gate.close();
    let (running, waiting) = gathered(&home, &gate, &roles, &texts).await;
    // They wait before the device, not on it.
    assert_eq!((device.queued(), home.metrics.devices_queue()), (1, 1));
    drop(closed);
    for answer in waiting.into_iter().chain([running]) {
        assert_eq!(answer.await.unwrap().unwrap().len(), 5);
    }
    assert_eq!(batches(&home, "index:svc"), [4, 3 + texts.len()]);
    assert_eq!((device.queued(), home.metrics.devices_queue()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_held_back_for_longer_than_max_wait() {
    let (device, gate) = gated(Manner::default());
    let max_wait = Duration::from_millis(30);
    let home = patient(vec![Arc::clone(&device)], max_wait);
    let Some((roles, texts)) = two(&home) else {
        return;
    };
    let closed = gate.close();
    let running = asked(&roles[0], &texts[0]);
    until(|| gate.standing() == 1).await;
    let started = Instant::now();
    let waiting = asked(&roles[1], &texts[1]);
    // The kernel still stands there.
    until(|| device.queued() == 2).await;
    assert!(started.elapsed() >= max_wait);
    drop(closed);
    for answer in [waiting, running] {
        answer.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_is_lost_leaves_nobody_waiting() {
    let (device, gate) = gated(Manner::default());
    let home = patient(vec![Arc::clone(&device)], FOREVER);
    let Some((roles, texts)) = two(&home) else {
        return;
    };
    // A kernel that never ends, as far as those who wait can know.
    let closed = gate.close();
    let (running, waiting) = gathered(&home, &gate, &roles, &texts).await;
    device.lose("made up");
    for answer in waiting {
        let told = answer.await.unwrap().unwrap_err();
        assert_eq!(told.code(), ErrorCode::Unavailable);
        assert!(told.message().contains("made up"), "{told}");
    }
    // Nor whoever comes now.
    let told = search(&roles[1], ask(&texts[0], 5)).await.unwrap_err();
    assert_eq!(told.code(), ErrorCode::Unavailable);
    assert_eq!(gate.standing(), 1);
    drop(closed);
    running.await.unwrap().unwrap_err();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn models_and_comparisons_on_a_device_wait_for_it_too() {
    let device = computing();
    let home = patient(vec![Arc::clone(&device)], FOREVER);
    let home = home.collection("texts", &[("d0", "bees dance"), ("d1", "the moon")]);
    let Some((dense, _)) = tiny(&home, "dense-mean") else {
        return;
    };
    let Some((late, _)) = tiny(&home, "multi-vector") else {
        return;
    };
    let encoder = json!({
        "embedding_model_name": &dense, "device": "cuda:0", "device_memory_mb": 64,
    });
    let comparer: Value = json!({
        "checkpoint": late, "index_path": "late", "build": true, "index_device": "cuda:0",
        "sliding_window_size": 20, "sliding_window_stride": 10,
    });
    let encoder = home.build(ENGINE, &encoder).unwrap();
    let comparer = home.build("PLAIDX", &comparer).unwrap();
    let score = |roles: &Roles, query: &'static str| {
        let scorer = roles.score.clone().unwrap();
        let request = score_request(query, &["bees", "the tide of the moon"]);
        tokio::spawn(async move { scorer.score(vec![request]).await.remove(0) })
    };
    // Others' work.
    let others = device.queue();
    let scored: Vec<_> = ["what", "is", "honey"].map(|it| score(&encoder, it)).into();
    let compared: Vec<_> = ["what", "is"].map(|it| score(&comparer, it)).into();
    let found: Vec<_> = ["bees", "moon", "tide", "it"]
        .map(|it| asked(&comparer, it))
        .into();
    let model = format!("model:{dense}/model.onnx");
    let wait = [(&*model, 3), ("maxsim:svc", 2), ("index:svc", 4)];
    let on_device = |service: &str| counted(&home, "queue_depth", service);
    until(|| {
        wait.iter()
            .all(|(service, count)| on_device(service) >= *count)
    })
    .await;
    assert_eq!(device.queued(), 1);
    assert!(wait.map(|(service, _)| batches(&home, service)[0]) == [0; 3]);
    drop(others);
    for answer in scored.into_iter().chain(compared) {
        assert_eq!(answer.await.unwrap().unwrap().len(), 2);
    }
    for answer in found {
        answer.await.unwrap().unwrap();
    }
    // Texts of a request are in parts of like length.
    for (service, count) in wait {
        let [batches, requests] = batches(&home, service);
        assert!(batches == 1 && requests >= count, "{service} {requests}");
    }
    assert_eq!(device.queued(), 0);
}
