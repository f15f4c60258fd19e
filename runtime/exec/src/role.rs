//! What differs between the roles whose calls wait in a queue; what they share is in
//! [`crate::service`].

use std::sync::Arc;

use routir_cache::{Codec, codecs};
use routir_core::{
    DecomposeRequest, Error, Params, Passages, Ranking, RequestContext, Result, Role, ScoreRequest,
    SearchRequest,
};

use crate::answers::{Asker, Identity, PassagesDigest};

/// A request to a service in one role.
pub(crate) trait Request: Clone + Send + Sync + 'static {
    /// What the engine answers.
    type Raw: Send + 'static;
    /// What callers get.
    type Value: Clone + Send + Sync + 'static;

    const ROLE: Role;

    /// How answers are written where other servers read them.
    fn codec() -> impl Codec<Self::Value>;

    fn context(&self) -> &Arc<RequestContext>;

    fn query(&self) -> &str;

    /// How many results it asks for, if it says.
    fn limit(&self) -> Option<usize>;

    fn params(&self) -> &Params;

    /// The passages that it brings, if it is one of those that do.
    fn passages(&self) -> Option<&Passages> {
        None
    }

    /// What makes it the same as another. `passages` is the digest of its [`Request::passages`].
    fn identity<'a>(
        &'a self,
        asker: Asker<'a>,
        passages: Option<&'a PassagesDigest>,
    ) -> Identity<'a> {
        Identity {
            role: Self::ROLE,
            query: self.query(),
            limit: self.limit(),
            passages,
            params: self.params(),
            asker,
        }
    }

    /// A rough count of tokens, for batches.
    fn tokens(&self) -> usize {
        tokens(self.query())
    }

    /// How many things the answer holds: at most, or exactly where each belongs to one asked for.
    fn count(&self) -> usize;

    /// The engine's answer, cut to `count` or checked against it.
    fn accept(raw: Self::Raw, count: usize) -> Result<Self::Value>;
}

/// Four bytes a token, as subword vocabularies have it.
fn tokens(text: &str) -> usize {
    text.len() / 4 + 1
}

/// What models of images make of one, however many bytes it has: some hundreds of tokens.
const PART_TOKENS: usize = 512;

impl Request for SearchRequest {
    type Raw = Ranking;
    type Value = Arc<Ranking>;

    const ROLE: Role = Role::Search;

    fn codec() -> impl Codec<Arc<Ranking>> {
        codecs::Rankings
    }

    fn context(&self) -> &Arc<RequestContext> {
        &self.context
    }

    fn query(&self) -> &str {
        &self.query
    }

    fn limit(&self) -> Option<usize> {
        Some(self.limit)
    }

    fn params(&self) -> &Params {
        &self.params
    }

    fn count(&self) -> usize {
        self.limit
    }

    fn accept(mut raw: Ranking, count: usize) -> Result<Arc<Ranking>> {
        raw.truncate(count);
        Ok(Arc::new(raw))
    }
}

impl Request for ScoreRequest {
    type Raw = Vec<f64>;
    type Value = Arc<[f64]>;

    const ROLE: Role = Role::Score;

    fn codec() -> impl Codec<Arc<[f64]>> {
        codecs::Scores
    }

    fn context(&self) -> &Arc<RequestContext> {
        &self.context
    }

    fn query(&self) -> &str {
        &self.query
    }

    fn limit(&self) -> Option<usize> {
        None
    }

    fn params(&self) -> &Params {
        &self.params
    }

    fn passages(&self) -> Option<&Passages> {
        Some(&self.passages)
    }

    fn tokens(&self) -> usize {
        let query = tokens(&self.query);
        match &self.passages {
            Passages::Text(texts) => texts.iter().map(|text| query + tokens(text)).sum(),
            Passages::Bytes(all) => {
                let parts = all.iter().map(|bytes| bytes.parts.len() * PART_TOKENS);
                parts.map(|tokens| query + tokens).sum()
            }
        }
    }

    fn count(&self) -> usize {
        self.passages.len()
    }

    /// A score belongs to its passage only if there is one for each, and ranks it only if it is a
    /// number.
    fn accept(raw: Vec<f64>, count: usize) -> Result<Arc<[f64]>> {
        if raw.len() != count {
            let answered = raw.len();
            return Err(Error::engine(format!(
                "answered {answered} scores for {count} passages"
            )));
        }
        match raw.iter().position(|score| !score.is_finite()) {
            Some(at) => Err(Error::engine(format!(
                "the score of passage {at} is not a finite number"
            ))),
            None => Ok(Arc::from(raw)),
        }
    }
}

impl Request for DecomposeRequest {
    type Raw = Vec<Arc<str>>;
    type Value = Arc<[Arc<str>]>;

    const ROLE: Role = Role::DecomposeQuery;

    fn codec() -> impl Codec<Arc<[Arc<str>]>> {
        codecs::Texts
    }

    fn context(&self) -> &Arc<RequestContext> {
        &self.context
    }

    fn query(&self) -> &str {
        &self.query
    }

    fn limit(&self) -> Option<usize> {
        self.limit
    }

    fn params(&self) -> &Params {
        &self.params
    }

    fn count(&self) -> usize {
        self.limit.unwrap_or(usize::MAX)
    }

    fn accept(mut raw: Vec<Arc<str>>, count: usize) -> Result<Arc<[Arc<str>]>> {
        raw.truncate(count);
        Ok(Arc::from(raw))
    }
}
