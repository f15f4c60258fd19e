//! Vectors that no device holds alone.

use routir_core::ErrorCode;
use routir_index::faiss::Metric;
use serde_json::{Value, json};

use crate::common::{ask, search};
use crate::emulator::{Manner, device};
use crate::{
    ENGINE, asks, assert_as_on_processor, first_failure, home, index, leave, set_up, subsets,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vectors_that_no_device_holds_alone_are_shared_out() {
    let devices = [(); 3].map(|()| device(Manner::default()));
    let home = home(devices.to_vec()).file("subsets.json", &subsets(3000));
    let Some((folder, texts)) = set_up(&home) else {
        return;
    };
    index(&home, "flat", "Flat", Metric::L2, 3000);
    index(&home, "product", "Flat", Metric::InnerProduct, 3000);
    index(&home, "codes", "PQ4x4", Metric::L2, 300);
    let config = |path: &str| {
        json!({"embedding_model_name": folder, "index_path": path,
            "id_to_subset_mapping": "subsets.json"})
    };
    let on = |path: &str, devices: Value| {
        let mut config = config(path);
        config["index_device"] = devices;
        config
    };
    // 3000 vectors of 64 bytes: 188 KiB. What of a device is left is a quarter for searches.
    let first = leave(&devices[0], 160 << 10);
    let second = leave(&devices[1], 120 << 10);
    for device in ["cuda:0", "cuda:1"] {
        let told = home.refusal(ENGINE, &on("flat", json!(device)));
        assert!(told.contains("flat` needs 187.5 KiB"), "{told}");
    }
    let both = json!(["cuda:0", "cuda:1"]);
    for path in ["flat", "product"] {
        let cpu = home.build(ENGINE, &config(path)).unwrap();
        let gpu = home.build(ENGINE, &on(path, both.clone())).unwrap();
        assert_eq!(gpu.health.len(), 2, "{path}");
        // Scratch memory of searches finds its place in what was left for it, of one at a time.
        let params = [json!({}), json!({"subset": "odd"})];
        let asks = [1, 12, 60].map(|limit| asks(&texts[..3], limit, &params));
        for ask in asks.concat() {
            assert_as_on_processor((&gpu, &cpu), &[ask], 1e-5, path).await;
        }
    }
    let codes = home.refusal(ENGINE, &on("codes", both.clone()));
    assert!(
        codes.contains("holds codes, which lie on one device"),
        "{codes}"
    );
    // No more devices than are needed, the roomiest first.
    let all = home.build(ENGINE, &on("flat", json!("cuda:all"))).unwrap();
    assert_eq!(all.health.len(), 1);
    drop(all);

    let third = leave(&devices[2], 1000);
    drop((first, second));
    let first = leave(&devices[0], 10_000);
    let second = leave(&devices[1], 10_000);
    let told = home.build(ENGINE, &on("flat", json!("cuda:all")));
    let told = told.map(drop).unwrap_err();
    assert_eq!(told.code(), ErrorCode::Unavailable);
    for part in [
        "flat`: 3000 vectors of 16 numbers in f32 take 187.5 KiB",
        "has 9.8 KiB left, which hold 117 of them",
        "more devices, or the processor",
    ] {
        assert!(told.message().contains(part), "{part}: {told}");
    }
    drop((first, second, third));
    for device in &devices {
        device.health().unwrap();
        assert_eq!(device.budget().left(), device.budget().total());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_share_that_is_lost_takes_its_index_along_and_no_other() {
    let failing = Manner {
        fails_after: Some(40),
        ..Manner::default()
    };
    let devices = [device(Manner::default()), device(failing)];
    let home = home(devices.to_vec());
    let Some((folder, texts)) = set_up(&home) else {
        return;
    };
    index(&home, "flat", "Flat", Metric::L2, 3000);
    let others = [leave(&devices[0], 170 << 10), leave(&devices[1], 120 << 10)];
    let config = json!({"embedding_model_name": folder, "index_path": "flat",
        "index_device": ["cuda:1", "cuda:0"]});
    let roles = home.build(ENGINE, &config).unwrap();
    let told = first_failure(&roles, &texts[0], 40).await;
    assert_eq!(told.code(), ErrorCode::Unavailable);
    let well = roles.health.iter().filter(|it| it.check().is_ok());
    assert_eq!((well.count(), roles.health.len()), (1, 2));
    devices[0].health().unwrap();
    drop(others);
    let config = json!({"embedding_model_name": folder, "index_path": "flat",
        "index_device": "cuda:0"});
    let whole = home.build(ENGINE, &config).unwrap();
    assert_eq!(search(&whole, ask(&texts[0], 5)).await.unwrap().len(), 5);
}

#[test]
fn devices_that_are_not_there_or_named_wrongly_are_told_in_a_check() {
    let home = home(vec![device(Manner::default())])
        .file("index/index.faiss", "")
        .file("index/index.ids", "");
    let Some((folder, _)) = set_up(&home) else {
        return;
    };
    let told = |devices: Value| {
        let config = json!({"embedding_model_name": folder, "index_path": "index",
            "index_device": devices});
        let checked = home.check(ENGINE, &config).map(drop).unwrap_err();
        checked.message().to_owned()
    };
    for (devices, part) in [
        (
            json!(["cuda:0", "cuda:1"]),
            "`index_device` asks for `cuda:1`, but there is only `cuda:0`",
        ),
        (json!(["cuda:0", "cuda:0"]), "names `cuda:0` twice"),
        (
            json!(["cuda:0", "auto"]),
            "`auto` in it names no single GPU",
        ),
        (json!([]), "a string or a list of strings"),
        (json!("cuda:some"), "also on `cuda:all`"),
    ] {
        let told = told(devices);
        assert!(told.contains(part), "{part}: {told}");
    }
    let config = json!({"checkpoint": folder, "index_device": "cuda:all"});
    assert!(
        home.refusal("PLAIDX", &config)
            .contains("token vectors lie on one device")
    );
    let none = crate::home(Vec::new());
    let config = json!({"embedding_model_name": folder, "index_device": "cuda:all",
        "index_path": home.dir.path().join("index")});
    let told = none.check(ENGINE, &config).map(drop).unwrap_err();
    assert!(told.message().contains("but there is no GPU"), "{told}");
}
