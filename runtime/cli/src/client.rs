//! Asks a server, this one or RoutIR's, over REST.

use std::fmt;
use std::time::Duration;

use anyhow::Context;
use routir_core::{Hit, Ranking};
use serde_json::{Value, json};

use crate::failure::wrong;

/// The largest answer that is read, in bytes.
const MAX_ANSWER: u64 = 1 << 30;
/// The longest that an answer may take.
const TIMEOUT: Duration = Duration::from_secs(600);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A server, and the key that it asks for.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    agent: ureq::Agent,
    base: String,
    authorization: Option<String>,
}

/// Why a server did not answer what was asked.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    /// The status; `None` when there was no answer at all.
    pub(crate) status: Option<u16>,
    /// How long to wait before asking again, when the server says.
    pub(crate) retry_after: Option<Duration>,
    message: String,
}

impl Refusal {
    /// A refusal that no server spoke.
    pub(crate) fn new(status: Option<u16>, message: String) -> Self {
        Self {
            status,
            retry_after: None,
            message,
        }
    }

    /// Whether the same request may succeed later.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self.status, None | Some(429 | 503))
    }

    /// Whether the request is at fault.
    pub(crate) fn is_ours(&self) -> bool {
        self.status
            .is_some_and(|status| (400..500).contains(&status) && status != 429)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refusal {}

impl Client {
    /// A client of the server at `url`. Nothing is asked yet.
    ///
    /// # Errors
    /// When `url` is no URL of HTTP.
    pub(crate) fn new(url: &str, key: Option<&str>) -> anyhow::Result<Self> {
        let uri = url.parse::<ureq::http::Uri>();
        let good = uri.is_ok_and(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https")) && uri.query().is_none()
        });
        if !good {
            return Err(wrong(format!(
                "`{url}` is not a server's URL; give one such as http://localhost:5000"
            )));
        }
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(TIMEOUT))
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .max_idle_connections_per_host(64)
            .build();
        Ok(Self {
            agent: config.into(),
            base: url.trim_end_matches('/').to_owned(),
            authorization: key.map(|key| format!("Bearer {key}")),
        })
    }

    /// The server's URL.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// What `GET path` answers.
    pub(crate) fn get(&self, path: &str) -> Result<Value, Refusal> {
        let mut request = self.agent.get(format!("{}{path}", self.base));
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        self.read(request.call())
    }

    /// What `POST path` answers to `body`.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Value, Refusal> {
        let mut request = self.agent.post(format!("{}{path}", self.base));
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        self.read(request.send_json(body))
    }

    /// Runs a pipeline.
    pub(crate) fn pipeline(
        &self,
        pipeline: &str,
        query: &str,
        collection: Option<&str>,
    ) -> Result<Ranking, Refusal> {
        let mut body = json!({"pipeline": pipeline, "query": query});
        if let (Some(collection), Some(body)) = (collection, body.as_object_mut()) {
            body.insert("collection".to_owned(), collection.into());
        }
        let answer = self.post("/pipeline", &body)?;
        ranking(&answer).map_err(|why| self.refusal(Some(200), None, &why.to_string()))
    }

    fn read(
        &self,
        answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<Value, Refusal> {
        let mut answer = answer.map_err(|why| self.refusal(None, None, &why.to_string()))?;
        let status = answer.status().as_u16();
        let retry_after = answer.headers().get("retry-after");
        let retry_after = retry_after
            .and_then(|seconds| seconds.to_str().ok()?.trim().parse().ok())
            .map(Duration::from_secs);
        let text = answer
            .body_mut()
            .with_config()
            .limit(MAX_ANSWER)
            .read_to_string();
        let text = text.map_err(|why| self.refusal(None, None, &why.to_string()))?;
        let value: Option<Value> = serde_json::from_str(&text).ok();
        let error = value
            .as_ref()
            .and_then(|value| value.get("error")?.as_str());
        match (status, value.as_ref(), error) {
            // RoutIR 0.0.2 answers some failures with status 200 and an `error` field.
            (200..300, Some(_), None) => Ok(value.unwrap_or_default()),
            (_, _, Some(error)) => Err(self.refusal(Some(status), retry_after, error)),
            _ => Err(self.refusal(
                Some(status),
                retry_after,
                &format!("status {status} without JSON; is a retrieval server there?"),
            )),
        }
    }

    fn refusal(&self, status: Option<u16>, retry_after: Option<Duration>, why: &str) -> Refusal {
        // What points into a pipeline's source has its own beginning.
        let why = why.strip_prefix("error: ").unwrap_or(why);
        Refusal {
            status,
            retry_after,
            message: format!("{}: {why}", self.base),
        }
    }
}

/// The ranking in a server's answer.
fn ranking(answer: &Value) -> anyhow::Result<Ranking> {
    let scores = answer
        .get("scores")
        .and_then(Value::as_object)
        .context("no `scores` in it")?;
    let hits: Option<Vec<Hit>> = scores
        .iter()
        .map(|(doc, score)| Some(Hit::new(doc.as_str(), score.as_f64()?)))
        .collect();
    Ok(Ranking::from_hits(
        hits.context("a score is not a number")?,
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_servers_are_asked() {
        assert!(Client::new("http://localhost:5000/", None).is_ok());
        for url in [
            "localhost:5000",
            "ftp://x",
            "http://",
            "http://h?x=1",
            "",
            "configs/x.json",
        ] {
            assert!(Client::new(url, None).is_err(), "{url}");
        }
        assert_eq!(
            Client::new("http://h:1/", None).unwrap().base(),
            "http://h:1"
        );
    }

    #[test]
    fn an_answer_in_any_order_becomes_a_ranking() {
        let answer = json!({"scores": {"a": 1, "b": 2.5}});
        let ids: Vec<_> = ranking(&answer).unwrap().into_hits();
        assert_eq!(ids[0].doc.as_str(), "b");
        assert!(ranking(&json!({})).is_err());
        assert!(ranking(&json!({"scores": {"a": "x"}})).is_err());
    }
}
