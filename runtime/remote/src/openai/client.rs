//! The client: one JSON body there, one JSON body back.

use std::time::{Duration, Instant, SystemTime};

use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Response, Url, redirect};
use routir_core::{Error, ErrorCode, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::failure::{ApiError, Failure};
use super::retry;
use super::settings::ApiSettings;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);

/// How much of an error's body is read.
const ERROR_BYTES: usize = 16 << 10;

/// From which size an answer is read off the reactor: some milliseconds of work.
const LARGE_BYTES: usize = 128 << 10;

/// A server that speaks OpenAI's API.
#[derive(Debug)]
pub struct OpenAi {
    http: Client,
    base: Url,
    /// What it is called in messages.
    shown: String,
    settings: ApiSettings,
    permits: Semaphore,
}

impl OpenAi {
    /// A client of that server, which it does not contact yet.
    ///
    /// # Errors
    /// When the address is none, or the key or a header cannot be sent.
    pub fn new(settings: ApiSettings) -> Result<Self> {
        let base = settings.base()?;
        let mut headers = settings.header_map()?;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let http = Client::builder()
            .user_agent(concat!("routir-rt/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            // A key goes to the server that was configured and nowhere else.
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT)
            .build()
            .map_err(|why| Error::internal(format!("no HTTP client can be made: {why}")))?;
        let mut shown = base.clone();
        shown.set_query(None);
        shown.set_fragment(None);
        Ok(Self {
            http,
            shown: format!("the API at {}", shown.as_str().trim_end_matches('/')),
            base,
            permits: Semaphore::new(settings.concurrency.clamp(1, Semaphore::MAX_PERMITS)),
            settings,
        })
    }

    /// How it is asked.
    #[must_use]
    pub fn settings(&self) -> &ApiSettings {
        &self.settings
    }

    /// Posts `body` to a path under the base, and reads an answer of at most `most` bytes.
    pub(super) async fn post<B, T>(
        &self,
        path: &[&str],
        body: &B,
        most: usize,
        deadline: Option<Instant>,
    ) -> Result<T, ApiError>
    where
        B: Serialize + Sync,
        T: DeserializeOwned + Send + 'static,
    {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        let body = serde_json::to_vec(body)
            .map_err(|why| Error::internal(format!("a request cannot be written: {why}")))?;
        let work = async {
            let answer = self.attempts(&url, body, most, deadline).await?;
            Ok(self.read(answer).await?)
        };
        let Some(deadline) = deadline else {
            return work.await;
        };
        tokio::time::timeout_at(deadline.into(), work)
            .await
            .unwrap_or_else(|_| {
                let message = format!("the deadline passed before {} answered", self.shown);
                Err(Error::new(ErrorCode::DeadlineExceeded, message).into())
            })
    }

    async fn attempts(
        &self,
        url: &Url,
        body: Vec<u8>,
        most: usize,
        deadline: Option<Instant>,
    ) -> Result<Vec<u8>, ApiError> {
        let mut failed = 0;
        loop {
            let failure = {
                let _permit = self
                    .permits
                    .acquire()
                    .await
                    .map_err(|_| Error::internal("the client is closed"))?;
                let attempt = self.attempt(url, body.clone(), most);
                match timeout(self.settings.timeout, attempt).await {
                    Ok(Ok(answer)) => return Ok(answer),
                    Ok(Err(failure)) => failure,
                    Err(_) => Failure::slow(&self.shown, self.settings.timeout),
                }
            };
            let wait = retry::wait(failed, failure.after);
            let in_time = deadline.is_none_or(|deadline| {
                Instant::now()
                    .checked_add(wait)
                    .is_some_and(|at| at < deadline)
            });
            if !failure.again || failed == self.settings.retries || wait > retry::MOST || !in_time {
                return Err(ApiError {
                    error: failure.error,
                    refused: failure.refused,
                });
            }
            failed += 1;
            tracing::debug!(error = %failure.error, ?wait, failed, "asking again");
            tokio::time::sleep(wait).await;
        }
    }

    async fn attempt(&self, url: &Url, body: Vec<u8>, most: usize) -> Result<Vec<u8>, Failure> {
        let sent = self.http.post(url.clone()).body(body).send().await;
        let mut response = sent.map_err(|why| self.gone(why))?;
        let status = response.status().as_u16();
        if status != 200 {
            let after = retry::told(response.headers(), SystemTime::now());
            let mut said = Vec::new();
            // Whatever of it can be had: the status is what matters.
            let _ = self.collect(&mut response, &mut said, ERROR_BYTES).await;
            said.truncate(ERROR_BYTES);
            let key = self.settings.api_key.as_deref();
            return Err(Failure::status(&self.shown, status, &said, after, key));
        }
        let mut answer = Vec::new();
        self.collect(&mut response, &mut answer, most).await?;
        if answer.len() > most {
            let message = format!(
                "{} answers with more than {most} bytes, which is more than its answer can need",
                self.shown
            );
            return Err(Failure::for_good(Error::engine(message)));
        }
        Ok(answer)
    }

    /// Appends the body to `into`, until it is longer than `most`.
    async fn collect(
        &self,
        response: &mut Response,
        into: &mut Vec<u8>,
        most: usize,
    ) -> Result<(), Failure> {
        while into.len() <= most
            && let Some(chunk) = response.chunk().await.map_err(|why| self.gone(why))?
        {
            into.extend_from_slice(&chunk);
        }
        Ok(())
    }

    fn gone(&self, why: reqwest::Error) -> Failure {
        Failure::gone(&self.shown, &why.without_url())
    }

    async fn read<T: DeserializeOwned + Send + 'static>(&self, answer: Vec<u8>) -> Result<T> {
        let large = answer.len() > LARGE_BYTES;
        let parse = move || serde_json::from_slice::<T>(&answer);
        let read = if large {
            let broke_off = |why| Error::internal(format!("reading an answer broke off: {why}"));
            tokio::task::spawn_blocking(parse)
                .await
                .map_err(broke_off)?
        } else {
            parse()
        };
        read.map_err(|why| self.nonsense(&why))
    }

    /// What is said of an answer that is not what the API promises.
    pub(super) fn nonsense(&self, why: &dyn std::fmt::Display) -> Error {
        Error::engine(format!(
            "{} answers what is no answer of OpenAI's API: {why}",
            self.shown
        ))
    }
}
