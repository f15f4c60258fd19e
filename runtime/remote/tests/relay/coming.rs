//! Servers that come, go and change.

use std::sync::Arc;
use std::time::{Duration, Instant};

use routir_core::ErrorCode;
use routir_server::ServerOptions;

use super::common::oracle::toy;
use super::common::{Front, Server, Shelf, import, runtime, runtime_of, search};
use super::{code, noting, serve};

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
