//! RoutIR's methods: decode, call the runtime, encode.

use std::sync::Arc;

use routir_core::Result;
use routir_proto::v1::{
    AvailRequest, AvailResponse, ContentRequest, ContentResponse, PingRequest, PingResponse,
    PipelineRequest, PipelineResponse, ScoreRequest, ScoreResponse, SearchRequest, SearchResponse,
    routir_server,
};
use tonic::{Request, Response, Status};

use super::session::Session;
use super::{decode, encode};
use crate::decode as fields;

/// RoutIR's service. What a method needs comes with its request.
#[derive(Clone, Copy)]
pub(crate) struct Routir;

#[tonic::async_trait]
impl routir_server::Routir for Routir {
    async fn ping(&self, request: Request<PingRequest>) -> Result<Response<PingResponse>, Status> {
        let (session, PingRequest {}) = Session::open(request)?;
        session.settle(Ok(PingResponse {
            status: "pong".to_owned(),
        }))
    }

    async fn avail(
        &self,
        request: Request<AvailRequest>,
    ) -> Result<Response<AvailResponse>, Status> {
        let (session, AvailRequest {}) = Session::open(request)?;
        session.settle(avail(&session))
    }

    async fn search(
        &self,
        request: Request<SearchRequest>,
    ) -> Result<Response<SearchResponse>, Status> {
        let (session, message) = Session::open(request)?;
        session.settle(search(&session, message).await)
    }

    async fn score(
        &self,
        request: Request<ScoreRequest>,
    ) -> Result<Response<ScoreResponse>, Status> {
        let (session, message) = Session::open(request)?;
        session.settle(score(&session, message).await)
    }

    async fn content(
        &self,
        request: Request<ContentRequest>,
    ) -> Result<Response<ContentResponse>, Status> {
        let (session, message) = Session::open(request)?;
        session.settle(content(&session, message).await)
    }

    async fn pipeline(
        &self,
        request: Request<PipelineRequest>,
    ) -> Result<Response<PipelineResponse>, Status> {
        let (session, message) = Session::open(request)?;
        session.settle(pipeline(&session, message).await)
    }
}

fn avail(session: &Session) -> Result<AvailResponse> {
    let app = &session.app;
    let catalog = app.runtime.catalog_for(&*session.context(None)?)?;
    Ok(encode::avail(&catalog, app.options.grpc_port))
}

async fn search(session: &Session, message: SearchRequest) -> Result<SearchResponse> {
    let app = &session.app;
    let _permit = app.admit()?;
    let mut body = fields::search(decode::search(message)?, &app.options)?;
    body.request.context = session.context(body.timeout)?;
    let query = Arc::clone(&body.request.query);
    let found = app
        .runtime
        .search(&body.service, body.request, body.options);
    let answer = found.await?;
    Ok(encode::search(&query, body.service, &answer))
}

async fn score(session: &Session, message: ScoreRequest) -> Result<ScoreResponse> {
    let app = &session.app;
    let _permit = app.admit()?;
    let (of, passages) = decode::score(message)?;
    let mut body = fields::score_of(of, passages, &app.options)?;
    body.request.context = session.context(body.timeout)?;
    let query = Arc::clone(&body.request.query);
    let answer = app.runtime.score(&body.service, body.request).await?;
    Ok(encode::score(&query, body.service, &answer))
}

async fn content(session: &Session, message: ContentRequest) -> Result<ContentResponse> {
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

async fn pipeline(session: &Session, message: PipelineRequest) -> Result<PipelineResponse> {
    let app = &session.app;
    let _permit = app.admit()?;
    let mut body = fields::pipeline(decode::pipeline(message)?, &app.options)?;
    body.call.context = session.context(body.timeout)?;
    let query = Arc::clone(&body.call.query);
    let answer = app.runtime.pipeline(body.call).await?;
    Ok(encode::pipeline(&query, &answer))
}
