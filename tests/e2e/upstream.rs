//! Services that search with other services of the same server, by name.

use std::fs;

use serde_json::{Value, json};

use crate::site::{Site, repository};

/// The quick start and `more` services.
fn config(more: &[(&str, &str, Value)]) -> String {
    let file = repository().join("configs/quickstart/config.json");
    let mut config: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let folder = repository().join("configs/quickstart");
    let absolute = |path: &mut Value| *path = json!(folder.join(path.as_str().unwrap()));
    let services = config["services"].as_array_mut().unwrap();
    for service in services.iter_mut().filter(|it| it["engine"] == "TrecRun") {
        absolute(&mut service["config"]["run"]);
        absolute(&mut service["config"]["topics"]);
    }
    for (name, engine, config) in more {
        services.push(json!({"name": name, "engine": engine, "config": config}));
    }
    for view in config["collections"][0]["views"]
        .as_object_mut()
        .unwrap()
        .values_mut()
    {
        absolute(&mut view["source"]["doc_path"]);
    }
    config.to_string()
}

#[test]
fn a_fusion_of_services_is_the_pipeline_of_them() {
    let fused = json!({"upstream_service": ["bm25", {"service": "title"}], "fusion_method": "RRF"});
    let site = Site::new();
    let server = site.serve(&config(&[("fused", "Fusion", fused)]), &[]);
    let query = "java coffee";
    let by_service = server.ids("fused%5", query);
    assert_eq!(by_service.len(), 5);
    assert_eq!(by_service, server.ids("{bm25%5, title%5}RRF%5", query));
    server.stop();
}

#[test]
fn services_that_wait_for_each_other_and_names_that_are_not_there_are_refused_at_start() {
    let of = |name: &str| json!({"upstream_service": [name]});
    let wrong = config(&[
        ("hen", "Fusion", of("egg")),
        ("egg", "Fusion", of("hen")),
        ("lost", "Fusion", of("bm26")),
    ]);
    let site = Site::new();
    let ran = site.run(&["check", &wrong]);
    assert_eq!(ran.status, Some(2), "{}", ran.stderr);
    for told in ["hen > egg > hen", "did you mean `bm25`?"] {
        assert!(ran.stderr.contains(told), "{told}: {}", ran.stderr);
    }
}
