//! Encoders that a server hosts for others: what they are, and how they are asked.

use std::sync::Arc;
use std::time::Duration;

use crate::{BoxFuture, Health, RequestContext, Result};

/// What an encoder makes of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum VectorKind {
    /// One vector.
    Dense,
    /// Weights of terms.
    Sparse,
    /// A vector per token.
    Multivector,
}

impl VectorKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Dense, Self::Sparse, Self::Multivector];

    /// Its name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Dense => "dense",
            Self::Sparse => "sparse",
            Self::Multivector => "multivector",
        }
    }
}

/// How far a model is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelState {
    /// It is being loaded.
    Loading,
    /// It answers.
    Loaded,
    /// It is being taken down.
    Unloading,
}

/// Asks for the vectors of texts.
#[derive(Clone, Debug)]
pub struct EncodeRequest {
    /// The texts.
    pub texts: Vec<Arc<str>>,
    /// Whether they are queries; otherwise they are passages.
    pub query: bool,
    /// What the model is told about the task, instead of what is configured.
    pub instruction: Option<Arc<str>>,
    /// On whose behalf, until when.
    pub context: Arc<RequestContext>,
}

/// What became of texts, one entry for each, in their order.
#[derive(Clone, Debug, PartialEq)]
pub enum Vectors {
    /// One vector each.
    Dense(Vec<Vec<f32>>),
    /// Terms and their weights, by term.
    Sparse(Vec<Vec<(u32, f32)>>),
    /// Vectors of `width` numbers, one after another.
    Multivector {
        /// How many numbers a token's vector has.
        width: usize,
        /// The vectors of each text.
        rows: Vec<Vec<f32>>,
    },
}

/// The answer of an encoder.
#[derive(Clone, Debug, PartialEq)]
pub struct Encoded {
    /// The vectors.
    pub vectors: Vectors,
    /// How many tokens were read.
    pub tokens: usize,
    /// How long making tokens took.
    pub tokenized: Duration,
    /// How long it was until the model began with the first of them.
    pub queued: Duration,
    /// How long it took from then on.
    pub computed: Duration,
}

/// Makes vectors of texts.
///
/// The future must not block the thread that polls it, and withdraws what it asked for when it is
/// dropped.
pub trait Encoder: Send + Sync {
    /// The vectors of all texts.
    fn encode(&self, request: EncodeRequest) -> BoxFuture<'_, Result<Encoded>>;
}

/// An encoder with what is told of it.
#[derive(Clone)]
pub struct HostedEncoder {
    /// What it makes.
    pub kind: VectorKind,
    /// How many numbers a vector has, or how many terms there are; `None` when that is not known.
    pub width: Option<usize>,
    /// The longest text that it reads whole, in tokens.
    pub max_tokens: Option<usize>,
    /// What answers.
    pub encoder: Arc<dyn Encoder>,
}

/// A model that a server hosts, as one entry of its configuration uses it.
#[derive(Clone)]
pub struct HostedModel {
    /// The model's name: `owner/name`, or that of its folder.
    pub id: Arc<str>,
    /// The model as the configuration names it.
    pub source: Arc<str>,
    /// The entry: a service, unless `service` says otherwise. Who may not call it may not use the
    /// model.
    pub entry: Arc<str>,
    /// Whether the entry is a service, which may score.
    pub service: bool,
    /// How far it is.
    pub state: ModelState,
    /// As an encoder; `None` for a model that only scores.
    pub encoder: Option<HostedEncoder>,
    /// Of an entry that is no service: what the model cannot do without. A service says so itself.
    pub health: Vec<Arc<dyn Health>>,
}

/// What hosts models.
pub trait ModelHost: Send + Sync {
    /// The models now, in the order of the configuration.
    fn models(&self) -> Arc<[HostedModel]>;
}

/// Models that stay as they are.
pub struct HostedModels(pub Arc<[HostedModel]>);

impl ModelHost for HostedModels {
    fn models(&self) -> Arc<[HostedModel]> {
        Arc::clone(&self.0)
    }
}
