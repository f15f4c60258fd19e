//! A late-interaction encoder for whoever asks for vectors themselves.

use std::sync::Arc;

use routir_compute::{TokenEncoder, Tokens};
use routir_core::{
    BoxFuture, EncodeRequest, Encoded, Encoder, HostedEncoder, Result, VectorKind, Vectors,
};

use crate::models::{ModelQueue, by, encoded, fits, no_instruction};
use crate::pool::EnginePool;

struct Late {
    queue: Arc<ModelQueue<TokenEncoder>>,
    pool: EnginePool,
}

impl Encoder for Late {
    fn encode(&self, request: EncodeRequest) -> BoxFuture<'_, Result<Encoded>> {
        Box::pin(async move {
            let EncodeRequest {
                texts,
                query,
                instruction,
                context,
            } = request;
            no_instruction(instruction.as_deref())?;
            let (model, own) = (Arc::clone(self.queue.model()), texts.clone());
            let width = model.dim();
            let read = move || {
                let read = |text: &Arc<str>| match query {
                    true => model.query(text),
                    false => model.document(text),
                };
                own.iter().map(read).collect()
            };
            let check = |tokens: &[Tokens]| {
                let vectors: usize = tokens.iter().map(Tokens::len).sum();
                fits(vectors.saturating_mul(width))
            };
            let gather = |rows| Vectors::Multivector { width, rows };
            let place = (&*self.queue, &self.pool);
            let answer = encoded(place, &context, &texts, read, check, gather);
            by(&context, answer).await
        })
    }
}

/// The encoder behind `queue`, with what is told of it.
pub(super) fn hosted(queue: &Arc<ModelQueue<TokenEncoder>>, pool: &EnginePool) -> HostedEncoder {
    let model = queue.model();
    HostedEncoder {
        kind: VectorKind::Multivector,
        width: Some(model.dim()),
        max_tokens: Some(model.document_tokens()),
        encoder: Arc::new(Late {
            queue: Arc::clone(queue),
            pool: pool.clone(),
        }),
    }
}
