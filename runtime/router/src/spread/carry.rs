//! One call of a worker on behalf of a pipeline that the router runs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use http_body_util::{BodyExt, Limited};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request, Response};
use routir_client::{
    ClientError, Content, Contents, Decompose, Document, Fuse, Passages, Ranked, Score, Scored,
    Search, carried,
};
use routir_core::{BoxFuture, Error, ErrorCode, RequestContext, Result, Role};
use routir_remote::relay::{self, Ask, Found};
use serde::Serialize;
use tokio::sync::Semaphore;
use tonic::{Code, Status};

use crate::framing::{self, framed};
use crate::want::{Need, Want};

/// The servers that handed a request on.
pub(crate) const VIA: HeaderName = HeaderName::from_static("x-routir-via");
/// Names a request in logs and answers.
const REQUEST_ID: &str = "x-request-id";
/// Which worker answered.
const WORKER: &str = "x-sie-worker";

/// All of them, for messages.
const WORKERS: &str = "of the router";

/// The largest answer of a worker to one call of a stage, in bytes.
const MAX_ANSWER: usize = 64 << 20;
/// The most of a failure's body that is read.
const MAX_FAILURE: usize = 64 << 10;
/// The most bytes of passages that a worker is sent in one call.
const MAX_CALL: usize = 64 << 20;
/// How many documents and scorings of bytes are under way at once, since each may be as large.
const LARGE_AT_ONCE: usize = 8;
/// RoutIR's method for scores.
const SCORE: &str = "/routir.v1.Routir/Score";
/// How long a call may take whose request has no deadline.
const LONGEST: Duration = Duration::from_secs(600);

/// Sends requests to workers.
pub(crate) trait Carry: Send + Sync {
    /// Sends `request` to a worker that has what it wants, and to another when that one fails before
    /// it answered.
    ///
    /// # Errors
    /// [`ErrorCode::Unavailable`] when no worker is there that could answer, or none did;
    /// [`ErrorCode::Overloaded`] when all are full; [`ErrorCode::DeadlineExceeded`].
    fn carry<'a>(
        &'a self,
        want: &'a Want,
        request: Request<Body>,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Response<Body>>>;

    /// The same over gRPC, for a call whose body is one message in its frame.
    ///
    /// # Errors
    /// As [`Carry::carry`]; [`ErrorCode::Unavailable`] also when those workers listen for REST alone.
    fn call<'a>(
        &'a self,
        want: &'a Want,
        request: Request<Bytes>,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Response<Body>>>;
}

/// What engines share that ask workers.
pub(crate) struct Spread {
    carry: Arc<dyn Carry>,
    /// The router's id.
    own: Arc<str>,
    /// Places of documents and passages of bytes.
    large: Semaphore,
}

impl Spread {
    pub(crate) fn new(carry: Arc<dyn Carry>, own: Arc<str>) -> Self {
        let large = Semaphore::new(LARGE_AT_ONCE);
        Self { carry, own, large }
    }

    /// Posts `body` to `path` of a worker that has what is needed, in a request's name, and reads
    /// the answer.
    async fn post<T>(
        &self,
        context: &RequestContext,
        path: &'static str,
        need: Need,
        body: &(impl Serialize + Sync),
        read: impl FnOnce(&[u8]) -> std::result::Result<T, ClientError>,
    ) -> Result<T> {
        let want = want(context, need);
        let body = serde_json::to_vec(body)
            .map_err(|why| Error::internal(format!("a call cannot be written: {why}")))?;
        let json = HeaderValue::from_static("application/json");
        let request = self.request(context, path, json, Body::from(body))?;
        let deadline = deadline(context);
        let call = async {
            let response = self.carry.carry(&want, request, deadline).await?;
            let worker = worker(response.headers());
            let failed = |error: &ClientError| relay::of_call(&worker, error);
            let status = response.status();
            if !status.is_success() {
                let retry_after = retry_after(response.headers());
                let told = Limited::new(response.into_body(), MAX_FAILURE);
                let told = told.collect().await.map(|body| body.to_bytes());
                let told = told.unwrap_or_default();
                return Err(failed(&carried::failure(
                    status.as_u16(),
                    retry_after,
                    &told,
                )));
            }
            let bytes = collected(response.into_body(), &worker).await?;
            read(&bytes).map_err(|error| failed(&error))
        };
        let ended = tokio::time::timeout_at(deadline.into(), call).await;
        ended.unwrap_or_else(|_| Err(late(path)))
    }

    /// Scores passages of bytes, which RoutIR has over gRPC alone.
    async fn score_bytes(
        &self,
        context: &RequestContext,
        call: Score<'_>,
        size: usize,
    ) -> Result<Scored> {
        let too_large = || {
            let message = format!(
                "the passages have more than the {MAX_CALL} bytes that a worker is sent at once; \
                 rerank fewer documents"
            );
            Error::new(ErrorCode::TooLarge, message)
        };
        if size > MAX_CALL {
            return Err(too_large());
        }
        // It is never closed.
        let _place = self.large.acquire().await;
        let want = want(context, service(Role::Score, call.service));
        let message = framed(&carried::score_message(&call)).ok_or_else(too_large)?;
        let kind = HeaderValue::from_static("application/grpc");
        let request = self.request(context, SCORE, kind, message)?;
        let deadline = deadline(context);
        let scored = async {
            let response = self.carry.call(&want, request, deadline).await?;
            let worker = worker(response.headers());
            let failed = |error: &ClientError| relay::of_call(&worker, error);
            let head = Status::from_header_map(response.headers());
            let body = Limited::new(response.into_body(), MAX_ANSWER)
                .collect()
                .await;
            let body = body.map_err(|why| ended(&*why, &worker))?;
            let status = body.trailers().and_then(Status::from_header_map).or(head);
            let status = status.unwrap_or_else(|| Status::unknown("it told no status"));
            if status.code() != Code::Ok {
                return Err(failed(&carried::refused(&status)));
            }
            let message = framing::message(&body.to_bytes()).unwrap_or_default();
            let scored = carried::scored_message(message, call.query, call.passages.len());
            scored.map_err(|error| failed(&error))
        };
        let ended = tokio::time::timeout_at(deadline.into(), scored).await;
        ended.unwrap_or_else(|_| Err(late(SCORE)))
    }

    fn request<T>(
        &self,
        context: &RequestContext,
        path: &'static str,
        kind: HeaderValue,
        body: T,
    ) -> Result<Request<T>> {
        let via = match &context.via {
            Some(via) => format!("{via},{}", self.own),
            None => self.own.to_string(),
        };
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(CONTENT_TYPE, kind)
            .header(VIA, via);
        if let Ok(id) = HeaderValue::from_str(&context.request_id)
            && !id.is_empty()
        {
            request = request.header(REQUEST_ID, id);
        }
        let request = request.body(body);
        request.map_err(|why| Error::internal(format!("a call cannot be sent: {why}")))
    }
}

/// What a request wants of a worker.
fn want(context: &RequestContext, need: Need) -> Want {
    let placement = context.placement.as_deref().cloned().unwrap_or_default();
    Want {
        pool: placement.pool,
        profile: placement.profile,
        bundle: None,
        need,
    }
}

fn deadline(context: &RequestContext) -> Instant {
    let longest = Instant::now() + LONGEST;
    context.deadline.map_or(longest, |at| at.min(longest))
}

fn service(role: Role, name: &str) -> Need {
    Need::Services {
        services: vec![(role, Arc::from(name))],
        collections: Vec::new(),
    }
}

fn collection(name: &str) -> Need {
    Need::Services {
        services: Vec::new(),
        collections: vec![Arc::from(name)],
    }
}

impl Ask for Spread {
    fn label(&self) -> &str {
        WORKERS
    }

    async fn search(&self, context: &RequestContext, call: Search<'_>) -> Result<Ranked> {
        let need = service(Role::Search, call.service);
        let read = |body: &[u8]| carried::ranked(body, call.query);
        self.post(context, "/search", need, &call, read).await
    }

    async fn score(&self, context: &RequestContext, call: Score<'_>) -> Result<Scored> {
        if let Passages::Bytes(all) = call.passages {
            let size = all
                .iter()
                .flat_map(|parts| parts.iter().map(Bytes::len))
                .sum();
            return self.score_bytes(context, call, size).await;
        }
        let need = service(Role::Score, call.service);
        let read = |body: &[u8]| carried::scored(body, call.query, call.passages.len());
        self.post(context, "/score", need, &call, read).await
    }

    async fn fuse(&self, context: &RequestContext, call: Fuse<'_>) -> Result<Ranked> {
        let need = service(Role::Fuse, call.service);
        let read = |body: &[u8]| carried::ranked(body, call.query);
        self.post(context, "/fuse", need, &call, read).await
    }

    async fn decompose(
        &self,
        context: &RequestContext,
        call: Decompose<'_>,
    ) -> Result<Vec<String>> {
        let need = service(Role::DecomposeQuery, call.service);
        self.post(context, "/decompose", need, &call, carried::sub_queries)
            .await
    }

    async fn content(
        &self,
        context: &RequestContext,
        call: Content<'_>,
        large: bool,
    ) -> Result<Document> {
        let _place = match large {
            // It is never closed.
            true => self.large.acquire().await.ok(),
            false => None,
        };
        let need = collection(call.collection);
        let read = |body: &[u8]| carried::document(body, call.id);
        self.post(context, "/content", need, &call, read).await
    }

    async fn contents(&self, context: &RequestContext, call: Contents<'_>) -> Result<Vec<Found>> {
        let need = collection(call.collection);
        let read = |body: &[u8]| carried::documents(body, call.ids);
        self.post(context, "/contents", need, &call, read).await
    }
}

/// Which worker answered, for messages.
fn worker(headers: &HeaderMap) -> String {
    let named = headers.get(WORKER).and_then(|value| value.to_str().ok());
    named.unwrap_or(WORKERS).to_owned()
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

async fn collected(body: Body, worker: &str) -> Result<Bytes> {
    let read = Limited::new(body, MAX_ANSWER).collect().await;
    let read = read.map(|body| body.to_bytes());
    read.map_err(|why| ended(&*why, worker))
}

/// Why an answer was not read to its end.
fn ended(why: &(dyn std::error::Error + Send + Sync + 'static), worker: &str) -> Error {
    if why.is::<http_body_util::LengthLimitError>() {
        let message = format!("server {worker}: the answer is larger than {MAX_ANSWER} bytes");
        return Error::new(ErrorCode::TooLarge, message);
    }
    let message = format!("server {worker}: the answer ended early: {why}");
    Error::new(ErrorCode::Unavailable, message)
}

fn late(path: &str) -> Error {
    let message = format!("the deadline passed before a worker answered POST {path}");
    Error::new(ErrorCode::DeadlineExceeded, message)
}
