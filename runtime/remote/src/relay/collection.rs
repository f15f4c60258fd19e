//! A collection of other servers.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream;
use routir_cache::{Cache, Key, Stored};
use routir_client::{Content, Contents};
use routir_core::{
    BoxFuture, BytesParts, CacheMetrics, CollectionInfo, ContentSource, DocId, Document, Error,
    ErrorCode, Payload, RequestContext, Result, ViewKind, shorten,
};

use super::failure;
use super::{Ask, Peer};

/// How many look-ups of one request are under way at once, where each is a call.
const SINGLE_AT_ONCE: usize = 32;
/// How many documents one call asks for, where it may ask for several.
const TOGETHER: usize = 64;
/// How many of those calls of one request are under way at once.
const CALLS_AT_ONCE: usize = 4;

/// How many documents of bytes one request fetches at once: each may be as large as an answer.
const BYTES_AT_ONCE: usize = 4;

/// How many bytes the documents of one request may have together, where the view shows bytes.
const MAX_BYTES: usize = 1 << 30;

/// Documents of other servers that are kept here.
#[derive(Clone)]
pub struct RelayCache {
    /// Where those are that are text.
    pub store: Arc<dyn Cache<Arc<Document>>>,
    /// Where those are that are bytes.
    pub bytes: Arc<dyn Cache<Arc<Document>>>,
    /// What is counted.
    pub metrics: CacheMetrics,
}

/// A collection of another server, or of several: documents are asked for many at a time where that
/// can be, side by side otherwise.
pub struct RelayCollection<A = Peer> {
    asked: Arc<A>,
    name: Arc<str>,
    info: CollectionInfo,
    /// Whether the server answers for several documents at once.
    together: bool,
    cache: Option<RelayCache>,
}

impl<A: Ask> RelayCollection<A> {
    /// The collection called `name` of `asked`, with these views. With `together`, the server is asked
    /// for several documents in one call.
    #[must_use]
    pub fn new(
        asked: Arc<A>,
        name: impl Into<Arc<str>>,
        info: CollectionInfo,
        together: bool,
        cache: Option<RelayCache>,
    ) -> Self {
        Self {
            asked,
            name: name.into(),
            info,
            together,
            cache,
        }
    }

    fn key(&self, view: &str, id: &DocId) -> Key {
        Key::builder("relay_content")
            .text("server", self.asked.label())
            .text("collection", &self.name)
            .text("view", view)
            .text("id", id)
            .build()
    }

    /// The view that is asked for, by its name.
    fn view<'a>(&'a self, asked: Option<&'a str>) -> Result<&'a str> {
        match asked {
            None => Ok(&self.info.default_view),
            Some(view) if self.info.views.contains_key(view) => Ok(view),
            Some(view) => Err(Error::new(
                ErrorCode::UnknownName,
                format!("collection `{}` has no view `{}`", self.name, shorten(view)),
            )),
        }
    }

    async fn look_up(
        &self,
        context: &RequestContext,
        view: Option<&str>,
        ids: &[DocId],
    ) -> Result<Vec<Result<Arc<Document>>>> {
        let named = self.view(view)?;
        let Some(RelayCache {
            store,
            bytes,
            metrics,
        }) = &self.cache
        else {
            return self.ask(context, view, ids).await;
        };
        let store = match self.info.kind(view) {
            Some(ViewKind::Bytes) => bytes,
            _ => store,
        };
        let keys: Vec<Key> = ids.iter().map(|id| self.key(named, id)).collect();
        let kept = join_all(keys.iter().map(|key| store.get(key))).await;
        let missing = ids.iter().zip(&kept).filter(|(_, kept)| kept.is_none());
        let missing: Vec<DocId> = missing.map(|(id, _)| id.clone()).collect();
        metrics.hits.inc_by((ids.len() - missing.len()) as u64);
        metrics.misses.inc_by(missing.len() as u64);
        let asked = match missing.as_slice() {
            [] => Vec::new(),
            missing => self.ask(context, view, missing).await?,
        };
        let mut asked = asked.into_iter();
        let mut found = Vec::with_capacity(ids.len());
        for (key, kept) in keys.into_iter().zip(kept) {
            found.push(match kept {
                Some(Stored { value, .. }) => Ok(value),
                None => {
                    let document = asked.next().unwrap_or_else(|| Err(none()));
                    if let Ok(document) = &document {
                        let stored = Stored {
                            value: Arc::clone(document),
                            timestamp: now(),
                        };
                        store.put(key, stored).await;
                    }
                    document
                }
            });
        }
        Ok(found)
    }

    /// The documents from the server, in the order of `ids`.
    async fn ask(
        &self,
        context: &RequestContext,
        view: Option<&str>,
        ids: &[DocId],
    ) -> Result<Vec<Result<Arc<Document>>>> {
        if self.info.kind(view) == Some(ViewKind::Bytes) {
            let one = |id| self.single(context, view, id, ViewKind::Bytes);
            let calls = ids.iter().map(one);
            let calls: Vec<_> = calls.collect();
            let mut answers = stream::iter(calls).buffered(BYTES_AT_ONCE);
            let (mut found, mut held) = (Vec::with_capacity(ids.len()), 0);
            while let Some(one) = answers.next().await {
                held += one.as_ref().map_or(0, |it| it.payload.size());
                if held > MAX_BYTES {
                    return Err(Error::new(
                        ErrorCode::TooLarge,
                        format!(
                            "the documents of collection `{}` have more than {MAX_BYTES} bytes \
                             together; ask for fewer at once",
                            self.name
                        ),
                    ));
                }
                found.push(one);
            }
            return Ok(found);
        }
        // One document costs as much either way, and what every server knows is the safer way.
        if !self.together || ids.len() == 1 {
            let one = |id| self.single(context, view, id, ViewKind::Text);
            let calls = ids.iter().map(one);
            let calls: Vec<_> = calls.collect();
            return Ok(stream::iter(calls).buffered(SINGLE_AT_ONCE).collect().await);
        }
        let calls = ids.chunks(TOGETHER);
        let calls: Vec<_> = calls.map(|ids| self.several(context, view, ids)).collect();
        let parts: Vec<_> = stream::iter(calls).buffered(CALLS_AT_ONCE).collect().await;
        let mut found = Vec::with_capacity(ids.len());
        for part in parts {
            found.extend(part?);
        }
        Ok(found)
    }

    async fn single(
        &self,
        context: &RequestContext,
        view: Option<&str>,
        id: &DocId,
        kind: ViewKind,
    ) -> Result<Arc<Document>> {
        let content = Content {
            collection: &self.name,
            id,
            view,
        };
        let large = kind == ViewKind::Bytes;
        let found = self.asked.content(context, content, large).await?;
        self.document(kind, id, found)
    }

    async fn several(
        &self,
        context: &RequestContext,
        view: Option<&str>,
        ids: &[DocId],
    ) -> Result<Vec<Result<Arc<Document>>>> {
        let texts: Vec<&str> = ids.iter().map(DocId::as_str).collect();
        let contents = Contents {
            collection: &self.name,
            ids: &texts,
            view,
        };
        let found = self.asked.contents(context, contents).await?;
        let each = ids.iter().zip(found);
        let each = each.map(|(id, found)| match found {
            Ok(found) => self.document(ViewKind::Text, id, found),
            Err(error) => Err(failure::of_call(self.asked.label(), &error)),
        });
        Ok(each.collect())
    }

    /// What was found, if it is of the kind that the view was said to show.
    fn document(
        &self,
        kind: ViewKind,
        id: &DocId,
        found: routir_client::Document,
    ) -> Result<Arc<Document>> {
        let payload = match found.payload {
            routir_client::Payload::Text(text) => Payload::Text(Arc::from(text)),
            routir_client::Payload::Bytes { parts, mime } => Payload::Bytes(BytesParts {
                parts: parts.into(),
                mime: mime.map(Arc::from),
            }),
        };
        if payload.kind() != kind {
            return Err(Error::engine(format!(
                "{}: document {id} of collection `{}` is {}, and the server said that the view shows \
                 {kind}",
                self.asked.label(),
                self.name,
                payload.kind()
            )));
        }
        Ok(Arc::new(Document {
            id: id.clone(),
            payload,
            title: found.title.map(Arc::from),
            language: found.language.map(Arc::from),
        }))
    }
}

fn none() -> Error {
    Error::internal("a relayed collection answered for fewer documents than asked")
}

fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}

impl<A: Ask> ContentSource for RelayCollection<A> {
    fn info(&self) -> CollectionInfo {
        self.info.clone()
    }

    fn fetch<'a>(
        &'a self,
        view: Option<&'a str>,
        ids: &'a [DocId],
    ) -> BoxFuture<'a, Result<Vec<Result<Arc<Document>>>>> {
        Box::pin(async move {
            let context = RequestContext::default();
            self.look_up(&context, view, ids).await
        })
    }

    fn fetch_for<'a>(
        &'a self,
        context: &'a RequestContext,
        view: Option<&'a str>,
        ids: &'a [DocId],
    ) -> BoxFuture<'a, Result<Vec<Result<Arc<Document>>>>> {
        Box::pin(self.look_up(context, view, ids))
    }
}
