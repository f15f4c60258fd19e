//! Documents and passages of bytes, over both transports.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "outside a test function clippy does not see that this is a test"
)]

mod common;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};

use common::oracle::{self, toy};
use common::{Front, Server, import, search, spec};
use routir_cache::MemoryCache;
use routir_core::{
    BoxFuture, BytesParts, CollectionInfo, ContentSource, DocId, Document, Error, ErrorCode,
    Metrics, ParamsSpec, Passages, Payload, RequestContext, Result, Roles, ScoreEngine,
    ScoreRequest, ViewKind,
};
use routir_exec::{Runtime, RuntimeSettings};
use routir_remote::relay::{ImportSettings, RelayCache, Transport};

/// A collection whose default view shows two frames of each document, and another its text.
#[derive(Default)]
struct Film {
    asked: Mutex<usize>,
}

impl ContentSource for Film {
    fn info(&self) -> CollectionInfo {
        CollectionInfo {
            views: BTreeMap::from([
                (Arc::from("frames"), ViewKind::Bytes),
                (Arc::from("text"), ViewKind::Text),
            ]),
            default_view: Arc::from("frames"),
        }
    }

    fn fetch<'a>(
        &'a self,
        view: Option<&'a str>,
        ids: &'a [DocId],
    ) -> BoxFuture<'a, Result<Vec<Result<Arc<Document>>>>> {
        *self.asked.lock().unwrap() += ids.len();
        let show = |id: &DocId| match view {
            Some("text") => Payload::Text(Arc::from(id.as_str())),
            _ => {
                let frames = vec![b"\xff\xd8".to_vec().into(), id.as_bytes().to_vec().into()];
                Payload::Bytes(BytesParts {
                    mime: Some(Arc::from("image/jpeg")),
                    ..BytesParts::new(frames)
                })
            }
        };
        let found = oracle::shelf::documents(ids, show);
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
                let number = |it: &BytesParts| {
                    let name = std::str::from_utf8(&it.parts[1]).unwrap();
                    f64::from(oracle::number(name))
                };
                Ok(all.iter().map(number).collect())
            }
        };
        let answers = batch.into_iter().map(one).collect();
        Box::pin(async move { answers })
    }

    fn params(&self) -> ParamsSpec {
        ParamsSpec::none()
    }

    fn view_kind(&self) -> ViewKind {
        ViewKind::Bytes
    }
}

fn runtime(film: &Arc<Film>) -> Runtime {
    let eye = Roles {
        score: Some(Arc::new(Eye)),
        ..Roles::default()
    };
    let builder = Runtime::builder(RuntimeSettings::default());
    let film: Arc<dyn ContentSource> = Arc::<Film>::clone(film);
    let builder = builder
        .service(spec("s1", toy("s1")))
        .service(spec("eye", eye))
        .collection("docs", film);
    builder.build().unwrap()
}

fn empty() -> Runtime {
    let builder = Runtime::builder(RuntimeSettings::default());
    builder.build().unwrap()
}

fn over(transport: Transport, server: &Server) -> ImportSettings {
    let mut settings = import(&server.base());
    settings.peer.transport = transport;
    settings
}

async fn frames(front: &Front, ids: &[&str]) -> Vec<Result<Arc<Document>>> {
    let ids: Vec<DocId> = ids.iter().map(|id| DocId::from(*id)).collect();
    let context = RequestContext::default();
    let found = front.runtime.documents(&context, "docs", None, &ids).await;
    found.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_come_with_their_parts_and_their_type() {
    for transport in [Transport::Rest, Transport::Auto] {
        let film = Arc::new(Film::default());
        let server = Server::with_grpc(&runtime(&film)).await;
        let front = Front::new(empty(), vec![over(transport, &server)]).await;
        let info = front.runtime.catalog().collections["docs"].clone();
        assert_eq!(info.kind(None), Some(ViewKind::Bytes));
        assert_eq!(info.kind(Some("text")), Some(ViewKind::Text));
        let found = frames(&front, &["d1", "zz", "d2"]).await;
        let Payload::Bytes(bytes) = &found[0].as_ref().unwrap().payload else {
            unreachable!("the view shows bytes")
        };
        assert_eq!(bytes.parts.len(), 2);
        assert_eq!(
            (&*bytes.parts[0], &*bytes.parts[1]),
            (&b"\xff\xd8"[..], &b"d1"[..])
        );
        assert_eq!(bytes.mime.as_deref(), Some("image/jpeg"), "{transport:?}");
        let missing = found[1].as_ref().unwrap_err();
        assert_eq!(missing.code(), ErrorCode::UnknownDocument, "{missing}");
        assert!(found[2].is_ok());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_of_bytes_are_kept_up_to_the_bound() {
    let film = Arc::new(Film::default());
    let server = Server::with_grpc(&runtime(&film)).await;
    let entries = NonZeroUsize::new(100).unwrap();
    let size = |it: &Arc<Document>| it.payload.size();
    let cache = |max_bytes| RelayCache {
        store: Arc::new(MemoryCache::new(entries, None)),
        bytes: Arc::new(MemoryCache::weighing(entries, max_bytes, None, size)),
        metrics: Metrics::default().cache("relay_content"),
    };
    for (max_bytes, asked) in [(1 << 20, 2), (8, 4)] {
        *film.asked.lock().unwrap() = 0;
        let imports = vec![over(Transport::Rest, &server)];
        let kept = Some(cache(max_bytes));
        let front = Front::with(empty(), imports, Arc::default(), kept).await;
        for _ in 0..2 {
            let found = frames(&front, &["d1", "d2"]).await;
            assert!(found.iter().all(Result::is_ok));
        }
        assert_eq!(*film.asked.lock().unwrap(), asked, "{max_bytes}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scorer_of_bytes_reranks_over_grpc_and_is_not_offered_without() {
    let film = Arc::new(Film::default());
    let behind = runtime(&film);
    let server = Server::with_grpc(&behind).await;
    let front = Front::new(empty(), vec![over(Transport::Auto, &server)]).await;
    let expected = search(&behind, "s1%5 >> eye@frames").await.unwrap();
    assert_eq!(expected.len(), 5);
    assert_eq!(front.search("s1%5 >> eye@frames").await.unwrap(), expected);
    let error = front.search("s1%5 >> eye@text").await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidArgument, "{error}");
    let front = Front::new(empty(), vec![over(Transport::Rest, &server)]).await;
    assert_eq!(front.services(), ["s1"]);
}
