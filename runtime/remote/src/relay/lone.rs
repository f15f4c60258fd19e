//! A collection of a server of which nothing else is taken.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use routir_client::{
    Client, Content, Contents, Decompose, Document as Answered, Fuse, Ranked, Score, Scored, Search,
};
use routir_core::{
    BoxFuture, CollectionInfo, ContentSource, DocId, Document, RequestContext, Result, ViewKind,
};

use super::look::look;
use super::peer::Via;
use super::{Ask, Found, Peer, RelayCollection};

/// How long what a server said of itself is believed.
const BELIEVED: Duration = Duration::from_secs(60);
/// How soon a server that did not say is asked again.
const AGAIN: Duration = Duration::from_secs(5);

/// What a view of another server is called here when nobody named one.
const ANY_VIEW: &str = "text";

/// A collection of text of one server whose offer nobody follows. What the server can do is found
/// out when several documents are first wanted, and from time to time after that. It may be this
/// server itself.
pub struct LoneCollection {
    peer: Arc<Reader>,
    name: Arc<str>,
    view: Option<Arc<str>>,
    known: Mutex<Option<Known>>,
    /// Held by who finds out.
    looking: tokio::sync::Mutex<()>,
}

/// The collection, asked as its server was found to be able to.
#[derive(Clone)]
struct Known {
    collection: Arc<RelayCollection<Reader>>,
    until: Instant,
}

impl LoneCollection {
    /// The collection called `name`, of which `view` is read, or its default view. Asks nobody yet.
    #[must_use]
    pub fn new(peer: Arc<Peer>, name: &str, view: Option<&str>) -> Self {
        Self {
            peer: Arc::new(Reader(peer)),
            name: Arc::from(name),
            view: view.map(Arc::from),
            known: Mutex::new(None),
            looking: tokio::sync::Mutex::new(()),
        }
    }

    fn asked(&self, together: bool) -> Arc<RelayCollection<Reader>> {
        let name = Arc::clone(&self.name);
        let peer = Arc::clone(&self.peer);
        let made = RelayCollection::new(peer, name, self.info(), together, None);
        Arc::new(made)
    }

    /// What is known, and whether it is still believed.
    fn known(&self) -> (Option<Known>, bool) {
        let known = self.known.lock().clone();
        let fresh = known.as_ref().is_some_and(|it| Instant::now() < it.until);
        (known, fresh)
    }

    /// The collection as its server can be asked for it. One request finds out, others go on with
    /// what was known before, if anything was.
    async fn collection(&self, context: &RequestContext) -> Arc<RelayCollection<Reader>> {
        let looking = match (self.known(), self.looking.try_lock()) {
            ((Some(known), true), _) | ((Some(known), false), Err(_)) => return known.collection,
            (_, Ok(looking)) => looking,
            ((None, _), Err(_)) => self.looking.lock().await,
        };
        if let (Some(known), true) = self.known() {
            return known.collection;
        }
        let found = look(&self.peer.0, "", context.deadline).await;
        let (together, believed) = match &found {
            Ok(offer) => (offer.contents, BELIEVED),
            // What every server knows is the safer way.
            Err(_) => (false, AGAIN),
        };
        let collection = self.asked(together);
        *self.known.lock() = Some(Known {
            collection: Arc::clone(&collection),
            until: Instant::now() + believed,
        });
        drop(looking);
        collection
    }

    async fn look_up(
        &self,
        context: &RequestContext,
        ids: &[DocId],
    ) -> Result<Vec<Result<Arc<Document>>>> {
        let view = self.view.as_deref();
        // One document is asked for alike of every server.
        if ids.len() <= 1 {
            return self.asked(false).fetch_for(context, view, ids).await;
        }
        let collection = self.collection(context).await;
        let found = collection.fetch_for(context, view, ids).await;
        if found.is_err() {
            // It may be another server by now.
            *self.known.lock() = None;
        }
        found
    }
}

impl ContentSource for LoneCollection {
    fn info(&self) -> CollectionInfo {
        let view = self.view.clone().unwrap_or_else(|| Arc::from(ANY_VIEW));
        CollectionInfo {
            views: BTreeMap::from([(Arc::clone(&view), ViewKind::Text)]),
            default_view: view,
        }
    }

    /// Whichever view is asked for, the collection's own is read.
    fn fetch<'a>(
        &'a self,
        _view: Option<&'a str>,
        ids: &'a [DocId],
    ) -> BoxFuture<'a, Result<Vec<Result<Arc<Document>>>>> {
        Box::pin(async move { self.look_up(&RequestContext::default(), ids).await })
    }

    fn fetch_for<'a>(
        &'a self,
        context: &'a RequestContext,
        _view: Option<&'a str>,
        ids: &'a [DocId],
    ) -> BoxFuture<'a, Result<Vec<Result<Arc<Document>>>>> {
        Box::pin(self.look_up(context, ids))
    }
}

/// A server of which documents are read. Reading leads no request on, so that asking this server
/// itself is no circle.
struct Reader(Arc<Peer>);

impl Ask for Reader {
    fn label(&self) -> &str {
        self.0.label()
    }

    async fn search(&self, context: &RequestContext, call: Search<'_>) -> Result<Ranked> {
        self.0.search(context, call).await
    }

    async fn score(&self, context: &RequestContext, call: Score<'_>) -> Result<Scored> {
        self.0.score(context, call).await
    }

    async fn fuse(&self, context: &RequestContext, call: Fuse<'_>) -> Result<Ranked> {
        self.0.fuse(context, call).await
    }

    async fn decompose(
        &self,
        context: &RequestContext,
        call: Decompose<'_>,
    ) -> Result<Vec<String>> {
        self.0.decompose(context, call).await
    }

    async fn content(
        &self,
        context: &RequestContext,
        call: Content<'_>,
        _large: bool,
    ) -> Result<Answered> {
        let ask = async |client: Client, via: Via| client.content(call, via.options()).await;
        self.0.ask_unnamed(context, ask).await
    }

    async fn contents(&self, context: &RequestContext, call: Contents<'_>) -> Result<Vec<Found>> {
        let ask = async |client: Client, via: Via| client.contents(call, via.options()).await;
        self.0.ask_unnamed(context, ask).await
    }
}
