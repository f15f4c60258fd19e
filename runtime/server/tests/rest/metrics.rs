//! The names and labels of all metrics, after one request of each kind.

use std::collections::BTreeSet;

use expect_test::expect;

use crate::harness::Server;

/// `name{label="…"}` of each series, with the values of labels that tests may change left in.
fn series(body: &str) -> String {
    let names: BTreeSet<_> = body
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(name, _)| name)
        .filter(|name| !name.contains("_bucket"))
        .collect();
    names.into_iter().collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn names_and_labels() {
    let server = Server::start().await;
    server
        .ok("/search", r#"{"service":"seek","query":"q"}"#)
        .await;
    server.refused("/search", "{}", 400).await;
    let rerank = r#"{"pipeline":"seek%2 >> length","query":"q","collection":"shelf"}"#;
    server.ok("/pipeline", rerank).await;
    server.get("/nowhere").await;
    let response = server.get("/metrics").await;
    assert_eq!(
        response.header("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    assert!(response.body.ends_with("# EOF\n"));
    expect![[r#"
        routir_batch_duration_seconds_count{service="length",role="score"}
        routir_batch_duration_seconds_count{service="seek",role="search"}
        routir_batch_duration_seconds_count{service="words",role="decompose_query"}
        routir_batch_duration_seconds_sum{service="length",role="score"}
        routir_batch_duration_seconds_sum{service="seek",role="search"}
        routir_batch_duration_seconds_sum{service="words",role="decompose_query"}
        routir_batch_size_count{service="length",role="score"}
        routir_batch_size_count{service="seek",role="search"}
        routir_batch_size_count{service="words",role="decompose_query"}
        routir_batch_size_sum{service="length",role="score"}
        routir_batch_size_sum{service="seek",role="search"}
        routir_batch_size_sum{service="words",role="decompose_query"}
        routir_cache_lookups_total{cache="length",outcome="hit"}
        routir_cache_lookups_total{cache="length",outcome="joined"}
        routir_cache_lookups_total{cache="length",outcome="miss"}
        routir_cache_lookups_total{cache="seek",outcome="hit"}
        routir_cache_lookups_total{cache="seek",outcome="joined"}
        routir_cache_lookups_total{cache="seek",outcome="miss"}
        routir_cache_lookups_total{cache="words",outcome="hit"}
        routir_cache_lookups_total{cache="words",outcome="joined"}
        routir_cache_lookups_total{cache="words",outcome="miss"}
        routir_queue_abandoned_total{service="length",role="score"}
        routir_queue_abandoned_total{service="seek",role="search"}
        routir_queue_abandoned_total{service="words",role="decompose_query"}
        routir_queue_depth{service="length",role="score"}
        routir_queue_depth{service="seek",role="search"}
        routir_queue_depth{service="words",role="decompose_query"}
        routir_queue_duration_seconds_count{service="length",role="score"}
        routir_queue_duration_seconds_count{service="seek",role="search"}
        routir_queue_duration_seconds_count{service="words",role="decompose_query"}
        routir_queue_duration_seconds_sum{service="length",role="score"}
        routir_queue_duration_seconds_sum{service="seek",role="search"}
        routir_queue_duration_seconds_sum{service="words",role="decompose_query"}
        routir_queue_refused_total{service="length",role="score"}
        routir_queue_refused_total{service="seek",role="search"}
        routir_queue_refused_total{service="words",role="decompose_query"}
        routir_request_duration_seconds_count{endpoint="other"}
        routir_request_duration_seconds_count{endpoint="pipeline"}
        routir_request_duration_seconds_count{endpoint="search"}
        routir_request_duration_seconds_sum{endpoint="other"}
        routir_request_duration_seconds_sum{endpoint="pipeline"}
        routir_request_duration_seconds_sum{endpoint="search"}
        routir_requests_in_flight
        routir_requests_total{endpoint="other",code="unknown_name"}
        routir_requests_total{endpoint="pipeline",code="ok"}
        routir_requests_total{endpoint="search",code="invalid_argument"}
        routir_requests_total{endpoint="search",code="ok"}
        routir_stage_duration_seconds_count{service="length",role="score"}
        routir_stage_duration_seconds_count{service="seek",role="search"}
        routir_stage_duration_seconds_sum{service="length",role="score"}
        routir_stage_duration_seconds_sum{service="seek",role="search"}
        routir_stages_total{service="length",role="score",outcome="ok"}
        routir_stages_total{service="seek",role="search",outcome="ok"}"#]]
    .assert_eq(&series(&response.body));
}
