//! `LLMEngine` on a server that stands in for one with OpenAI's API.
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
use std::time::{Duration, Instant};

use common::{Home, params, score, score_request};
use routir_core::{
    Batching, DecomposeRequest, Error, ErrorCode, RequestContext, Roles, ScoreRequest,
};
use serde_json::{Value, json};
use stand_in::{Reply, Seen, StandIn, begins_with, says};

fn config(server: &StandIn, more: Value) -> Value {
    let mut config = json!({"model_name_or_path": "qwen", "server_endpoint": server.url});
    let more = more.as_object().unwrap().clone();
    config.as_object_mut().unwrap().extend(more);
    config
}

fn engine(server: &StandIn, more: Value) -> Roles {
    Home::new()
        .build("LLMEngine", &config(server, more))
        .unwrap()
}

async fn decompose(
    roles: &Roles,
    query: &str,
    limit: Option<usize>,
    params: Value,
) -> Result<Vec<String>, Error> {
    let request = DecomposeRequest {
        query: query.into(),
        limit,
        params: common::params(&params),
        context: Arc::default(),
    };
    let expander = roles.decompose.as_ref().unwrap();
    let answer = expander.decompose(vec![request]).await.remove(0)?;
    Ok(answer.iter().map(ToString::to_string).collect())
}

/// A server that finds a passage the more relevant the longer it is.
fn by_length(_: usize, seen: &Seen) -> Reply {
    let prompt = seen.prompt();
    let document = prompt.split("Document: ").nth(1).unwrap();
    let document = document.split("\n\nRelevance").next().unwrap();
    let yes = document.len() as f64 / 100.0;
    Reply::Json(begins_with(&[("Yes", yes.ln()), ("No", (1.0 - yes).ln())]))
}

#[tokio::test]
async fn passages_get_their_own_scores_whatever_the_order_of_answers() {
    let server = StandIn::start(|before, seen| {
        let Reply::Json(value) = by_length(before, seen) else {
            return Reply::Stall;
        };
        // The first are answered last.
        Reply::Late(
            Duration::from_millis(20_u64.saturating_sub(2 * before as u64)),
            value,
        )
    })
    .await;
    let roles = engine(&server, json!({"api_key": "k", "max_concurrency": 4}));
    assert_eq!(roles.score.as_ref().unwrap().batching(), Batching::Inside);
    let passages: Vec<String> = (1..=9).map(|n| "x".repeat(n)).collect();
    let passages: Vec<&str> = passages.iter().map(String::as_str).collect();
    let scores = score(&roles, score_request("q", &passages)).await.unwrap();
    for (n, score) in scores.iter().enumerate() {
        assert!((score - (n + 1) as f64 / 100.0).abs() < 1e-9, "{scores:?}");
    }
    assert!(server.most_at_once() <= 4);
    let seen = server.seen();
    assert_eq!(seen.len(), 9);
    let Seen { body, head, .. } = &seen[0];
    assert!(head.contains("authorization: bearer k"), "{head}");
    assert_eq!(body["model"], "qwen");
    assert_eq!(
        (&body["max_tokens"], &body["temperature"]),
        (&json!(1), &json!(0))
    );
    assert_eq!(
        (&body["logprobs"], &body["top_logprobs"]),
        (&json!(true), &json!(20))
    );
    let prompt = "Given the following query and document, determine if the document is relevant to the \
                  query.\nAnswer with only \"Yes\" or \"No\".\n\nQuery: q\n\nDocument: ";
    assert!(seen[0].prompt().starts_with(prompt), "{}", seen[0].prompt());
    assert!(seen[0].prompt().ends_with("\n\nRelevance(Yes/No): "));
    assert!(
        score(&roles, score_request("q", &[]))
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn it_says_what_it_is_told_to_say() {
    let server =
        StandIn::start(|_, _| Reply::Json(begins_with(&[(" TRUE", -0.5), ("false", -0.5)]))).await;
    let roles = engine(
        &server,
        json!({
            "score_prompt": "{{{pos_token}}} {query}? {document}", "pos_token": "true", "neg_token": "False",
            "request_kwargs": {
                "temperature": null, "max_completion_tokens": 16, "top_logprobs": 5,
                "extra_body": {"chat_template_kwargs": {"enable_thinking": false}},
                "extra_headers": {"X-Team": "search"},
            },
            "ngpus": 2, "gpu_memory_utilization": 0.9, "name": "llm",
        }),
    );
    let scores = score(&roles, score_request("{q}", &["{document}"]))
        .await
        .unwrap();
    assert!((scores[0] - 0.5).abs() < 1e-12);
    let seen = server.seen().remove(0);
    assert_eq!(seen.prompt(), "{true} {q}? {document}");
    let body = seen.body.as_object().unwrap();
    assert!(
        !body.contains_key("temperature") && !body.contains_key("max_tokens"),
        "{body:?}"
    );
    assert_eq!(body["max_completion_tokens"], 16);
    assert_eq!(body["top_logprobs"], 5);
    assert_eq!(
        body["chat_template_kwargs"],
        json!({"enable_thinking": false})
    );
    assert!(seen.head.contains("x-team: search"), "{}", seen.head);
}

#[tokio::test]
async fn a_request_may_bring_its_prompt_where_that_is_allowed() {
    let server = StandIn::start(|_, seen| match seen.body.get("logprobs") {
        Some(_) => Reply::Json(begins_with(&[("Yes", -1.0)])),
        None => Reply::Json(says(r#"["a"]"#)),
    })
    .await;
    let roles = engine(&server, json!({"allow_custom_prompts": true}));
    let with = |prompt: &str| ScoreRequest {
        params: params(&json!({"prompt": prompt})),
        ..score_request("q", &["d"])
    };
    score(&roles, with("{document} {query}")).await.unwrap();
    assert_eq!(server.seen()[0].prompt(), "d q");
    for bad in ["{query}", "{document}", "{query} {document} {other}", "{"] {
        let error = score(&roles, with(bad)).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidArgument, "{bad}: {error}");
    }
    // A short prompt that grows beyond all measure is not built.
    let grown = ScoreRequest {
        passages: vec![Arc::from("x".repeat(20_000))].into(),
        ..with(&"{document}{query}".repeat(1000))
    };
    assert_eq!(
        score(&roles, grown).await.unwrap_err().code(),
        ErrorCode::TooLarge
    );
    decompose(&roles, "q", None, json!({"prompt": "split {query}"}))
        .await
        .unwrap();
    assert!(
        server.seen()[1]
            .prompt()
            .starts_with("split q\nReturn the sub-queries")
    );

    let closed = engine(&server, json!({}));
    let specs = closed.score.unwrap().params();
    let problems = specs.check(&params(&json!({"prompt": "x"})));
    assert_eq!(problems.len(), 1, "{problems:?}");
}

#[tokio::test]
async fn a_model_that_says_neither_word_of_any_passage_is_an_error_and_of_some_is_in_the_middle() {
    let server = StandIn::start(|_, seen| {
        let word = if seen.prompt().contains("Document: odd") {
            "<think>"
        } else {
            "yes"
        };
        Reply::Json(begins_with(&[(word, -0.001)]))
    })
    .await;
    let roles = engine(&server, json!({}));
    let scores = score(&roles, score_request("q", &["odd", "even"]))
        .await
        .unwrap();
    assert_eq!(scores[0], 0.5);
    assert!(scores[1] > 0.9999);
    let error = score(&roles, score_request("q", &["odd", "odd too"]))
        .await
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::EngineFailure);
    assert!(
        error
            .message()
            .contains("neither `Yes` nor `No` (but with `<think>`)"),
        "{error}"
    );

    let mute = StandIn::start(|_, _| Reply::Json(says("Yes"))).await;
    let error = score(&engine(&mute, json!({})), score_request("q", &["d"]))
        .await
        .unwrap_err();
    assert!(
        error.message().contains("without log probabilities"),
        "{error}"
    );
}

#[tokio::test]
async fn long_passages_are_cut() {
    let server = StandIn::start(|_, _| Reply::Json(begins_with(&[("Yes", -1.0)]))).await;
    let roles = engine(
        &server,
        json!({"max_doc_tokens": 2, "score_prompt": "{query}|{document}|"}),
    );
    score(&roles, score_request("q", &["abcdefghij"]))
        .await
        .unwrap();
    assert_eq!(server.seen()[0].prompt(), "q|abcdefgh|");
    // What the model reads bounds it.
    let roles = engine(
        &server,
        json!({"max_doc_tokens": 9000, "max_model_len": 514, "score_prompt": "{query}|{document}|"}),
    );
    score(&roles, score_request("q", &["abcdefghij"]))
        .await
        .unwrap();
    assert_eq!(server.seen()[1].prompt(), "q|abcdefgh|");
}

#[tokio::test]
async fn busy_servers_are_asked_again_and_broken_ones_are_an_error() {
    let server = StandIn::start(|before, seen| match before {
        0 => Reply::Status(429, "retry-after-ms: 1\r\n", json!({})),
        1 => Reply::Status(500, "retry-after-ms: 1\r\n", json!({})),
        _ => by_length(before, seen),
    })
    .await;
    let scores = score(&engine(&server, json!({})), score_request("q", &["xx"]))
        .await
        .unwrap();
    assert!((scores[0] - 0.02).abs() < 1e-9);
    assert_eq!(server.seen().len(), 3);

    let down = StandIn::start(|_, _| Reply::Status(500, "retry-after-ms: 1\r\n", json!({}))).await;
    let roles = engine(&down, json!({"max_retries": 1}));
    let error = score(&roles, score_request("q", &["xx"]))
        .await
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unavailable, "{error}");
    assert_eq!(down.seen().len(), 2);
}

#[tokio::test]
async fn a_deadline_or_a_caller_that_leaves_ends_the_calls() {
    let server = StandIn::start(|_, _| Reply::Stall).await;
    let roles = engine(&server, json!({}));
    let soon = RequestContext {
        deadline: Some(Instant::now() + Duration::from_millis(50)),
        ..RequestContext::default()
    };
    let request = ScoreRequest {
        context: Arc::new(soon),
        ..score_request("q", &["a", "b"])
    };
    let error = score(&roles, request).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::DeadlineExceeded, "{error}");
    server.callers_left(2).await;

    let scorer = roles.score.unwrap();
    let call = tokio::spawn(async move {
        scorer
            .score(vec![score_request("q", &["a", "b", "c"])])
            .await
    });
    server.requests(5).await;
    call.abort();
    server.callers_left(5).await;
}

#[tokio::test]
async fn sub_queries_come_of_the_models_answer() {
    let server = StandIn::start(|before, _| {
        Reply::Json(says(match before {
            0 => "<think>hm [1]</think>\n{\"queries\": [\"a [b]\", \"c\", \"d\"]}",
            1 => "1. first\n2. 2024 second",
            _ => "",
        }))
    })
    .await;
    let roles = engine(&server, json!({}));
    let found = decompose(&roles, "q", Some(2), json!({})).await.unwrap();
    assert_eq!(found, ["a [b]", "c"]);
    let found = decompose(&roles, "q", None, json!({})).await.unwrap();
    assert_eq!(found, ["first", "2024 second"]);
    let error = decompose(&roles, "q", None, json!({})).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::EngineFailure);
    let seen = server.seen().remove(0);
    assert!(
        seen.prompt().starts_with(
            "Input: q\n\n Generate 10 google-like queries based on the input.\nReturn"
        )
    );
    assert_eq!(seen.body["response_format"], json!({"type": "json_object"}));
    assert_eq!(seen.body["max_tokens"], 2048);
    assert!(seen.body.get("logprobs").is_none());
}

#[tokio::test]
async fn queries_are_expanded_side_by_side_as_far_as_the_server_takes_it() {
    let server =
        StandIn::start(|_, _| Reply::Late(Duration::from_millis(50), says(r#"["a"]"#))).await;
    let roles = engine(&server, json!({"max_concurrency": 3}));
    let expander = roles.decompose.as_ref().unwrap();
    // The service hands each request on at once, and the queue before the server bounds them.
    assert_eq!(expander.batching(), Batching::Inside);
    let queries: Vec<_> = (0..9).map(|at| format!("q{at}")).collect();
    let asked = queries
        .iter()
        .map(|query| decompose(&roles, query, None, json!({})));
    for found in futures_util::future::join_all(asked).await {
        assert_eq!(found.unwrap(), ["a"]);
    }
    assert_eq!((server.most_at_once(), server.seen().len()), (3, 9));
}

#[test]
fn a_wrong_configuration_is_told_in_full() {
    let home = Home::new();
    let refusal = |config: Value| home.refusal("LLMEngine", &config);
    let local = refusal(json!({"model_name_or_path": "m"}));
    assert!(
        local.contains("`vllm serve MODEL`") && local.contains("`server_endpoint` is missing"),
        "{local}"
    );
    let all = refusal(json!({
        "server_endpoint": "http://h/v1", "score_prompt": "{query}", "decompose_prompt": "{document}",
        "pos_token": "yes ", "neg_token": "Yes", "timeout": 0, "max_retries": 99, "max_concurrency": 0,
        "request_kwargs": {"messages": [], "stream": true, "extra_query": {}, "extra_headers": {"a": 1}},
        "max_model_len": 512, "score_promt": "",
    }));
    for part in [
        "`model_name_or_path` is missing",
        "`score_prompt`: it must have `{query}`",
        "`decompose_prompt`: the template `{document}` may have `{query}`",
        "`pos_token` and `neg_token` must be two words",
        "`timeout` must be above 0",
        "`max_retries` must be at most 20",
        "`max_concurrency` must be",
        "`request_kwargs`: `messages` is the engine's to say",
        "`request_kwargs`: `stream` is the engine's to say",
        "`request_kwargs`: `extra_query` is not possible",
        "`request_kwargs`: `extra_headers` must have strings",
        "`max_model_len` must be above 512",
        "unknown key `score_promt` in `config`; did you mean `score_prompt`?",
    ] {
        assert!(all.contains(part), "{part} is not in {all}");
    }
    let address =
        refusal(json!({"model_name_or_path": "m", "server_endpoint": "localhost:8000/v1"}));
    assert!(address.contains("no address of an API"), "{address}");
    let tokenizer = refusal(json!({
        "model_name_or_path": "m", "server_endpoint": "http://h/v1", "tokenizer_name": "./nowhere/at/all",
    }));
    assert!(tokenizer.contains("`tokenizer_name`"), "{tokenizer}");
    let checked = home.check(
        "LLMEngine",
        &json!({"model_name_or_path": "m", "server_endpoint": "http://h/v1"}),
    );
    let roles = checked.unwrap();
    assert!(roles.score.is_some() && roles.decompose.is_some() && roles.search.is_none());
}
