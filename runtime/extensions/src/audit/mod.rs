//! What was done to extensions, by whom and why: as log events and as lines of a file.

mod file;
mod ration;
mod writer;

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use routir_core::Metrics;
use serde::Serialize;

use writer::Writer;

pub(crate) use file::Rotation;
pub(crate) use ration::Ration;

/// How much of a reason is kept, in characters.
const REASON: usize = 1000;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Action {
    /// A component was looked at.
    Admit,
    /// A version was put into service.
    Publish,
    /// An extension that was published before the server was started anew came back.
    Restore,
    /// An extension was taken out of service by its owner.
    Withdraw,
    /// The version before the present one was brought back.
    Rollback,
    /// A breaker took an extension out of service.
    Trip,
    /// A breaker let an extension serve again.
    Close,
    /// A file of a watched directory was not taken.
    File,
    /// The store was found damaged.
    Store,
}

impl Action {
    fn name(self) -> &'static str {
        match self {
            Self::Admit => "admit",
            Self::Publish => "publish",
            Self::Restore => "restore",
            Self::Withdraw => "withdraw",
            Self::Rollback => "rollback",
            Self::Trip => "trip",
            Self::Close => "close",
            Self::File => "file",
            Self::Store => "store",
        }
    }
}

/// One thing that happened to one extension. What is not known is empty.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Event<'a> {
    pub(crate) action: Action,
    /// `None` is the operator.
    pub(crate) tenant: Option<&'a str>,
    pub(crate) extension: &'a str,
    /// The version that the manifest states.
    pub(crate) version: &'a str,
    pub(crate) sha256: &'a str,
    /// `config`, `directory` or `api`.
    pub(crate) source: &'static str,
    /// `ok`, `refused` (by a rule) or `failed`.
    pub(crate) outcome: &'static str,
    pub(crate) reason: &'a str,
}

impl<'a> Event<'a> {
    /// `action` on `extension`, which went well.
    pub(crate) fn of(action: Action, tenant: Option<&'a str>, extension: &'a str) -> Self {
        Self {
            action,
            tenant,
            extension,
            version: "",
            sha256: "",
            source: "",
            outcome: "ok",
            reason: "",
        }
    }
}

/// Takes events and never fails, blocks or grows: a line that cannot be written is logged and
/// counted as lost.
pub(crate) struct Audit {
    writer: Writer,
}

impl Audit {
    /// Appends to `audit.jsonl` in `dir`.
    pub(crate) fn new(dir: &Path, rotation: Rotation, metrics: &Metrics) -> Self {
        let path = dir.join("audit.jsonl");
        Self {
            writer: Writer::start(path, rotation, metrics.clone()),
        }
    }

    /// Keeps an event.
    pub(crate) fn record(&self, event: &Event<'_>) {
        let reason = cut(event.reason);
        let event = Event { reason, ..*event };
        let (tenant, action) = (event.tenant.unwrap_or(""), event.action.name());
        let Event {
            extension,
            version,
            sha256,
            source,
            outcome,
            ..
        } = event;
        if outcome == "ok" && event.action != Action::Trip {
            tracing::info!(
                target: "audit",
                action, tenant, extension, version, sha256, source, outcome, reason
            );
        } else {
            tracing::warn!(
                target: "audit",
                action, tenant, extension, version, sha256, source, outcome, reason
            );
        }
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let line = Line {
            time: since.unwrap_or_default().as_secs_f64(),
            event: &event,
        };
        match serde_json::to_string(&line) {
            Ok(line) => self.writer.line(line),
            Err(error) => tracing::error!(%error, "an audit line could not be made"),
        }
    }

    /// Waits until what was recorded before is written.
    #[cfg(test)]
    pub(crate) fn flush(&self) {
        self.writer.flush();
    }
}

#[derive(Serialize)]
struct Line<'a> {
    /// Seconds since the Unix epoch.
    time: f64,
    #[serde(flatten)]
    event: &'a Event<'a>,
}

fn cut(text: &str) -> &str {
    let end = text.char_indices().nth(REASON).map(|(end, _)| end);
    end.and_then(|end| text.get(..end)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(dir: &Path) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(dir.join("audit.jsonl")).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    #[test]
    fn an_event_is_a_line_of_json_that_cannot_forge_another() {
        let dir = tempfile::tempdir().unwrap();
        let audit = Audit::new(dir.path(), Rotation::default(), &Metrics::default());
        let reason = "no\n{\"action\":\"publish\"}\n".to_owned() + &"x".repeat(5000);
        audit.record(&Event {
            outcome: "refused",
            reason: &reason,
            sha256: "ab",
            source: "api",
            ..Event::of(Action::Admit, Some("acme"), "rrf")
        });
        audit.flush();
        let lines = lines(dir.path());
        assert_eq!(lines.len(), 1);
        let line = &lines[0];
        assert_eq!(line["action"], "admit");
        assert_eq!(line["tenant"], "acme");
        assert_eq!(line["outcome"], "refused");
        assert_eq!(line["reason"].as_str().unwrap().len(), 1000);
        assert!(line["time"].as_f64().unwrap() > 1.7e9);
    }

    #[test]
    fn a_file_that_cannot_be_written_is_counted_and_harms_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let nowhere = dir.path().join("absent");
        let metrics = Metrics::default();
        let audit = Audit::new(&nowhere, Rotation::default(), &metrics);
        audit.record(&Event::of(Action::Publish, None, "rrf"));
        audit.flush();
        let told = metrics.encode();
        assert!(
            told.contains("routir_audit_lines_total{outcome=\"lost\"} 1"),
            "{told}"
        );
        // It is written as soon as it can be.
        std::fs::create_dir(&nowhere).unwrap();
        audit.record(&Event::of(Action::Publish, None, "rrf"));
        audit.flush();
        assert_eq!(lines(&nowhere).len(), 1);
    }
}
