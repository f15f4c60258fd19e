//! The syntax tree: what stands where, with the place in the source that each node came from.

use std::ops::Range;
use std::sync::Arc;

/// A place in the source: byte offsets, end exclusive, both on character boundaries.
pub type Span = Range<usize>;

/// A whole pipeline: a sequence like any other.
pub type Pipeline = Sequence;

/// Stages one after another: `bm25%100 >> reranker%20`. From [`crate::parse`] there is at least
/// one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequence {
    /// The stages in order.
    pub stages: Vec<Stage>,
    /// From the first stage to the last.
    pub span: Span,
}

/// One step of a sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// A call of one service.
    Call(Call),
    /// Branches side by side.
    Parallel(Box<Parallel>),
}

/// Branches side by side, made one by a merger: `expander{dense, bm25}RRF`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parallel {
    /// What makes sub-queries of the query, each of which goes to every branch.
    pub expander: Option<Call>,
    /// The branches; from [`crate::parse`] there is at least one.
    pub branches: Vec<Sequence>,
    /// What fuses the branches' rankings.
    pub merger: Call,
    /// From the expander, or the opening brace, to the merger's last suffix.
    pub span: Span,
}

/// A call of a service: `name[label]@view%limit`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The service, or an alias not yet expanded.
    pub name: Name,
    /// `[label]`: the name by which `runtime_kwargs` reaches this call.
    pub label: Option<Name>,
    /// `@view`: the content view to read.
    pub view: Option<Name>,
    /// `%N`: how many to keep.
    pub limit: Option<Limit>,
    /// The configured alias in whose definition this call is written; `None` when it stands in the
    /// pipeline itself.
    pub origin: Option<Arc<str>>,
    /// From the name to the last suffix; after expansion, the call of the alias in the pipeline.
    pub span: Span,
}

/// A name with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// The name.
    pub text: Arc<str>,
    /// Its place.
    pub span: Span,
}

/// A limit with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// How many to keep; 0 keeps nothing.
    pub value: usize,
    /// Its place, from the percent sign on.
    pub span: Span,
}

impl Sequence {
    /// Whether both say the same, wherever it stands: spans and origins are not compared.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        pairwise(&self.stages, &other.stages, Stage::same)
    }
}

impl Stage {
    /// Its place.
    #[must_use]
    pub fn span(&self) -> Span {
        match self {
            Self::Call(call) => call.span.clone(),
            Self::Parallel(parallel) => parallel.span.clone(),
        }
    }

    /// As [`Sequence::same`].
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Call(a), Self::Call(b)) => a.same(b),
            (Self::Parallel(a), Self::Parallel(b)) => a.same(b),
            _ => false,
        }
    }
}

impl Parallel {
    /// As [`Sequence::same`].
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        let expanders = match (&self.expander, &other.expander) {
            (Some(a), Some(b)) => a.same(b),
            (None, None) => true,
            _ => false,
        };
        expanders
            && self.merger.same(&other.merger)
            && pairwise(&self.branches, &other.branches, Sequence::same)
    }
}

impl Call {
    /// A call of `name` without suffixes and without a place, for a request that names a service
    /// instead of writing a pipeline. The name is taken as it is.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self {
            name: Name {
                text: name.into(),
                span: 0..0,
            },
            label: None,
            view: None,
            limit: None,
            origin: None,
            span: 0..0,
        }
    }

    /// The name by which `runtime_kwargs` reaches this call: its label, else the service's name.
    #[must_use]
    pub fn key(&self) -> &Arc<str> {
        &self.label.as_ref().unwrap_or(&self.name).text
    }

    /// As [`Sequence::same`].
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        let text = |name: &Option<Name>| name.as_ref().map(|name| name.text.clone());
        let value = |limit: &Option<Limit>| limit.as_ref().map(|limit| limit.value);
        self.name.text == other.name.text
            && text(&self.label) == text(&other.label)
            && text(&self.view) == text(&other.view)
            && value(&self.limit) == value(&other.limit)
    }
}

impl From<Call> for Sequence {
    fn from(call: Call) -> Self {
        let span = call.span.clone();
        Self {
            stages: vec![Stage::Call(call)],
            span,
        }
    }
}

fn pairwise<T>(a: &[T], b: &[T], same: impl Fn(&T, &T) -> bool) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
}
