//! Indices that FAISS's own code searches on a device: a library stands in for one that was built with
//! CUDA, and computes on the processor.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use routir_core::ErrorCode;
use routir_device::{Device, Devices};
use routir_engines::SharedFaiss;
use routir_index::faiss::{Faiss, Metric};
use serde_json::{Value, json};

use crate::common::{Home, ask, ask_with, search};
use crate::emulator::{Manner, device};
use crate::{
    ENGINE, Kind, asks, assert_all_as_on_processor, assert_as_on_processor, computing, faiss,
    first_failure, home, index, leave, set_up, subsets, until,
};

/// A machine with these devices and the library of `faiss_on_gpu.c`; a model and texts. The device
/// fails once there is the file `fault`.
fn with_cuda(devices: Vec<Arc<Device>>) -> Option<(Home, String, Vec<String>)> {
    let mut home = home(devices);
    let (folder, texts) = set_up(&home)?;
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let dir = home.dir.path().join("faiss");
    fs::create_dir(&dir).unwrap();
    let define = |name: &str, path: &Path| format!("-D{name}=\"{}\"", path.display());
    let compiled = Command::new("cc")
        .args(["-std=gnu11", "-Wall", "-Werror", "-shared", "-fPIC"])
        .arg(define("REAL", faiss::loaded()?.path()))
        .arg(define("FAULT", &home.dir.path().join("fault")))
        .arg("-I")
        .arg(here.join("../index/native"))
        .arg(here.join("tests/devices/faiss_on_gpu.c"))
        .args(["-ldl", "-o"])
        .arg(dir.join("libroutir_faiss-generic.so"))
        .status()
        .unwrap();
    assert!(compiled.success());
    home.faiss = SharedFaiss::new(Some(dir));
    Some((home, folder, texts))
}

fn config(folder: &str, path: &str) -> Value {
    json!({
        "embedding_model_name": folder, "index_path": path, "index_device": "cuda:0",
        "index_library": "faiss",
    })
}

fn kinds() -> [Kind; 7] {
    [
        ("Flat", Metric::InnerProduct, Value::Null, 1e-9),
        ("Flat", Metric::L2, json!("fp32"), 1e-9),
        ("Flat", Metric::L2, json!("fp16"), 1e-9),
        ("SQfp16", Metric::InnerProduct, Value::Null, 1e-9),
        ("IVF4,Flat", Metric::L2, Value::Null, 1e-9),
        ("IVF4,PQ4x4", Metric::InnerProduct, json!("fp16"), 1e-9),
        ("PCA8,IVF4,PQ4x4", Metric::L2, Value::Null, 1e-9),
    ]
}

/// Compares indices that FAISS searches on a device of `home` with the same on the processor.
async fn compared(home: &Home, folder: &str, texts: &[String], kinds: &[Kind]) {
    let config = json!({"embedding_model_name": folder});
    let placed = json!({"index_device": "cuda:0", "index_library": "faiss"});
    let params = [json!({}), json!({"nprobe": 1}), json!({"nprobe": 5000})];
    let asks = asks(&texts[..6], 12, &params);
    assert_all_as_on_processor(home, kinds, (&config, &placed), &asks).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faiss_on_a_device_answers_as_on_the_processor() {
    let Some((home, folder, texts)) = with_cuda(vec![device(Manner::default())]) else {
        return;
    };
    compared(&home, &folder, &texts, &kinds()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faiss_on_a_device_pays_for_its_memory() {
    let device = device(Manner::default());
    let Some((home, folder, texts)) = with_cuda(vec![Arc::clone(&device)]) else {
        return;
    };
    let all = device.budget().left();
    for (factory, metric, element, _) in kinds() {
        let path = format!("{factory}-{metric:?}-{element}");
        index(&home, &path, factory, metric, 300);
        // The vectors, what FAISS took besides, and a quarter of the rest for searches; once.
        let vectors = if element == "fp16" { 9600 } else { 19_200 };
        let taken = vectors + (all - vectors) / 4 + 1000;
        let mut config = config(&folder, &path);
        config["index_dtype"] = element;
        home.check(ENGINE, &config).unwrap();
        let gpu = home.build(ENGINE, &config).unwrap();
        let again = home.build(ENGINE, &config).unwrap();
        for roles in [&gpu, &again] {
            search(roles, ask(&texts[0], 12)).await.unwrap();
            assert_eq!(all - device.budget().left(), taken, "{path}");
        }
        drop((gpu, again));
        // A search holds the index until its thread has put it down.
        until(|| device.budget().left() == all).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faiss_on_a_gpu_answers_as_on_the_processor() {
    let skipped = |why: &dyn std::fmt::Display| {
        let _ = writeln!(std::io::stderr(), "SKIPPED: FAISS on a GPU: {why}");
    };
    if let Some(why) = Devices::discover().absent {
        return skipped(&why);
    }
    if let Err(why) = Faiss::load_for_gpus(None) {
        return skipped(&why);
    }
    let home = Home::new();
    let Some((folder, texts)) = set_up(&home) else {
        return;
    };
    let kinds = [
        ("Flat", Metric::InnerProduct, Value::Null, 1e-5),
        ("Flat", Metric::L2, json!("fp16"), 1e-2),
        ("SQfp16", Metric::L2, Value::Null, 1e-2),
        ("IVF4,Flat", Metric::L2, Value::Null, 1e-5),
        ("IVF4,SQ8", Metric::InnerProduct, Value::Null, 1e-2),
        ("IVF4,PQ4", Metric::L2, Value::Null, 1e-4),
        ("PCA8,IVF4,PQ4", Metric::InnerProduct, json!("fp16"), 5e-2),
    ];
    compared(&home, &folder, &texts, &kinds).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_on_the_same_device_hands_its_vectors_over() {
    let Some((home, folder, texts)) = with_cuda(vec![computing()]) else {
        return;
    };
    index(&home, "flat", "Flat", Metric::L2, 300);
    let mut config = config(&folder, "flat");
    config["device"] = json!("cuda:0");
    config["device_memory_mb"] = json!(64);
    let gpu = home.build(ENGINE, &config).unwrap();
    let cpu = json!({"embedding_model_name": folder, "index_path": "flat"});
    let cpu = home.build(ENGINE, &cpu).unwrap();
    let asks = asks(&texts[..3], 9, &[json!({})]);
    assert_as_on_processor((&gpu, &cpu), &asks, 1e-5, "stays").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_results_than_faiss_finds_there_are_refused_by_request() {
    let Some((home, folder, _)) = with_cuda(vec![device(Manner::default())]) else {
        return;
    };
    index(&home, "flat", "Flat", Metric::L2, 3200);
    let roles = home.build(ENGINE, &config(&folder, "flat")).unwrap();
    let most = search(&roles, ask("x", 2048)).await.unwrap();
    assert!((1200..=2048).contains(&most.len()));
    let told = search(&roles, ask("x", 2049)).await.unwrap_err();
    assert_eq!(told.code(), ErrorCode::InvalidArgument);
    assert!(
        told.message().contains("2049 results of one search"),
        "{told}"
    );
    roles.health[0].check().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_faiss_does_not_do_there_is_told() {
    let devices = [(); 2].map(|()| device(Manner::default()));
    let Some((home, folder, _)) = with_cuda(devices.to_vec()) else {
        return;
    };
    let home = home.file("subsets.json", &subsets(50));
    index(&home, "flat", "Flat", Metric::L2, 50);
    index(&home, "graph", "HNSW8", Metric::L2, 50);
    index(&home, "lists", "IVF2,Flat", Metric::L2, 100);

    let mut several = config(&folder, "flat");
    several["index_device"] = json!("cuda:all");
    several["id_to_subset_mapping"] = json!("subsets.json");
    several["index_dtype"] = json!("int8");
    for told in [
        home.refusal(ENGINE, &several),
        home.check(ENGINE, &several)
            .map(drop)
            .unwrap_err()
            .to_string(),
    ] {
        for part in [
            "`index_device` with several devices is not possible with `index_library`: \"faiss\"",
            "`id_to_subset_mapping` is not possible",
            "`index_dtype`: \"int8\" is not possible",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
    }
    // On the processor it does.
    let mut filtered = config(&folder, "flat");
    filtered["index_device"] = json!("cpu");
    filtered["id_to_subset_mapping"] = json!("subsets.json");
    let roles = home.build(ENGINE, &filtered).unwrap();
    let odd = ask_with("x", 5, &json!({"subset": "odd"}));
    assert_eq!(search(&roles, odd).await.unwrap().len(), 5);

    let graph = home.refusal(ENGINE, &config(&folder, "graph"));
    for part in [
        "graph` (HNSW8) cannot be searched by FAISS on a GPU: FAISS has no index for GPUs of this kind",
        "`IVF…,PQ…`",
        "`index_device`: \"cpu\"",
    ] {
        assert!(graph.contains(part), "{part}: {graph}");
    }
    let mut lists = config(&folder, "lists");
    lists["index_dtype"] = json!("fp16");
    let lists = home.refusal(ENGINE, &lists);
    assert!(lists.contains("leave `index_dtype` out"), "{lists}");

    let left = devices[0].budget().left();
    let others = leave(&devices[0], 100);
    let full = home.refusal(ENGINE, &config(&folder, "flat"));
    assert!(full.contains("flat` needs 3.1 KiB on `emulated`"), "{full}");
    drop(others);
    assert_eq!(devices[0].budget().left(), left);
    devices[0].health().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_cuda_in_faiss_it_is_told_what_to_build_and_auto_takes_the_processor() {
    let device = device(Manner::default());
    let mut home = home(vec![Arc::clone(&device)]);
    let Some((folder, texts)) = set_up(&home) else {
        return;
    };
    let usual = faiss::loaded().unwrap().path().parent().unwrap().to_owned();
    home.faiss = SharedFaiss::new(Some(usual));
    index(&home, "flat", "Flat", Metric::L2, 50);
    let mut config = config(&folder, "flat");
    let checked = home.check(ENGINE, &config).map(drop).unwrap_err();
    for told in [checked.to_string(), home.refusal(ENGINE, &config)] {
        for part in ["was built without CUDA", "`FAISS_GPU=1 make models`"] {
            assert!(told.contains(part), "{part}: {told}");
        }
    }
    assert_eq!(checked.code(), ErrorCode::Unavailable);
    config["index_device"] = json!("auto");
    home.check(ENGINE, &config).unwrap();
    let roles = home.build(ENGINE, &config).unwrap();
    assert!(roles.health.is_empty());
    assert_eq!(search(&roles, ask(&texts[0], 5)).await.unwrap().len(), 5);
    assert_eq!(device.budget().left(), device.budget().total());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_fails_under_faiss_is_lost_for_all_and_others_go_on() {
    let devices = [(); 2].map(|()| device(Manner::default()));
    let Some((home, folder, texts)) = with_cuda(devices.to_vec()) else {
        return;
    };
    index(&home, "flat", "Flat", Metric::L2, 300);
    let build = |device: &str, library: &str| {
        let mut config = config(&folder, "flat");
        config["index_device"] = json!(device);
        config["index_library"] = json!(library);
        home.build(ENGINE, &config).unwrap()
    };
    let failing = build("cuda:0", "faiss");
    let neighbour = build("cuda:0", "own");
    let others = [build("cuda:1", "own"), build("cpu", "faiss")];
    search(&failing, ask(&texts[0], 5)).await.unwrap();

    let fault = home.dir.path().join("fault");
    fs::write(
        &fault,
        "CUDA error 700 an illegal memory access was encountered",
    )
    .unwrap();
    let told = first_failure(&failing, &texts[0], 1).await;
    fs::remove_file(&fault).unwrap();
    assert_eq!(told.code(), ErrorCode::Unavailable);
    for part in [
        "`emulated` failed and is not used any more",
        "FAISS, searching: CUDA error 700",
    ] {
        assert!(told.message().contains(part), "{part}: {told}");
    }
    for roles in [&failing, &neighbour] {
        let again = search(roles, ask(&texts[1], 5)).await.unwrap_err();
        assert_eq!(again.message(), told.message());
        let health = roles.health[0].check().unwrap_err();
        assert_eq!(health.message(), told.message());
    }
    for roles in &others {
        assert_eq!(search(roles, ask(&texts[0], 5)).await.unwrap().len(), 5);
        assert!(roles.health.iter().all(|it| it.check().is_ok()));
    }

    // So it is when the index is put there.
    fs::write(&fault, "CUDA error 2 out of memory").unwrap();
    let mut config = config(&folder, "flat");
    config["index_device"] = json!("cuda:1");
    let told = home.refusal(ENGINE, &config);
    assert!(told.contains("FAISS, placing index"), "{told}");
    assert!(devices[1].health().is_err());
}
