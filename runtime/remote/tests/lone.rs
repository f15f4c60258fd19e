//! A collection of a server of which nothing else is taken.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "outside a test function clippy does not see that this is a test"
)]

mod common;

use std::sync::Arc;

use common::{Server, Shelf, peer, runtime};
use routir_core::{ContentSource, DocId, ErrorCode, Payload, RequestContext, Result};
use routir_remote::relay::{LoneCollection, Peers};
use routir_server::ServerOptions;

fn ids(count: usize) -> Vec<DocId> {
    let names = common::oracle::DOCS.iter().cycle().take(count);
    names.map(|id| DocId::from(*id)).collect()
}

/// The texts of documents, and how many were asked for in each call.
async fn read(collection: &LoneCollection, ids: &[DocId]) -> Result<Vec<Arc<str>>> {
    let context = RequestContext::new("test");
    let found = collection.fetch_for(&context, None, ids).await?;
    let text = |found: Result<Arc<routir_core::Document>>| match &found?.payload {
        Payload::Text(text) => Ok(Arc::clone(text)),
        Payload::Bytes(_) => panic!("bytes of a view of text"),
    };
    found.into_iter().map(text).collect()
}

fn calls(shelf: &Shelf) -> Vec<usize> {
    let mut asked = shelf.asked.lock().unwrap();
    std::mem::take(&mut *asked)
        .into_iter()
        .map(|it| it.0)
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_come_many_at_a_time_from_a_server_of_ours() {
    let shelf = Arc::new(Shelf::default());
    let behind = runtime(&[], Some(Arc::clone(&shelf)));
    let server = Server::start(&behind, ServerOptions::default()).await;
    let peers = Peers::default();
    let collection = |view| {
        let peer = peers.get(&peer(&server.base())).unwrap();
        LoneCollection::new(peer, "docs", view)
    };
    let texts = collection(None);
    let wanted = ids(3);
    let found = read(&texts, &wanted).await.unwrap();
    for (text, id) in found.iter().zip(&wanted) {
        assert!(text.starts_with(&format!("text of {id} ")), "{text}");
    }
    assert_eq!(calls(&shelf), [3]);
    // One document is asked for as of every server.
    read(&texts, &ids(1)).await.unwrap();
    assert_eq!(calls(&shelf), [1]);
    let notes = read(&collection(Some("notes")), &wanted).await.unwrap();
    assert!(notes.iter().all(|text| text.starts_with("notes of ")));
    let mut lost = wanted.clone();
    lost.push(DocId::from("zz"));
    let error = read(&texts, &lost).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::UnknownDocument);
    assert!(error.message().contains("ID zz is not found."), "{error}");
}

/// RoutIR's `text_service` has no other way to read the collections of its own server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_may_read_its_own_collection() {
    let shelf = Arc::new(Shelf::default());
    let own = runtime(&[], Some(Arc::clone(&shelf)));
    let peers = Peers::default();
    let options = ServerOptions {
        server_id: Arc::clone(peers.id()),
        ..ServerOptions::default()
    };
    let server = Server::start(&own, options).await;
    let peer = peers.get(&peer(&server.base())).unwrap();
    let texts = LoneCollection::new(peer, "docs", None);
    for count in [1, 4] {
        assert_eq!(read(&texts, &ids(count)).await.unwrap().len(), count);
        assert_eq!(calls(&shelf), [count]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_comes_later_is_read_at_once() {
    let shelf = Arc::new(Shelf::default());
    let behind = runtime(&[], Some(Arc::clone(&shelf)));
    let server = Server::start(&behind, ServerOptions::default()).await;
    let base = server.base();
    let address = server.kill().await;
    let peers = Peers::default();
    let texts = LoneCollection::new(peers.get(&peer(&base)).unwrap(), "docs", None);
    let found = texts.fetch(None, &ids(2)).await.unwrap();
    for one in found {
        assert_eq!(one.unwrap_err().code(), ErrorCode::Unavailable);
    }
    let _server = Server::on(address, &behind, ServerOptions::default()).await;
    assert_eq!(read(&texts, &ids(2)).await.unwrap().len(), 2);
    // What it can do is asked again a little later.
    assert_eq!(calls(&shelf), [1, 1]);
}
