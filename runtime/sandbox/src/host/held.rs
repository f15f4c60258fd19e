//! Memory that the host holds for guests, on their tenant's account: what they ask, until it is
//! answered; what they are answered, until their next call of the host or the end of the call.
//!
//! Else a guest with a megabyte of its own could have the host hold many, by naming the same text
//! over and over, and hundreds of its kind, waiting for a slow service, could fill the server.

use std::sync::Arc;

use crate::bindings::host::{Documents, Passages, ScoreRequest, SearchRequest};
use crate::bindings::types;
use crate::convert::Crossing;
use crate::schedule::Account;

/// What a JSON text takes once it is parsed, per byte of it: `[0,0,0]` is the worst.
const PARSED: usize = 36;
/// What a number or a string takes beside its own bytes.
const VALUE: usize = 72;

/// Bytes on an account; they go back when it is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    account: Arc<Account>,
    bytes: usize,
}

impl Held {
    /// Nothing yet.
    pub(crate) fn new(account: &Arc<Account>) -> Self {
        Self {
            account: Arc::clone(account),
            bytes: 0,
        }
    }

    /// Holds `more` bytes.
    ///
    /// # Errors
    /// What the guest is answered when its tenant's quota has no room for them.
    pub(crate) fn grow(&mut self, more: usize) -> Result<(), types::Error> {
        if !self.account.try_grow(more) {
            return Err(types::Error::Exhausted(
                "the tenant's guests hold all the memory that they may (`quotas.memory_mb`)"
                    .to_owned(),
            ));
        }
        self.bytes = self.bytes.saturating_add(more);
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.account.shrink(self.bytes);
    }
}

/// What a request makes the host hold, in bytes.
pub(super) trait Size {
    /// The bytes, about.
    fn size(&self) -> usize;
}

impl Size for SearchRequest {
    fn size(&self) -> usize {
        let collection = self.collection.as_ref().map_or(0, String::len);
        let texts = self.pipeline.len() + self.query.len() + collection;
        texts + 2 * VALUE + params(&self.params)
    }
}

impl Size for ScoreRequest {
    fn size(&self) -> usize {
        let passages = match &self.passages {
            Passages::Texts(list) => texts(list),
            Passages::Documents(documents) => documents.size(),
        };
        self.service.len() + self.query.len() + 2 * VALUE + passages + params(&self.params)
    }
}

impl Size for Documents {
    fn size(&self) -> usize {
        self.collection.len() + self.view.as_ref().map_or(0, String::len) + texts(&self.ids)
    }
}

fn texts(list: &[String]) -> usize {
    list.iter().map(|text| text.len() + VALUE).sum()
}

fn params(params: &Crossing) -> usize {
    let size = |value: &types::Value| match value {
        types::Value::Flag(_) | types::Value::Number(_) => 0,
        types::Value::Text(text) => text.len(),
        types::Value::Numbers(list) => VALUE * list.len(),
        types::Value::Json(text) => PARSED * text.len(),
    };
    let each = params.iter();
    each.map(|(name, value)| name.len() + 2 * VALUE + size(value))
        .sum()
}
