//! What pipelines of toys answer, and random ones through the router.

#[path = "../../../../tests/oracle/mod.rs"]
mod shared;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngSeed, TestRunner};

pub(super) use shared::shelf::Shelf;
use shared::{Naive, sequence};
pub(super) use shared::{number, toy};

use super::stand::{Kit, Stand};

/// Compares `count` random pipelines; how many were too large to run.
async fn compare(stand: &Stand, count: usize) -> usize {
    let mut runner = TestRunner::new(Config {
        rng_seed: RngSeed::Fixed(11),
        ..Config::default()
    });
    let pipelines = sequence(false, 3, "@notes");
    let mut too_large = 0;
    for number in 0..count {
        let source = pipelines.new_tree(&mut runner).unwrap().current();
        let mut naive = Naive {
            sub_queries: Vec::new(),
        };
        let expected = naive.sequence(&routir_dsl::parse(&source).unwrap(), "q", None);
        match stand.pipeline(&source).await {
            Ok(found) => assert_eq!(found, expected, "{number}: {source}"),
            Err(error) => {
                // Nested expanders multiply: a bound on calls is a right answer too.
                assert!(
                    error.contains("more stage calls"),
                    "{number}: {source}: {error}"
                );
                too_large += 1;
            }
        }
    }
    too_large
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipelines_over_three_workers_mean_what_the_language_says() {
    let one = Kit::toys(&["s1", "r1", "e2", "Fuse"]).serve().await;
    let two = Kit::toys(&["s2", "r2", "s1"]).docs().serve().await;
    let three = Kit::toys(&["s3", "e1", "r2"]).serve().await;
    let stand = Stand::before(&[&one, &two, &three]).await;
    let too_large = compare(&stand, 300).await;
    assert!(too_large * 4 < 300, "{too_large} of 300 did not run");
    // None could be placed whole that needs more than one of them; all had a part.
    for server in [&one, &two, &three] {
        assert!(server.answered().values().sum::<u64>() > 50);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipelines_that_a_worker_hosts_mean_the_same() {
    let all = ["s1", "s2", "s3", "r1", "r2", "e1", "e2", "Fuse"];
    let one = Kit::toys(&all).docs().serve().await;
    let two = Kit::toys(&["s1"]).serve().await;
    let stand = Stand::before(&[&one, &two]).await;
    compare(&stand, 100).await;
    let answered = one.answered();
    assert_eq!(answered.keys().collect::<Vec<_>>(), ["pipeline"]);
}
