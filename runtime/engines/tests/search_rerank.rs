//! Rerankers that search, as RoutIR's `Reranker`: upstream, texts and scores in this order.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    reason = "a test fails by panicking, and helpers are not seen as tests"
)]

mod common;
#[path = "../../remote/tests/stand_in/mod.rs"]
mod stand_in;

use std::sync::Arc;

use common::{FakeHost, Home, ask_with, ids, params, score_request, tiny};
use routir_core::{Error, ErrorCode, Hit, HostNeed, Ranking, Roles};
use serde_json::{Value, json};
use stand_in::{Reply, StandIn, begins_with};

/// A server for which the number that stands in a passage is its score in percent.
async fn model() -> StandIn {
    StandIn::start(|_, seen| {
        let number = seen.prompt().split('|').nth(1).unwrap();
        let yes = number.parse::<f64>().unwrap() / 100.0;
        Reply::Json(begins_with(&[("Yes", yes.ln()), ("No", (1.0 - yes).ln())]))
    })
    .await
}

/// Ten documents, of which the upstream's first is the scorer's last.
fn host() -> Arc<FakeHost> {
    const DOCS: [(&str, &str); 6] = [
        ("a", "10"),
        ("b", "20"),
        ("c", "30"),
        ("d", "40"),
        ("e", "50"),
        ("f", "60"),
    ];
    let ranking = DOCS
        .iter()
        .zip(0..)
        .map(|((id, _), n)| (*id, 10.0 - f64::from(n)));
    Arc::new(FakeHost {
        rankings: [
            ("first", ranking.collect()),
            ("nothing", Vec::new()),
            ("lost", vec![("zz", 1.0)]),
        ]
        .into(),
        texts: DOCS.into(),
        asked: Default::default(),
    })
}

fn config(server: &StandIn, more: Value) -> Value {
    let mut config = json!({
        "model_name_or_path": "m", "server_endpoint": server.url, "score_prompt": "{query}|{document}|",
        "upstream_service": "first", "text_service": {"collection": "docs", "view": "body"},
    });
    config
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    config
}

fn engine(host: &Arc<FakeHost>, config: &Value) -> Roles {
    let mut home = Home::new();
    home.host = Some(Arc::clone(host));
    home.build("LLMEngine", config).unwrap()
}

async fn search(roles: &Roles, limit: usize, params: Value) -> Result<Ranking, Error> {
    common::search(roles, ask_with("q", limit, &params)).await
}

#[tokio::test]
async fn candidates_of_the_upstream_come_in_the_order_of_its_own_scores() {
    let (server, host) = (model().await, host());
    let roles = engine(&host, &config(&server, json!({})));
    let found = search(&roles, 2, json!({})).await.unwrap();
    assert_eq!(ids(&found), ["f", "e"]);
    assert!((found.hits()[0].score - 0.6).abs() < 1e-9, "{found:?}");
    // What was asked, in whose name: five times as many candidates, and their texts.
    let asked = host.asked.lock().unwrap().clone();
    assert_eq!(
        asked,
        ["svc: first(q)%10 {} None", "svc: docs Some(\"body\") 6"]
    );
    let needs = [
        HostNeed::Search {
            pipeline: "first".into(),
            collection: None,
        },
        HostNeed::Content {
            collection: "docs".into(),
            view: Some("body".into()),
        },
    ];
    assert_eq!(roles.needs, needs);
    // It scores as before.
    let scorer = roles.score.unwrap();
    let scores = scorer
        .score(vec![score_request("q", &["70"])])
        .await
        .remove(0)
        .unwrap();
    assert!((scores[0] - 0.7).abs() < 1e-9);
}

/// A server with the documents of [`host`], and which it is asked for; RoutIR's, or one of this
/// project, which answers for several at once.
fn library(ours: bool) -> (String, Arc<std::sync::Mutex<Vec<String>>>) {
    use std::io::{BufRead, BufReader, Read, Write};
    let document = |id: &Value| {
        let id = id.as_str().unwrap();
        match "abcdef".find(id) {
            Some(at) => json!({"id": id, "text": ((at + 1) * 10).to_string()}),
            None => json!({"id": id, "error": format!("ID {id} is not found.")}),
        }
    };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut head, mut line) = (String::new(), String::new());
            while reader.read_line(&mut line).unwrap_or(0) > 2 {
                head += &line.to_ascii_lowercase();
                line.clear();
            }
            let length = head.split("content-length: ").nth(1).unwrap_or("0");
            let length: usize = length.lines().next().unwrap().parse().unwrap();
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let (status, answer) = if head.starts_with("get /avail ") {
                let endpoints: &[&str] = if ours { &["contents"] } else { &[] };
                let server = json!({"id": "library", "endpoints": endpoints});
                ("200 OK", json!({"content": ["books"], "server": server}))
            } else {
                let body: Value = serde_json::from_slice(&body).unwrap();
                log.lock().unwrap().push(body.to_string());
                match body["ids"].as_array() {
                    Some(ids) => {
                        let found = ids.iter().map(document);
                        ("200 OK", json!({"documents": found.collect::<Vec<_>>()}))
                    }
                    None => match document(&body["id"]) {
                        lost if lost["error"].is_string() => ("400 Bad Request", lost),
                        found => ("200 OK", found),
                    },
                }
            };
            let answer = answer.to_string();
            let head = format!(
                "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                answer.len()
            );
            let _ = stream.write_all((head + &answer).as_bytes());
        }
    });
    (address, asked)
}

#[tokio::test]
async fn texts_may_be_those_of_another_server() {
    for ours in [false, true] {
        let (server, host) = (model().await, host());
        let (address, asked) = library(ours);
        let texts = json!({"endpoint": address, "collection": "books", "view": "body",
            "transport": "rest", "retries": 0});
        let config = config(&server, json!({"text_service": texts}));
        let roles = engine(&host, &config);
        // Nothing of this server is needed for it.
        assert_eq!(roles.needs.len(), 1);
        let found = search(&roles, 2, json!({})).await.unwrap();
        assert_eq!(ids(&found), ["f", "e"]);
        let mut seen = asked.lock().unwrap().clone();
        seen.sort();
        if ours {
            let all = r#"{"collection":"books","ids":["a","b","c","d","e","f"],"view":"body"}"#;
            assert_eq!(seen, [all]);
        } else {
            assert_eq!(seen.len(), 6);
            assert_eq!(seen[0], r#"{"collection":"books","id":"a","view":"body"}"#);
        }

        let mut lost = config;
        lost["upstream_service"] = json!("lost");
        let error = search(&engine(&host, &lost), 2, json!({}))
            .await
            .unwrap_err();
        assert!(error.message().contains("ID zz is not found."), "{error}");
    }
}

#[tokio::test]
async fn the_number_of_candidates_is_routirs() {
    let (server, host) = (model().await, host());
    let roles = engine(
        &host,
        &config(
            &server,
            json!({"rerank_topk_max": 4, "rerank_multiplier": 1.5}),
        ),
    );
    let limit = async |limit, params| {
        host.asked.lock().unwrap().clear();
        let found = search(&roles, limit, params).await.unwrap();
        let asked = host.asked.lock().unwrap().first().cloned();
        (
            asked.map(|it| it.split(['%', ' ']).nth(2).unwrap().to_owned()),
            found.len(),
        )
    };
    let times = |number: &str| Some(number.to_owned());
    // 1.5 is rounded up; never more than the bound, even where more documents are wanted.
    assert_eq!(limit(1, json!({})).await, (times("2"), 1));
    assert_eq!(limit(2, json!({})).await, (times("3"), 2));
    assert_eq!(limit(5, json!({})).await, (times("4"), 4));
    assert_eq!(limit(0, json!({})).await, (None, 0));
    assert_eq!(
        limit(1, json!({"rerank_multiplier": 3})).await,
        (times("3"), 1)
    );
    assert_eq!(
        limit(1, json!({"rerank_multiplier": 1e300})).await,
        (times("4"), 1)
    );
    let error = search(&roles, 1, json!({"rerank_multiplier": -1}))
        .await
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidArgument);
}

#[tokio::test]
async fn arguments_go_to_whom_they_are_for() {
    let (server, host) = (model().await, host());
    let roles = engine(
        &host,
        &config(&server, json!({"allow_custom_prompts": true})),
    );
    let params = json!({"prompt": "{query}|{document}|!", "subset": "s", "rerank_multiplier": 1});
    search(&roles, 1, params).await.unwrap();
    assert_eq!(server.seen()[0].prompt(), "q|10|!");
    let asked = host.asked.lock().unwrap()[0].clone();
    assert_eq!(asked, r#"svc: first(q)%1 {"subset":"s"} None"#);
}

#[tokio::test]
async fn no_candidates_are_no_documents_and_a_missing_text_is_an_error() {
    let (server, host) = (model().await, host());
    let none = engine(
        &host,
        &config(&server, json!({"upstream_service": {"service": "nothing"}})),
    );
    assert!(search(&none, 3, json!({})).await.unwrap().is_empty());
    let lost = engine(&host, &config(&server, json!({"upstream_service": "lost"})));
    let error = search(&lost, 3, json!({})).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::UnknownDocument);
    assert_eq!(error.message(), "collection `docs`: ID zz is not found.");
    let gone = engine(&host, &config(&server, json!({"upstream_service": "gone"})));
    assert!(
        search(&gone, 3, json!({}))
            .await
            .unwrap_err()
            .message()
            .contains("no service gone")
    );
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn an_upstream_may_be_an_engine_of_its_own() {
    let (server, host) = (model().await, host());
    let mut home = Home::new()
        .file("topics.tsv", "1\tq\n")
        .file("a.txt", "1 Q0 c 1 10 a\n1 Q0 d 2 9 a\n1 Q0 e 3 1 a\n");
    home.host = Some(host);
    let upstream = json!({"engine": "TrecRun", "config": {"run": "a.txt", "topics": "topics.tsv"}});
    let more = json!({"upstream_service": upstream, "rerank_topk_max": 2});
    let roles = home.build("LLMEngine", &config(&server, more)).unwrap();
    let found = search(&roles, 10, json!({})).await.unwrap();
    assert_eq!(ids(&found), ["d", "c"]);
    // What neither scorer nor upstream knows is refused, not passed over.
    let specs = roles.search.unwrap().params();
    let unknown = params(&json!({"subset": "s"}));
    assert_eq!(specs.check(&unknown).len(), 1);
    // A fusion of both kinds, too.
    let fusion = json!({"upstream_service": ["first", upstream], "fusion_method": "score"});
    let fused = home.build("Fusion", &fusion).unwrap();
    assert_eq!(fused.needs.len(), 1);
    let found = search(&fused, 3, json!({})).await.unwrap();
    assert_eq!(ids(&found), ["c", "a", "b"]);
}

#[tokio::test]
async fn the_only_collection_is_where_texts_are_unless_told() {
    let (server, host) = (model().await, host());
    let with = |home: Home, more: Value| {
        let home = Home {
            host: Some(Arc::clone(&host)),
            ..home
        };
        home.build("LLMEngine", &config(&server, more))
    };
    let one = with(
        Home::new().collection("only", &[]),
        json!({"text_service": null}),
    )
    .unwrap();
    search(&one, 1, json!({})).await.unwrap();
    assert!(host.asked.lock().unwrap()[1].starts_with("svc: only None"));
    let two = Home::new().collection("one", &[]).collection("two", &[]);
    for home in [Home::new(), two] {
        let error = with(home, json!({"text_service": null})).err().unwrap();
        assert!(
            error.message().contains("`text_service`: it is missing"),
            "{error}"
        );
    }
}

#[test]
fn wrong_upstreams_are_told_at_start() {
    let home = Home::new();
    let refusal = |more: Value| {
        let mut config = json!({"model_name_or_path": "m", "server_endpoint": "http://h/v1", "text_service": "docs"});
        config
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        home.refusal("LLMEngine", &config)
    };
    for (upstream, why) in [
        (json!("svc"), "`svc` cannot search with itself"),
        (
            json!({"engine": "BM52", "config": {}}),
            "did you mean `BM25`?",
        ),
        (json!({"engine": "RRF"}), "`RRF` does not search"),
        (
            json!({"engine": "TrecRun", "config": {}}),
            "`run` is missing",
        ),
        (json!({"config": {}}), "`engine` is missing"),
        (json!({"service": "a", "limit": 3}), "unknown key `limit`"),
        (json!(7), "it must be {\"engine\", \"config\"}"),
    ] {
        let error = refusal(json!({"upstream_service": upstream}));
        assert!(
            error.contains("`upstream_service`: ") && error.contains(why),
            "{error}"
        );
    }
    let text = refusal(json!({"upstream_service": "a", "text_service": {"view": "x"}}));
    assert!(
        text.contains("`text_service`: `collection` is missing"),
        "{text}"
    );
    let text = refusal(json!({"upstream_service": "a",
        "text_service": {"endpoint": "http://h", "collection": "c", "retries": -1}}));
    assert!(text.contains("`retries` must be a whole number"), "{text}");
    let bounds = refusal(json!({"rerank_topk_max": 0, "rerank_multiplier": 0}));
    assert!(
        bounds.contains("`rerank_topk_max` must be")
            && bounds.contains("`rerank_multiplier` must be"),
        "{bounds}"
    );
}

/// Every reranker of RoutIR searches when it has an upstream.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn local_models_do_it_too() {
    let tokens = json!({"token_false": "▁false", "token_true": "▁true"});
    for (engine, model, more) in [
        ("CrossEncoder", "cross-encoder", json!({})),
        ("mT5", "seq2seq", tokens),
        ("Qwen3Reranker", "causal", json!({})),
    ] {
        let mut home = Home::new();
        let Some((folder, _)) = tiny(&home, model) else {
            continue;
        };
        home.host = Some(host());
        let mut config = json!({
            "model_name_or_path": folder, "upstream_service": "first", "text_service": "docs",
        });
        let more = more.as_object().unwrap().clone();
        config.as_object_mut().unwrap().extend(more);
        let checked = home.check(engine, &config).unwrap();
        assert!(checked.search.is_some(), "{engine}");
        let roles = home.build(engine, &config).unwrap();
        let found = search(&roles, 6, json!({})).await.unwrap();
        let text = |hit: &Hit| host().texts[hit.doc.as_str()];
        let texts: Vec<&str> = found.hits().iter().map(text).collect();
        let scorer = roles.score.unwrap();
        let scores = scorer.score(vec![score_request("q", &texts)]).await;
        let scores = scores[0].as_ref().unwrap();
        assert_eq!(found.len(), 6, "{engine}");
        for (hit, score) in found.hits().iter().zip(scores) {
            assert!(
                (hit.score - score).abs() < 1e-5,
                "{engine}: {found:?} {scores:?}"
            );
        }
    }
}
