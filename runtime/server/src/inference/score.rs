//! `POST /v1/score/{model}`: the service that scores with the model, as a pipeline would ask it.

use axum::body::Body;
use axum::http::Request;
use routir_core::{Error, Params, ScoreRequest};
use routir_sie::{ScoreReply, Timing};
use serde_json::{Map, Value};

use super::{path, timing, wire};
use crate::failure::Failure;
use crate::handlers::Call;
use crate::reply::Reply;

impl Call<'_> {
    /// Scores of items against a query, best first.
    pub(super) async fn score_items(&self, request: Request<Body>) -> Result<Reply, Failure> {
        let name = path::model(request.uri().path(), "/v1/score/")?;
        let form = wire::wanted(request.headers());
        let (mut asked, _permit) = self.asked(request).await?;
        let model = self.shelf()?.get(&name)?;
        let service = model.scorer.clone().ok_or_else(|| {
            Error::invalid(format!(
                "model `{}` scores nothing; it has: {}",
                model.name,
                model.outputs().join(", ")
            ))
        })?;
        let mut query = asked
            .query
            .take()
            .ok_or_else(|| Error::invalid("the request body has no `query`"))?;
        let text = wire::texts(std::slice::from_mut(&mut query), "query")?;
        let text = text.into_iter().next().unwrap_or_default();
        let most = self.app.options.max_query_chars;
        if text.len() > most && text.chars().count() > most {
            let message = format!("`query` is over this server's limit of {most} characters");
            return Err(Error::invalid(message).into());
        }
        let passages = wire::texts(&mut asked.items, "items")?;
        model.check_loaded()?;
        let instruction = asked
            .params
            .instruction
            .or(asked.params.options.instruction);
        let params: Map<String, Value> = instruction
            .map(|said| ("instruction".to_owned(), Value::String(said)))
            .into_iter()
            .collect();
        let counted = self.app.worker.loads.count(&model.name, passages.len());
        let request = ScoreRequest {
            query: text,
            passages: passages.into(),
            params: Params::from(params),
            context: self.context(None)?,
        };
        let answer = self.app.runtime.score(&service, request).await?;
        drop(counted);
        let timing = Timing {
            total_ms: timing::ms(self.started.elapsed()),
            queue_ms: timing::ms(answer.stats.queued),
            inference_ms: timing::ms(answer.stats.service),
            ..Timing::default()
        };
        let (items, bytes) = (asked.items, 64 * answer.value.len());
        let make = move || {
            let scores = items.into_iter().zip(answer.value.iter());
            let scores = scores.map(|(item, score)| (item.id, *score));
            Ok(ScoreReply::new(name, query.id, scores))
        };
        let mut reply = wire::reply(form, bytes, make).await?;
        timing::tell(&timing, &mut reply.headers);
        Ok(reply)
    }
}
