//! Our own method: a pipeline whose stages are told as they end.

use std::sync::Arc;

use futures_util::stream::{BoxStream, StreamExt};
use routir_core::Result;
use routir_exec::PipelineEvent;
use routir_proto::rt::{self, PipelineStreamRequest, pipeline_event::Event, pipelines_server};
use tonic::{Request, Response, Status};

use super::session::Session;
use super::{decode, encode};
use crate::decode as fields;
use crate::events::unbroken;

/// What the server adds to RoutIR's service.
#[derive(Clone, Copy)]
pub(crate) struct Pipelines;

/// The events of one pipeline. Dropping them, which is what happens when the client leaves, ends
/// the run.
type Events = BoxStream<'static, Result<rt::PipelineEvent, Status>>;

#[tonic::async_trait]
impl pipelines_server::Pipelines for Pipelines {
    type PipelineStreamStream = Events;

    async fn pipeline_stream(
        &self,
        request: Request<PipelineStreamRequest>,
    ) -> Result<Response<Events>, Status> {
        let (session, message) = Session::open(request)?;
        let begun = begin(&session, message);
        begun.map(Response::new).map_err(|why| session.fail(&why))
    }
}

/// Begins to run a pipeline.
fn begin(session: &Arc<Session>, message: PipelineStreamRequest) -> Result<Events> {
    let app = &session.app;
    let permit = app.admit()?;
    let mut body = fields::pipeline(decode::pipeline_stream(message)?, &app.options)?;
    body.call.context = session.context(body.timeout)?;
    let query = Arc::clone(&body.call.query);
    let run = app.runtime.pipeline_stream(body.call)?;
    let session = Arc::clone(session);
    let events = unbroken(run).map(move |event| {
        // The place is kept for as long as there are events.
        let _kept = &permit;
        let event = match event.map_err(|why| session.fail(&why))? {
            PipelineEvent::Stage(stage) => Event::Stage(encode::stage(&stage)),
            PipelineEvent::Answer(answer) => {
                session.end("ok");
                Event::Result(encode::result(&query, &answer))
            }
        };
        Ok(rt::PipelineEvent { event: Some(event) })
    });
    Ok(events.boxed())
}
