//! RoutIR's endpoints over REST: to a worker that has all of it, or to the router itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use axum::body::{Body, Bytes};
use hyper::header::{HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use routir_core::{Error, ErrorCode, Placement, Result};
use routir_listen::RequestId;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tracing::Instrument;

use super::{Fleet, Local, peek, refusal};
use crate::large;
use crate::spread::{Known, VIA};
use crate::want::{Need, Want};
use crate::whole::{Room, Unread, Whole};

/// What RoutIR's endpoints need of the rest of the router.
pub(crate) struct Side {
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) local: Arc<dyn Local>,
    /// The runtime on which `local` answers: its pipelines compute, and the threads that connections
    /// are dealt to must not be held up.
    pub(crate) beside: Handle,
    pub(crate) known: Arc<ArcSwap<Known>>,
    /// The router's id.
    pub(crate) own: Arc<str>,
    /// The largest request.
    pub(crate) max_body_bytes: usize,
    /// How long a request's body may take.
    pub(crate) patience: Duration,
    /// Where bodies are held.
    pub(crate) room: Room,
}

impl Side {
    /// Answers a request that may be worked on by the workers of `placement`, until `deadline`.
    pub(crate) async fn answer(
        &self,
        request: Request<Body>,
        placement: Placement,
        deadline: Instant,
    ) -> Response<Body> {
        let path = request.uri().path();
        if request.method() != Method::POST || !is_work(path) {
            return self.local(request, placement).await;
        }
        let id = RequestId::of(request.headers());
        let (mut head, body) = request.into_parts();
        let body = match self.read(body).await {
            Ok(body) => body,
            Err(why) => {
                let mut response = refusal::rest(&self.unread(&why), &id.text);
                if matches!(why, Unread::Late) {
                    *response.status_mut() = StatusCode::REQUEST_TIMEOUT;
                }
                return response;
            }
        };
        let need = match self.been_here(&head.headers) {
            true => None,
            false => self.need(head.uri.path(), &body).await,
        };
        let want = need.map(|need| want(&placement, need));
        let Some(want) = want.filter(|want| self.fleet.hosts(want)) else {
            let request = Request::from_parts(head, Body::from(body));
            return self.local(request, placement).await;
        };
        head.headers.insert(RequestId::HEADER, id.header.clone());
        self.sign(&mut head.headers);
        let request = Request::from_parts(head, Body::from(body));
        match self.fleet.carry(&want, request, deadline).await {
            Ok(response) => response,
            Err(error) => refusal::rest(&error, &id.text),
        }
    }

    /// Whether the request has come through this router before: refusing it in a server's words is
    /// the router's own to do.
    pub(super) fn been_here(&self, headers: &HeaderMap) -> bool {
        let all = headers.get_all(VIA).iter();
        all.filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|id| id.trim() == &*self.own)
    }

    /// Adds the router to those who hand the request on.
    pub(super) fn sign(&self, headers: &mut HeaderMap) {
        sign(headers, &self.own);
    }

    async fn local(&self, mut request: Request<Body>, placement: Placement) -> Response<Body> {
        request.extensions_mut().insert(Arc::new(placement));
        if Handle::current().id() == self.beside.id() {
            return self.local.rest(request).await;
        }
        let id = RequestId::of(request.headers());
        let local = Arc::clone(&self.local);
        let answer = async move { local.rest(request).await }.in_current_span();
        // Whoever leaves takes the task along.
        let mut task = JoinSet::new();
        task.spawn_on(answer, &self.beside);
        match task.join_next().await {
            Some(Ok(response)) => response,
            // Noted where all panics are.
            Some(Err(why)) if why.is_panic() => std::panic::resume_unwind(why.into_panic()),
            _ => {
                let error = Error::new(ErrorCode::Unavailable, "the router is ending; ask another");
                refusal::rest(&error, &id.text)
            }
        }
    }

    /// A request's body, for which there is room until nobody holds any of it.
    pub(super) async fn read(&self, body: Body) -> Result<Bytes, Unread> {
        let read = self.room.read(body, self.max_body_bytes, self.patience);
        read.await.map(Whole::into_bytes)
    }

    /// Why a request's body was not read, as its client is told.
    pub(super) fn unread(&self, why: &Unread) -> Error {
        match why {
            Unread::TooLarge => {
                let most = self.max_body_bytes;
                let message = format!(
                    "the request is larger than {most} bytes, the router's limit; send less at once"
                );
                Error::new(ErrorCode::TooLarge, message)
            }
            Unread::Full => {
                let message = "the router holds as many requests as it has memory for; try again \
                               soon";
                let full = Error::new(ErrorCode::Overloaded, message);
                full.with_retry_after(Duration::from_secs(1))
            }
            Unread::Late => {
                let seconds = self.patience.as_secs_f64();
                let message =
                    format!("the request did not arrive within {seconds} s; send it faster");
                Error::new(ErrorCode::DeadlineExceeded, message)
            }
            Unread::Cut(why) => {
                Error::invalid(format!("the request's body could not be read: {why}"))
            }
        }
    }

    async fn need(&self, path: &str, body: &Bytes) -> Option<Need> {
        let (known, path) = (self.known.load_full(), path.to_owned());
        let need = large::look(body, move |body| peek::rest(&path, body, &known));
        need.await.flatten()
    }
}

/// Adds `own` to those who hand a request on, in one header of all their names.
fn sign(headers: &mut HeaderMap, own: &str) {
    let before = headers.get_all(VIA).iter();
    let before = before.filter_map(|value| value.to_str().ok());
    let all: Vec<_> = before.chain([own]).collect();
    if let Ok(via) = HeaderValue::try_from(all.join(",")) {
        headers.insert(VIA, via);
    }
}

/// What is wanted of a worker.
pub(super) fn want(placement: &Placement, need: Need) -> Want {
    Want {
        pool: placement.pool.clone(),
        profile: placement.profile.clone(),
        bundle: None,
        need,
    }
}

/// The paths: RoutIR's, and those that servers of this project add.
const PATHS: [&str; 11] = [
    "/ping",
    "/avail",
    "/search",
    "/query",
    "/score",
    "/content",
    "/contents",
    "/fuse",
    "/decompose",
    "/pipeline",
    "/explain",
];

/// The name of a path, if it is one of those.
pub(crate) fn name(path: &str) -> Option<&'static str> {
    let path = PATHS.iter().find(|known| **known == path)?;
    path.strip_prefix('/')
}

/// Whether a worker, or a pipeline, is needed to answer a path.
pub(crate) fn is_work(path: &str) -> bool {
    name(path).is_some_and(|name| !matches!(name, "ping" | "avail"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_handed_a_request_on_stays_named_in_however_many_headers() {
        let mut headers = HeaderMap::new();
        sign(&mut headers, "one");
        assert_eq!(headers[VIA], "one");
        headers.append(VIA, HeaderValue::from_static("two, three"));
        sign(&mut headers, "me");
        let all: Vec<_> = headers.get_all(VIA).iter().collect();
        assert_eq!(all, ["one,two, three,me"]);
    }
}
