//! How a server is asked.

use std::fmt;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use routir_core::{Error, Result};

/// How a server that speaks OpenAI's API is asked.
#[derive(Clone)]
pub struct ApiSettings {
    /// Where its API begins, such as `http://localhost:8000/v1`. A query, such as `?api-version=…`,
    /// goes with every call.
    pub base_url: String,
    /// Goes as a Bearer token with every call.
    pub api_key: Option<String>,
    /// More headers of every call.
    pub headers: Vec<(String, String)>,
    /// How long one attempt may take, from the connection to the last byte.
    pub timeout: Duration,
    /// How many further attempts may follow one that failed with 408, 409, 429, a 5xx, or without an
    /// answer.
    pub retries: u32,
    /// How many calls are under way at once. 0 counts as 1.
    pub concurrency: usize,
}

impl ApiSettings {
    /// The server at `base_url`: no key, 120 s, 2 further attempts, 32 calls at once.
    pub fn new(base_url: impl Into<String>) -> Self {
        Self {
            base_url: base_url.into(),
            api_key: None,
            headers: Vec::new(),
            timeout: Duration::from_secs(120),
            retries: 2,
            concurrency: 32,
        }
    }

    /// The base as a URL to which paths can be added.
    pub(super) fn base(&self) -> Result<Url> {
        let shown = routir_core::shorten(&self.base_url);
        let wrong = |why: &dyn fmt::Display| {
            Error::invalid(format!(
                "`{shown}` is no address of an API ({why}); give one like http://host:8000/v1"
            ))
        };
        // A URL with credentials is not shown.
        let url = Url::parse(&self.base_url).map_err(|why| {
            if self.base_url.contains('@') {
                Error::invalid(
                    "the address of the API is no URL; give one like http://host:8000/v1",
                )
            } else {
                wrong(&why)
            }
        })?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Error::invalid(
                "the address of the API must not hold a user or password; give a key in `api_key`",
            ));
        }
        if !matches!(url.scheme(), "http" | "https") || url.cannot_be_a_base() {
            return Err(wrong(&"neither http:// nor https://"));
        }
        Ok(url)
    }

    /// The headers of every call.
    pub(super) fn header_map(&self) -> Result<HeaderMap> {
        let mut map = HeaderMap::new();
        for (name, value) in &self.headers {
            let wrong = || Error::invalid(format!("the header `{name}` cannot be sent"));
            let name = HeaderName::try_from(name).map_err(|_| wrong())?;
            map.insert(name, HeaderValue::try_from(value).map_err(|_| wrong())?);
        }
        if let Some(key) = &self.api_key {
            let mut value = HeaderValue::try_from(format!("Bearer {key}")).map_err(|_| {
                Error::invalid("the API key has characters that cannot be sent in a header")
            })?;
            value.set_sensitive(true);
            map.insert(AUTHORIZATION, value);
        }
        Ok(map)
    }
}

impl fmt::Debug for ApiSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiSettings")
            .field("timeout", &self.timeout)
            .field("retries", &self.retries)
            .field("concurrency", &self.concurrency)
            .finish_non_exhaustive()
    }
}
