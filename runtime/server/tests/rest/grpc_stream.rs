//! A pipeline over gRPC whose stages are told as they end.

use routir_proto::rt::pipelines_client::PipelinesClient;
use routir_proto::rt::{PipelineEvent, PipelineStreamRequest, pipeline_event::Event};
use routir_proto::v1::PipelineRequest;
use tonic::{Code, Status, Streaming};

use crate::harness::Server;

fn asked(pipeline: &str, query: &str) -> PipelineStreamRequest {
    PipelineStreamRequest {
        call: Some(PipelineRequest {
            pipeline: pipeline.to_owned(),
            query: query.to_owned(),
            collection: Some("shelf".to_owned()),
            ..PipelineRequest::default()
        }),
        partial: false,
    }
}

async fn begin(
    server: &Server,
    request: PipelineStreamRequest,
) -> Result<Streaming<PipelineEvent>, Status> {
    let mut client = PipelinesClient::new(server.channel().await);
    client
        .pipeline_stream(request)
        .await
        .map(tonic::Response::into_inner)
}

/// All events, as `stage>documents` in short.
async fn told(mut events: Streaming<PipelineEvent>) -> Vec<String> {
    let mut told = Vec::new();
    loop {
        let line = match events.message().await {
            Ok(None) => return told,
            Ok(Some(event)) => match event.event.unwrap() {
                Event::Stage(stage) => {
                    let ids: Vec<_> = stage.hits.iter().map(|hit| &*hit.id).collect();
                    let found = [ids.join(","), stage.sub_queries.join(",")].concat();
                    format!("{} {} `{}` > {found}", stage.role, stage.stage, stage.query)
                }
                Event::Result(result) => {
                    let ids: Vec<_> = result.hits.iter().map(|hit| &*hit.id).collect();
                    let failed = result.failures.iter().map(|failure| &*failure.error);
                    let failed: String = failed.collect();
                    format!("result {} > {}{failed}", result.service, ids.join(","))
                }
            },
            Err(status) => format!("{:?}: {}", status.code(), status.message()),
        };
        told.push(line);
    }
}

#[tokio::test]
async fn stages_are_told_in_the_order_in_which_they_end() {
    let server = Server::with_grpc(|_| {}).await;
    let two = begin(&server, asked("seek[first]%3 >> length%2", "q")).await;
    expect_test::expect![[r#"
        [
            "search first `q` > d1,d2,d3",
            "score length `q` > d3,d2",
            "result length > d3,d2",
        ]
    "#]]
    .assert_debug_eq(&told(two.unwrap()).await);

    let expanded = begin(&server, asked("words{seek%1}First", "a b")).await;
    expect_test::expect![[r#"
        [
            "decompose_query words `a b` > a,b",
            "search seek `a` > d1",
            "search seek `b` > d1",
            "fuse First `a b` > d1",
            "result First > d1",
        ]
    "#]]
    .assert_debug_eq(&told(expanded.unwrap()).await);
}

#[tokio::test]
async fn what_is_known_is_told_before_the_next_stage_ends() {
    let server = Server::with_grpc(|_| {}).await;
    // The second branch waits until the test has seen the first one's result.
    let pipeline = "{words{seek%1}First[quick], seek%2}First";
    let mut events = begin(&server, asked(pipeline, "slow")).await.unwrap();
    let Event::Stage(first) = events.message().await.unwrap().unwrap().event.unwrap() else {
        panic!("an answer before any stage");
    };
    assert_eq!(first.stage, "words");
    server.probe.started.notified().await;
    server.probe.release.notify_one();
    server.probe.release.notify_one();
    drop(events);
}

#[tokio::test]
async fn what_is_wrong_at_once_and_what_fails_later_are_statuses() {
    let server = Server::with_grpc(|_| {}).await;
    let wrong = begin(&server, asked("seek >> nosuch", "q")).await;
    assert_eq!(wrong.unwrap_err().code(), Code::NotFound);
    let nothing = begin(&server, PipelineStreamRequest::default()).await;
    let nothing = nothing.unwrap_err();
    assert_eq!(nothing.message(), "No pipeline provided; No query provided");

    let fails = begin(&server, asked("words{seek}First", "fail")).await;
    expect_test::expect![[r#"
        [
            "decompose_query words `fail` > fail",
            "Internal: service `seek`: the index is gone",
        ]
    "#]]
    .assert_debug_eq(&told(fails.unwrap()).await);
    let line = r#"routir_requests_total{endpoint="grpc_pipeline_stream",code="engine_failure"} 1"#;
    server.until_metric(line).await;
}

#[tokio::test]
async fn a_partial_answer_says_what_failed() {
    let server = Server::with_grpc(|_| {}).await;
    let mut request = asked("words{seek%1}First", "fail q");
    request.partial = true;
    let told = told(begin(&server, request).await.unwrap()).await;
    assert_eq!(
        told.last().map(String::as_str),
        Some("result First > service `seek`: the index is gone")
    );
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_run() {
    let server = Server::with_grpc(|_| {}).await;
    let mut events = begin(&server, asked("words{seek}First", "slow"))
        .await
        .unwrap();
    assert!(events.message().await.unwrap().is_some());
    server.probe.started.notified().await;
    drop(events);
    server.probe.dropped.notified().await;
    let line = r#"routir_requests_total{endpoint="grpc_pipeline_stream",code="cancelled"} 1"#;
    server.until_metric(line).await;
}
