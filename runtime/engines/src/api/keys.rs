//! What all engines on OpenAI-compatible servers are told in the same words.
//!
//! | key | means | default |
//! |---|---|---|
//! | `api_key` | goes as a Bearer token with every call | the environment's `OPENAI_API_KEY`; without either none goes |
//! | `timeout` | how long one attempt may take, in seconds | 120 |
//! | `max_retries` | how many attempts may follow one that failed | 2 |
//! | `max_concurrency` | how many calls are under way at once | 32 |
//! | `request_kwargs` | what else goes into every call's body, as to the methods of OpenAI's Python client: `extra_body` is laid into the body, `extra_headers` go as headers, `timeout` is the one above | nothing |

use std::time::Duration;

use routir_core::Result;
use routir_remote::openai::{ApiSettings, OpenAi};
use serde_json::{Map, Value};

use crate::options::Options;

/// The longest time that one attempt may be given.
const MOST_SECONDS: f64 = 3600.0;

/// The most further attempts.
const MOST_RETRIES: u64 = 20;

/// The most calls at once.
const MOST_CALLS: usize = 4096;

/// What goes with every call.
pub(crate) struct RequestKwargs {
    /// Into the body.
    pub(crate) body: Map<String, Value>,
    headers: Vec<(String, String)>,
    timeout: Option<f64>,
}

impl RequestKwargs {
    /// Reads `request_kwargs`; `own` are the fields that the engine itself fills in.
    pub(crate) fn read(options: &mut Options<'_>, own: &[&str]) -> Self {
        let mut kwargs = Self {
            body: Map::new(),
            headers: Vec::new(),
            timeout: None,
        };
        let Some(given) = options.object("request_kwargs") else {
            return kwargs;
        };
        for (key, value) in given {
            let wrong = match (key.as_str(), value) {
                ("extra_body", Value::Object(more)) => {
                    for (key, value) in more {
                        kwargs.body.insert(key.clone(), value.clone());
                    }
                    None
                }
                ("extra_headers", Value::Object(more)) => {
                    let header = |(name, value): (&String, &Value)| {
                        Some((name.clone(), value.as_str()?.to_owned()))
                    };
                    match more.iter().map(header).collect() {
                        Some(headers) => {
                            kwargs.headers = headers;
                            None
                        }
                        None => Some("must have strings as values"),
                    }
                }
                ("extra_body" | "extra_headers", _) => Some("must be an object"),
                ("timeout", Value::Number(seconds)) => {
                    kwargs.timeout = seconds.as_f64();
                    None
                }
                ("timeout", _) => Some("must be a number of seconds"),
                ("extra_query", _) => Some("is not possible: write the query into the address"),
                _ => {
                    kwargs.body.insert(key.clone(), value.clone());
                    None
                }
            };
            if let Some(wrong) = wrong {
                options.problem(format!("`request_kwargs`: `{key}` {wrong}"));
            }
        }
        for own in own.iter().chain(&["stream", "n"]) {
            if kwargs.body.contains_key(*own) {
                options.problem(format!("`request_kwargs`: `{own}` is the engine's to say"));
            }
        }
        kwargs
    }
}

/// How the server is asked.
pub(crate) struct ApiKeys {
    settings: ApiSettings,
}

impl ApiKeys {
    /// Reads them; `base` is the key that has the server's address.
    pub(crate) fn read(
        options: &mut Options<'_>,
        base: &'static str,
        kwargs: &mut RequestKwargs,
    ) -> Self {
        let address = options.text(base);
        let address = options.require(base, address).unwrap_or_default();
        let usual = ApiSettings::new(address);
        let from_environment = || {
            let key = std::env::var("OPENAI_API_KEY").ok();
            key.filter(|key| !key.is_empty())
        };
        let api_key = options.text("api_key").map(str::to_owned);
        let seconds = options.number("timeout").or(kwargs.timeout);
        let timeout = seconds.and_then(|seconds| {
            let within = (0.0..=MOST_SECONDS).contains(&seconds) && seconds > 0.0;
            if !within {
                options.problem(format!(
                    "`timeout` must be above 0 and at most {MOST_SECONDS} seconds, not {seconds}"
                ));
            }
            within.then(|| Duration::from_secs_f64(seconds))
        });
        let retries = options.whole("max_retries").map(|retries| {
            if retries > MOST_RETRIES {
                options.problem(format!("`max_retries` must be at most {MOST_RETRIES}"));
            }
            retries.min(MOST_RETRIES) as u32
        });
        let concurrency = options.count("max_concurrency").map(|calls| {
            if calls > MOST_CALLS {
                options.problem(format!("`max_concurrency` must be at most {MOST_CALLS}"));
            }
            calls.min(MOST_CALLS)
        });
        Self {
            settings: ApiSettings {
                api_key: api_key.or_else(from_environment),
                headers: std::mem::take(&mut kwargs.headers),
                timeout: timeout.unwrap_or(usual.timeout),
                retries: retries.unwrap_or(usual.retries),
                concurrency: concurrency.unwrap_or(usual.concurrency),
                ..usual
            },
        }
    }

    /// A client of the server, which is not contacted yet.
    ///
    /// # Errors
    /// When the address is none, or the key or a header cannot be sent.
    pub(crate) fn open(self) -> Result<OpenAi> {
        OpenAi::new(self.settings)
    }
}
