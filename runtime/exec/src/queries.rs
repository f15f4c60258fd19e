//! The queries around a stage: the request's own, and one on top for each expander that the stage
//! stands under.

use std::sync::Arc;

/// A stack of queries that shares its lower part with others; never empty.
#[derive(Clone, Debug)]
pub(crate) struct Queries(Arc<Frame>);

#[derive(Debug)]
struct Frame {
    query: Arc<str>,
    below: Option<Queries>,
}

impl Queries {
    pub(crate) fn of(query: Arc<str>) -> Self {
        Self(Arc::new(Frame { query, below: None }))
    }

    /// The query that a stage here asks.
    pub(crate) fn top(&self) -> &Arc<str> {
        &self.0.query
    }

    /// The stack with a sub-query on top.
    pub(crate) fn under(&self, sub_query: Arc<str>) -> Self {
        Self(Arc::new(Frame {
            query: sub_query,
            below: Some(self.clone()),
        }))
    }

    /// The stack without its `count` topmost queries; the lowest stays.
    pub(crate) fn above(&self, count: usize) -> &Self {
        let mut at = self;
        for _ in 0..count {
            match &at.0.below {
                Some(below) => at = below,
                None => break,
            }
        }
        at
    }
}
