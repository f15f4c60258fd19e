//! `PLAIDX` with its token vectors on a device.

use std::io::Write as _;
use std::sync::Arc;

use futures_util::future::join_all;
use routir_core::{ErrorCode, Roles};
use routir_device::Devices;
use serde_json::{Value, json};

use crate::common::{Home, ask, ask_with, ids, score, score_request, search, tiny};
use crate::emulator::{Manner, device};
use crate::{assert_alike, first_failure, home, leave, subsets};

const WORDS: [&str; 12] = [
    "bees", "dance", "the", "tide", "of", "moon", "honey", "is", "it", "relevant", "what", "?",
];

/// Documents of none to 60 words; some are equal.
fn documents() -> Vec<(String, String)> {
    let mut rng = 9_u64;
    let mut next = |most: u64| {
        rng = rng.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
        (rng >> 33) % most
    };
    (0..90)
        .map(|at| {
            let count = if at % 9 == 0 { 2 } else { next(60) };
            let words: Vec<&str> = (0..count).map(|_| WORDS[next(12) as usize]).collect();
            (format!("d{at}"), words.join(" "))
        })
        .collect()
}

fn with_documents(home: Home) -> Home {
    let documents = documents();
    let documents: Vec<_> = documents
        .iter()
        .map(|(id, text)| (id.as_str(), text.as_str()))
        .collect();
    home.collection("texts", &documents)
}

fn config(model: &str, bits: usize) -> Value {
    json!({"checkpoint": model, "index_path": format!("late{bits}"), "build": true, "bits": bits,
        "sliding_window_size": 20, "sliding_window_stride": 10})
}

async fn scores(roles: &Roles, query: &str, passages: &[&str]) -> routir_core::Result<Vec<f64>> {
    score(roles, score_request(query, passages)).await
}

/// Compares `PLAIDX` on the first device of `home` with `PLAIDX` on the processor, with an index of
/// `bits`.
async fn compared(home: &Home, model: &str, bits: usize) {
    let mut config = config(model, bits);
    config["id_to_subset_mapping"] = json!("sets.json");
    let cpu = home.build("PLAIDX", &config).unwrap();
    config["index_device"] = json!("cuda:0");
    let gpu = home.build("PLAIDX", &config).unwrap();
    assert_eq!((cpu.health.len(), gpu.health.len()), (0, 1));
    let queries = [
        "what is honey",
        "tide of the moon?",
        "",
        "bees dance the dance of bees",
    ];
    let params = [
        json!({}),
        json!({"subset": "odd"}),
        json!({"rerank": 20, "probes": 2}),
    ];
    for params in &params {
        let each = queries
            .iter()
            .flat_map(|query| [1, 10, 90].map(|limit| (*query, limit)));
        // All at once: they go to the device together.
        let answers = each.map(async |(query, limit)| {
            let ask = ask_with(query, limit, params);
            let got = search(&gpu, ask.clone()).await.unwrap();
            let wanted = search(&cpu, ask).await.unwrap();
            let what = format!("{bits} bits, {query} {limit} {params}");
            (what, got, wanted)
        });
        for (what, got, wanted) in join_all(answers).await {
            // Half precision, of a query's rows of length 1.
            assert_alike(&got, &wanted, 0.02, &what);
        }
    }
    let texts = documents();
    let texts: Vec<&str> = texts.iter().map(|(_, text)| text.as_str()).collect();
    for (query, passages) in [
        ("what is honey", &texts[..]),
        ("tide", &texts[..3]),
        ("x", &[]),
    ] {
        let got = scores(&gpu, query, passages).await.unwrap();
        let wanted = scores(&cpu, query, passages).await.unwrap();
        assert_eq!(got.len(), passages.len());
        for (at, (got, wanted)) in got.iter().zip(&wanted).enumerate() {
            assert!((got - wanted).abs() < 0.02, "{query} {at}: {got} {wanted}");
        }
    }
    let unknown = search(&gpu, ask_with("x", 3, &json!({"subset": "none"}))).await;
    assert_eq!(unknown.unwrap_err().code(), ErrorCode::InvalidArgument);
    gpu.health[0].check().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passages_are_compared_on_a_device_as_on_the_processor() {
    let gpu = device(Manner::default());
    let home = with_documents(home(vec![Arc::clone(&gpu)])).file("sets.json", &subsets(90));
    let Some((model, _)) = tiny(&home, "multi-vector") else {
        return;
    };
    for bits in [2, 4, 16] {
        compared(&home, &model, bits).await;
        assert_eq!(gpu.budget().left(), gpu.budget().total());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plaidx_on_a_gpu_answers_as_on_the_processor() {
    let found = Devices::discover();
    if let Some(why) = found.absent {
        let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
        return;
    }
    let home = with_documents(Home::new()).file("sets.json", &subsets(90));
    let Some((model, _)) = tiny(&home, "multi-vector") else {
        return;
    };
    for bits in [2, 4, 16] {
        compared(&home, &model, bits).await;
    }
}

#[test]
fn services_with_the_same_index_share_its_token_vectors() {
    let gpu = device(Manner::default());
    let home = with_documents(home(vec![Arc::clone(&gpu)]));
    let Some((model, _)) = tiny(&home, "multi-vector") else {
        return;
    };
    let mut config = config(&model, 4);
    config["index_device"] = json!("cuda");
    let taken = || gpu.budget().total() - gpu.budget().left();
    let one = home.build("PLAIDX", &config).unwrap();
    let of_one = taken();
    assert!(of_one > 1000, "{of_one}");
    let other = home.build("PLAIDX", &config).unwrap();
    assert_eq!(taken(), of_one);
    drop((one, other));
    assert_eq!(taken(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn equal_passages_stay_equal_and_in_order() {
    let device = device(Manner::default());
    let names: Vec<String> = (0..40).map(|n| format!("d{n:02}")).collect();
    let documents: Vec<_> = names
        .iter()
        .map(|id| (id.as_str(), "the tide of the moon"))
        .collect();
    let home = home(vec![device]).collection("texts", &documents);
    let Some((model, _)) = tiny(&home, "multi-vector") else {
        return;
    };
    let mut config = config(&model, 4);
    config["index_device"] = json!("cuda");
    let roles = home.build("PLAIDX", &config).unwrap();
    let ranking = search(&roles, ask("moon", 7)).await.unwrap();
    assert_eq!(ids(&ranking), names[..7]);
    let first = ranking.hits()[0].score;
    assert!(ranking.hits().iter().all(|hit| hit.score == first));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn token_vectors_that_do_not_fit_are_refused_with_the_sum_and_auto_falls_back() {
    let device = device(Manner::default());
    let home = with_documents(home(vec![Arc::clone(&device)]));
    let Some((model, _)) = tiny(&home, "multi-vector") else {
        return;
    };
    let mut config = config(&model, 4);
    let cpu = home.build("PLAIDX", &config).unwrap();
    let others = leave(&device, 1000);
    config["index_device"] = json!("cuda:0");
    let told = home.refusal("PLAIDX", &config);
    for part in ["late4` needs ", "on `emulated`", "others 1024.0 MiB"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    config["index_device"] = json!("auto");
    let auto = home.build("PLAIDX", &config).unwrap();
    assert!(auto.health.is_empty());
    let got = search(&auto, ask("what is honey", 10)).await.unwrap();
    let wanted = search(&cpu, ask("what is honey", 10)).await.unwrap();
    assert_eq!(got, wanted);
    drop(others);
    let auto = home.build("PLAIDX", &config).unwrap();
    assert_eq!(auto.health.len(), 1);
    // Without an index it scores there.
    let only = json!({"checkpoint": model, "index_device": "cuda", "sliding_window_size": 20});
    let roles = home.build("PLAIDX", &only).unwrap();
    assert!(roles.search.is_none());
    assert_eq!(roles.health.len(), 1);
    assert_eq!(scores(&roles, "x", &["y", ""]).await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_device_fails_searches_and_scores_and_no_other_service() {
    let failing = Manner {
        fails_after: Some(60),
        ..Manner::default()
    };
    let home = with_documents(home(vec![device(failing)]));
    let Some((model, _)) = tiny(&home, "multi-vector") else {
        return;
    };
    let mut config = config(&model, 4);
    let cpu = home.build("PLAIDX", &config).unwrap();
    config["index_device"] = json!("cuda");
    let gpu = home.build("PLAIDX", &config).unwrap();
    gpu.health[0].check().unwrap();
    let told = first_failure(&gpu, "honey", 60).await;
    assert_eq!(told.code(), ErrorCode::Unavailable);
    assert!(told.message().contains("made up"), "{told}");
    assert_eq!(gpu.health[0].check().unwrap_err().message(), told.message());
    let score = scores(&gpu, "honey", &["bees"]).await.unwrap_err();
    assert_eq!(score.code(), ErrorCode::Unavailable);
    assert_eq!(search(&cpu, ask("honey", 5)).await.unwrap().len(), 5);
    assert_eq!(scores(&cpu, "honey", &["bees"]).await.unwrap().len(), 1);
    // Whoever opens one there now is refused.
    assert!(home.build("PLAIDX", &config).is_err());
}

#[test]
fn a_model_that_no_service_names_is_well_while_its_device_is() {
    let gpu = device(Manner::default());
    let home = home(vec![Arc::clone(&gpu)]);
    let Some((model, _)) = tiny(&home, "multi-vector") else {
        return;
    };
    let config = json!({"checkpoint": model, "index_device": "cuda", "sliding_window_size": 20});
    home.host("PLAIDX", &config).unwrap();
    let hosted = home.models.hosted();
    assert_eq!((hosted.len(), hosted[0].service), (1, false));
    assert_eq!(hosted[0].health.len(), 1);
    hosted[0].health[0].check().unwrap();
    gpu.lose("made up");
    let told = hosted[0].health[0].check().unwrap_err();
    assert!(told.message().contains("made up"), "{told}");
}
