//! What each endpoint does: decode, call the runtime, encode.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{Request, StatusCode};
use routir_core::{Error, ErrorCode, Imports, Placement, RequestContext, Result as CoreResult};
use routir_listen::RequestId;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::about::Itself;
use crate::access::Caller;
use crate::app::State;
use crate::body::Bounds;
use crate::content::Form;
use crate::decode::{self, ContentBody, PipelineBody, ScoreBody, SearchBody};
use crate::encode::{
    Asked, AvailReply, IndexReply, RankingReply, ReadyReply, ScoreMeta, ScoreReply,
};
use crate::endpoint::Endpoint;
use crate::events::{self, Events};
use crate::failure::Failure;
use crate::fields::Fields;
use crate::heavy::heavy;
use crate::hop::Hop;
use crate::reply::{JSON, Reply};

/// Metrics are written in this format, which Prometheus reads.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A request on its way through a handler.
pub(crate) struct Call<'a> {
    pub(crate) app: &'a Arc<State>,
    pub(crate) id: &'a RequestId,
    pub(crate) started: Instant,
    /// Who asks; `None` is a stranger, whom only probes answer.
    pub(crate) caller: Option<Caller>,
    /// What other servers say that handed the request on.
    pub(crate) hop: CoreResult<Hop>,
    /// Which machines may work for it, where they are several.
    pub(crate) placement: Option<Arc<Placement>>,
}

/// Answers `request` to `endpoint`.
pub(crate) async fn handle(
    call: &Call<'_>,
    endpoint: Endpoint,
    request: Request<Body>,
) -> Result<Reply, Failure> {
    let State {
        runtime, options, ..
    } = &**call.app;
    Ok(match endpoint {
        Endpoint::Index => Reply::json(&IndexReply::new(&options.version), 2048)?,
        Endpoint::Ping => Reply::ok(JSON, br#"{"status":"pong"}"#.to_vec()),
        Endpoint::Healthz => Reply::ok(JSON, br#"{"status":"ok"}"#.to_vec()),
        Endpoint::Readyz => {
            let parts = call.app.readiness();
            // Others may know whether, but not what.
            let trusted = call.caller.as_ref().is_some_and(Caller::is_operator);
            let imports = options.imports.as_deref();
            let imports = imports.map(Imports::status).unwrap_or_default();
            let serving = call.app.worker.is_serving();
            let ready = ReadyReply::new(&parts, &imports, trusted).serving(serving);
            let reply = Reply::json(&ready, 256)?;
            if ready.ready() {
                reply
            } else {
                reply.with_status(StatusCode::SERVICE_UNAVAILABLE)
            }
        }
        Endpoint::Metrics if !call.caller()?.is_operator() => {
            let message = "metrics are the operator's; a tenant's key does not open them";
            return Err(Error::new(ErrorCode::PermissionDenied, message).into());
        }
        Endpoint::Metrics => Reply::ok(OPEN_METRICS, runtime.metrics().encode().into_bytes()),
        Endpoint::Avail => {
            let catalog = runtime.catalog_for(&*call.context(None)?)?;
            let reply = AvailReply::new(&catalog, options.grpc_port);
            let itself = Itself::new(options, &catalog, call.caller()?.is_operator());
            Reply::json(&itself.with(reply), 1024)?
        }
        Endpoint::Search | Endpoint::Query => call.search(request).await?,
        Endpoint::Score => call.score(request).await?,
        Endpoint::Content => call.content(request).await?,
        Endpoint::Contents => call.contents(request).await?,
        Endpoint::Fuse => call.fuse(request).await?,
        Endpoint::Decompose => call.decompose(request).await?,
        Endpoint::Pipeline => call.pipeline(request).await?,
        Endpoint::Explain => call.explain(request).await?,
        Endpoint::Models
        | Endpoint::Model
        | Endpoint::Encode
        | Endpoint::ScoreItems
        | Endpoint::Extract
        | Endpoint::Embeddings
        | Endpoint::Status => call.inference(endpoint, request).await?,
        Endpoint::ExtensionList
        | Endpoint::ExtensionGet
        | Endpoint::ExtensionPut
        | Endpoint::ExtensionDelete
        | Endpoint::ExtensionRollback => call.extensions(endpoint, request).await?,
        Endpoint::NotFound => {
            let message = format!(
                "no such path: {}; GET / lists what there is",
                path(&request)
            );
            return Err(Failure::with_status(
                Error::new(ErrorCode::UnknownName, message),
                StatusCode::NOT_FOUND,
            ));
        }
        Endpoint::MethodNotAllowed => {
            let method: String = request.method().as_str().chars().take(32).collect();
            let message = format!("{} does not take {method}; see `Allow`", path(&request));
            return Err(Failure::with_status(
                Error::new(ErrorCode::Unsupported, message),
                StatusCode::METHOD_NOT_ALLOWED,
            ));
        }
    })
}

/// The path of a request, cut short for a message.
fn path(request: &Request<Body>) -> String {
    request.uri().path().chars().take(128).collect()
}

impl Call<'_> {
    async fn search(&self, request: Request<Body>) -> Result<Reply, Failure> {
        let (body, _permit) = self.admit(request).await?;
        let SearchBody {
            service,
            mut request,
            options,
            timeout,
        } = decode::search(Fields::read(body).await?, &self.app.options)?;
        let query = request.query.clone();
        request.context = self.context(timeout)?;
        let answer = self.app.runtime.search(&service, request, options).await?;
        let size = RankingReply::of_search(&query, &service, &answer).capacity();
        let write = move || {
            let reply = RankingReply::of_search(&query, &service, &answer);
            Reply::json(&reply, reply.capacity())
        };
        Ok(heavy(size, write).await?)
    }

    async fn score(&self, request: Request<Body>) -> Result<Reply, Failure> {
        let (body, _permit) = self.admit(request).await?;
        let ScoreBody {
            service,
            mut request,
            timeout,
        } = decode::score(Fields::read(body).await?, &self.app.options)?;
        let query = request.query.clone();
        request.context = self.context(timeout)?;
        let answer = self.app.runtime.score(&service, request).await?;
        let reply = ScoreReply {
            query: &query,
            scores: &answer.value,
            service: &service,
            processed: true,
            cached: answer.stats.cached,
            timestamp: answer.timestamp,
            meta: ScoreMeta {
                n_passages: answer.value.len(),
            },
        };
        Ok(Reply::json(
            &reply,
            256 + query.len() + 20 * answer.value.len(),
        )?)
    }

    async fn content(&self, request: Request<Body>) -> Result<Reply, Failure> {
        let form = Form::wanted(&request)?;
        let (body, _permit) = self.admit(request).await?;
        let ContentBody {
            collection,
            id,
            view,
            missing,
        } = decode::content(Fields::read(body).await?)?;
        let context = self.context(None)?;
        let answer = self
            .app
            .runtime
            .content(&context, &collection, view.as_deref(), &id)
            .await
            .map_err(|error| match error.code() {
                ErrorCode::UnknownDocument => Failure::with_status(error, missing),
                _ => error.into(),
            })?;
        Ok(form.reply(&collection, &answer)?)
    }

    async fn pipeline(&self, request: Request<Body>) -> Result<Reply, Failure> {
        let streamed = events::wanted(request.headers());
        let (body, permit) = self.admit(request).await?;
        let fields = Fields::read(body).await?;
        let PipelineBody { mut call, timeout } = decode::pipeline(fields, &self.app.options)?;
        let asked = Asked::from(&call);
        call.context = self.context(timeout)?;
        if streamed {
            let until = call.context.deadline;
            let run = self.app.runtime.pipeline_stream(call)?;
            let id = Arc::clone(&self.id.text);
            return Ok(Reply::events(Events::new(run, until, asked, id, permit)));
        }
        let answer = self.app.runtime.pipeline(call).await?;
        let size = RankingReply::of_pipeline(&asked, &answer).capacity();
        let write = move || {
            let reply = RankingReply::of_pipeline(&asked, &answer);
            Reply::json(&reply, reply.capacity())
        };
        Ok(heavy(size, write).await?)
    }

    async fn explain(&self, request: Request<Body>) -> Result<Reply, Failure> {
        let (body, _permit) = self.admit(request).await?;
        let PipelineBody { mut call, .. } =
            decode::explain(Fields::read(body).await?, &self.app.options)?;
        call.context = self.context(None)?;
        Ok(Reply::json(&self.app.runtime.explain(&call)?, 4096)?)
    }

    /// Reads the body, then takes a place among the requests that are worked on: in this order, so
    /// that clients who send slowly take nobody's place.
    pub(crate) async fn admit(
        &self,
        request: Request<Body>,
    ) -> Result<(Bytes, OwnedSemaphorePermit), Failure> {
        let (head, body) = request.into_parts();
        let options = &self.app.options;
        let patience = options.io_timeout.min(options.request_timeout);
        let bounds = Bounds {
            max_bytes: options.max_body_bytes,
            whose: "this server's limit",
            patience,
        };
        let body = bounds.read(&head.headers, body).await?;
        Ok((body, self.app.admit()?))
    }

    /// Who asks.
    ///
    /// # Errors
    /// [`ErrorCode::Unauthenticated`] for a stranger.
    pub(crate) fn caller(&self) -> CoreResult<&Caller> {
        let stranger = || Error::new(ErrorCode::Unauthenticated, "invalid API key");
        self.caller.as_ref().ok_or_else(stranger)
    }

    /// What holds for the whole request: whose it is, and that it ends when its client or the
    /// operator says.
    pub(crate) fn context(&self, timeout: Option<Duration>) -> CoreResult<Arc<RequestContext>> {
        let longest = self.app.options.request_timeout;
        let hop = self.hop.clone()?;
        let asked = [timeout, hop.timeout].into_iter().flatten();
        let timeout = asked.fold(longest, Duration::min);
        let deadline = self.started.checked_add(timeout).map(Instant::into_std);
        Ok(Arc::new(self.caller()?.stamp(RequestContext {
            deadline,
            via: hop.via,
            placement: self.placement.clone(),
            ..RequestContext::new(self.id.text.clone())
        })))
    }
}
