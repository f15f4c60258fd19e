//! Who is asked: a runtime in this process or a server.

use std::sync::Arc;
use std::time::Duration;

use routir_core::{Error, Ranking, RequestContext};
use routir_exec::{PipelineCall, Runtime};
use routir_trec::Topic;
use tokio::time::sleep;

use crate::client::{Client, Refusal};

/// How often a server that is busy or away is asked again.
const RETRIES: u32 = 6;
/// The first pause before asking again; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Who is asked.
pub(super) enum Asked {
    /// A runtime in this process; a request may take so long.
    Here(Box<Runtime>, Duration),
    /// A server.
    There(Client),
}

/// What is asked for each topic.
pub(super) struct Question {
    pub(super) pipeline: String,
    pub(super) collection: Option<String>,
}

impl Asked {
    /// What stands for it in an answer file.
    pub(super) fn endpoint(&self) -> String {
        match self {
            Self::Here(..) => "in-process".to_owned(),
            Self::There(client) => client.base().to_owned(),
        }
    }

    /// The ranking of one topic, or why there is none.
    pub(super) async fn answer(
        &self,
        question: &Question,
        topic: &Topic,
    ) -> Result<Ranking, String> {
        match self {
            Self::Here(runtime, timeout) => here(runtime, *timeout, question, topic)
                .await
                .map_err(|error| error.to_string()),
            Self::There(client) => there(client, question, topic)
                .await
                .map_err(|refusal| refusal.to_string()),
        }
    }
}

async fn here(
    runtime: &Runtime,
    timeout: Duration,
    question: &Question,
    topic: &Topic,
) -> Result<Ranking, Error> {
    let mut context = RequestContext::new(topic.id.as_str());
    context.deadline = std::time::Instant::now().checked_add(timeout);
    let call = PipelineCall {
        pipeline: question.pipeline.clone(),
        query: topic.text.as_str().into(),
        collection: question.collection.clone(),
        context: Arc::new(context),
        ..PipelineCall::default()
    };
    let mut pause = FIRST_PAUSE;
    loop {
        match runtime.pipeline(call.clone()).await {
            Ok(answer) => return Ok(Arc::unwrap_or_clone(answer.ranking)),
            // Its own topics filled the queue: those before this one will empty it.
            Err(error) if error.code() == routir_core::ErrorCode::Overloaded => {
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            Err(error) => return Err(error),
        }
    }
}

async fn there(client: &Client, question: &Question, topic: &Topic) -> Result<Ranking, Refusal> {
    let mut pause = FIRST_PAUSE;
    let mut left = RETRIES;
    loop {
        let client = client.clone();
        let pipeline = question.pipeline.clone();
        let collection = question.collection.clone();
        let query = topic.text.clone();
        let asking = tokio::task::spawn_blocking(move || {
            client.pipeline(&pipeline, &query, collection.as_deref())
        });
        let answer = asking
            .await
            .unwrap_or_else(|why| Err(Refusal::new(Some(500), format!("asking broke off: {why}"))));
        match answer {
            Err(refusal) if refusal.may_pass() && left > 0 => {
                left -= 1;
                sleep(refusal.retry_after.unwrap_or(pause).min(LONGEST_PAUSE)).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            answer => return answer,
        }
    }
}
