//! Whether requests should be sent here.

use std::borrow::Cow;

use routir_core::ImportStatus;
use routir_exec::Readiness;

/// The answer to `/readyz`.
#[derive(serde::Serialize)]
pub(crate) struct ReadyReply<'a> {
    ready: bool,
    /// It was told to stop.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    draining: bool,
    /// Ready, but not whole: a server that is not required does not answer.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    degraded: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    checks: Option<Vec<Check<'a>>>,
}

#[derive(serde::Serialize)]
struct Check<'a> {
    name: Cow<'a, str>,
    ready: bool,
    detail: &'a str,
}

impl<'a> ReadyReply<'a> {
    /// Ready when every part is, and every other server that is required; which is which is told
    /// on request.
    pub(crate) fn new(parts: &'a [Readiness], imports: &'a [ImportStatus], named: bool) -> Self {
        let part = |part: &'a Readiness| Check {
            name: Cow::Borrowed(&part.name),
            ready: part.ready,
            detail: &part.detail,
        };
        let import = |import: &'a ImportStatus| Check {
            name: Cow::Owned(format!("import {}", import.endpoint)),
            ready: import.ready,
            detail: &import.detail,
        };
        let checks = || parts.iter().map(part).chain(imports.iter().map(import));
        let ready = parts.iter().all(|part| part.ready)
            && imports.iter().all(|it| it.ready || !it.required);
        Self {
            ready,
            draining: false,
            degraded: ready && imports.iter().any(|it| !it.ready),
            checks: named.then(|| checks().collect()),
        }
    }

    /// The same of a server that takes requests, or is about to take no more.
    pub(crate) fn serving(self, serving: bool) -> Self {
        Self {
            ready: self.ready && serving,
            draining: !serving,
            degraded: self.degraded && serving,
            ..self
        }
    }

    /// Whether requests should be sent here.
    pub(crate) fn ready(&self) -> bool {
        self.ready
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn json(reply: &ReadyReply<'_>) -> String {
        serde_json::to_string(reply).unwrap()
    }

    #[test]
    fn one_part_that_is_not_ready_holds_all_back() {
        let part = |name: &str, ready| Readiness {
            name: name.to_owned(),
            ready,
            detail: String::new(),
        };
        let parts = [part("a", true), part("b", false)];
        assert_eq!(
            json(&ReadyReply::new(&parts, &[], false)),
            r#"{"ready":false}"#
        );
        assert!(ReadyReply::new(&parts[..1], &[], true).ready());
    }

    #[test]
    fn another_server_holds_back_only_where_it_is_required() {
        let import = |ready, required| {
            [ImportStatus {
                endpoint: Arc::from("http://other"),
                ready,
                required,
                detail: "connection refused".to_owned(),
                services: vec![],
                collections: vec![],
            }]
        };
        let reply = |ready, required| json(&ReadyReply::new(&[], &import(ready, required), false));
        assert_eq!(reply(true, true), r#"{"ready":true}"#);
        assert_eq!(reply(false, false), r#"{"ready":true,"degraded":true}"#);
        assert_eq!(reply(false, true), r#"{"ready":false}"#);
    }
}
