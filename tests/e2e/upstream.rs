//! Services that search with other services of the same server, and read its collections.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

use serde_json::json;

use crate::site::{Site, quick_start_and};

/// A server with OpenAI's API whose model likes islands.
fn model() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/v1", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || complete(stream));
        }
    });
    address
}

fn complete(mut stream: TcpStream) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut length, mut line) = (0, String::new());
    while reader.read_line(&mut line).unwrap() > 2 {
        let header = line.to_ascii_lowercase();
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        line.clear();
    }
    let mut prompt = vec![0; length];
    reader.read_exact(&mut prompt).unwrap();
    let likes = String::from_utf8(prompt).unwrap().contains("island");
    let (yes, no) = if likes { (-0.1, -3.0) } else { (-3.0, -0.1) };
    let top = [("Yes", yes), ("No", no)];
    let top = top.map(|(token, logprob)| json!({"token": token, "logprob": logprob}));
    let said = json!({"token": "Yes", "logprob": yes, "top_logprobs": top});
    let answer = json!({"choices": [{"index": 0, "logprobs": {"content": [said]},
        "message": {"role": "assistant", "content": "Yes"}}]});
    let answer = answer.to_string();
    let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length:";
    let _ = write!(stream, "{head} {}\r\n\r\n{answer}", answer.len());
}

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

/// As RoutIR's documentation shows it: a reranker with an engine of its own before it, which reads
/// its texts from the server that it is in, over HTTP.
#[test]
fn a_reranker_may_read_the_texts_of_its_own_server() {
    let site = Site::new();
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    let reranker = json!({
        "model_name_or_path": "m",
        "server_endpoint": model(),
        "upstream_service": {"engine": "BM25", "config": {"collection": "quickstart"}},
        "text_service": {
            "endpoint": format!("http://127.0.0.1:{port}"), "collection": "quickstart",
        },
        "rerank_topk_max": 40,
    });
    let config = quick_start_and(&[("liking", "LLMEngine", reranker)]);
    drop(free);
    let arguments = ["--host", "127.0.0.1", "--port", &port.to_string()];
    let server = site.start(site.command(&[&[&*config], &arguments[..]].concat()));
    let body = json!({"service": "liking", "query": "java coffee", "limit": 40});
    let (status, answer) = server.post("/search", &body);
    assert_eq!(status, 200, "{answer}");
    let scores = answer["scores"].as_object().unwrap();
    let liked = scores.values().filter(|it| it.as_f64() > Some(0.5)).count();
    assert!(liked > 0 && liked < scores.len(), "{answer}");
    for (id, score) in scores {
        let body = json!({"collection": "quickstart", "id": id});
        let (_, document) = server.post("/content", &body);
        let likes = document["text"].as_str().unwrap().contains("island");
        assert_eq!(score.as_f64().unwrap() > 0.5, likes, "{id}: {document}");
    }
    // Many at a time: not a request for each of them, whatever else was asked.
    let (_, metrics) = server.get("/metrics");
    let metrics = metrics.as_str().unwrap();
    assert!(metrics.contains("endpoint=\"contents\""), "{metrics}");
    server.stop();
}
