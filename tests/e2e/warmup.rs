//! Building ahead what a start would have to build.

use serde_json::json;

use crate::site::Site;

#[test]
fn what_is_warm_is_not_built_again() {
    let site = Site::new();
    let config = "configs/quickstart/config.json";
    let told = site.succeed(&["warmup", config]);
    assert!(
        told.contains("collection quickstart, view text: "),
        "{told}"
    );
    let sidecars = site.files(".", ".routir-offsets");
    assert_eq!(sidecars.len(), 1, "{sidecars:?}");
    let modified = |path: &std::path::Path| std::fs::metadata(path).unwrap().modified().unwrap();
    let built = modified(&sidecars[0]);
    let index = site.files(".cache", "");
    assert!(!index.is_empty(), "the index of BM25 was built");
    site.succeed(&["warmup", config]);
    assert_eq!(modified(&sidecars[0]), built, "what fits is left as it is");
    site.succeed(&[
        "warmup",
        config,
        "--force",
        "--workers",
        "2",
        "--view",
        "text",
    ]);
    assert_ne!(modified(&sidecars[0]), built, "--force builds anew");
    let ran = site.run(&["warmup", config, "--view", "txt"]);
    assert_eq!(ran.status, Some(2));
    assert!(
        ran.stderr.contains("no collection has a view `txt`"),
        "{}",
        ran.stderr
    );
}

/// `force_load_all_documents`: the corpus may even go away while serving.
#[test]
fn loaded_documents_need_no_file() {
    let site = Site::new();
    std::fs::write(site.path("c.jsonl"), "{\"id\": \"a\", \"text\": \"one\"}\n").unwrap();
    let config = json!({"collections": [{
        "name": "c", "doc_path": "c.jsonl", "force_load_all_documents": true}]});
    let server = site.serve(&config.to_string(), &[]);
    std::fs::remove_file(site.path("c.jsonl")).unwrap();
    let (status, answer) = server.post("/content", &json!({"collection": "c", "id": "a"}));
    assert_eq!((status, &answer["text"]), (200, &json!("one")));
    assert_eq!(
        server
            .post("/content", &json!({"collection": "c", "id": "b"}))
            .0,
        400
    );
}
