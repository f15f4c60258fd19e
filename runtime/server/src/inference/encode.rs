//! `POST /v1/encode/{model}`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::Request;
use futures_util::future::try_join_all;
use routir_core::{
    EncodeRequest, Encoded, Error, HostedEncoder, RequestContext, Result as CoreResult, VectorKind,
    Vectors,
};
use routir_sie::{
    Array, Dense, EncodeReply, EncodeResult, Item, Multivector, OutputDtype, Params, Sparse, Timing,
};

use super::models::Found;
use super::{path, timing, wire};
use crate::app::State;
use crate::failure::Failure;
use crate::handlers::Call;
use crate::reply::Reply;

impl Call<'_> {
    /// Vectors of items, as many kinds as are wanted and the model has.
    pub(super) async fn encode(&self, request: Request<Body>) -> Result<Reply, Failure> {
        let name = path::model(request.uri().path(), "/v1/encode/")?;
        let form = wire::wanted(request.headers());
        let (mut asked, _permit) = self.asked(request).await?;
        let model = self.shelf()?.get(&name)?;
        let encoders = wanted_encoders(&model, &asked.params)?;
        let dtype = wanted_dtype(&asked.params)?;
        let texts = wire::texts(&mut asked.items, "items")?;
        model.check_loaded()?;
        let context = self.context(None)?;
        let counted = self.app.worker.loads.count(&model.name, texts.len());
        let (options, instruction) = (asked.params.options, asked.params.instruction);
        let instruction = instruction.or(options.instruction);
        let instruction: Option<Arc<str>> = instruction.map(Arc::from);
        let widths: Vec<_> = encoders.iter().map(|(_, it)| it.width).collect();
        let calls = encoders.into_iter().map(|(entry, encoder)| {
            let request = EncodeRequest {
                texts: texts.clone(),
                query: options.is_query.unwrap_or(false),
                instruction: instruction.clone(),
                context: Arc::clone(&context),
            };
            self.app.encoded(entry, encoder, request)
        });
        let answers = try_join_all(calls).await?;
        drop(counted);
        let total = self.started.elapsed();
        let timing = timing_of(&answers, total);
        let bytes = answers.iter().map(numbers).sum::<usize>() * 4;
        let items = asked.items;
        let make = move || {
            Ok(EncodeReply {
                model: name,
                items: results(items, answers.into_iter().zip(widths), dtype),
                timing: Some(timing),
            })
        };
        let mut reply = wire::reply(form, bytes, make).await?;
        timing::tell(&timing, &mut reply.headers);
        Ok(reply)
    }
}

impl State {
    /// Asks `encoder`, which `entry` configured, and counts that as a stage.
    pub(super) async fn encoded(
        &self,
        entry: &str,
        encoder: &HostedEncoder,
        request: EncodeRequest,
    ) -> CoreResult<Encoded> {
        let (started, count) = (Instant::now(), request.texts.len());
        let context: Arc<RequestContext> = Arc::clone(&request.context);
        let answer = encoder.encoder.encode(request).await;
        let answer = answer.and_then(|answer| match length(&answer.vectors) {
            length if length == count => Ok(answer),
            _ => Err(Error::engine("the model did not answer every text")),
        });
        let outcome = answer
            .as_ref()
            .map_or_else(|why| why.code().name(), |_| "ok");
        let metrics = self.runtime.metrics();
        metrics.stage(entry, "encode", outcome, started.elapsed());
        if let Err(why) = &answer {
            tracing::debug!(id = &*context.request_id, entry, error = ?why, "encoding failed");
        }
        answer
    }
}

/// What makes the outputs that are wanted.
fn wanted_encoders<'a>(
    model: &'a Found,
    params: &Params,
) -> CoreResult<Vec<(&'a str, &'a HostedEncoder)>> {
    let named = params.options.output_types.as_ref();
    let named = named.or(params.output_types.as_ref());
    let named = named.filter(|named| !named.is_empty());
    let usual = [VectorKind::Dense.name().to_owned()];
    let mut wanted: Vec<&str> = named
        .map_or(&usual[..], Vec::as_slice)
        .iter()
        .map(String::as_str)
        .collect();
    wanted.sort_unstable();
    wanted.dedup();
    let encoder = |name: &&str| {
        let kind = VectorKind::ALL
            .into_iter()
            .find(|kind| kind.name() == *name);
        let found = kind.and_then(|kind| model.encoder(kind));
        found
            .map(|(entry, encoder)| (&**entry, encoder))
            .ok_or_else(|| {
                let outputs = model.outputs().join(", ");
                Error::invalid(format!(
                    "model `{}` does not answer `{name:.32}`; it has: {outputs}",
                    model.name
                ))
            })
    };
    wanted.iter().map(encoder).collect()
}

fn wanted_dtype(params: &Params) -> CoreResult<OutputDtype> {
    let named = params.output_dtype.as_ref();
    let Some(named) = named.or(params.options.output_dtype.as_ref()) else {
        return Ok(OutputDtype::default());
    };
    OutputDtype::parse(named).ok_or_else(|| {
        let known = OutputDtype::NAMES.join(", ");
        Error::invalid(format!(
            "there is no `output_dtype` `{named:.32}`; there are: {known}"
        ))
    })
}

/// How many texts were answered.
fn length(vectors: &Vectors) -> usize {
    match vectors {
        Vectors::Dense(rows) => rows.len(),
        Vectors::Sparse(rows) => rows.len(),
        Vectors::Multivector { rows, .. } => rows.len(),
    }
}

/// How many numbers an answer has.
fn numbers(answer: &Encoded) -> usize {
    match &answer.vectors {
        Vectors::Dense(rows) => rows.iter().map(Vec::len).sum(),
        Vectors::Sparse(rows) => rows.iter().map(|row| 2 * row.len()).sum(),
        Vectors::Multivector { rows, .. } => rows.iter().map(Vec::len).sum(),
    }
}

/// Encoders are asked at once, so the slowest one counts.
pub(super) fn timing_of(answers: &[Encoded], total: Duration) -> Timing {
    let slowest = |of: fn(&Encoded) -> Duration| {
        let times = answers.iter().map(of);
        timing::ms(times.max().unwrap_or_default())
    };
    Timing {
        total_ms: timing::ms(total),
        queue_ms: slowest(|it| it.queued),
        tokenization_ms: slowest(|it| it.tokenized),
        inference_ms: slowest(|it| it.computed),
        postprocessing_ms: None,
    }
}

/// The answers item by item.
fn results(
    items: Vec<Item>,
    answers: impl Iterator<Item = (Encoded, Option<usize>)>,
    dtype: OutputDtype,
) -> Vec<EncodeResult> {
    let mut results: Vec<EncodeResult> = items
        .into_iter()
        .map(|item| EncodeResult {
            id: item.id,
            ..EncodeResult::default()
        })
        .collect();
    for (answer, dims) in answers {
        let results = results.iter_mut();
        match answer.vectors {
            Vectors::Dense(rows) => {
                for (result, row) in results.zip(rows) {
                    result.dense = Some(Dense {
                        dims: row.len(),
                        dtype: dtype.name().to_owned(),
                        values: dtype.vector(&row),
                    });
                }
            }
            Vectors::Sparse(rows) => {
                for (result, row) in results.zip(rows) {
                    let sparse = sparse(&row, dtype.of_weights());
                    result.sparse = Some(Sparse { dims, ..sparse });
                }
            }
            Vectors::Multivector { width, rows } => {
                for (result, row) in results.zip(rows) {
                    result.multivector = Some(Multivector {
                        token_dims: width,
                        num_tokens: row.len() / width.max(1),
                        dtype: dtype.name().to_owned(),
                        values: dtype.rows(&row, width),
                    });
                }
            }
        }
    }
    results
}

fn sparse(row: &[(u32, f32)], dtype: OutputDtype) -> Sparse {
    let (terms, weights): (Vec<i32>, Vec<f32>) = row
        .iter()
        .map(|(term, weight)| (term.cast_signed(), *weight))
        .unzip();
    Sparse {
        dims: None,
        dtype: dtype.name().to_owned(),
        indices: Array::integers(&terms),
        values: dtype.vector(&weights),
    }
}
