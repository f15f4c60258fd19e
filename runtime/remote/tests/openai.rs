//! What the client makes of servers that answer, stall, err and lie.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod stand_in;

use std::sync::Arc;
use std::time::{Duration, Instant};

use routir_core::{Error, ErrorCode};
use routir_remote::openai::{ApiSettings, ChatAnswer, ChatRequest, EmbeddingsRequest, OpenAi};
use serde_json::{Map, Value, json};
use stand_in::{Reply, Seen, StandIn, begins_with, says, vectors};

const KEY: &str = "sk-not-for-anybody";

fn settings(server: &StandIn) -> ApiSettings {
    ApiSettings {
        api_key: Some(KEY.to_owned()),
        ..ApiSettings::new(&server.url)
    }
}

async fn chat(client: &OpenAi, deadline: Option<Instant>) -> Result<ChatAnswer, Error> {
    let more = json!({"max_tokens": 1, "logprobs": true});
    let request = ChatRequest {
        model: "m",
        prompt: "is it?",
        more: more.as_object().unwrap(),
    };
    client.chat(&request, deadline).await
}

async fn embed(client: &OpenAi, texts: &[&str]) -> Result<Vec<Vec<f32>>, Error> {
    let more = Map::new();
    let request = EmbeddingsRequest {
        model: "m",
        input: texts,
        more: &more,
    };
    Ok(client.embeddings(&request, None).await?)
}

/// What a chat becomes with a server that answers so.
async fn outcome(
    reply: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static,
) -> (Result<ChatAnswer, Error>, usize) {
    let server = StandIn::start(reply).await;
    let answer = chat(&OpenAi::new(settings(&server)).unwrap(), None).await;
    (answer, server.seen().len())
}

fn busy(headers: &'static str) -> Reply {
    Reply::Status(429, headers, json!({"error": {"message": "slow\ndown"}}))
}

#[tokio::test]
async fn a_completion_comes_with_the_tokens_that_it_could_have_begun_with() {
    let reply = |_: usize, _: &Seen| Reply::Json(begins_with(&[("Yes", -0.25), ("No", -1.5)]));
    let server = StandIn::start(reply).await;
    let url = format!("{}/?api-version=7", server.url);
    let client = OpenAi::new(ApiSettings {
        base_url: url,
        headers: vec![("x-team".to_owned(), "search".to_owned())],
        ..settings(&server)
    });
    let answer = chat(&client.unwrap(), None).await.unwrap();
    assert_eq!(answer.content, "Yes");
    let first = answer.first.unwrap();
    let first: Vec<_> = first.iter().map(|it| (&*it.token, it.logprob)).collect();
    assert_eq!(first, [("Yes", -0.25), ("No", -1.5)]);
    let seen = server.seen();
    let Seen { path, head, body } = seen.first().unwrap();
    assert_eq!(path, "/v1/chat/completions?api-version=7");
    assert!(
        head.contains(&format!("authorization: bearer {KEY}")),
        "{head}"
    );
    assert!(head.contains("x-team: search"), "{head}");
    assert!(head.contains("content-type: application/json"), "{head}");
    let expected = json!({
        "model": "m", "messages": [{"role": "user", "content": "is it?"}],
        "max_tokens": 1, "logprobs": true,
    });
    assert_eq!(body, &expected);
}

#[tokio::test]
async fn a_completion_without_log_probabilities_says_so() {
    let (answer, _) = outcome(|_, _| Reply::Json(says("hello"))).await;
    let answer = answer.unwrap();
    assert_eq!((&*answer.content, answer.first), ("hello", None));
}

#[tokio::test]
async fn what_may_succeed_later_is_asked_again() {
    let replies: [fn() -> Reply; 4] = [
        || busy("retry-after: 0.01\r\n"),
        || Reply::Status(503, "retry-after-ms: 1\r\n", json!("overloaded")),
        || Reply::HangUp,
        || Reply::Status(500, "retry-after: 0\r\n", json!({"detail": "oh"})),
    ];
    for failing in replies {
        let (answer, asked) = outcome(move |before, _| match before {
            0 => failing(),
            _ => Reply::Json(says("there")),
        })
        .await;
        assert_eq!(answer.unwrap().content, "there");
        assert_eq!(asked, 2);
    }
}

#[tokio::test]
async fn it_is_asked_so_often_and_no_more() {
    let (answer, asked) = outcome(|_, _| busy("retry-after-ms: 1\r\n")).await;
    let error = answer.unwrap_err();
    assert_eq!((error.code(), asked), (ErrorCode::Overloaded, 3));
    assert_eq!(error.retry_after(), Some(Duration::from_millis(1)));
    assert!(
        error.message().ends_with("answered 429: slow down"),
        "{error}"
    );

    let down = |_: usize, _: &Seen| Reply::Status(500, "retry-after-ms: 1\r\n", json!({}));
    let (answer, asked) = outcome(down).await;
    assert_eq!(answer.unwrap_err().code(), ErrorCode::Unavailable);
    assert_eq!(asked, 3);
}

#[tokio::test]
async fn a_server_that_wants_too_long_a_wait_is_not_waited_for() {
    let (answer, asked) = outcome(|_, _| busy("retry-after: 3600\r\n")).await;
    let error = answer.unwrap_err();
    assert_eq!((error.code(), asked), (ErrorCode::Overloaded, 1));
    assert_eq!(error.retry_after(), Some(Duration::from_secs(3600)));

    // Nor one whose wait would pass the deadline.
    let server = StandIn::start(|_, _| busy("retry-after: 30\r\n")).await;
    let client = OpenAi::new(settings(&server)).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    let error = chat(&client, Some(deadline)).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Overloaded);
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn what_the_server_refuses_is_told_once_and_without_the_key() {
    for (status, advice) in [
        (401, "check `api_key`"),
        (404, "usually ends with /v1"),
        (400, ""),
    ] {
        let said = json!({"error": {"message": format!("no, {KEY}, never")}});
        let reply = move |_: usize, _: &Seen| Reply::Status(status, "", said.clone());
        let (answer, asked) = outcome(reply).await;
        let error = answer.unwrap_err();
        assert_eq!((error.code(), asked), (ErrorCode::EngineFailure, 1));
        let message = error.message();
        assert!(
            message.contains(&format!("answered {status}: no, [key], never")),
            "{message}"
        );
        assert!(message.contains(advice), "{message}");
    }
    let moved =
        |_: usize, _: &Seen| Reply::Status(307, "location: http://127.0.0.1:1/\r\n", json!({}));
    let (answer, asked) = outcome(moved).await;
    assert!(answer.unwrap_err().message().contains("redirects"));
    assert_eq!(asked, 1);
}

#[tokio::test]
async fn nonsense_is_an_error_and_not_asked_for_again() {
    let token = |logprob: Value| json!({"choices": [{"logprobs": {"content": [{"token": "a", "logprob": logprob, "top_logprobs": []}]}}]});
    for garbage in [
        "<html>it works</html>".to_owned(),
        String::new(),
        "{}".to_owned(),
        r#"{"choices": []}"#.to_owned(),
        r#"{"choices": [{"message": {"content": 7}}]}"#.to_owned(),
        token(json!(0.5)).to_string(),
        token(json!("high")).to_string(),
        "[".repeat(100_000),
    ] {
        let reply = garbage.clone();
        let (answer, asked) = outcome(move |_, _| Reply::Text(reply.clone())).await;
        let error = answer.unwrap_err();
        assert_eq!(
            (error.code(), asked),
            (ErrorCode::EngineFailure, 1),
            "{error}"
        );
        assert!(
            error.message().contains("no answer of OpenAI's API"),
            "{error}"
        );
        assert!(error.message().len() < 600, "{error}");
    }
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let server = StandIn::start(|_, _| Reply::Endless).await;
    let client = OpenAi::new(settings(&server)).unwrap();
    let error = chat(&client, None).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::EngineFailure);
    assert!(error.message().contains("more than"), "{error}");
    server.callers_left(1).await;
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_server_that_stalls_is_left_at_the_time_limit_and_at_the_deadline() {
    for stall in [|| Reply::Stall, || Reply::StallInTheBody] {
        let server = StandIn::start(move |_, _| stall()).await;
        let mut settings = settings(&server);
        settings.timeout = Duration::from_millis(30);
        settings.retries = 1;
        let error = chat(&OpenAi::new(settings).unwrap(), None)
            .await
            .unwrap_err();
        assert_eq!(error.code(), ErrorCode::Unavailable);
        assert!(
            error.message().ends_with("within 0.03 s (`timeout`)"),
            "{error}"
        );
        assert_eq!(server.seen().len(), 2);

        let client = OpenAi::new(self::settings(&server)).unwrap();
        let deadline = Instant::now() + Duration::from_millis(30);
        let error = chat(&client, Some(deadline)).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::DeadlineExceeded);
        server.callers_left(3).await;
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let server = StandIn::start(|_, _| Reply::Stall).await;
    let mut settings = settings(&server);
    settings.base_url = "http://127.0.0.1:1/v1".to_owned();
    settings.retries = 0;
    let error = chat(&OpenAi::new(settings).unwrap(), None)
        .await
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unavailable);
    assert!(
        error
            .message()
            .contains("http://127.0.0.1:1/v1 cannot be reached"),
        "{error}"
    );
}

#[tokio::test]
async fn so_many_calls_are_under_way_at_once_and_a_caller_that_leaves_makes_room() {
    let slow = |_: usize, _: &Seen| Reply::Late(Duration::from_millis(5), says("ok"));
    let server = StandIn::start(slow).await;
    let mut two = settings(&server);
    two.concurrency = 2;
    let client = Arc::new(OpenAi::new(two.clone()).unwrap());
    let calls: Vec<_> = (0..10)
        .map(|_| {
            let client = Arc::clone(&client);
            tokio::spawn(async move { chat(&client, None).await })
        })
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!(server.most_at_once(), 2);

    let stalls = |before: usize, _: &Seen| match before {
        0 | 1 => Reply::Stall,
        _ => Reply::Json(says("ok")),
    };
    let server = StandIn::start(stalls).await;
    two.base_url.clone_from(&server.url);
    let client = Arc::new(OpenAi::new(two).unwrap());
    let ask = || {
        let client = Arc::clone(&client);
        tokio::spawn(async move { chat(&client, None).await })
    };
    let stuck = [ask(), ask()];
    server.requests(2).await;
    let third = ask();
    stuck.iter().for_each(tokio::task::JoinHandle::abort);
    server.callers_left(2).await;
    assert_eq!(third.await.unwrap().unwrap().content, "ok");
}

#[tokio::test]
async fn vectors_come_in_order_and_wrong_ones_are_an_error() {
    let server = StandIn::start(|before, seen| {
        let all: Vec<Vec<f32>> = seen
            .input()
            .iter()
            .map(|text| vec![text.len() as f32, 1.0])
            .collect();
        match before {
            0 => Reply::Json(vectors(&all)),
            1 => Reply::Json(vectors(all.get(1..).unwrap())),
            _ => Reply::Text(vectors(&all).to_string().replace("1.0", "1e39")),
        }
    })
    .await;
    let client = OpenAi::new(settings(&server)).unwrap();
    let texts = ["a", "bbb"];
    assert_eq!(
        embed(&client, &texts).await.unwrap(),
        [[1.0, 1.0], [3.0, 1.0]]
    );
    let error = embed(&client, &texts).await.unwrap_err();
    assert!(error.message().contains("1 vectors for 2 texts"), "{error}");
    let error = embed(&client, &texts).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::EngineFailure, "{error}");
    assert!(embed(&client, &[]).await.unwrap().is_empty());
    assert_eq!(server.seen().len(), 3);
}

#[test]
fn an_address_or_a_key_that_cannot_be_used_is_refused_at_once_and_not_shown() {
    let refusal = |base: &str, key: &str| {
        let settings = ApiSettings {
            api_key: Some(key.to_owned()),
            ..ApiSettings::new(base)
        };
        OpenAi::new(settings).unwrap_err().to_string()
    };
    for base in ["", "host:8000", "ftp://host/v1", "localhost", "mailto:a"] {
        assert!(refusal(base, "k").contains("http://host:8000/v1"), "{base}");
    }
    for secret in ["http://me:hidden@host/v1", "http://me:hidden@ho st"] {
        assert!(!refusal(secret, "k").contains("hidden"), "{secret}");
    }
    let message = refusal("http://host/v1", "hid\nden");
    assert!(
        message.contains("cannot be sent") && !message.contains("hid"),
        "{message}"
    );
    let settings = format!(
        "{:?}",
        ApiSettings {
            api_key: Some("hidden".to_owned()),
            ..ApiSettings::new("http://h")
        }
    );
    assert!(!settings.contains("hidden"), "{settings}");
}
