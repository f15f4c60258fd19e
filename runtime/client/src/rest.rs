//! RoutIR's REST interface.

use std::error::Error as _;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Method, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::answer::short;
use crate::retry::{Patience, tried};
use crate::{CallOptions, ClientError, ErrorKind, Settings};

/// The longest that a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);
/// Python's usual servers close a connection that is idle for five seconds; a request must not meet
/// that moment.
const IDLE: Duration = Duration::from_secs(4);
/// How many connections are kept for the next requests.
const KEPT: usize = 64;
/// The most of a failure's body that is read.
const FAILURE_BYTES: usize = 64 << 10;

/// The names of headers that only servers of this project read.
const TIMEOUT: &str = "x-routir-timeout-ms";
const VIA: &str = "x-routir-via";
const REQUEST_ID: &str = "x-request-id";

/// A server's REST interface, over kept-alive connections.
#[derive(Clone)]
pub(crate) struct Rest {
    http: reqwest::Client,
    base: String,
    max_answer_bytes: usize,
}

impl Rest {
    /// Opens no connection yet.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] for a key that cannot be sent.
    pub(crate) fn new(base: String, settings: &Settings) -> Result<Self, ClientError> {
        let mut headers = HeaderMap::new();
        if let Some(key) = &settings.api_key {
            let value = HeaderValue::from_str(&format!("Bearer {key}"));
            let mut value = value.map_err(|_| {
                let message = "the API key has characters that cannot be sent";
                ClientError::new(ErrorKind::Settings, message)
            })?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let http = reqwest::Client::builder()
            .default_headers(headers)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT)
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(KEPT)
            // The system's certificates take a while to read.
            .tls_built_in_root_certs(base.starts_with("https://"))
            .build()
            .map_err(|why| ClientError::new(ErrorKind::Settings, causes(&why)))?;
        Ok(Self {
            http,
            base,
            max_answer_bytes: settings.max_answer_bytes,
        })
    }

    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        options: CallOptions<'_>,
        patience: Patience,
    ) -> Result<T, ClientError> {
        self.call(Method::GET, path, None, options, patience).await
    }

    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &(impl Serialize + Sync),
        options: CallOptions<'_>,
        patience: Patience,
    ) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(|why| {
            let message = format!("the request cannot be written as JSON: {why}");
            ClientError::new(ErrorKind::Settings, message)
        })?;
        // Bytes that all attempts share.
        let body = Bytes::from(body);
        self.call(Method::POST, path, Some(body), options, patience)
            .await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
        options: CallOptions<'_>,
        patience: Patience,
    ) -> Result<T, ClientError> {
        let url = format!("{}{path}", self.base);
        let attempt = |time: Duration| {
            let mut request = self.http.request(method.clone(), &url);
            if let Some(body) = body.clone() {
                request = request.header(CONTENT_TYPE, "application/json").body(body);
            }
            if let Some(id) = options.request_id.and_then(sendable) {
                request = request.header(REQUEST_ID, id);
            }
            if let Some(via) = options.via.and_then(sendable) {
                request = request.header(VIA, via);
            }
            if patience.deadline.is_some() {
                let left = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
                request = request.header(TIMEOUT, left);
            }
            async {
                let response = request.send().await.map_err(|why| unreachable(&why))?;
                let bytes = self.read(response).await?;
                parse(&bytes)
            }
        };
        tried(patience, attempt)
            .await
            .map_err(|error| error.at(format!("{method} {path}")))
    }

    /// The body of an answer, or the failure that it is.
    async fn read(&self, response: Response) -> Result<Vec<u8>, ClientError> {
        let status = response.status();
        if status.is_success() {
            return body(response, self.max_answer_bytes).await;
        }
        let retry_after = response.headers().get(RETRY_AFTER);
        let retry_after = retry_after.and_then(|value| value.to_str().ok()?.parse().ok());
        let text = body(response, FAILURE_BYTES).await.unwrap_or_default();
        Err(failure(status, &text).with_retry_after(retry_after.map(Duration::from_secs)))
    }
}

/// All of a body, if it is no larger than `most`.
async fn body(mut response: Response, most: usize) -> Result<Vec<u8>, ClientError> {
    let too_large = || {
        let message = format!("the answer is larger than {most} bytes");
        ClientError::new(ErrorKind::TooLarge, message)
    };
    let announced = response.content_length().unwrap_or(0);
    if announced > most as u64 {
        return Err(too_large());
    }
    // What is announced need not be sent: a liar gets no more than this in advance.
    let mut bytes = Vec::with_capacity(usize::try_from(announced).unwrap_or(0).min(1 << 20));
    while let Some(chunk) = response.chunk().await.map_err(|why| unreachable(&why))? {
        if bytes.len() + chunk.len() > most {
            return Err(too_large());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ClientError> {
    serde_json::from_slice(bytes).map_err(|why| {
        // RoutIR 0.0.2 tells an engine's failure with status 200.
        match serde_json::from_slice::<Failure>(bytes) {
            Ok(Failure {
                error: Some(error), ..
            }) => engine_failure(&error),
            _ => ClientError::bad_answer(format!("the answer is not what was asked for: {why}")),
        }
    })
}

/// A failure that a server told with status 200.
pub(crate) fn engine_failure(error: &str) -> ClientError {
    ClientError::new(ErrorKind::Failed, short(error)).with_transient(false)
}

/// What failures look like, RoutIR's and ours.
#[derive(Deserialize)]
struct Failure {
    error: Option<String>,
    #[serde(default)]
    code: Option<String>,
}

pub(crate) fn failure(status: StatusCode, body: &[u8]) -> ClientError {
    let told = serde_json::from_slice::<Failure>(body).ok();
    let code = told.as_ref().and_then(|told| told.code.clone());
    let words = told.and_then(|told| told.error);
    let kind = match status.as_u16() {
        300..400 => ErrorKind::Settings,
        401 => ErrorKind::Unauthenticated,
        403 => ErrorKind::PermissionDenied,
        404 | 405 if code.is_none() && words.is_none() => ErrorKind::Unsupported,
        413 => ErrorKind::TooLarge,
        429 => ErrorKind::Overloaded,
        400..500 => ErrorKind::Refused,
        503 => ErrorKind::Unavailable,
        504 => ErrorKind::Timeout,
        _ => ErrorKind::Failed,
    };
    // RoutIR's clients try every 5xx again; a server of this project says which may pass.
    let transient = status.is_server_error()
        && match code.as_deref() {
            None => true,
            Some(code) => matches!(code, "unavailable" | "deadline_exceeded"),
        };
    let message = match words {
        Some(words) => format!("HTTP {}: {}", status.as_u16(), short(&words)),
        None if kind == ErrorKind::Settings => format!(
            "HTTP {}: the server sends its clients elsewhere; give the address where it answers",
            status.as_u16()
        ),
        None => format!("HTTP {status}"),
    };
    ClientError::new(kind, message)
        .with_code(code)
        .with_transient(transient)
}

fn unreachable(why: &reqwest::Error) -> ClientError {
    ClientError::new(ErrorKind::Unavailable, causes(why))
}

/// An error with its causes, without the address, which may hold a password.
fn causes(why: &reqwest::Error) -> String {
    let mut causes = Vec::new();
    let mut cause = why.source();
    while let Some(why) = cause {
        causes.push(why.to_string());
        cause = why.source();
    }
    // The outermost says no more than that a request failed, the innermost why.
    match causes.pop() {
        Some(innermost) => innermost,
        None if why.is_timeout() => "timed out".to_owned(),
        None => "the request could not be sent".to_owned(),
    }
}

/// The text, if it can stand in a header.
pub(crate) fn sendable(text: &str) -> Option<&str> {
    let sane = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    sane.then_some(text)
}
