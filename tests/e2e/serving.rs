//! The server as a worker: vectors and scores of real models for SDKs, and its state for routers.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use routir_sie::{EncodeReply, Form};
use serde_json::{Value, json};

use crate::indexing::minilm;
use crate::site::{Server, Site, agent};

/// Bytes that answer `body` in `form` to a request that wants `accept`.
fn post(server: &Server, path: &str, body: &Value, form: Form, accept: &str) -> Vec<u8> {
    let url = format!("{}{path}", server.base);
    let request = agent().post(url).header("accept", accept);
    let request = request.header("content-type", form.content_type());
    let mut answer = request.send(&form.write(body).unwrap()).unwrap();
    let bytes = answer.body_mut().read_to_vec().unwrap();
    assert_eq!(answer.status(), 200, "{}", String::from_utf8_lossy(&bytes));
    bytes
}

fn encode(server: &Server, model: &str, body: &Value, form: Form) -> Vec<Vec<f32>> {
    let path = format!("/v1/encode/{model}");
    let reply = post(server, &path, body, form, form.content_type());
    let reply: EncodeReply = form.read(&reply).unwrap();
    let rows = reply
        .items
        .iter()
        .map(|item| &item.dense.as_ref().unwrap().values);
    rows.map(|values| values.numbers().collect()).collect()
}

fn config(model: &str) -> Value {
    let encoder = json!({"embedding_model_name": model, "file": "model_int8.onnx"});
    let with = |more: Value| {
        let mut config = encoder.as_object().cloned().unwrap();
        config.extend(more.as_object().cloned().unwrap());
        config
    };
    json!({
        "services": [{"name": "close", "engine": "SentenceTransformerEngine",
            "config": with(json!({"instruction": "query: {query}"}))}],
        "rt": {"drain": 0.5, "worker": {"name": "w1", "machine_profile": "l4", "models": [
            {"name": "short", "engine": "SentenceTransformerEngine", "config": with(json!({"truncate_dim": 64}))},
        ]}},
    })
}

#[test]
fn a_service_and_its_models_answer_the_same_numbers_in_both_forms() {
    let Some(model) = minilm() else { return };
    let site = Site::new();
    fs::write(site.path("config.json"), config(&model).to_string()).unwrap();
    let server = site.serve("config.json", &[]);
    assert!(
        server.banner.contains("models          minilm\n"),
        "{}",
        server.banner
    );
    let texts = [
        "where do bees dance",
        "the waggle dance of honeybees tells where food is",
    ];
    let items = json!({"items": texts.map(|text| json!({"text": text}))});
    let [json, msgpack] =
        [Form::Json, Form::Msgpack].map(|form| encode(&server, "minilm", &items, form));
    assert_eq!(json[0].len(), 384);
    assert_eq!(json, msgpack);
    let short = encode(&server, "short", &items, Form::Json);
    assert_eq!(short[1].len(), 64);

    // What the service scores with: the query with its instruction, the passage without.
    let query = json!({"items": [{"text": texts[0]}], "params": {"options": {"is_query": true}}});
    let query = encode(&server, "close", &query, Form::Msgpack).remove(0);
    let product: f64 = query
        .iter()
        .zip(&json[1])
        .map(|(a, b)| f64::from(a * b))
        .sum();
    let score = json!({"service": "close", "query": texts[0], "passages": [texts[1]]});
    let (_, scored) = server.post("/score", &score);
    assert!(
        (scored["scores"][0].as_f64().unwrap() - product).abs() < 1e-2,
        "{scored} {product}"
    );
    let score = json!({"query": {"text": texts[0]}, "items": [{"text": "an unrelated thing"}, {"id": "bees", "text": texts[1]}]});
    let ranked = post(
        &server,
        "/v1/score/minilm",
        &score,
        Form::Json,
        "application/json",
    );
    let ranked: Value = serde_json::from_slice(&ranked).unwrap();
    assert_eq!(ranked["scores"][0]["item_id"], "bees", "{ranked}");

    let (status, answer) = server.post(
        "/v1/embeddings",
        &json!({"model": "minilm", "input": texts}),
    );
    assert_eq!(status, 200, "{answer}");
    let first: Vec<f32> = serde_json::from_value(answer["data"][0]["embedding"].clone()).unwrap();
    let cosine: f32 = first.iter().zip(&json[0]).map(|(a, b)| a * b).sum();
    assert!(cosine > 0.99, "{cosine}");
    assert!(
        answer["usage"]["prompt_tokens"].as_u64().unwrap() > 10,
        "{answer}"
    );
    let (_, models) = server.get("/v1/models");
    let names: Vec<_> = models["models"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["name"])
        .collect();
    assert_eq!(names, ["close", "minilm", "short"]);
}

/// Reads until `word` comes; frames of a server are not masked.
fn read_until(socket: &mut TcpStream, word: &str) {
    let mut seen = Vec::new();
    let mut piece = [0; 4096];
    while !seen.windows(word.len()).any(|part| part == word.as_bytes()) {
        let count = socket.read(&mut piece).unwrap();
        assert_ne!(
            count,
            0,
            "no `{word}` in {}",
            String::from_utf8_lossy(&seen)
        );
        seen.extend_from_slice(&piece[..count]);
    }
}

#[test]
fn a_router_sees_that_the_server_ends_while_it_still_serves() {
    let site = Site::new();
    let config = json!({"rt": {"worker": {"name": "w1"}}}).to_string();
    let mut server = site.serve(&config, &[]);
    let mut socket = TcpStream::connect(server.base.strip_prefix("http://").unwrap()).unwrap();
    let upgrade = "GET /ws/status HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    socket.write_all(upgrade.as_bytes()).unwrap();
    read_until(&mut socket, r#""ready":true,"name":"w1""#);
    server.signal("TERM");
    read_until(&mut socket, r#""ready":false,"name":"w1""#);
    assert_eq!(server.get("/ping").0, 200);
    assert_eq!(server.get("/readyz").0, 503);
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
}

#[test]
fn what_is_wrong_with_a_hosted_model_is_told_with_its_place() {
    let site = Site::new();
    let config = json!({"rt": {"worker": {"models": [
        {"name": "a", "engine": "BM25", "config": {}},
        {"name": "b", "engine": "LSR", "config": {"model_name": "hf:o/n", "index_path": "x"}},
    ]}}});
    let ran = site.run(&["check", &config.to_string()]);
    assert_eq!(ran.status, Some(2), "{}{}", ran.stdout, ran.stderr);
    let told = ran.stdout + &ran.stderr;
    for word in [
        "rt.worker.models[0].engine",
        "hosts no encoder",
        "rt.worker.models[1].config",
        "`index_path`",
    ] {
        assert!(told.contains(word), "{word}: {told}");
    }
}
