//! RoutIR's gRPC interface.

use std::error::Error as _;
use std::future::Future;
use std::time::Duration;

use routir_proto::PassageValue;
use routir_proto::v1::routir_client::RoutirClient;
use routir_proto::v1::{self, content_response::Payload};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::{Code, Request, Response, Status};

use crate::address::GrpcAddress;
use crate::answer::{Scores, bytes, check_query, checked_scores, short};
use crate::rest::sendable;
use crate::retry::{Patience, tried};
use crate::structs::{text_of, to_struct};
use crate::way::Way;
use crate::{
    Avail, CallOptions, ClientError, Content, Document, ErrorKind, Passages, Pipeline, Ranked,
    Score, Scored, Search, Settings, Views,
};

/// The arguments that have fields of their own in a search.
const SEARCH_FIELDS: [&str; 2] = ["subset", "instruction"];
/// Likewise in a scoring.
const SCORE_FIELDS: [&str; 1] = ["prompt"];

/// A server's gRPC interface, over one connection.
#[derive(Clone)]
pub(crate) struct Grpc {
    stub: RoutirClient<Way>,
    authorization: Option<MetadataValue<Ascii>>,
}

impl Grpc {
    /// Opens no connection yet. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] for a key that cannot be sent and an address that is none.
    pub(crate) fn new(address: &GrpcAddress, settings: &Settings) -> Result<Self, ClientError> {
        let wrong = |why: String| ClientError::new(ErrorKind::Settings, why);
        let authorization = settings.api_key.as_ref().map(|key| {
            let value = MetadataValue::try_from(format!("Bearer {key}"));
            value.map_err(|_| wrong("the API key has characters that cannot be sent".to_owned()))
        });
        let (way, origin) = Way::to(address).map_err(wrong)?;
        let stub = RoutirClient::with_origin(way, origin)
            .max_decoding_message_size(settings.max_answer_bytes)
            .max_encoding_message_size(usize::MAX);
        Ok(Self {
            stub,
            authorization: authorization.transpose()?,
        })
    }

    pub(crate) async fn ping(
        &self,
        options: CallOptions<'_>,
        patience: Patience,
    ) -> Result<String, ClientError> {
        let call = async |mut stub: RoutirClient<Way>, request| stub.ping(request).await;
        let answer = self.call("Ping", v1::PingRequest {}, options, patience, call);
        Ok(answer.await?.status)
    }

    pub(crate) async fn avail(
        &self,
        options: CallOptions<'_>,
        patience: Patience,
    ) -> Result<Avail, ClientError> {
        let call = async |mut stub: RoutirClient<Way>, request| stub.avail(request).await;
        let answer = self.call("Avail", v1::AvailRequest {}, options, patience, call);
        let mut answer = answer.await?;
        let mut names = |role: &str| {
            let names = answer.services.remove(role);
            names.map(|names| names.items).unwrap_or_default()
        };
        let views = |kinds: v1::ContentViewKinds| Views {
            views: kinds.views,
            default: kinds.default,
        };
        Ok(Avail {
            search: names("search"),
            score: names("score"),
            fuse: names("fuse"),
            decompose_query: names("decompose_query"),
            content: names("content"),
            collection: answer
                .content_views
                .into_iter()
                .map(|(name, kinds)| (name, views(kinds)))
                .collect(),
            pipeline_aliases: answer.pipeline_aliases,
            score_view_kinds: answer.score_view_kinds,
            grpc_port: answer.grpc_port.and_then(|port| u16::try_from(port).ok()),
            server: None,
        })
    }

    pub(crate) async fn search(
        &self,
        call: &Search<'_>,
        options: CallOptions<'_>,
        patience: Patience,
    ) -> Result<Ranked, ClientError> {
        let request = v1::SearchRequest {
            service: call.service.to_owned(),
            query: call.query.to_owned(),
            limit: call.limit.map(small),
            subset: text_of(call.extras, "subset"),
            instruction: text_of(call.extras, "instruction"),
            extras: to_struct(call.extras, &SEARCH_FIELDS),
        };
        let rpc = async |mut stub: RoutirClient<Way>, request| stub.search(request).await;
        let answer = self.call("Search", request, options, patience, rpc).await?;
        check_query(call.query, Some(&answer.query))?;
        let scores = answer.scores.into_iter().map(|it| (it.key, it.value));
        Ok(Ranked {
            scores: Scores(scores.collect()).checked()?,
            expanded_queries: Vec::new(),
            cached: answer.cached,
            timestamp: answer.timestamp,
        })
    }

    pub(crate) async fn score(
        &self,
        call: &Score<'_>,
        options: CallOptions<'_>,
        patience: Patience,
    ) -> Result<Scored, ClientError> {
        let request = score_request(call);
        let rpc = async |mut stub: RoutirClient<Way>, request| stub.score(request).await;
        let answer = self.call("Score", request, options, patience, rpc).await?;
        scored(answer, call.query, call.passages.len())
    }

    pub(crate) async fn content(
        &self,
        call: &Content<'_>,
        options: CallOptions<'_>,
        patience: Patience,
    ) -> Result<Document, ClientError> {
        let request = v1::ContentRequest {
            collection: call.collection.to_owned(),
            id: call.id.to_owned(),
            view: call.view.map(str::to_owned),
        };
        let rpc = async |mut stub: RoutirClient<Way>, request| stub.content(request).await;
        let answer = self
            .call("Content", request, options, patience, rpc)
            .await?;
        if answer.id != call.id {
            return Err(ClientError::bad_answer(format!(
                "it answers document `{}` instead of `{}`",
                short(&answer.id),
                short(call.id)
            )));
        }
        let payload = match answer.payload {
            Some(Payload::Data(data)) => bytes(data.parts, answer.mime)?,
            Some(Payload::Text(text)) => crate::Payload::Text(text),
            // An empty text and none are the same in 0.0.2.
            None => crate::Payload::Text(String::new()),
        };
        Ok(Document {
            payload,
            title: None,
            language: None,
        })
    }

    pub(crate) async fn pipeline(
        &self,
        call: &Pipeline<'_>,
        options: CallOptions<'_>,
        patience: Patience,
    ) -> Result<Ranked, ClientError> {
        let kwargs = call.runtime_kwargs.into_iter().flatten();
        let kwargs = kwargs.filter_map(|(alias, value)| {
            let arguments = to_struct(value.as_object()?, &[]).unwrap_or_default();
            Some((alias.clone(), arguments))
        });
        let request = v1::PipelineRequest {
            pipeline: call.pipeline.to_owned(),
            query: call.query.to_owned(),
            collection: call.collection.map(str::to_owned),
            runtime_kwargs: kwargs.collect(),
        };
        let rpc = async |mut stub: RoutirClient<Way>, request| stub.pipeline(request).await;
        let answer = self
            .call("Pipeline", request, options, patience, rpc)
            .await?;
        check_query(call.query, Some(&answer.query))?;
        let scores = answer.scores.into_iter().map(|it| (it.key, it.value));
        Ok(Ranked {
            scores: Scores(scores.collect()).checked()?,
            expanded_queries: answer.expanded_queries,
            cached: answer.cached,
            timestamp: answer.timestamp,
        })
    }

    async fn call<Req, Resp, Fut>(
        &self,
        name: &str,
        message: Req,
        options: CallOptions<'_>,
        patience: Patience,
        rpc: impl Fn(RoutirClient<Way>, Request<Req>) -> Fut,
    ) -> Result<Resp, ClientError>
    where
        Req: Clone,
        Fut: Future<Output = Result<Response<Resp>, Status>>,
    {
        let attempt = |time: Duration| {
            let mut request = Request::new(message.clone());
            // Told to the server, which stops when nobody waits any more.
            request.set_timeout(time);
            let metadata = request.metadata_mut();
            if let Some(value) = &self.authorization {
                metadata.insert("authorization", value.clone());
            }
            let named = [
                ("x-request-id", options.request_id),
                ("x-routir-via", options.via),
            ];
            for (name, value) in named {
                let value = value.and_then(sendable);
                if let Some(value) = value.and_then(|value| value.parse().ok()) {
                    metadata.insert(name, value);
                }
            }
            let answer = rpc(self.stub.clone(), request);
            async {
                let answer = answer.await.map(Response::into_inner);
                answer.map_err(|status| failure(&status))
            }
        };
        tried(patience, attempt)
            .await
            .map_err(|error| error.at(format!("gRPC {name}")))
    }
}

/// A scoring as it is sent.
pub(crate) fn score_request(call: &Score<'_>) -> v1::ScoreRequest {
    let passages = match call.passages {
        Passages::Text(texts) => texts
            .iter()
            .map(|text| PassageValue::write_text(text))
            .collect(),
        Passages::Bytes(all) => all
            .iter()
            .map(|parts| PassageValue::write_parts(parts.to_vec()))
            .collect(),
    };
    v1::ScoreRequest {
        service: call.service.to_owned(),
        query: call.query.to_owned(),
        passages,
        prompt: text_of(call.extras, "prompt"),
        extras: to_struct(call.extras, &SCORE_FIELDS),
    }
}

/// The scores of so many `passages` for `query`.
pub(crate) fn scored(
    answer: v1::ScoreResponse,
    query: &str,
    passages: usize,
) -> Result<Scored, ClientError> {
    check_query(query, Some(&answer.query))?;
    Ok(Scored {
        scores: checked_scores(answer.scores, passages)?,
        cached: answer.cached,
        timestamp: answer.timestamp,
    })
}

/// A limit as the wire has it: more than that nobody has.
fn small(limit: usize) -> i32 {
    i32::try_from(limit).unwrap_or(i32::MAX)
}

pub(crate) fn failure(status: &Status) -> ClientError {
    // Statuses that this side made of a broken connection have a cause.
    let broken = status.code() == Code::Unknown && status.source().is_some();
    let (name, kind, transient) = match status.code() {
        _ if broken => ("UNAVAILABLE", ErrorKind::Unavailable, true),
        Code::Unavailable => ("UNAVAILABLE", ErrorKind::Unavailable, true),
        Code::DeadlineExceeded => ("DEADLINE_EXCEEDED", ErrorKind::Timeout, true),
        Code::ResourceExhausted => ("RESOURCE_EXHAUSTED", ErrorKind::Overloaded, true),
        Code::Aborted => ("ABORTED", ErrorKind::Failed, true),
        Code::InvalidArgument => ("INVALID_ARGUMENT", ErrorKind::Refused, false),
        Code::NotFound => ("NOT_FOUND", ErrorKind::Refused, false),
        Code::FailedPrecondition => ("FAILED_PRECONDITION", ErrorKind::Refused, false),
        Code::OutOfRange => ("OUT_OF_RANGE", ErrorKind::TooLarge, false),
        Code::Unauthenticated => ("UNAUTHENTICATED", ErrorKind::Unauthenticated, false),
        Code::PermissionDenied => ("PERMISSION_DENIED", ErrorKind::PermissionDenied, false),
        Code::Unimplemented => ("UNIMPLEMENTED", ErrorKind::Unsupported, false),
        Code::Internal => ("INTERNAL", ErrorKind::Failed, false),
        _ => ("UNKNOWN", ErrorKind::Failed, false),
    };
    let mut words = short(status.message());
    let mut cause = status.source();
    while let Some(why) = cause {
        words = short(&why.to_string());
        cause = why.source();
    }
    ClientError::new(kind, format!("{name}: {words}")).with_transient(transient)
}
