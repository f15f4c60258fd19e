//! A dense encoder for whoever asks for vectors themselves, in the words of its entry.

use std::sync::Arc;

use routir_compute::Embedding;
use routir_core::{
    BoxFuture, EncodeRequest, Encoded, Encoder, HostedEncoder, Params, Result, VectorKind, Vectors,
};

use super::local::Local;
use crate::models::{by, fits, try_encoded};

impl Encoder for Local {
    fn encode(&self, request: EncodeRequest) -> BoxFuture<'_, Result<Encoded>> {
        Box::pin(async move {
            let EncodeRequest {
                texts,
                query,
                instruction,
                context,
            } = request;
            fits(texts.len().saturating_mul(self.queue.model().dim()))?;
            let (model, wording) = (Arc::clone(self.queue.model()), Arc::clone(&self.wording));
            let own = texts.clone();
            let read = move || {
                let told = instruction.map(|said| wording.told(&said));
                let around = |text: &Arc<str>| {
                    let text = match &told {
                        Some(told) => told.around(text),
                        None if query => wording.query(text, &Params::default(), &model)?,
                        None => wording.passage(text),
                    };
                    model.tokens(&text)
                };
                own.iter().map(around).collect()
            };
            let place = (&*self.queue, &self.pool);
            let gather = |vectors: Vec<Embedding>| {
                let numbers = vectors.into_iter().map(Embedding::numbers);
                numbers.collect::<Result<_>>().map(Vectors::Dense)
            };
            let answer = try_encoded(place, &context, &texts, read, |_| Ok(()), gather);
            by(&context, answer).await
        })
    }
}

/// What is told of it.
pub(super) fn hosted(local: &Arc<Local>) -> HostedEncoder {
    let model = local.queue.model();
    HostedEncoder {
        kind: VectorKind::Dense,
        width: Some(model.dim()),
        max_tokens: Some(model.max_tokens()),
        encoder: Arc::clone(local) as _,
    }
}
