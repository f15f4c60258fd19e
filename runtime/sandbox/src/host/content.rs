//! Texts of documents for a guest, read piece by piece so that no list of ids makes the host hold
//! more than one piece and what is handed over.

use std::sync::Arc;

use routir_core::HostDocuments;

use super::desk::{Desk, HandOver, to_guest};
use crate::bindings::types;
use crate::convert::cut;

/// How many documents are read at once.
const PIECE: usize = 256;

/// One text per document, each cut at `max_bytes` bytes; what they take is taken from `room`.
pub(super) async fn read(
    desk: &Desk,
    documents: HostDocuments,
    max_bytes: u32,
    room: &mut HandOver,
) -> Result<Vec<Option<String>>, types::Error> {
    let max = max_bytes as usize;
    let mut texts = Vec::with_capacity(documents.ids.len());
    for ids in documents.ids.chunks(PIECE) {
        let piece = HostDocuments {
            collection: documents.collection.clone(),
            view: documents.view.clone(),
            ids: ids.to_vec(),
        };
        let read = desk.host.content(Arc::clone(&desk.context), piece).await;
        let read = read.map_err(|error| to_guest(&error))?;
        if read.len() != ids.len() {
            return Err(types::Error::Failed("the host gave no answer".to_owned()));
        }
        for text in read {
            let text = text.as_deref().map(|text| cut(text, max));
            // In the guest: the text, its place and length, and whether there is one.
            room.take(text.map_or(0, str::len) + 12)?;
            texts.push(text.map(str::to_owned));
        }
    }
    Ok(texts)
}
