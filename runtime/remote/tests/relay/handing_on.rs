//! What goes along with a request, and what comes back.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use routir_cache::MemoryCache;
use routir_core::{ErrorCode, Metrics, Params, RequestContext};
use routir_exec::PipelineCall;
use routir_remote::relay::RelayCache;
use serde_json::Map;

use super::common::oracle::toy;
use super::common::{Front, Shelf, import, runtime, runtime_of};
use super::{noting, serve};

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
            runtime_kwargs: [("granted".to_owned(), Params::from(kwargs))].into(),
            ..PipelineCall::default()
        };
        let error = front.runtime.pipeline(call).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidArgument, "{error}");
        assert!(error.message().contains(field), "{error}");
    }
    assert!(engine.asked.lock().unwrap().is_empty() && other.asked.lock().unwrap().is_empty());
    assert!(front.search("granted").await.is_ok());
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
