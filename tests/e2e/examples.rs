//! Every example configuration is served as it is and answers with every service and alias.

use serde_json::json;

use crate::site::Site;

/// The key of the tenant in `tenants.json`.
const ACME: &str = "acme-key-0123456789abcdef";

#[test]
fn each_is_served_and_answers() {
    let site = Site::new();
    let mut examples = site.files("configs", ".json");
    // Of the quick start with a dense retriever the index has to be built first: see `hybrid`.
    // `llm.json` needs servers with models, the workers in `deploy` models of the hub.
    let left_out = [
        "/wrong/",
        "/deploy/",
        "quickstart/hybrid.json",
        "configs/llm.json",
    ];
    examples.retain(|path| {
        left_out
            .iter()
            .all(|part| !path.to_str().unwrap().contains(part))
    });
    examples.sort();
    assert!(examples.len() >= 6, "{examples:?}");
    for config in examples {
        let name = config.file_name().unwrap().to_str().unwrap();
        let query = if name == "trec-run.json" {
            "why is the sky blue"
        } else {
            "java coffee"
        };
        let config = config.to_str().unwrap();
        let mut command = site.command(&[config, "--port", "0", "--host", "127.0.0.1"]);
        command.env("ACME_KEY", ACME);
        let mut server = site.start(command);
        if name == "tenants.json" {
            server.key = Some(ACME);
        }
        let (_, avail) = server.get("/avail");
        let searchers = avail["search"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it.as_str().unwrap());
        let aliases = avail["pipeline_aliases"]
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str);
        let collection = avail["content"].get(0);
        for pipeline in searchers.chain(aliases) {
            let body = json!({"pipeline": pipeline, "query": query, "collection": collection});
            let (status, answer) = server.post("/pipeline", &body);
            assert_eq!(status, 200, "{name}: {pipeline}: {answer}");
            assert!(
                !answer["scores"].as_object().unwrap().is_empty(),
                "{name}: {pipeline}"
            );
        }
        server.stop();
    }
}
