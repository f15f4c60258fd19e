//! RoutIR's methods over gRPC: what they answer, and that it is what REST answers.

use prost_types::{Struct, Value as Extra, value::Kind};
use routir_proto::PassageValue;
use routir_proto::v1::content_response::Payload;
use routir_proto::v1::{
    AvailRequest, ContentRequest, PingRequest, PipelineRequest, ScoreRequest, SearchRequest,
};
use serde_json::Value;
use tonic::Code;

use crate::harness::Server;

fn number(name: &str, number: f64) -> Struct {
    let kind = Some(Kind::NumberValue(number));
    Struct {
        fields: [(name.to_owned(), Extra { kind })].into(),
    }
}

/// Documents and scores as REST wrote them, in its order.
fn hits(answer: &Value) -> Vec<(String, u64)> {
    let scores = answer["scores"].as_object().unwrap().iter();
    let bits = |score: &Value| score.as_f64().unwrap().to_bits();
    scores
        .map(|(doc, score)| (doc.clone(), bits(score)))
        .collect()
}

#[tokio::test]
async fn a_pipeline_answers_the_same_over_both_wires_bit_for_bit() {
    let server = Server::with_grpc(|_| {}).await;
    let mut client = server.client().await;
    for pipeline in ["seek%7", "seek%9 >> length%4", "both", "words{seek}First%3"] {
        let body = serde_json::json!(
            {"pipeline": pipeline, "query": "two words", "collection": "shelf"});
        let rest = server.ok("/pipeline", &body.to_string()).await;
        let message = PipelineRequest {
            pipeline: pipeline.to_owned(),
            query: "two words".to_owned(),
            collection: Some("shelf".to_owned()),
            ..PipelineRequest::default()
        };
        let grpc = client.pipeline(message).await.unwrap().into_inner();
        let over_grpc: Vec<_> = grpc
            .scores
            .iter()
            .map(|entry| (entry.key.clone(), entry.value.to_bits()))
            .collect();
        assert!(!over_grpc.is_empty());
        assert_eq!(over_grpc, hits(&rest), "{pipeline}");
        assert_eq!(grpc.query, "two words");
        let expanded = rest["expanded_queries"].as_array();
        let expanded = expanded.map_or(0, Vec::len);
        assert_eq!(grpc.expanded_queries.len(), expanded);
        assert!(grpc.timestamp > 1.6e9 && !grpc.cached);
    }
}

#[tokio::test]
async fn ping_and_avail_say_what_rest_says() {
    let server = Server::with_grpc(|_| {}).await;
    let mut client = server.client().await;
    let pong = client.ping(PingRequest {}).await.unwrap();
    assert_eq!(pong.into_inner().status, "pong");

    let rest = server.get("/avail").await.json();
    let grpc = client.avail(AvailRequest {}).await.unwrap().into_inner();
    for role in ["search", "score", "fuse", "decompose_query", "content"] {
        let names = grpc.services[role].items.clone();
        assert_eq!(Value::from(names), rest[role], "{role}");
    }
    assert_eq!(grpc.services.len(), 5);
    assert_eq!(
        grpc.pipeline_aliases["both"],
        rest["pipeline_aliases"]["both"]
    );
    let port = i32::from(server.grpc.unwrap().port());
    assert_eq!(grpc.grpc_port, Some(port));
    assert_eq!(rest["grpc_port"], port);
    let views = &grpc.content_views["shelf"];
    assert_eq!(views.default.as_deref(), Some("text"));
    assert_eq!(views.views["text"], "text");
    assert_eq!(grpc.score_view_kinds["length"], "text");

    let without = Server::start().await.get("/avail").await.json();
    assert!(without.get("grpc_port").is_none());
}

#[tokio::test]
async fn a_search_takes_its_limit_and_its_extras() {
    let server = Server::with_grpc(|_| {}).await;
    let mut client = server.client().await;
    let search = |limit, extras| SearchRequest {
        service: "seek".to_owned(),
        query: "q".to_owned(),
        limit,
        extras,
        ..SearchRequest::default()
    };
    let found = client.search(search(Some(3), None)).await.unwrap();
    let found = found.into_inner();
    let order: Vec<_> = found.scores.iter().map(|entry| &*entry.key).collect();
    assert_eq!(order, ["d1", "d2", "d3"], "best first");
    assert_eq!((&*found.query, &*found.service), ("q", "seek"));
    let ten = client
        .search(search(None, None))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(ten.scores.len(), 10);
    let none = client.search(search(Some(0), None)).await.unwrap();
    assert!(none.into_inner().scores.is_empty());
    // As from a client that has no field for it.
    let two = client
        .search(search(None, Some(number("limit", 2.0))))
        .await;
    assert_eq!(two.unwrap().into_inner().scores.len(), 2);
    let unknown = client.search(search(None, Some(number("k9", 1.0)))).await;
    let unknown = unknown.unwrap_err();
    assert_eq!(unknown.code(), Code::InvalidArgument);
    assert!(unknown.message().contains("k9"), "{unknown}");
}

#[tokio::test]
async fn passages_of_both_levels_are_scored() {
    let server = Server::with_grpc(|_| {}).await;
    let mut client = server.client().await;
    let score = |passages: Vec<_>| ScoreRequest {
        service: "length".to_owned(),
        query: "q".to_owned(),
        passages,
        prompt: Some("how long?".to_owned()),
        ..ScoreRequest::default()
    };
    let passages = vec![
        "four".into(),
        b"\x0a\x02ab".to_vec().into(),
        PassageValue::write_text("\n\u{2}ab"),
        "".into(),
    ];
    let scored = client.score(score(passages)).await.unwrap().into_inner();
    assert_eq!(scored.scores, [4.0, 2.0, 4.0, 0.0]);
    assert_eq!(scored.meta.unwrap().n_passages, 4);
    assert_eq!(scored.service, "length");

    let parts = PassageValue::write_parts(vec![b"\x89PNG".to_vec().into()]);
    for (passages, what) in [
        (
            vec![parts.clone()],
            "service `length` scores text, and these passages are bytes",
        ),
        (
            vec!["text".into(), parts],
            "some passages are text and some are bytes",
        ),
        (vec![b"\xff".to_vec().into()], "`passages[0]` is neither"),
    ] {
        let refused = client.score(score(passages)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().contains(what), "{refused}");
    }
}

#[tokio::test]
async fn content_comes_with_its_view() {
    let server = Server::with_grpc(|_| {}).await;
    let mut client = server.client().await;
    let content = |id: &str, view: Option<&str>| ContentRequest {
        collection: "shelf".to_owned(),
        id: id.to_owned(),
        view: view.map(str::to_owned),
    };
    for view in [None, Some("text")] {
        let found = client.content(content("d3", view)).await.unwrap();
        let found = found.into_inner();
        assert_eq!(found.payload, Some(Payload::Text("xxx".to_owned())));
        assert_eq!((&*found.collection, &*found.id), ("shelf", "d3"));
        assert_eq!(found.view.as_deref(), Some("text"));
    }
    let missing = client.content(content("zz", None)).await.unwrap_err();
    assert_eq!(missing.code(), Code::InvalidArgument);
    assert_eq!(missing.message(), "ID zz is not found.");
    assert_eq!(
        missing.metadata().get("routir-error-code").unwrap(),
        "unknown_document"
    );
}

#[tokio::test]
async fn every_failure_has_its_status() {
    let server = Server::with_grpc(|_| {}).await;
    let mut client = server.client().await;
    for (service, query, limit, code, message) in [
        ("", "q", None, Code::InvalidArgument, "No service provided"),
        ("seek", "", None, Code::InvalidArgument, "No query provided"),
        (
            "seek",
            "q",
            Some(-1),
            Code::InvalidArgument,
            "`limit` must be at least 0, not -1",
        ),
        (
            "zeek",
            "q",
            None,
            Code::NotFound,
            "Service 'zeek' not found or does not support search",
        ),
        (
            "length",
            "q",
            None,
            Code::NotFound,
            "does not support search",
        ),
        ("seek", "fail", None, Code::Internal, "the index is gone"),
        ("seek", "full", None, Code::ResourceExhausted, "full"),
        ("seek", "down", None, Code::Unavailable, "still starting"),
    ] {
        let message_sent = SearchRequest {
            service: service.to_owned(),
            query: query.to_owned(),
            limit,
            ..SearchRequest::default()
        };
        let refused = client.search(message_sent).await.unwrap_err();
        assert_eq!(refused.code(), code, "{refused}");
        assert!(refused.message().contains(message), "{refused}");
    }
    let full = SearchRequest {
        service: "seek".to_owned(),
        query: "full".to_owned(),
        ..SearchRequest::default()
    };
    let full = client.search(full).await.unwrap_err();
    assert_eq!(
        full.metadata().get("grpc-retry-pushback-ms").unwrap(),
        "1500"
    );
    assert_eq!(
        full.metadata().get("routir-error-code").unwrap(),
        "overloaded"
    );

    let pipeline = |pipeline: &str| PipelineRequest {
        pipeline: pipeline.to_owned(),
        query: "q".to_owned(),
        ..PipelineRequest::default()
    };
    for (source, code, message) in [
        ("", Code::InvalidArgument, "No pipeline provided"),
        ("seek >>", Code::InvalidArgument, "no stage after"),
        ("nosuch", Code::NotFound, "nosuch"),
        (
            "seek >> length",
            Code::InvalidArgument,
            "requires a `collection` field",
        ),
    ] {
        let refused = client.pipeline(pipeline(source)).await.unwrap_err();
        assert_eq!(refused.code(), code, "{refused}");
        assert!(refused.message().contains(message), "{refused}");
    }
    let content = ContentRequest {
        collection: "nowhere".to_owned(),
        id: "d1".to_owned(),
        view: None,
    };
    let refused = client.content(content).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound, "{refused}");
}
