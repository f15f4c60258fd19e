//! A request's body: read within its limits of size and time.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use routir_core::{Error, ErrorCode};
use tokio::time::timeout;

use crate::failure::Failure;

/// Reads `body` to its end.
///
/// # Errors
/// 413 when it is, or says that it is, over `max_bytes`; 408 when it takes longer than `patience`;
/// 400 when the connection breaks off.
pub(crate) async fn read(
    headers: &HeaderMap,
    body: Body,
    max_bytes: usize,
    patience: Duration,
) -> Result<Bytes, Failure> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok());
    if announced
        .and_then(|text| text.parse().ok())
        .is_some_and(|length: u64| {
            usize::try_from(length).map_or(true, |length| length > max_bytes)
        })
    {
        return Err(too_large(max_bytes));
    }
    match timeout(patience, Limited::new(body, max_bytes).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(why)) if is_over_limit(&*why) => Err(too_large(max_bytes)),
        Ok(Err(why)) => {
            Err(Error::invalid(format!("the request body could not be read: {why}")).into())
        }
        Err(_) => Err(Failure::with_status(
            Error::new(
                ErrorCode::DeadlineExceeded,
                format!(
                    "the request body did not arrive within {} s",
                    patience.as_secs_f64()
                ),
            ),
            StatusCode::REQUEST_TIMEOUT,
        )),
    }
}

fn too_large(max_bytes: usize) -> Failure {
    let message = format!("the request body is over this server's limit of {max_bytes} bytes");
    Error::new(ErrorCode::TooLarge, message).into()
}

/// Whether the limit is among the causes of `error`.
fn is_over_limit(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source())
        .any(|error| error.is::<LengthLimitError>())
}
