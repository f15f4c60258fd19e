//! The stand-in for workers does what it is told, since other tests rest on it.
#![expect(
    clippy::unwrap_used,
    reason = "outside a test function clippy does not see that this is a test"
)]

mod fake;

use bytes::Bytes;
use fake::{Fake, Mode, until};
use futures_util::StreamExt as _;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use hyper_util::client::legacy::{Client, Error, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use tokio_tungstenite::tungstenite::Message;

fn client() -> Client<HttpConnector, Full<Bytes>> {
    Client::builder(TokioExecutor::new()).build_http()
}

async fn ask(fake: &Fake, headers: &[(&str, &str)]) -> Result<Response<Incoming>, Error> {
    let mut request = Request::post(format!("{}/v1/encode/BAAI/bge-m3?a=b", fake.url));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = Full::from(r#"{"items": [{"text": "a"}, {"text": "b"}]}"#);
    client().request(request.body(body).unwrap()).await
}

async fn body(answer: Response<Incoming>) -> Bytes {
    answer.into_body().collect().await.unwrap().to_bytes()
}

#[tokio::test]
async fn results_come_as_msgpack_of_numpy_or_as_json() {
    let fake = Fake::start().await;
    let answer = ask(&fake, &[("x-sie-machine-profile", "L4-Spot")])
        .await
        .unwrap();
    assert_eq!(answer.headers()["content-type"], "application/msgpack");
    let bytes = body(answer).await;
    // `nd`, `type`, `kind` and `shape` under keys that are bytes.
    let array = b"\x85\xc4\x02nd\xc3\xc4\x04type\xa3<f4\xc4\x04kind\xc4\x00\xc4\x05shape\x91\x04";
    let found = bytes
        .windows(array.len())
        .filter(|part| part == array)
        .count();
    assert_eq!(found, 2, "one array for each item");

    let answer = ask(&fake, &[("accept", "application/json")]).await.unwrap();
    let answer: serde_json::Value = serde_json::from_slice(&body(answer).await).unwrap();
    assert_eq!(answer["model"], "BAAI/bge-m3");
    let values = serde_json::json!([0.5, -0.5, 0.25, 1.0]);
    assert_eq!(answer["items"][1]["dense"]["values"], values);

    let seen = fake.seen();
    assert_eq!(seen[0].path, "/v1/encode/BAAI/bge-m3?a=b");
    assert_eq!(seen[0].bytes, 41);
    assert_eq!(seen[1].headers["accept"], "application/json");
    let answer = ask(&fake, &[("x-sie-machine-profile", "l4")])
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn failures_are_as_they_were_ordered() {
    let mut fake = Fake::start().await;
    let busy = StatusCode::SERVICE_UNAVAILABLE;
    fake.set(|fake| fake.mode = Mode::Coded(busy, "MODEL_LOADING", Some(5)));
    let answer = ask(&fake, &[]).await.unwrap();
    assert_eq!(
        (answer.status(), &answer.headers()["retry-after"]),
        (busy, &"5".parse().unwrap())
    );
    assert!(
        body(answer)
            .await
            .windows(13)
            .any(|part| part == b"MODEL_LOADING")
    );
    fake.set(|fake| fake.mode = Mode::Draining);
    assert_eq!(ask(&fake, &[]).await.unwrap().status(), busy);
    fake.set(|fake| fake.mode = Mode::Gzip);
    let answer = ask(&fake, &[]).await.unwrap();
    assert_eq!(answer.headers()["content-encoding"], "gzip");
    assert!(body(answer).await.starts_with(&[0x1f, 0x8b]));
    fake.set(|fake| fake.mode = Mode::Echo);
    assert!(
        body(ask(&fake, &[]).await.unwrap())
            .await
            .starts_with(b"{\"items\"")
    );
    fake.set(|fake| fake.mode = Mode::Bytes(200_001));
    assert_eq!(body(ask(&fake, &[]).await.unwrap()).await.len(), 200_001);
    fake.set(|fake| fake.mode = Mode::Reset);
    assert!(ask(&fake, &[]).await.is_err());
    fake.set(|fake| fake.mode = Mode::Cut);
    let answer = ask(&fake, &[]).await.unwrap();
    assert_eq!(answer.headers()["content-length"], "1000");
    assert!(answer.into_body().collect().await.is_err());
    fake.kill().await;
    assert!(ask(&fake, &[]).await.is_err());
    fake.start_again().await;
    fake.set(|fake| fake.mode = Mode::Count);
    assert_eq!(body(ask(&fake, &[]).await.unwrap()).await, "{\"bytes\":41}");
}

#[tokio::test]
async fn requests_are_open_until_they_are_answered_or_left() {
    let fake = Fake::with(|fake| fake.mode = Mode::Hang).await;
    let asking = async { ask(&fake, &[]).await };
    tokio::select! {
        _ = asking => unreachable!("it hangs"),
        () = until("it is open", || fake.open() == 1) => {}
    }
    until("its caller left", || fake.open() == 0).await;
    fake.set(|fake| fake.mode = Mode::Stall);
    let answer = ask(&fake, &[]).await.unwrap();
    assert_eq!(fake.open(), 1, "its body has not ended");
    drop(answer);
    until("its caller left", || fake.open() == 0).await;
}

#[tokio::test]
async fn frames_come_and_are_as_ordered() {
    let fake = Fake::with(|fake| fake.depth = Some(7)).await;
    let url = format!("{}/ws/status", fake.url.replace("http", "ws"));
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    let frame = socket.next().await.unwrap().unwrap();
    let frame: serde_json::Value = serde_json::from_str(frame.to_text().unwrap()).unwrap();
    assert_eq!(
        (&frame["ready"], &frame["loaded_models"][0]),
        (&true.into(), &"BAAI/bge-m3".into())
    );
    assert_eq!(frame["models"][0]["queue_depth"], 7);
    fake.set(|fake| {
        fake.mute = true;
        fake.over = serde_json::json!({"loaded_models": null, "ready": "perhaps"});
    });
    fake.say(Message::text("something else"));
    loop {
        if socket.next().await.unwrap().unwrap() == Message::text("something else") {
            break;
        }
    }
    fake.tell();
    let frame = socket.next().await.unwrap().unwrap();
    let frame: serde_json::Value = serde_json::from_str(frame.to_text().unwrap()).unwrap();
    assert_eq!(frame["ready"], "perhaps");
    assert!(frame.get("loaded_models").is_none());
}
