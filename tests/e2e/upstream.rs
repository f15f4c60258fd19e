//! Services that search with other services of the same server, by name.

use serde_json::json;

use crate::site::{Site, quick_start_and};

#[test]
fn a_fusion_of_services_is_the_pipeline_of_them() {
    let fused = json!({"upstream_service": ["bm25", {"service": "title"}], "fusion_method": "RRF"});
    let site = Site::new();
    let server = site.serve(&quick_start_and(&[("fused", "Fusion", fused)]), &[]);
    let query = "java coffee";
    let by_service = server.ids("fused%5", query);
    assert_eq!(by_service.len(), 5);
    assert_eq!(by_service, server.ids("{bm25%5, title%5}RRF%5", query));
    server.stop();
}

#[test]
fn services_that_wait_for_each_other_and_names_that_are_not_there_are_refused_at_start() {
    let of = |name: &str| json!({"upstream_service": [name]});
    let wrong = quick_start_and(&[
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
