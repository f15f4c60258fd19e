//! Random pipelines over relayed services against an evaluator that knows of no servers.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "outside a test function clippy does not see that this is a test"
)]

mod common;
mod routir;

use std::sync::Arc;

use common::oracle::{Naive, sequence};
use common::{Front, Server, Shelf, import, runtime, search};
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use routir_exec::Runtime;
use routir_server::ServerOptions;

/// Compares `count` random pipelines; how many there were and how many were too large to run.
async fn compare(
    runtime: &Runtime,
    count: usize,
    depth: u32,
    view: &'static str,
) -> (usize, usize) {
    let mut runner = TestRunner::new(Config {
        rng_seed: RngSeed::Fixed(5),
        ..Config::default()
    });
    let pipelines = sequence(false, depth, view);
    let mut too_large = 0;
    for number in 0..count {
        let source = pipelines.new_tree(&mut runner).unwrap();
        let source = proptest::strategy::ValueTree::current(&source);
        let mut naive = Naive {
            sub_queries: Vec::new(),
        };
        let expected = naive.sequence(&routir_dsl::parse(&source).unwrap(), "q", None);
        match search(runtime, &source).await {
            Ok(found) => assert_eq!(found, expected, "{number}: {source}"),
            Err(error) => {
                // Nested expanders multiply: a bound on calls is a right answer too.
                let bound = error.message().contains("more stage calls");
                assert!(bound, "{number}: {source}: {error}");
                too_large += 1;
            }
        }
    }
    (count, too_large)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipelines_over_two_servers_of_ours_mean_what_the_language_says() {
    let shelf = Some(Arc::new(Shelf::default()));
    let one = runtime(&["s1", "s2", "r1", "e1", "Fuse"], shelf);
    let two = runtime(&["s3", "r2", "e2"], None);
    let one = Server::start(&one, ServerOptions::default()).await;
    let two = Server::start(&two, ServerOptions::default()).await;
    let imports = vec![import(&one.base()), import(&two.base())];
    let front = Front::new(runtime(&[], None), imports).await;
    assert_eq!(
        front.services(),
        ["Fuse", "e1", "e2", "r1", "r2", "s1", "s2", "s3"]
    );
    let (count, too_large) = compare(&front.runtime, 300, 3, "@notes").await;
    assert!(too_large * 4 < count, "{too_large} of {count} did not run");
}

/// RoutIR's own server, with engines in Python that compute what the toys compute.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipelines_over_routir_itself_mean_what_the_language_says() {
    let Some(routir) = routir::Routir::start().await else {
        return;
    };
    for transport in routir.transports() {
        let mut import = import(&routir.base);
        import.peer = transport;
        // Mergers and expanders are here: RoutIR cannot be asked for them alone.
        let front = Front::new(runtime(&["e1", "e2", "Fuse"], None), vec![import]).await;
        let services = ["Fuse", "e1", "e2", "r1", "r2", "s1", "s2", "s3"];
        assert_eq!(front.services(), services);
        let (count, too_large) = compare(&front.runtime, 300, 2, "").await;
        assert!(too_large * 4 < count, "{too_large} of {count} did not run");
    }
}
