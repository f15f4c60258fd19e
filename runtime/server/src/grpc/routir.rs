//! RoutIR's methods: decode, call the runtime, encode.
//!
//! They are called without the generated service, whose answers own their texts; tonic still reads
//! and frames the messages, by a codec of ours (`wire`).

use std::future::Future;
use std::sync::Arc;

use axum::body::Bytes;
use axum::http;
use hyper::body::Body as HttpBody;
use prost::Message;
use routir_core::{BoxFuture, Result};
use routir_proto::v1::{
    AvailRequest, AvailResponse, ContentRequest, ContentResponse, PingRequest, PingResponse,
    PipelineRequest, ScoreRequest, ScoreResponse, SearchRequest,
};
use tonic::body::Body;
use tonic::server::{Grpc, UnaryService};
use tonic::{Request, Response, Status};

use super::method::Method;
use super::ranked::Ranked;
use super::session::Session;
use super::wire::{Wire, Written};
use super::{decode, encode};
use crate::decode as fields;

/// Answers `request` to one of RoutIR's methods; hands it back when it is to another.
pub(crate) async fn answer<B>(
    session: &Arc<Session>,
    method: Method,
    request: http::Request<B>,
) -> Result<http::Response<Body>, http::Request<B>>
where
    B: HttpBody<Data = Bytes, Error = Status> + Send + 'static,
{
    Ok(match method {
        Method::Ping => {
            let pong = async |_, PingRequest {}| {
                Ok(PingResponse {
                    status: "pong".to_owned(),
                })
            };
            unary(session, request, pong).await
        }
        Method::Avail => unary(session, request, avail).await,
        Method::Search => unary(session, request, search).await,
        Method::Score => unary(session, request, score).await,
        Method::Content => unary(session, request, content).await,
        Method::Pipeline => unary(session, request, pipeline).await,
        Method::PipelineStream | Method::Health | Method::Watch | Method::Other => {
            return Err(request);
        }
    })
}

/// Reads the one message of a request, and writes the answer of `method`. Boxed: each method takes
/// the memory that it needs, and not what the largest would.
fn unary<'a, B, M, A, Fut>(
    session: &'a Arc<Session>,
    request: http::Request<B>,
    method: impl Fn(Arc<Session>, M) -> Fut + Send + 'a,
) -> BoxFuture<'a, http::Response<Body>>
where
    B: HttpBody<Data = Bytes, Error = Status> + Send + 'static,
    M: Message + Default + 'static,
    A: Written,
    Fut: Future<Output = Result<A>> + Send + 'a,
{
    let largest = session.app.options.grpc_max_message_bytes;
    let called = move |request: Request<M>| {
        let answer = method(Arc::clone(session), request.into_inner());
        async { session.settle(answer.await) }
    };
    Box::pin(async move {
        Grpc::new(Wire::<A, M>::default())
            .max_decoding_message_size(largest)
            .max_encoding_message_size(largest)
            .unary(Called(called), request)
            .await
    })
}

/// A method as tonic calls it.
struct Called<F>(F);

impl<M, A, F, Fut> UnaryService<M> for Called<F>
where
    F: FnMut(Request<M>) -> Fut,
    Fut: Future<Output = Result<Response<A>, Status>>,
{
    type Response = A;
    type Future = Fut;

    fn call(&mut self, request: Request<M>) -> Fut {
        self.0(request)
    }
}

async fn avail(session: Arc<Session>, AvailRequest {}: AvailRequest) -> Result<AvailResponse> {
    let app = &session.app;
    let catalog = app.runtime.catalog_for(&*session.context(None)?)?;
    Ok(encode::avail(&catalog, app.options.grpc_port))
}

async fn search(session: Arc<Session>, message: SearchRequest) -> Result<Ranked> {
    let app = &session.app;
    let _permit = app.admit()?;
    let mut body = fields::search(decode::search(message)?, &app.options)?;
    body.request.context = session.context(body.timeout)?;
    let query = Arc::clone(&body.request.query);
    let found = app
        .runtime
        .search(&body.service, body.request, body.options);
    let answer = found.await?;
    Ok(Ranked::of_search(query, body.service, answer))
}

async fn score(session: Arc<Session>, message: ScoreRequest) -> Result<ScoreResponse> {
    let app = &session.app;
    let _permit = app.admit()?;
    let (of, passages) = decode::score(message)?;
    let mut body = fields::score_of(of, passages, &app.options)?;
    body.request.context = session.context(body.timeout)?;
    let query = Arc::clone(&body.request.query);
    let answer = app.runtime.score(&body.service, body.request).await?;
    Ok(encode::score(&query, body.service, &answer))
}

async fn content(session: Arc<Session>, message: ContentRequest) -> Result<ContentResponse> {
    let app = &session.app;
    let _permit = app.admit()?;
    let body = fields::content(decode::content(message))?;
    let context = session.context(None)?;
    let view = body.view.as_deref();
    let found = app
        .runtime
        .content(&context, &body.collection, view, &body.id);
    let answer = found.await?;
    let view = body.view.or_else(|| {
        let catalog = app.runtime.catalog_for(&context).ok()?;
        let info = catalog.collections.get(body.collection.as_str())?;
        Some(info.default_view.to_string())
    });
    Ok(encode::content(body.collection, view, &answer))
}

async fn pipeline(session: Arc<Session>, message: PipelineRequest) -> Result<Ranked> {
    let app = &session.app;
    let _permit = app.admit()?;
    let mut body = fields::pipeline(decode::pipeline(message)?, &app.options)?;
    body.call.context = session.context(body.timeout)?;
    let query = Arc::clone(&body.call.query);
    let answer = app.runtime.pipeline(body.call).await?;
    Ok(Ranked::of_pipeline(query, answer))
}
