//! A collection that some workers have.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream;
use routir_client::{Content, Contents, carried};
use routir_core::{
    BoxFuture, CollectionInfo, ContentSource, DocId, Document, Error, ErrorCode, Payload,
    RequestContext, Result, shorten,
};
use routir_remote::relay;

use super::Spread;
use crate::want::Need;

/// How many documents one call asks for, where it may ask for several.
const TOGETHER: usize = 64;
/// How many of those calls of one request are under way at once.
const CALLS_AT_ONCE: usize = 4;
/// How many look-ups of one request are under way at once, where each is a call.
const SINGLE_AT_ONCE: usize = 32;

/// A collection of workers. Its documents are asked for many at a time where all of them can.
pub(crate) struct SpreadCollection {
    spread: Arc<Spread>,
    name: Arc<str>,
    info: CollectionInfo,
    together: bool,
}

impl SpreadCollection {
    pub(crate) fn new(
        spread: Arc<Spread>,
        name: Arc<str>,
        info: CollectionInfo,
        together: bool,
    ) -> Self {
        Self {
            spread,
            name,
            info,
            together,
        }
    }

    fn need(&self) -> Need {
        Need::Services {
            services: Vec::new(),
            collections: vec![Arc::clone(&self.name)],
        }
    }

    fn check_view(&self, view: Option<&str>) -> Result<()> {
        match view {
            Some(view) if !self.info.views.contains_key(view) => Err(Error::new(
                ErrorCode::UnknownName,
                format!("collection `{}` has no view `{}`", self.name, shorten(view)),
            )),
            _ => Ok(()),
        }
    }

    async fn look_up(
        &self,
        context: &RequestContext,
        view: Option<&str>,
        ids: &[DocId],
    ) -> Result<Vec<Result<Arc<Document>>>> {
        self.check_view(view)?;
        // One document costs as much either way, and what every server knows is the safer way.
        if !self.together || ids.len() == 1 {
            let calls: Vec<_> = ids
                .iter()
                .map(|id| self.single(context, view, id))
                .collect();
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
    ) -> Result<Arc<Document>> {
        let content = Content {
            collection: &self.name,
            id,
            view,
        };
        let read = |body: &[u8]| carried::document(body, id);
        let ask = self
            .spread
            .ask(context, "/content", self.need(), &content, read);
        document(id, ask.await?)
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
        let read = |body: &[u8]| carried::documents(body, &texts);
        let ask = self
            .spread
            .ask(context, "/contents", self.need(), &contents, read);
        let each = ids.iter().zip(ask.await?);
        let each = each.map(|(id, found)| match found {
            Ok(found) => document(id, found),
            Err(error) => Err(relay::of_call("of the router", &error)),
        });
        Ok(each.collect())
    }
}

fn document(id: &DocId, found: routir_client::Document) -> Result<Arc<Document>> {
    let Some(text) = found.text() else {
        return Err(Error::engine(format!(
            "document {id} is bytes, and its worker said that the view shows text"
        )));
    };
    Ok(Arc::new(Document {
        id: id.clone(),
        payload: Payload::Text(Arc::from(text)),
        title: found.title.map(Arc::from),
        language: found.language.map(Arc::from),
    }))
}

impl ContentSource for SpreadCollection {
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
