//! Calls of a server that answers whatever a test wants, true or not.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "outside a test function clippy does not see that this is a test"
)]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use routir_client::{
    CallOptions, Client, Content, Contents, ErrorKind, Score, Search, Settings, Transport,
};
use serde_json::Map;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Answers each request with the next of some texts, and the last one again and again.
struct Stub {
    base: String,
    seen: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Stub {
    async fn new(answers: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let answers: Vec<String> = answers.iter().map(|answer| (*answer).to_owned()).collect();
        let noted = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let (answers, noted) = (answers.clone(), Arc::clone(&noted));
                tokio::spawn(async move {
                    while let Some(request) = read(&mut stream).await {
                        let at = {
                            let mut noted = noted.lock().unwrap();
                            noted.push(request);
                            noted.len() - 1
                        };
                        let answer = answers.get(at).or(answers.last()).unwrap();
                        if answer.is_empty() {
                            // Hangs for as long as anybody waits.
                            std::future::pending::<()>().await;
                        }
                        if stream.write_all(answer.as_bytes()).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { base, seen, task }
    }

    fn client(&self, change: impl FnOnce(&mut Settings)) -> Client {
        let mut settings = Settings {
            transport: Transport::Rest,
            retries: 0,
            ..Settings::new(self.base.clone())
        };
        change(&mut settings);
        Client::new(settings).unwrap()
    }

    fn requests(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One request, head and body.
async fn read(stream: &mut tokio::net::TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                let is_length = name.eq_ignore_ascii_case("content-length");
                is_length.then(|| value.trim().parse::<usize>().unwrap())
            });
            if body.len() >= length.unwrap_or(0) {
                return Some(text);
            }
        }
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return None,
            Ok(read) => bytes.extend_from_slice(&chunk[..read]),
        }
    }
}

fn http(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn ok(body: &str) -> String {
    http("200 OK", body)
}

async fn search(client: &Client) -> Result<Vec<(String, f64)>, (ErrorKind, String)> {
    let extras = Map::new();
    let search = Search {
        service: "s",
        query: "q",
        limit: Some(3),
        extras: &extras,
    };
    let answer = client.search(search, CallOptions::default()).await;
    let answer = answer.map(|answer| answer.scores);
    answer.map_err(|error| (error.kind(), error.to_string()))
}

const FOUND: &str = r#"{"query":"q","scores":{"a":2,"b":1.5},"service":"s","processed":true,
    "cached":true,"timestamp":1.5}"#;

#[tokio::test]
async fn what_is_asked_stands_on_the_wire_as_routir_reads_it() {
    let stub = Stub::new(&[&ok(FOUND)]).await;
    let client = stub.client(|settings| settings.api_key = Some("k3y".to_owned()));
    let mut extras = Map::new();
    extras.insert("subset".to_owned(), "en".into());
    let search = Search {
        service: "s",
        query: "q",
        limit: None,
        extras: &extras,
    };
    let options = CallOptions {
        request_id: Some("r-1"),
        via: Some("a,b"),
        deadline: Some(Instant::now() + Duration::from_secs(60)),
        retries: None,
    };
    let answer = client.search(search, options).await.unwrap();
    assert_eq!(
        answer.scores,
        [("a".to_owned(), 2.0), ("b".to_owned(), 1.5)]
    );
    assert!(answer.cached && answer.timestamp == 1.5);
    // Twice over one connection: it is kept.
    client.search(search, options).await.unwrap();
    let [request, _] = &stub.requests()[..] else {
        panic!("two requests")
    };
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let head = head.to_lowercase();
    assert!(head.starts_with("post /search http/1.1"), "{head}");
    for line in [
        "authorization: bearer k3y",
        "x-request-id: r-1",
        "x-routir-via: a,b",
        "x-routir-timeout-ms: 59",
        "content-type: application/json",
    ] {
        assert!(head.contains(line), "{line}: {head}");
    }
    assert_eq!(body, r#"{"service":"s","query":"q","subset":"en"}"#);
}

#[tokio::test]
async fn failures_that_may_pass_are_tried_again_and_others_are_not() {
    let busy = http("500 Internal Server Error", r#"{"error":"KeyError: 'x'"}"#);
    let stub = Stub::new(&[&busy, &http("503 Service Unavailable", "?"), &ok(FOUND)]).await;
    let patient = stub.client(|settings| settings.retries = 2);
    assert!(search(&patient).await.is_ok());
    assert_eq!(stub.requests().len(), 3);

    let ours = r#"{"error":"it broke","code":"engine_failure"}"#;
    for (answer, kind, words) in [
        (
            http("400 Bad Request", r#"{"error":"no"}"#),
            ErrorKind::Refused,
            "HTTP 400: no",
        ),
        (
            http("401 Unauthorized", r#"{"error":"key"}"#),
            ErrorKind::Unauthenticated,
            "key",
        ),
        (
            http("429 Too Many Requests", "{}"),
            ErrorKind::Overloaded,
            "429",
        ),
        (
            http("404 Not Found", "<html>"),
            ErrorKind::Unsupported,
            "404",
        ),
        (http("302 Found", ""), ErrorKind::Settings, "elsewhere"),
        // This server says that it will not pass.
        (http("502 Bad Gateway", ours), ErrorKind::Failed, "it broke"),
        // As RoutIR 0.0.2 tells an engine's failure.
        (
            ok(r#"{"cached":false,"error":"RuntimeError"}"#),
            ErrorKind::Failed,
            "RuntimeError",
        ),
    ] {
        let stub = Stub::new(&[&answer]).await;
        let patient = stub.client(|settings| settings.retries = 2);
        let (found, message) = search(&patient).await.unwrap_err();
        assert_eq!(found, kind, "{message}");
        assert!(message.contains(words), "{message}");
        assert_eq!(stub.requests().len(), 1, "{message}");
    }
}

#[tokio::test]
async fn answers_that_make_no_sense_are_refused() {
    for body in [
        r#"{"query":"q","scores":{"a":NaN}}"#,
        r#"{"query":"q","scores":{"a":1e999}}"#,
        r#"{"query":"q","scores":{"a":null}}"#,
        r#"{"query":"q","scores":{"a":1,"a":2}}"#,
        r#"{"query":"q","scores":[1,2]}"#,
        r#"{"query":"another","scores":{"a":1}}"#,
        r#"{"query":"q"}"#,
        "[]",
        "",
        "<html>",
    ] {
        let stub = Stub::new(&[&ok(body)]).await;
        let (kind, message) = search(&stub.client(|_| {})).await.unwrap_err();
        assert_eq!(kind, ErrorKind::BadAnswer, "{body}: {message}");
    }
    // An older server's name for scores.
    let stub = Stub::new(&[&ok(r#"{"result":{"a":1}}"#)]).await;
    assert_eq!(search(&stub.client(|_| {})).await.unwrap().len(), 1);

    let extras = Map::new();
    let score = Score {
        service: "s",
        query: "q",
        passages: &["x", "y"],
        extras: &extras,
    };
    for scores in ["[1]", "[1,2,3]", "[1,null]", "[1,NaN]", "{}"] {
        let stub = Stub::new(&[&ok(&format!(r#"{{"query":"q","scores":{scores}}}"#))]).await;
        let answer = stub
            .client(|_| {})
            .score(score, CallOptions::default())
            .await;
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::BadAnswer, "{scores}");
    }
}

#[tokio::test]
async fn no_answer_is_larger_than_it_may_be() {
    let announced = "HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n{";
    let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
    let endless = format!(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{}",
        chunk.repeat(64)
    );
    for answer in [announced, &endless] {
        let stub = Stub::new(&[answer]).await;
        let client = stub.client(|settings| settings.max_answer_bytes = 100_000);
        let (kind, message) = search(&client).await.unwrap_err();
        assert_eq!(kind, ErrorKind::TooLarge, "{message}");
    }
}

#[tokio::test]
async fn a_server_that_hangs_or_is_not_there_ends_in_time() {
    let stub = Stub::new(&[""]).await;
    let client = stub.client(|settings| settings.timeout = Duration::from_millis(100));
    assert_eq!(search(&client).await.unwrap_err().0, ErrorKind::Timeout);

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = Settings {
        retries: 1,
        ..Settings::new(format!("http://{}", listener.local_addr().unwrap()))
    };
    drop(listener);
    let (kind, message) = search(&Client::new(nobody).unwrap()).await.unwrap_err();
    assert_eq!(kind, ErrorKind::Unavailable);
    assert!(message.contains("after 2 attempts"), "{message}");
    assert!(message.to_lowercase().contains("refused"), "{message}");
}

#[tokio::test]
async fn documents_are_those_that_were_asked_for() {
    let content = Content {
        collection: "c",
        id: "zz",
        view: None,
    };
    let get = async |answer: &str| {
        let stub = Stub::new(&[answer]).await;
        let client = stub.client(|_| {});
        client.content(content, CallOptions::default()).await
    };
    let routir = get(&ok(r#"{"text":"t","cached":false}"#)).await.unwrap();
    assert_eq!((&*routir.text, routir.title), ("t", None));
    let other = get(&ok(r#"{"id":"yy","text":"t"}"#)).await.unwrap_err();
    assert_eq!(other.kind(), ErrorKind::BadAnswer);
    let missing = http("400 Bad Request", r#"{"error":"ID zz is not found."}"#);
    assert!(get(&missing).await.unwrap_err().is_unknown_document());

    let contents = Contents {
        collection: "c",
        ids: &["a", "b"],
        view: None,
    };
    let body = r#"{"documents":[{"id":"a","text":"t"},
        {"id":"b","error":"ID b is not found.","code":"unknown_document"}]}"#;
    let stub = Stub::new(&[&ok(body), &ok(r#"{"documents":[]}"#)]).await;
    let client = stub.client(|_| {});
    let found = client
        .contents(contents, CallOptions::default())
        .await
        .unwrap();
    assert!(found[0].is_ok() && found[1].as_ref().unwrap_err().is_unknown_document());
    let short = client.contents(contents, CallOptions::default()).await;
    assert_eq!(short.unwrap_err().kind(), ErrorKind::BadAnswer);
}

#[tokio::test]
async fn a_grpc_port_that_nobody_answers_falls_back_to_rest() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let avail = format!(r#"{{"search":["s"],"grpc_port":{port}}}"#);
    let stub = Stub::new(&[&ok(&avail), &ok(FOUND)]).await;
    let client = stub.client(|settings| settings.transport = Transport::Auto);
    assert!(search(&client).await.is_ok());
    assert_eq!(client.transport(), Some("rest"));
}

#[tokio::test]
async fn an_argument_is_never_written_in_the_place_of_a_field() {
    let stub = Stub::new(&[&ok(FOUND)]).await;
    let client = stub.client(|_| {});
    for field in ["service", "query", "limit", "passages"] {
        let mut extras = Map::new();
        extras.insert(field.to_owned(), "other".into());
        let search = Search {
            service: "s",
            query: "q",
            limit: None,
            extras: &extras,
        };
        assert!(serde_json::to_string(&search).is_err());
        let error = client
            .search(search, CallOptions::default())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
        assert!(error.message().contains(field), "{error}");
    }
    assert!(stub.requests().is_empty());
}

#[tokio::test]
async fn a_grpc_connection_that_falls_silent_is_lost_before_the_calls_time_is_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (called, call) = tokio::sync::oneshot::channel();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        // Its settings, and that it has seen the client's; nothing ever after.
        let greeting = [0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0];
        stream.write_all(&greeting).await.unwrap();
        let (mut called, mut seen) = (Some(called), Vec::new());
        let mut chunk = [0; 4096];
        while let Ok(read @ 1..) = stream.read(&mut chunk).await {
            seen.extend_from_slice(&chunk[..read]);
            // The message, which is never compressed.
            if seen.windows(9).any(|it| it == b"my query!")
                && let Some(called) = called.take()
            {
                let _ = called.send(());
            }
        }
    });
    let client = Client::new(Settings {
        transport: Transport::Grpc,
        retries: 0,
        timeout: Duration::from_secs(600),
        ..Settings::new(format!("grpc://{address}"))
    });
    let client = client.unwrap();
    let asked = tokio::spawn(async move {
        let extras = Map::new();
        let search = Search {
            service: "s",
            query: "my query!",
            limit: None,
            extras: &extras,
        };
        client.search(search, CallOptions::default()).await
    });
    call.await.unwrap();
    tokio::time::pause();
    let started = tokio::time::Instant::now();
    let error = asked.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    let took = started.elapsed();
    // Python's servers take more frequent pings for an attack.
    assert!(
        took > Duration::from_secs(300) && took < Duration::from_secs(400),
        "{took:?}"
    );
    server.abort();
}
