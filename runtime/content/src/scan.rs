//! A corpus from end to end, as one view shows it.

use std::ops::ControlFlow;
use std::sync::Arc;

use routir_core::{DocId, Document, DocumentScan, Error, ErrorCode, Payload, Result, TextDocument};

use crate::failure::{changed, io_error};
use crate::labels::IdLabels;
use crate::lines::Pieces;
use crate::record::{Projection, Record};
use crate::stamp::SourceStamp;
use crate::store::Store;

/// How many documents without text are reported one by one.
const EMPTY_REPORTED: u64 = 10;

/// One view of one corpus.
#[derive(Clone, Debug)]
pub(crate) struct ViewScan {
    /// The corpus.
    pub(crate) store: Arc<Store>,
    /// How the view reads a document.
    pub(crate) projection: Projection,
    /// The documents' languages.
    pub(crate) languages: Option<Arc<IdLabels>>,
}

impl ViewScan {
    fn source_stamp(&self) -> Result<SourceStamp> {
        let source = self.store.source();
        SourceStamp::of(source.file()).map_err(|error| io_error("reading", source.path(), &error))
    }

    fn check(&self) -> Result<()> {
        if self.source_stamp()? == self.store.sidecar().head().source {
            return Ok(());
        }
        Err(changed(
            self.store.source().path(),
            "its size, its time or its text",
        ))
    }

    /// As [`DocumentScan::scan`], with how many bytes of text have been read.
    pub(crate) fn scan_with(
        &self,
        each: &mut dyn FnMut(TextDocument, u64) -> ControlFlow<()>,
    ) -> Result<()> {
        self.check()?;
        let source = self.store.source();
        let head = self.store.sidecar().head();
        let max_line = usize::try_from(head.max_line_bytes).unwrap_or(usize::MAX);
        let mut duplicates = self.store.sidecar().duplicates()?.into_iter().peekable();
        let mut empty = 0;
        for piece in Pieces::new(source.reader(), max_line) {
            let piece = piece.map_err(|error| io_error("reading", source.path(), &error))?;
            let done = piece.offset + piece.length;
            for line in piece.lines(max_line) {
                if duplicates.next_if_eq(&line.offset).is_some() {
                    continue;
                }
                // What is malformed was reported when the corpus was indexed.
                let Some(Ok(record)) = line.bytes.map(|bytes| self.projection.read(bytes)) else {
                    continue;
                };
                let Some(text) = record.text else {
                    empty += 1;
                    if empty <= EMPTY_REPORTED {
                        tracing::warn!("{}", self.no_text(&record.id));
                    }
                    continue;
                };
                let id = DocId::from(record.id);
                let language = language(self.languages.as_deref(), &id);
                let document = TextDocument {
                    id,
                    text,
                    title: record.title,
                    language,
                };
                if each(document, done).is_break() {
                    return Ok(());
                }
            }
        }
        if empty > EMPTY_REPORTED {
            tracing::warn!(
                "{}: {empty} documents without text in all",
                source.path().display()
            );
        }
        self.check()
    }

    /// What the view reads in a line, for [`Store::read`].
    pub(crate) fn parse(&self, line: &[u8]) -> Result<(String, Record), String> {
        let mut record = self.projection.read(line)?;
        Ok((std::mem::take(&mut record.id), record))
    }

    /// The document `id` as it was read.
    pub(crate) fn document(&self, id: &DocId, record: Record) -> Result<Document> {
        let text = record.text.ok_or_else(|| self.no_text(id))?;
        let language = language(self.languages.as_deref(), id);
        Ok(Document {
            id: id.clone(),
            payload: Payload::Text(text),
            title: record.title,
            language,
        })
    }

    fn no_text(&self, id: &str) -> Error {
        let fields: Vec<_> = self
            .projection
            .content_fields()
            .iter()
            .map(|field| format!("`{field}`"))
            .collect();
        let fields = if let [field] = fields.as_slice() {
            format!("no field {field}")
        } else {
            format!("none of the fields {}", fields.join(", "))
        };
        Error::new(
            ErrorCode::EngineFailure,
            format!(
                "{}: document {id} has {fields}; check `content_fields`",
                self.store.source().path().display()
            ),
        )
    }
}

/// As RoutIR: with a map of languages, a document that it does not know has the empty one.
pub(crate) fn language(languages: Option<&IdLabels>, id: &str) -> Option<Arc<str>> {
    languages.map(|languages| languages.get(id).cloned().unwrap_or_default())
}

impl DocumentScan for ViewScan {
    fn stamp(&self) -> Result<String> {
        let stamp = serde_json::json!({
            "source": self.source_stamp()?,
            "id_field": self.store.id_field(),
            "content_fields": self.projection.content_fields(),
            "sep": self.projection.sep(),
            "max_line_bytes": self.store.sidecar().head().max_line_bytes,
        });
        Ok(stamp.to_string())
    }

    fn len(&self) -> usize {
        usize::try_from(self.store.sidecar().head().documents).unwrap_or(usize::MAX)
    }

    fn scan(&self, each: &mut dyn FnMut(TextDocument) -> ControlFlow<()>) -> Result<()> {
        self.scan_with(&mut |document, _| each(document))
    }
}
