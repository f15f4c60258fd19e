//! What a configuration asks for: told when it is read or tried out, and what `auto` makes of it.

use std::io::Write as _;
use std::sync::Arc;

use routir_core::ErrorCode;
use routir_index::faiss::Metric;
use serde_json::json;

use crate::common::{self, ask, search};
use crate::emulator::{Manner, device};
use crate::{ENGINE, computing, home, index, set_up};

#[test]
fn a_gpu_that_is_not_there_is_told_before_anything_is_opened() {
    let home = home(Vec::new())
        .file("index/index.faiss", "")
        .file("index/index.ids", "");
    let Some((folder, _)) = set_up(&home) else {
        return;
    };
    let mut config = json!({"embedding_model_name": folder, "index_path": "index"});
    for (key, value) in [
        ("device", "cuda"),
        ("device", "cuda:0"),
        ("index_device", "cuda"),
    ] {
        config[key] = json!(value);
        let wanted = format!(
            "service `svc` (engine {ENGINE}): `{key}` asks for `{value}`, but there is no GPU; \
             `routir-rt devices` shows what there is, `auto` takes the processor where there is no GPU"
        );
        let checked = home.check(ENGINE, &config).map(drop).unwrap_err();
        assert_eq!(checked.message(), wanted);
        assert_eq!(checked.code(), ErrorCode::Unavailable);
        assert_eq!(
            home.build(ENGINE, &config).map(drop).unwrap_err().message(),
            wanted
        );
        config.as_object_mut().unwrap().remove(key);
    }
    config["use_gpu"] = json!(true);
    assert!(
        home.refusal(ENGINE, &config)
            .contains("`device` asks for `cuda`")
    );
    for engine in ["CrossEncoder", "mT5", "Qwen3Reranker"] {
        let config =
            json!({"model_name_or_path": folder, "file": "model.onnx", "device": "cuda:1"});
        let told = home.try_out(engine, &config).map(drop).unwrap_err();
        assert!(
            told.message().contains("`device` asks for `cuda:1`"),
            "{told}"
        );
    }
    let config = json!({"checkpoint": folder, "device": "cuda"});
    let told = home.try_out("PLAIDX", &config).map(drop).unwrap_err();
    assert!(
        told.message().contains("`device` asks for `cuda`"),
        "{told}"
    );
    let config = json!({"model_name": folder, "index_path": "hfds:a/b", "device": "cuda"});
    let told = home.try_out("LSR", &config).map(drop).unwrap_err();
    assert!(
        told.message().contains("`device` asks for `cuda`"),
        "{told}"
    );
}

#[test]
fn wrong_values_are_told_with_their_key() {
    let home = home(Vec::new());
    let told = home.refusal(
        ENGINE,
        &json!({
            "embedding_model_name": "x", "index_path": "index", "device": "gpu",
            "index_device": "cuda:x", "index_dtype": "fp8", "device_memory_mb": 3,
        }),
    );
    for part in [
        "`device` is one of `cpu`, `cuda`, `cuda:N` (N from 0) and `auto`, not `gpu`",
        "`index_device` is one of `cpu`, `cuda`, `cuda:N` (N from 0) and `auto`, not `cuda:x`",
        "`index_dtype` must be one of `fp32`, `fp16`, `int8`",
        "`device_memory_mb` must be at least 64, not 3",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let told = home.refusal(
        ENGINE,
        &json!({"embedding_model_name": "x", "device": "cpu", "use_gpu": true}),
    );
    assert!(
        told.contains("`use_gpu` is true and `device` is `cpu`"),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn auto_uses_the_processor_where_there_is_no_gpu() {
    let home = home(Vec::new());
    let Some((folder, texts)) = set_up(&home) else {
        return;
    };
    index(&home, "index", "Flat", Metric::L2, 300);
    let mut config = json!({"embedding_model_name": folder, "index_path": "index"});
    let wanted = search(&home.build(ENGINE, &config).unwrap(), ask(&texts[0], 9)).await;
    config["device"] = json!("auto");
    home.check(ENGINE, &config).unwrap();
    let roles = home.build(ENGINE, &config).unwrap();
    assert!(roles.health.is_empty());
    let got = search(&roles, ask(&texts[0], 9)).await;
    assert_eq!(got.unwrap(), wanted.unwrap());
}

#[test]
fn how_a_model_is_run_on_a_gpu_is_checked() {
    let home = home(vec![computing()]);
    let Some((folder, _)) = set_up(&home) else {
        return;
    };
    let told = home.refusal(
        ENGINE,
        &json!({
            "embedding_model_name": folder, "provider": "tensorrt", "cuda_graphs": true,
            "length_buckets": [64],
        }),
    );
    for key in ["provider", "cuda_graphs", "length_buckets"] {
        assert!(
            told.contains(&format!("`{key}` is of models on a GPU")),
            "{told}"
        );
    }
    let told = home.refusal(
        ENGINE,
        &json!({
            "embedding_model_name": folder, "device": "cuda", "provider": "rocm",
            "tensorrt_fp16": true, "length_buckets": [64, 0],
        }),
    );
    for part in [
        "`provider` must be one of `cuda`, `tensorrt`",
        "`tensorrt_fp16` needs `provider`: \"tensorrt\"",
        "`length_buckets` must be a list of whole numbers of at least 1",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let told = home.refusal(
        ENGINE,
        &json!({
            "embedding_model_name": folder, "device": "cuda", "provider": "tensorrt",
            "length_buckets": [],
        }),
    );
    assert!(told.contains("to build for"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_goes_where_onnx_runtime_can_go() {
    let device = device(Manner::default());
    let home = home(vec![Arc::clone(&device)]);
    let Some((folder, texts)) = set_up(&home) else {
        return;
    };
    let mut config =
        json!({"embedding_model_name": folder, "device": "cuda", "device_memory_mb": 64});
    let told = match home.build(ENGINE, &config) {
        Ok(_) => {
            let _ = writeln!(std::io::stderr(), "SKIPPED: this ONNX Runtime has CUDA");
            return;
        }
        Err(error) => error,
    };
    assert_eq!(told.code(), ErrorCode::Unavailable);
    assert!(
        told.message().contains("runs no models on `cuda:0`"),
        "{told}"
    );
    assert_eq!(device.budget().left(), device.budget().total());
    config["device_memory_mb"] = json!(4096);
    let told = home.refusal(ENGINE, &config);
    assert!(told.contains("needs 4.0 GiB on `emulated`"), "{told}");
    config["device"] = json!("auto");
    let roles = home.build(ENGINE, &config).unwrap();
    assert!(roles.health.is_empty());
    let scorer = roles.score.unwrap();
    let scores = scorer.score(vec![common::score_request(&texts[0], &[&texts[0]])]);
    assert_eq!(scores.await.remove(0).unwrap().len(), 1);
}
