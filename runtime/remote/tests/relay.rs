//! Other servers that come, go, change, lie, stall and send requests back.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "outside a test function clippy does not see that this is a test"
)]

mod common;

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::oracle::toy;
use common::{Front, Server, Shelf, import, peer, runtime, runtime_of, search};
use routir_cache::MemoryCache;
use routir_core::{
    BoxFuture, ErrorCode, Hit, Imports as _, Metrics, ParamsSpec, Ranking, RequestContext, Result,
    Role, Roles, SearchEngine, SearchRequest,
};
use routir_exec::{PipelineCall, Runtime};
use routir_remote::relay::{Peers, RelayCache, RelayService};
use routir_server::ServerOptions;
use serde_json::Map;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Answers one document that says who found it, after a while, and notes who asked.
#[derive(Default)]
struct Noting {
    name: &'static str,
    takes: Duration,
    asked: Mutex<Vec<SearchRequest>>,
}

impl SearchEngine for Noting {
    fn search(&self, batch: Vec<SearchRequest>) -> BoxFuture<'_, Vec<Result<Ranking>>> {
        Box::pin(async move {
            tokio::time::sleep(self.takes).await;
            let one = |_: &SearchRequest| Ranking::from_hits(vec![Hit::new(self.name, 1.0)]);
            let answers = batch.iter().map(one).collect();
            self.asked.lock().unwrap().extend(batch);
            answers
        })
    }

    fn params(&self) -> ParamsSpec {
        ParamsSpec::Open
    }
}

fn noting(name: &'static str, takes: Duration) -> (Arc<Noting>, Roles) {
    let engine = Arc::new(Noting {
        name,
        takes,
        ..Noting::default()
    });
    let search = Some(Arc::clone(&engine) as Arc<dyn SearchEngine>);
    let roles = Roles {
        search,
        ..Roles::default()
    };
    (engine, roles)
}

async fn serve(runtime: &Runtime) -> Server {
    Server::start(runtime, ServerOptions::default()).await
}

fn code(result: Result<Vec<(String, f64)>>) -> ErrorCode {
    result.unwrap_err().code()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_comes_later_is_taken_in_and_one_that_goes_is_missed() {
    let toys = runtime(&["s1"], None);
    // An address where nobody is yet.
    let address = serve(&toys).await.kill().await;
    let front = Front::new(
        runtime(&[], None),
        vec![import(&format!("http://{address}"))],
    )
    .await;
    assert_eq!(front.ready(), [false]);
    assert_eq!(code(front.search("s1").await), ErrorCode::UnknownName);
    let before = front.runtime.catalog().generation;

    let server = Server::on(address, &toys, ServerOptions::default()).await;
    front
        .until("it came", |front| front.ready() == [true])
        .await;
    assert!(front.runtime.catalog().generation > before);
    let expected = search(&toys, "s1").await.unwrap();
    assert_eq!(front.search("s1").await.unwrap(), expected);

    server.kill().await;
    // Its names stay, and say at once that nobody is there.
    front
        .until("it went", |front| front.ready() == [false])
        .await;
    assert_eq!(front.services(), ["s1"]);
    let started = Instant::now();
    let error = front.search("s1").await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unavailable, "{error}");
    assert!(error.message().contains(&address.to_string()), "{error}");
    assert!(error.message().contains("is away"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(5));

    // Another process at the same place, with something else.
    let _other = Server::on(address, &runtime(&["s2"], None), ServerOptions::default()).await;
    front
        .until("it changed", |front| front.services() == ["s2"])
        .await;
    assert!(front.search("s2").await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_fails_what_it_was_doing_and_nothing_else() {
    let (engine, roles) = noting("slow", Duration::from_secs(60));
    let server = serve(&runtime_of(vec![("slow", roles)], None)).await;
    let front = Front::new(runtime(&["s1"], None), vec![import(&server.base())]).await;
    let asked = {
        let runtime = front.runtime.clone();
        tokio::spawn(async move { search(&runtime, "slow").await })
    };
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(front.search("s1").await.is_ok());
    server.kill().await;
    assert_eq!(code(asked.await.unwrap()), ErrorCode::Unavailable);
    assert!(front.search("s1").await.is_ok());
    assert!(engine.asked.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_is_the_first_servers_that_is_there() {
    let named = |name: &'static str| runtime_of(vec![("x", noting(name, Duration::ZERO).1)], None);
    let (one, two) = (named("one"), named("two"));
    let first = serve(&one).await;
    let second = serve(&two).await;
    let imports = vec![import(&first.base()), import(&second.base())];
    let front = Front::new(runtime(&[], None), imports).await;
    let who = async || front.search("x").await.map(|hits| hits[0].0.clone());
    assert_eq!(who().await.unwrap(), "one");
    let address = first.kill().await;
    front
        .until("the first is gone", |front| front.ready() == [false, true])
        .await;
    assert_eq!(who().await.unwrap(), "two");
    let _first = Server::on(address, &one, ServerOptions::default()).await;
    front
        .until("the first is back", |front| front.ready() == [true, true])
        .await;
    assert_eq!(who().await.unwrap(), "one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_here_already_is_not_replaced() {
    let theirs = runtime_of(
        vec![
            ("x", noting("theirs", Duration::ZERO).1),
            ("RRF", toy("Fuse")),
        ],
        Some(Arc::default()),
    );
    let server = serve(&theirs).await;
    let shelf = Arc::new(Shelf::default());
    let own = runtime_of(
        vec![("x", noting("own", Duration::ZERO).1), ("RRF", toy("Fuse"))],
        Some(Arc::clone(&shelf)),
    );
    let front = Front::new(own, vec![import(&server.base())]).await;
    assert_eq!(front.search("x").await.unwrap()[0].0, "own");
    let left = front.left.lock().unwrap().join("; ");
    for name in ["service x: ", "service RRF: ", "collection docs: "] {
        assert!(left.contains(name), "{left}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_and_until_when_travels_along() {
    let (engine, roles) = noting("x", Duration::ZERO);
    let shelf = Arc::new(Shelf::default());
    let mut services = vec![("x", roles)];
    services.extend([("r1", toy("r1")), ("s1", toy("s1"))]);
    let server = serve(&runtime_of(services, Some(Arc::clone(&shelf)))).await;
    let front = Front::new(runtime(&[], None), vec![import(&server.base())]).await;
    let context = Arc::new(RequestContext {
        deadline: Some(Instant::now() + Duration::from_secs(20)),
        ..RequestContext::new("r-42")
    });
    let call = |pipeline: &str| PipelineCall {
        pipeline: pipeline.to_owned(),
        query: Arc::from("q"),
        collection: Some("docs".to_owned()),
        context: Arc::clone(&context),
        ..PipelineCall::default()
    };
    front.runtime.pipeline(call("x%3")).await.unwrap();
    let reranked = front.runtime.pipeline(call("s1%8 >> r1")).await.unwrap();
    let check = |seen: &RequestContext| {
        assert_eq!(&*seen.request_id, "r-42");
        assert_eq!(seen.via.as_deref(), Some(&**front.peers.id()));
        let left = seen
            .deadline
            .unwrap()
            .saturating_duration_since(Instant::now());
        assert!(
            left < Duration::from_secs(21) && left > Duration::from_secs(1),
            "{left:?}"
        );
    };
    let asked = engine.asked.lock().unwrap();
    assert_eq!(asked[0].limit, 3);
    check(&asked[0].context);
    // All documents of a rerank in one call.
    let fetched = shelf.asked.lock().unwrap();
    assert_eq!((fetched.len(), fetched[0].0), (1, reranked.ranking.len()));
    check(&fetched[0].1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_are_kept_here_if_that_is_wanted() {
    let shelf = Arc::new(Shelf::default());
    let server = serve(&runtime(&["s1", "r1"], Some(Arc::clone(&shelf)))).await;
    let cache = RelayCache {
        store: Arc::new(MemoryCache::new(NonZeroUsize::new(100).unwrap(), None)),
        bytes: Arc::new(MemoryCache::new(NonZeroUsize::new(1).unwrap(), None)),
        metrics: Metrics::default().cache("relay_content"),
    };
    let imports = vec![import(&server.base())];
    let front = Front::with(
        runtime(&[], None),
        imports,
        Arc::default(),
        Some(cache.clone()),
    )
    .await;
    let first = front.search("s1%4 >> r1").await.unwrap();
    assert_eq!(front.search("s1%4 >> r1").await.unwrap(), first);
    assert_eq!(shelf.asked.lock().unwrap().len(), 1);
    assert_eq!(
        (cache.metrics.hits.get(), cache.metrics.misses.get()),
        (4, 4)
    );
    // Another view is another document.
    front.search("s1%4 >> r1@notes").await.unwrap();
    assert_eq!(shelf.asked.lock().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_that_is_not_there_is_told_in_routirs_words() {
    let server = serve(&runtime(&["s1"], Some(Arc::default()))).await;
    let front = Front::new(runtime(&[], None), vec![import(&server.base())]).await;
    let context = RequestContext::default();
    let ids = ["d1".into(), "zz".into(), "d2".into()];
    let found = front
        .runtime
        .documents(&context, "docs", None, &ids)
        .await
        .unwrap();
    assert_eq!(
        &**found[0].as_ref().unwrap().text().unwrap(),
        "text of d1 1"
    );
    assert_eq!(
        &**found[2].as_ref().unwrap().text().unwrap(),
        "text of d2 2"
    );
    for id in ["zz", "yy"] {
        let one = front
            .runtime
            .content(&context, "docs", None, &id.into())
            .await;
        let error = one.err().unwrap();
        assert_eq!(error.code(), ErrorCode::UnknownDocument);
        assert_eq!(error.message(), format!("ID {id} is not found."));
    }
    let error = found[1].as_ref().unwrap_err();
    assert_eq!(error.message(), "ID zz is not found.");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_go_in_circles_are_refused() {
    // Two servers, each of which has `x` from the other, by their configuration.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let (one, two) = (Peers::default(), Peers::default());
    let relay = |peers: &Peers, base: &str| {
        let service = RelayService::new(peers.get(&peer(base)).unwrap(), "x");
        let roles = Arc::new(service).roles(&[Role::Search]);
        runtime_of(vec![("x", roles)], None)
    };
    let options = |peers: &Peers| ServerOptions {
        server_id: Arc::clone(peers.id()),
        ..ServerOptions::default()
    };
    let first = Server::start(&relay(&one, &format!("http://{address}")), options(&one)).await;
    let _second = Server::on(address, &relay(&two, &first.base()), options(&two)).await;
    let outside = Peers::default();
    let error = search(&relay(&outside, &first.base()), "x")
        .await
        .unwrap_err();
    // The request's own fault, so that nobody tries again.
    assert_eq!(error.code(), ErrorCode::InvalidArgument);
    let circle = format!("{} > {} > {}", one.id(), two.id(), one.id());
    assert!(error.message().contains(&circle), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_import_each_other_take_nothing_back() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let one = Front::new(
        runtime(&["s1"], None),
        vec![import(&format!("http://{address}"))],
    )
    .await;
    let first = Server::start(&one.runtime, one.options()).await;
    let imports = vec![import(&first.base()), import(&format!("http://{address}"))];
    let two = Front::new(runtime(&["s2"], None), imports).await;
    let _second = Server::on(address, &two.runtime, two.options()).await;
    one.until("both know both", |one| one.services() == ["s1", "s2"])
        .await;
    two.until("it knows itself", |two| {
        two.imports.status()[1]
            .detail
            .contains("this server itself")
    })
    .await;
    assert_eq!(two.services(), ["s1", "s2"]);
    // Now `s2` leaves its server: its importer must not offer it back for ever.
    let third = Front::new(runtime(&[], None), vec![import(&first.base())]).await;
    let ways = third.imports.services();
    assert_eq!(
        ways["s2"],
        [Arc::clone(one.peers.id()), Arc::clone(two.peers.id())]
    );
    assert!(one.search("s2").await.is_ok() && two.search("s1").await.is_ok());
    assert!(third.search("s2").await.is_ok());
}

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
    let looks = Arc::new(std::sync::atomic::AtomicUsize::new(0));
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
                    let first = counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0;
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

#[tokio::test]
async fn an_argument_does_not_stand_for_a_field_of_the_request() {
    let (engine, roles) = noting("granted", Duration::ZERO);
    let (other, other_roles) = noting("other", Duration::ZERO);
    let services = vec![("granted", roles), ("other", other_roles)];
    let server = serve(&runtime_of(services, None)).await;
    let front = Front::new(runtime(&[], None), vec![import(&server.base())]).await;
    for field in ["service", "query", "passages", "rankings", "sub_queries"] {
        let mut kwargs = Map::new();
        kwargs.insert(field.to_owned(), "other".into());
        let call = PipelineCall {
            pipeline: "granted".to_owned(),
            query: Arc::from("q"),
            runtime_kwargs: [("granted".to_owned(), routir_core::Params::from(kwargs))].into(),
            ..PipelineCall::default()
        };
        let error = front.runtime.pipeline(call).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidArgument, "{error}");
        assert!(error.message().contains(field), "{error}");
    }
    assert!(engine.asked.lock().unwrap().is_empty() && other.asked.lock().unwrap().is_empty());
    assert!(front.search("granted").await.is_ok());
}
