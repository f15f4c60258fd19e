//! Answers that came over somebody else's connection: read and checked as the client's own are.

use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use reqwest::StatusCode;
use routir_proto::v1;
use tonic::Status;

use crate::wire::{DocumentJson, DocumentsJson, RankedJson, ScoredJson, SubQueriesJson};
use crate::{Avail, ClientError, Document, Ranked, Score, Scored, grpc, rest};

/// The answer to `/search`, `/pipeline` and `/fuse` for `query`.
///
/// # Errors
/// As [`crate::Client::search`].
pub fn ranked(body: &[u8], query: &str) -> Result<Ranked, ClientError> {
    rest::parse::<RankedJson>(body)?.accept(query)
}

/// The answer to `/score`: one score for each of `passages`.
///
/// # Errors
/// As [`crate::Client::score`].
pub fn scored(body: &[u8], query: &str, passages: usize) -> Result<Scored, ClientError> {
    rest::parse::<ScoredJson>(body)?.accept(query, passages)
}

/// The answer to `/content`: the document `id`.
///
/// # Errors
/// As [`crate::Client::content`].
pub fn document(body: &[u8], id: &str) -> Result<Document, ClientError> {
    rest::parse::<DocumentJson>(body)?.accept(id)
}

/// The answer to `/contents`: the documents `ids`, each found or failed alone.
///
/// # Errors
/// As [`crate::Client::contents`].
pub fn documents(
    body: &[u8],
    ids: &[&str],
) -> Result<Vec<Result<Document, ClientError>>, ClientError> {
    rest::parse::<DocumentsJson>(body)?.accept(ids)
}

/// A scoring as a message of gRPC, which carries passages of bytes too.
#[must_use]
pub fn score_message(call: &Score<'_>) -> v1::ScoreRequest {
    grpc::score_request(call)
}

/// The answer to [`score_message`]: one score for each of `passages`.
///
/// # Errors
/// As [`crate::Client::score`].
pub fn scored_message(message: Bytes, query: &str, passages: usize) -> Result<Scored, ClientError> {
    let answer = v1::ScoreResponse::decode(message)
        .map_err(|why| ClientError::bad_answer(format!("the answer is no message: {why}")))?;
    grpc::scored(answer, query, passages)
}

/// The failure that a status of gRPC is.
#[must_use]
pub fn refused(status: &Status) -> ClientError {
    grpc::failure(status)
}

/// The answer to `/decompose`.
///
/// # Errors
/// As [`crate::Client::decompose`].
pub fn sub_queries(body: &[u8]) -> Result<Vec<String>, ClientError> {
    Ok(rest::parse::<SubQueriesJson>(body)?.sub_queries)
}

/// The answer to `/avail`.
///
/// # Errors
/// As [`crate::Client::avail`].
pub fn avail(body: &[u8]) -> Result<Avail, ClientError> {
    rest::parse::<Avail>(body)?.checked()
}

/// The failure that an answer with `status` and `body` is.
#[must_use]
pub fn failure(status: u16, retry_after: Option<Duration>, body: &[u8]) -> ClientError {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    rest::failure(status, body).with_retry_after(retry_after)
}
