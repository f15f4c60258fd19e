//! Views of bytes in pipelines: what is checked before a run, and what a run reads and holds.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "outside a test function clippy does not see that this is a test"
)]

mod common;

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use common::{Scorer, Searcher, builder, call, context, docs, merger, run, scorer, searcher, spec};
use routir_core::{
    BoxFuture, BytesParts, CollectionInfo, ContentSource, DocId, Document, ErrorCode, Params,
    ParamsSpec, Passages, Payload, Result, Roles, ScoreEngine, ScoreRequest, ViewKind,
};
use routir_exec::{PipelineCall, Runtime, RuntimeBuilder, RuntimeSettings};

/// Scores a picture by the first byte of its last part.
struct Eye;

impl ScoreEngine for Eye {
    fn score(&self, batch: Vec<ScoreRequest>) -> BoxFuture<'_, Vec<Result<Vec<f64>>>> {
        let one = |request: &ScoreRequest| match &request.passages {
            Passages::Bytes(all) => {
                let score = |bytes: &BytesParts| f64::from(bytes.parts.last().unwrap()[0]);
                Ok(all.iter().map(score).collect())
            }
            Passages::Text(_) => panic!("texts were handed to a scorer of bytes"),
        };
        let scores = batch.iter().map(one).collect();
        Box::pin(async move { scores })
    }

    fn params(&self) -> ParamsSpec {
        ParamsSpec::none()
    }

    fn view_kind(&self) -> ViewKind {
        ViewKind::Bytes
    }
}

/// Documents `d1` to `d9` as text and as two parts of 50 bytes.
#[derive(Default)]
struct Album {
    fetched: Mutex<Vec<String>>,
    /// Whether it says that its pictures are text.
    lies: bool,
}

impl ContentSource for Album {
    fn info(&self) -> CollectionInfo {
        let pictures = if self.lies {
            ViewKind::Text
        } else {
            ViewKind::Bytes
        };
        CollectionInfo {
            views: [
                (Arc::from("text"), ViewKind::Text),
                (Arc::from("pictures"), pictures),
            ]
            .into(),
            default_view: Arc::from("text"),
        }
    }

    fn fetch<'a>(
        &'a self,
        view: Option<&'a str>,
        ids: &'a [DocId],
    ) -> BoxFuture<'a, Result<Vec<Result<Arc<Document>>>>> {
        let mut fetched = self.fetched.lock().unwrap();
        fetched.extend(ids.iter().map(ToString::to_string));
        let one = |id: &DocId| {
            let number: u8 = id.strip_prefix('d').unwrap().parse().unwrap();
            let payload = if view == Some("pictures") {
                let part = |byte| Bytes::from(vec![byte; 50]);
                Payload::Bytes(BytesParts::new(vec![part(0), part(number)]))
            } else {
                Payload::Text(format!("text {number}").into())
            };
            Ok(Arc::new(Document {
                id: id.clone(),
                payload,
                title: None,
                language: None,
            }))
        };
        let found = ids.iter().map(one).collect();
        Box::pin(async move {
            tokio::task::yield_now().await;
            Ok(found)
        })
    }
}

fn house(builder: RuntimeBuilder, album: &Arc<Album>) -> Runtime {
    let found = Searcher::fixed(&[("d1", 3.0), ("d3", 2.0), ("d2", 1.0)]);
    let eye = || Roles {
        score: Some(Arc::new(Eye)),
        ..Roles::default()
    };
    builder
        .service(spec("find", searcher(&found)))
        .service(spec("read", scorer(&Scorer::new(1.0))))
        .service(spec("eye", eye()))
        .service(spec("other", eye()))
        .service(spec("Sum", merger(&Arc::default())))
        .collection("docs", Arc::clone(album) as Arc<dyn ContentSource>)
        .build()
        .unwrap()
}

fn over(pipeline: &str) -> PipelineCall {
    PipelineCall {
        collection: Some("docs".to_owned()),
        ..call(pipeline)
    }
}

#[tokio::test]
async fn a_scorer_of_bytes_reranks_by_a_view_of_bytes() {
    let runtime = house(builder(), &Arc::default());
    let answer = run(&runtime, over("find >> eye@pictures >> read%2"))
        .await
        .unwrap();
    assert_eq!(docs(&answer), ["d3", "d2"]);
    let answer = run(&runtime, over("find >> eye@pictures")).await.unwrap();
    assert_eq!(docs(&answer), ["d3", "d2", "d1"]);
}

#[tokio::test]
async fn a_view_of_the_other_kind_is_refused_before_anything_runs() {
    let album = Arc::new(Album::default());
    let runtime = house(builder(), &album);
    for (pipeline, told) in [
        (
            "find >> read@pictures",
            "`read` reads text, and view `pictures` of collection `docs` is bytes",
        ),
        (
            "find >> eye",
            "`eye` reads bytes, and view `text` of collection `docs` is text",
        ),
    ] {
        let error = run(&runtime, over(pipeline)).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidArgument, "{pipeline}");
        assert!(error.message().contains(told), "{error}");
        assert!(
            error.problems()[0].help.as_ref().unwrap().contains('@'),
            "{error}"
        );
    }
    assert!(album.fetched.lock().unwrap().is_empty());
}

#[tokio::test]
async fn passages_of_the_other_kind_fail_alone() {
    let runtime = house(builder(), &Arc::default());
    let request = |passages| ScoreRequest {
        query: Arc::from("q"),
        passages,
        params: Params::default(),
        context: Arc::new(context()),
    };
    let picture = BytesParts::new(vec![Bytes::from_static(&[7])]);
    let pictures = || Passages::Bytes(vec![picture.clone()]);
    let texts = || Passages::from(vec![Arc::from("text 4")]);
    let scores = runtime.score("eye", request(pictures())).await.unwrap();
    assert_eq!(*scores.value, [7.0]);
    for (service, passages) in [("eye", texts()), ("read", pictures())] {
        let error = runtime.score(service, request(passages)).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidArgument, "{service}");
    }
    // A source that says one thing and gives another is caught, too.
    let lies = Album {
        lies: true,
        ..Album::default()
    };
    let runtime = house(builder(), &Arc::new(lies));
    let error = run(&runtime, over("find >> read@pictures"))
        .await
        .unwrap_err();
    assert!(error.message().contains("scores text"), "{error}");
}

#[tokio::test]
async fn bytes_are_held_up_to_the_bound() {
    // A document has 100 bytes.
    for (bound, fetched) in [(None, 3), (Some(300), 3), (Some(200), 4), (Some(0), 6)] {
        let album = Arc::new(Album::default());
        let settings = RuntimeSettings {
            max_held_bytes: bound,
            ..RuntimeSettings::default()
        };
        let runtime = house(Runtime::builder(settings), &album);
        let answer = run(
            &runtime,
            over("find >> eye@pictures >> eye[again]@pictures"),
        )
        .await;
        assert_eq!(docs(&answer.unwrap()), ["d3", "d2", "d1"]);
        assert_eq!(album.fetched.lock().unwrap().len(), fetched, "{bound:?}");
    }
}

/// A document that is on its way for one stage is not asked for by another, nor counted twice.
#[tokio::test]
async fn stages_side_by_side_share_what_they_read() {
    let album = Arc::new(Album::default());
    let settings = RuntimeSettings {
        max_held_bytes: Some(300),
        ..RuntimeSettings::default()
    };
    let runtime = house(Runtime::builder(settings), &album);
    let pipeline = "{find >> eye@pictures, find >> other@pictures}Sum >> eye@pictures";
    let answer = run(&runtime, over(pipeline)).await.unwrap();
    assert_eq!(docs(&answer), ["d3", "d2", "d1"]);
    let mut fetched = album.fetched.lock().unwrap().clone();
    fetched.sort();
    assert_eq!(fetched, ["d1", "d2", "d3"]);
}
