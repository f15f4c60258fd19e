//! A request's body: read within its limits of size and time.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use routir_core::{Error, ErrorCode};
use tokio::time::timeout;

use crate::failure::Failure;

/// A failure of the body or of its sender, as the layers below tell it.
type Cause = Box<dyn std::error::Error + Send + Sync>;

/// How much a body may hold, and how long it may take.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) max_bytes: usize,
    /// Whose limit that is, for messages: `this server's limit`.
    pub(crate) whose: &'static str,
    pub(crate) patience: Duration,
}

impl Bounds {
    /// Reads `body` to its end.
    ///
    /// # Errors
    /// 413 when it is, or says that it is, over the limit; 408 when it takes longer than the
    /// patience; 400 when the connection breaks off.
    pub(crate) async fn read(self, headers: &HeaderMap, body: Body) -> Result<Bytes, Failure> {
        self.check(announced(headers))?;
        let whole = Limited::new(body, self.max_bytes).collect();
        self.ended(timeout(self.patience, whole).await)
            .map(|collected| collected.to_bytes())
    }

    /// As [`Bounds::read`], into one piece of memory from the start: for bodies of many MiB, which
    /// would otherwise be there twice at the end.
    pub(crate) async fn read_large(
        self,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Vec<u8>, Failure> {
        let announced = announced(headers);
        self.check(announced)?;
        let whole = async {
            let mut body = Limited::new(body, self.max_bytes);
            let mut bytes = Vec::with_capacity(announced.unwrap_or(0));
            while let Some(frame) = body.frame().await {
                if let Some(data) = frame?.data_ref() {
                    bytes.extend_from_slice(data);
                }
            }
            Ok(bytes)
        };
        self.ended(timeout(self.patience, whole).await)
    }

    fn check(&self, announced: Option<usize>) -> Result<(), Failure> {
        match announced {
            Some(length) if length > self.max_bytes => Err(self.too_large()),
            _ => Ok(()),
        }
    }

    /// What became of reading.
    fn ended<T, E>(&self, read: Result<Result<T, Cause>, E>) -> Result<T, Failure> {
        match read {
            Ok(Ok(whole)) => Ok(whole),
            Ok(Err(why)) if is_over_limit(&*why) => Err(self.too_large()),
            Ok(Err(why)) => {
                Err(Error::invalid(format!("the request body could not be read: {why}")).into())
            }
            Err(_) => Err(Failure::with_status(
                Error::new(
                    ErrorCode::DeadlineExceeded,
                    format!(
                        "the request body did not arrive within {} s",
                        self.patience.as_secs_f64()
                    ),
                ),
                StatusCode::REQUEST_TIMEOUT,
            )),
        }
    }

    fn too_large(&self) -> Failure {
        let Self {
            max_bytes, whose, ..
        } = self;
        let message = format!("the request body is over {whose} of {max_bytes} bytes");
        Error::new(ErrorCode::TooLarge, message).into()
    }
}

/// How long a body says that it is; what no memory holds counts as the most that one could.
fn announced(headers: &HeaderMap) -> Option<usize> {
    let value = headers.get(header::CONTENT_LENGTH)?;
    let length: u64 = value.to_str().ok()?.parse().ok()?;
    Some(usize::try_from(length).unwrap_or(usize::MAX))
}

/// Whether the limit is among the causes of `error`.
fn is_over_limit(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source())
        .any(|error| error.is::<LengthLimitError>())
}
