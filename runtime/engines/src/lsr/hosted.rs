//! A learned sparse encoder for whoever asks for weights themselves.

use std::sync::Arc;
use std::time::{Duration, Instant};

use routir_compute::SparseEncoder;
use routir_core::{
    BoxFuture, EncodeRequest, Encoded, Encoder, Error, HostedEncoder, RequestContext, Result,
    VectorKind, Vectors,
};

use crate::build::BuildEnv;
use crate::models::{ModelQueue, by, encoded, fits, no_instruction};
use crate::pool::EnginePool;

/// Texts that are encoded before the size of the answer is looked at: how many terms a text has is
/// known only then.
const AT_ONCE: usize = 256;

/// The model as it reads queries, and as it reads documents; they may differ in length.
struct Sparse {
    queries: Arc<ModelQueue<SparseEncoder>>,
    documents: Arc<ModelQueue<SparseEncoder>>,
    pool: EnginePool,
}

impl Sparse {
    async fn some(
        &self,
        texts: &[Arc<str>],
        query: bool,
        context: &RequestContext,
    ) -> Result<Encoded> {
        let queue = if query {
            &self.queries
        } else {
            &self.documents
        };
        let (model, own) = (Arc::clone(queue.model()), texts.to_vec());
        if query && model.has_table() {
            return self.looked_up(model, own).await;
        }
        let read = move || own.iter().map(|text| model.tokens(text)).collect();
        let place = (&**queue, &self.pool);
        encoded(place, context, texts, read, |_| Ok(()), Vectors::Sparse).await
    }

    /// Queries of a model that computes nothing for them.
    async fn looked_up(&self, model: Arc<SparseEncoder>, texts: Vec<Arc<str>>) -> Result<Encoded> {
        let started = Instant::now();
        let bytes = texts.iter().map(|text| text.len()).sum();
        let read = move || {
            let weigh = |text: &Arc<str>| {
                let weights = model.table_query(text)?;
                weights.ok_or_else(|| Error::internal("the table of weights is gone"))
            };
            texts.iter().map(weigh).collect::<Result<Vec<_>>>()
        };
        let weights = self.pool.read(bytes, read).await??;
        Ok(Encoded {
            tokens: weights.iter().map(Vec::len).sum(),
            vectors: Vectors::Sparse(weights),
            tokenized: started.elapsed(),
            queued: Duration::ZERO,
            computed: Duration::ZERO,
        })
    }

    async fn all(&self, request: EncodeRequest) -> Result<Encoded> {
        let EncodeRequest {
            texts,
            query,
            instruction,
            context,
        } = request;
        no_instruction(instruction.as_deref())?;
        let mut all: Option<Encoded> = None;
        let (mut weights, mut numbers) = (Vec::with_capacity(texts.len()), 0);
        for texts in texts.chunks(AT_ONCE) {
            let part = self.some(texts, query, &context).await?;
            if let Vectors::Sparse(rows) = part.vectors {
                numbers += rows.iter().map(|row| 2 * row.len()).sum::<usize>();
                weights.extend(rows);
            }
            fits(numbers)?;
            all = Some(match all {
                None => Encoded {
                    vectors: Vectors::Sparse(Vec::new()),
                    ..part
                },
                Some(before) => Encoded {
                    tokens: before.tokens + part.tokens,
                    tokenized: before.tokenized + part.tokenized,
                    queued: before.queued + part.queued,
                    computed: before.computed + part.computed,
                    ..before
                },
            });
        }
        let all = all.ok_or_else(|| Error::invalid("there is no text to encode"))?;
        Ok(Encoded {
            vectors: Vectors::Sparse(weights),
            ..all
        })
    }
}

impl Encoder for Sparse {
    fn encode(&self, request: EncodeRequest) -> BoxFuture<'_, Result<Encoded>> {
        Box::pin(async move {
            let context = Arc::clone(&request.context);
            by(&context, self.all(request)).await
        })
    }
}

/// The encoder that reads queries as `queries` does and documents as `documents`, with what is told of
/// it.
pub(super) fn hosted(
    queries: &Arc<ModelQueue<SparseEncoder>>,
    documents: Arc<SparseEncoder>,
    env: &BuildEnv<'_>,
) -> HostedEncoder {
    let documents = env.models.queue(documents);
    let model = Arc::clone(documents.model());
    let encoder = Sparse {
        queries: Arc::clone(queries),
        documents,
        pool: env.pool.clone(),
    };
    HostedEncoder {
        kind: VectorKind::Sparse,
        width: Some(model.terms()).filter(|terms| *terms > 0),
        max_tokens: Some(model.max_tokens()),
        encoder: Arc::new(encoder),
    }
}
