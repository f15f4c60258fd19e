//! Servers that lie, stall and fall silent.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use routir_core::{ErrorCode, RequestContext};
use routir_exec::PipelineCall;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::common::{Front, import, runtime};

/// A server that offers a service and answers every call of it with `answer`, or never.
async fn liar(answer: Option<&'static str>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut buffer = vec![0; 1 << 16];
                while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                    let request = String::from_utf8_lossy(&buffer[..read]).into_owned();
                    let body = match answer {
                        _ if request.contains("/avail") => {
                            r#"{"search":["x"],"score":["y"],"content":["docs"]}"#
                        }
                        Some(answer) => answer,
                        None => std::future::pending().await,
                    };
                    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
                    stream
                        .write_all(format!("{head}{body}").as_bytes())
                        .await
                        .unwrap();
                }
            });
        }
    });
    base
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn liars_are_found_out() {
    for (pipeline, answer, words) in [
        (
            "x",
            r#"{"query":"q","scores":{"a":NaN}}"#,
            "not what was asked for",
        ),
        ("x", r#"{"query":"q","scores":{"a":1,"a":2}}"#, "twice"),
        (
            "x",
            r#"{"query":"other","scores":{"a":1}}"#,
            "answers the query",
        ),
        (
            "s1%3 >> y",
            r#"{"query":"q","scores":[1,2]}"#,
            "2 scores came for 3",
        ),
        (
            "s1%3 >> y",
            r#"{"query":"q","scores":[1,2,3],"text":7}"#,
            "",
        ),
    ] {
        let front = Front::new(
            runtime(&["s1"], Some(Arc::default())),
            vec![import(&liar(Some(answer)).await)],
        );
        let front = front.await;
        match front.search(pipeline).await {
            Err(error) => {
                assert_eq!(error.code(), ErrorCode::EngineFailure, "{error}");
                assert!(
                    !words.is_empty() && error.message().contains(words),
                    "{error}"
                );
            }
            Ok(_) => assert!(words.is_empty(), "{answer}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stalls_holds_nobody_else_up() {
    let front = Front::new(runtime(&["s1"], None), vec![import(&liar(None).await)]).await;
    let call = |pipeline: &str, query: String, left: Duration| PipelineCall {
        pipeline: pipeline.to_owned(),
        query: Arc::from(query),
        context: Arc::new(RequestContext {
            deadline: Some(Instant::now() + left),
            ..RequestContext::new("r")
        }),
        ..PipelineCall::default()
    };
    let stalled: Vec<_> = (0..300)
        .map(|number| {
            let runtime = front.runtime.clone();
            let call = call("x", format!("q{number}"), Duration::from_millis(500));
            tokio::spawn(async move { runtime.pipeline(call).await.map(drop) })
        })
        .collect();
    let long = Duration::from_secs(60);
    assert!(
        front
            .runtime
            .pipeline(call("s1", "q".to_owned(), long))
            .await
            .is_ok()
    );
    for stalled in stalled {
        let error = stalled.await.unwrap().unwrap_err();
        assert_eq!(error.code(), ErrorCode::DeadlineExceeded, "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_server_is_away_nobody_waits_for_it() {
    // It takes connections, and answers nothing on any of them after the first look.
    let looks = Arc::new(AtomicUsize::new(0));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (noted, counted) = (Arc::clone(&asked), Arc::clone(&looks));
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (noted, counted) = (Arc::clone(&noted), Arc::clone(&counted));
            tokio::spawn(async move {
                let mut buffer = vec![0; 1 << 16];
                while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                    let request = String::from_utf8_lossy(&buffer[..read]).into_owned();
                    if !request.contains("/avail") {
                        noted.lock().unwrap().push(request);
                        std::future::pending::<()>().await;
                    }
                    let first = counted.fetch_add(1, Ordering::SeqCst) == 0;
                    if !first {
                        // Gone, as far as whoever looks can see.
                        return;
                    }
                    let body = r#"{"search":["x"]}"#;
                    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
                    let answer = format!("{head}{body}");
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            });
        }
    });
    let front = Front::new(runtime(&[], None), vec![import(&base)]).await;
    assert_eq!(front.ready(), [true]);
    // More calls than there are places at once: those that wait for a place must not go on waiting.
    let stalled: Vec<_> = (0..300)
        .map(|number| {
            let call = PipelineCall {
                pipeline: "x".to_owned(),
                query: Arc::from(format!("q{number}")),
                context: Arc::new(RequestContext {
                    deadline: Some(Instant::now() + Duration::from_secs(60)),
                    ..RequestContext::new("r")
                }),
                ..PipelineCall::default()
            };
            let runtime = front.runtime.clone();
            tokio::spawn(async move { runtime.pipeline(call).await.map(drop) })
        })
        .collect();
    front
        .until("it is away", |front| front.ready() == [false])
        .await;
    front
        .until("those in turn gave up", |_| {
            stalled.iter().filter(|call| call.is_finished()).count() >= 300 - 256
        })
        .await;
    let before = asked.lock().unwrap().len();
    for _ in 0..20 {
        let error = front.search("x").await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::Unavailable, "{error}");
    }
    assert_eq!(asked.lock().unwrap().len(), before);
    stalled.iter().for_each(|call| call.abort());
}
