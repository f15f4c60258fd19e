//! Pipelines over documents of bytes that are on one worker and read on another.

use std::collections::BTreeMap;
use std::sync::Arc;

use routir_core::{
    BoxFuture, BytesParts, CollectionInfo, ContentSource, DocId, Document, Error, ParamsSpec,
    Passages, Payload, Result, Roles, ScoreEngine, ScoreRequest, ViewKind,
};
use serde_json::json;

use super::oracle::number;
use super::stand::{Kit, Stand, post, ranking};

/// Every document is two frames.
struct Film;

impl ContentSource for Film {
    fn info(&self) -> CollectionInfo {
        CollectionInfo {
            views: BTreeMap::from([(Arc::from("frames"), ViewKind::Bytes)]),
            default_view: Arc::from("frames"),
        }
    }

    fn fetch<'a>(
        &'a self,
        _: Option<&'a str>,
        ids: &'a [DocId],
    ) -> BoxFuture<'a, Result<Vec<Result<Arc<Document>>>>> {
        let one = |id: &DocId| {
            let frames = vec![b"\xff\xd8".to_vec().into(), id.as_bytes().to_vec().into()];
            Ok(Arc::new(Document {
                id: id.clone(),
                payload: Payload::Bytes(BytesParts::new(frames)),
                title: None,
                language: None,
            }))
        };
        let found = ids.iter().map(one).collect();
        Box::pin(async move { Ok(found) })
    }
}

/// Scores frames by the number in the second one.
struct Eye;

impl ScoreEngine for Eye {
    fn score(&self, batch: Vec<ScoreRequest>) -> BoxFuture<'_, Vec<Result<Vec<f64>>>> {
        let one = |request: ScoreRequest| match request.passages {
            Passages::Text(_) => Err(Error::internal("texts came to an eye")),
            Passages::Bytes(all) => {
                let score = |it: &BytesParts| {
                    assert_eq!(&*it.parts[0], b"\xff\xd8");
                    f64::from(number(std::str::from_utf8(&it.parts[1]).unwrap()))
                };
                Ok(all.iter().map(score).collect())
            }
        };
        let answers = batch.into_iter().map(one).collect();
        Box::pin(async move { answers })
    }

    fn params(&self) -> ParamsSpec {
        ParamsSpec::Open
    }

    fn view_kind(&self) -> ViewKind {
        ViewKind::Bytes
    }
}

fn eye() -> Roles {
    Roles {
        score: Some(Arc::new(Eye)),
        ..Roles::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_of_bytes_go_from_the_worker_that_has_them_to_the_one_that_reads_them() {
    let finds = Kit::toys(&["s1"]).serve().await;
    let has = Kit::toys(&[]).collection("docs", Arc::new(Film)).serve();
    let has = has.await;
    let reads = Kit::toys(&[]).and("eye", eye()).serve().await;
    let stand = Stand::before(&[&finds, &has, &reads]).await;
    let found = stand.pipeline("s1%5 >> eye").await.unwrap();
    finds.counts([("search", 1)]).await;
    has.counts([("content", 5)]).await;
    reads.counts([("grpc_score", 1)]).await;
    // As a server that has all of it ranks them.
    let all = Kit::toys(&["s1"]).and("eye", eye());
    let all = all.collection("docs", Arc::new(Film)).serve().await;
    let body = json!({"pipeline": "s1%5 >> eye", "query": "q", "collection": "docs"});
    let (_, told) = post(&all.base(), "/pipeline", body.to_string(), &[]).await;
    assert_eq!(ranking(&serde_json::from_slice(&told).unwrap()), found);
    assert_eq!(found.len(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scorer_of_bytes_that_fails_or_leaves_is_told_so() {
    struct Blind;
    impl ScoreEngine for Blind {
        fn score(&self, batch: Vec<ScoreRequest>) -> BoxFuture<'_, Vec<Result<Vec<f64>>>> {
            let no = |_| Err(Error::engine("it cannot see"));
            let answers = batch.into_iter().map(no).collect();
            Box::pin(async move { answers })
        }
        fn params(&self) -> ParamsSpec {
            ParamsSpec::Open
        }
        fn view_kind(&self) -> ViewKind {
            ViewKind::Bytes
        }
    }
    let blind = Roles {
        score: Some(Arc::new(Blind)),
        ..Roles::default()
    };
    let has = Kit::toys(&["s1"]).collection("docs", Arc::new(Film));
    let has = has.serve().await;
    let mut reads = Kit::toys(&[]).and("eye", blind).serve().await;
    let stand = Stand::before(&[&has, &reads]).await;
    let told = stand.pipeline("s1%5 >> eye").await.unwrap_err();
    assert!(
        told.starts_with("502") && told.contains("it cannot see"),
        "{told}"
    );
    reads.kill().await;
    let told = stand.pipeline("s1%4 >> eye").await.unwrap_err();
    assert!(told.starts_with("503"), "{told}");
}
