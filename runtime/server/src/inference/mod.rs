//! Models for whoever asks for vectors and scores themselves: SIE's endpoints, OpenAI's embeddings,
//! and what routers are told of this server.
//!
//! The way of a request: `wire` reads the body in the form that it has; `models` finds what the
//! caller means among what he may use; `encode`, `score` or `embeddings` asks the encoder or the
//! runtime and answers in the form that he wants. `load` counts meanwhile what is asked of which
//! model, which `status` tells routers, together with what `worker` knows. An error leaves as
//! `refusal` writes it.

mod embeddings;
mod encode;
mod load;
mod models;
mod path;
pub(crate) mod refusal;
mod score;
mod status;
mod timing;
mod wire;
mod worker;

use axum::body::Body;
use axum::http::{HeaderMap, Request};
use routir_core::{Error, ErrorCode};

pub(crate) use worker::Worker;

use crate::endpoint::Endpoint;
use crate::failure::Failure;
use crate::handlers::Call;
use crate::reply::Reply;

impl Call<'_> {
    /// Answers a request to one of the endpoints for models.
    pub(crate) async fn inference(
        &self,
        endpoint: Endpoint,
        request: Request<Body>,
    ) -> Result<Reply, Failure> {
        match endpoint {
            Endpoint::Status => return self.status(request).await,
            Endpoint::Models => return self.models(),
            Endpoint::Model => return self.model(request.uri().path()),
            _ => {}
        }
        self.app.worker.check_open()?;
        self.check_machine(request.headers())?;
        match endpoint {
            Endpoint::Encode => self.encode(request).await,
            Endpoint::ScoreItems => self.score_items(request).await,
            Endpoint::Embeddings => self.embeddings(request).await,
            _ => {
                let message = "this server extracts nothing; it encodes (/v1/encode/MODEL) and \
                               scores (/v1/score/MODEL)";
                Err(Error::new(ErrorCode::Unsupported, message).into())
            }
        }
    }

    /// Refuses a request that is for another kind of machine.
    fn check_machine(&self, headers: &HeaderMap) -> Result<(), Failure> {
        let Some(wanted) = headers.get(routir_sie::MACHINE_PROFILE) else {
            return Ok(());
        };
        let wanted = String::from_utf8_lossy(wanted.as_bytes());
        let own = self.app.options.worker.machine_profile.trim();
        let wanted = wanted.trim();
        if wanted.is_empty() || wanted.eq_ignore_ascii_case(own) {
            return Ok(());
        }
        let own = match own {
            "" => "of no kind that was told: set `rt.worker.machine_profile`".to_owned(),
            own => format!("`{own}`"),
        };
        let message = format!(
            "the request is for a machine of the kind `{wanted:.64}`, and this one is {own}; leave \
             `X-SIE-MACHINE-PROFILE` out, or ask another server"
        );
        Err(Error::invalid(message).into())
    }
}
