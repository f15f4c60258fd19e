//! Reading documents, in place or where reading may take its time.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use routir_core::{DocId, Document, Error, Payload, Result};

use super::Inner;
use crate::bytes_view::Room;
use crate::failure::fault;
use crate::labels::IdLabels;
use crate::record::Record;
use crate::scan::{ViewScan, language};
use crate::view::{Source, View};

/// How many bytes of views of bytes one request for documents may hold: 1 GiB.
const MAX_ANSWER_BYTES: u64 = 1 << 30;

impl Inner {
    /// The document `id` if nothing must be waited for: loaded, cached, or read in place from what
    /// the system holds in memory, at most `room` bytes, which it then takes off.
    pub(super) fn at_hand(
        &self,
        index: usize,
        view: &View,
        id: &DocId,
        room: &mut u32,
    ) -> Option<Result<Arc<Document>>> {
        let scan = match &view.source {
            // What is not loaded is not there, or has no text: the file says which.
            Source::Text { scan, loaded } => {
                if let Some(document) = loaded.as_ref().and_then(|loaded| loaded.get(id)) {
                    return Some(Ok(Arc::clone(document)));
                }
                Some(scan)
            }
            Source::Segments { .. } | Source::Bytes { .. } => None,
        };
        if let Some(cache) = &self.cache
            && let Some(document) = cache.get(&(index, id.clone()))
        {
            return Some(Ok(document));
        }
        let scan = scan?;
        let parse = |line: &[u8]| scan.parse(line);
        let read = scan.store.at_hand(id, *room, &parse);
        let Some((record, bytes)) = read else {
            // Whatever comes next would have to be waited for too.
            *room = 0;
            return None;
        };
        *room -= bytes;
        Some(self.document(index, scan, id, record))
    }

    /// Makes and keeps the document `id`.
    fn document(
        &self,
        index: usize,
        scan: &ViewScan,
        id: &DocId,
        record: Record,
    ) -> Result<Arc<Document>> {
        let document = Arc::new(scan.document(id, record)?);
        self.keep(index, &document);
        Ok(document)
    }

    fn keep(&self, index: usize, document: &Arc<Document>) {
        if let Some(cache) = &self.cache {
            cache.insert((index, document.id.clone()), Arc::clone(document));
        }
    }

    /// Reads `ids` from the file, each once. Blocking.
    pub(super) fn read(
        &self,
        index: usize,
        ids: &[DocId],
        cancelled: &AtomicBool,
    ) -> HashMap<DocId, Result<Arc<Document>>> {
        let mut found = HashMap::with_capacity(ids.len());
        let Some(view) = self.views.get(index) else {
            return found;
        };
        match &view.source {
            Source::Text { scan, .. } => {
                let wanted: Vec<&str> = ids.iter().map(DocId::as_str).collect();
                let parse = |line: &[u8]| scan.parse(line);
                scan.store
                    .read(&wanted, cancelled, &parse, &mut |at, record| {
                        let Some(id) = ids.get(at) else { return };
                        let record = record.map_err(fault);
                        let document = record.and_then(|it| self.document(index, scan, id, it));
                        found.insert(id.clone(), document);
                    });
            }
            Source::Segments {
                segments,
                languages,
                content_fields,
            } => {
                let languages = languages.as_deref();
                for id in ids.iter().take_while(|_| !is_set(cancelled)) {
                    let record = segments.read(id);
                    let document = record.and_then(|it| segment(id, it, languages, content_fields));
                    if let Ok(document) = &document {
                        self.keep(index, document);
                    }
                    found.insert(id.clone(), document);
                }
            }
            // Files lie in the system's cache, and show at once what became of them.
            Source::Bytes { bytes, languages } => {
                let mut room = MAX_ANSWER_BYTES;
                for id in ids.iter().take_while(|_| !is_set(cancelled)) {
                    let most = Room {
                        bytes: self.max_document_bytes.min(room),
                        cancelled,
                    };
                    let read = bytes.read(id, most).map(|payload| {
                        room = room.saturating_sub(payload.size() as u64);
                        Arc::new(Document {
                            id: id.clone(),
                            payload: Payload::Bytes(payload),
                            title: None,
                            language: language(languages.as_deref(), id),
                        })
                    });
                    found.insert(id.clone(), read);
                }
            }
        }
        found
    }
}

/// A document of the segmented MS MARCO.
fn segment(
    id: &DocId,
    record: Record,
    languages: Option<&IdLabels>,
    content_fields: &[String],
) -> Result<Arc<Document>> {
    let text = record.text.ok_or_else(|| {
        let fields = content_fields.join("`, `");
        Error::engine(format!(
            "document {id} has none of the fields `{fields}`; check `content_fields`"
        ))
    })?;
    Ok(Arc::new(Document {
        id: id.clone(),
        payload: Payload::Text(text),
        title: record.title,
        language: language(languages, id),
    }))
}

fn is_set(cancelled: &AtomicBool) -> bool {
    cancelled.load(Ordering::Relaxed)
}
