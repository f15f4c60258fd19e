//! One call of a worker on behalf of a pipeline that the router runs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use http_body_util::{BodyExt, Limited};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request, Response};
use routir_client::{
    ClientError, Content, Contents, Decompose, Document, Fuse, Ranked, Score, Scored, Search,
    carried,
};
use routir_core::{BoxFuture, Error, ErrorCode, RequestContext, Result, Role};
use routir_remote::relay::{self, Ask, Found};
use serde::Serialize;

use crate::want::{Need, Want};

/// The servers that handed a request on.
pub(crate) const VIA: &str = "x-routir-via";
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
}

/// What engines share that ask workers.
pub(crate) struct Spread {
    carry: Arc<dyn Carry>,
    /// The router's id.
    own: Arc<str>,
}

impl Spread {
    pub(crate) fn new(carry: Arc<dyn Carry>, own: Arc<str>) -> Self {
        Self { carry, own }
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
        let placement = context.placement.as_deref().cloned().unwrap_or_default();
        let want = Want {
            pool: placement.pool,
            profile: placement.profile,
            bundle: None,
            need,
        };
        let body = serde_json::to_vec(body)
            .map_err(|why| Error::internal(format!("a call cannot be written: {why}")))?;
        let request = self.request(context, path, body)?;
        let longest = Instant::now() + LONGEST;
        let deadline = context.deadline.map_or(longest, |at| at.min(longest));
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
        ended.unwrap_or_else(|_| {
            let message = format!("the deadline passed before a worker answered POST {path}");
            Err(Error::new(ErrorCode::DeadlineExceeded, message))
        })
    }

    fn request(
        &self,
        context: &RequestContext,
        path: &'static str,
        body: Vec<u8>,
    ) -> Result<Request<Body>> {
        let via = match &context.via {
            Some(via) => format!("{via},{}", self.own),
            None => self.own.to_string(),
        };
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header(VIA, via);
        if let Ok(id) = HeaderValue::from_str(&context.request_id)
            && !id.is_empty()
        {
            request = request.header(REQUEST_ID, id);
        }
        let request = request.body(Body::from(body));
        request.map_err(|why| Error::internal(format!("a call cannot be sent: {why}")))
    }
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
        _large: bool,
    ) -> Result<Document> {
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
    read.map(|body| body.to_bytes()).map_err(|why| {
        if why.is::<http_body_util::LengthLimitError>() {
            let message = format!("server {worker}: the answer is larger than {MAX_ANSWER} bytes");
            return Error::new(ErrorCode::TooLarge, message);
        }
        let message = format!("server {worker}: the answer ended early: {why}");
        Error::new(ErrorCode::Unavailable, message)
    })
}
